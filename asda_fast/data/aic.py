"""AI Challenger's own keypoint JSON -> a table in COCO's form.

A list of {image_id, human_annotations: {human1: [x1, y1, x2, y2]}, keypoint_annotations: {human1: [x, y, flag, ..]}};
the flag is 1 where a joint is visible, 2 where it is hidden, 3 where it is not labelled; photos are image_id.jpg
(https://github.com/AIChallenger/AI_Challenger_2017). MMPose's version is in COCO's form already.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asda_fast.core.errors import UserError, short
from asda_fast.core.skeletons import AIC

FLAGS = {1: 2, 2: 1, 3: 0}  # AI Challenger's -> COCO's


def is_aic(content: Any) -> bool:
    """Whether a JSON's content is in this form."""
    return (
        isinstance(content, list)
        and bool(content)
        and isinstance(content[0], dict)
        and ("keypoint_annotations" in content[0])
    )


def table(path: Path, content: list[Any]) -> dict[str, Any]:
    """The file in COCO's form. UserError naming the record that is wrong."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, record in enumerate(content):
        where = f"{path}: record {number}"
        try:
            photo, boxes, joints = record["image_id"], record["human_annotations"], record["keypoint_annotations"]
            people = [(name, boxes[name], values) for name, values in joints.items()]
            people += [(name, box, []) for name, box in boxes.items() if name not in joints]  # left out, and counted
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{where}: expected image_id, human_annotations, keypoint_annotations ({error!r:.60})"
            ) from None
        if not isinstance(photo, str):
            raise UserError(f"{where}: image_id: expected a photo's name, got {short(photo)}")
        images.append({"id": number, "file_name": photo if "." in photo else f"{photo}.jpg"})
        for name, box, values in people:
            try:
                x1, y1, x2, y2 = (float(value) for value in box)
                keypoints = [FLAGS[v] if at % 3 == 2 else v for at, v in enumerate(values)]
            except (KeyError, TypeError, ValueError, OverflowError):
                raise UserError(f"{where}: {short(name)}: expected x1, y1, x2, y2 and flags 1, 2 or 3") from None
            box = [x1, y1, x2 - x1, y2 - y1]
            found = {"id": len(annotations) + 1, "image_id": number, "category_id": 1}
            annotations.append({**found, "bbox": box, "keypoints": keypoints})
    person = {"id": 1, "name": "person", "keypoints": list(AIC.joints)}
    return {"images": images, "annotations": annotations, "categories": [person]}
