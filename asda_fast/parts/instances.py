"""Who is who in a photo, when a COCO annotation file says so: person numbers per pixel, and boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError

Person = dict[str, Any]  # bbox, segmentation of one annotation


def read_people(path: Path) -> dict[str, list[Person]]:
    """COCO JSON -> {photo name without suffix: its people (crowds left out)}."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        names = {image["id"]: Path(image["file_name"]).with_suffix("").as_posix() for image in data["images"]}
        people: dict[str, list[Person]] = {name: [] for name in names.values()}
        for record in data["annotations"]:
            if not record.get("iscrowd", 0):
                box = [float(v) for v in record["bbox"]]
                if len(box) != 4:
                    raise ValueError(f"annotation {record.get('id')}: bbox has {len(box)} numbers")
                people[names[record["image_id"]]].append({"bbox": box, "segmentation": record.get("segmentation")})
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"--people {path}: expected a COCO annotation file with images and boxes ({error!r})") from None
    return people


def instance_map(people: list[Person], height: int, width: int) -> np.ndarray:
    """[H, W] uint8: the number (1, 2, ...) of the person that each pixel belongs to, 0 = nobody.

    By the segmentations where there are any; a person without one owns what lies in their box. Smaller people win.
    """
    result = np.zeros((height, width), np.uint8)
    order = sorted(range(min(len(people), 255)), key=lambda i: -people[i]["bbox"][2] * people[i]["bbox"][3])
    for i in order:
        result[_mask(people[i], height, width)] = i + 1
    return result


def _mask(person: Person, height: int, width: int) -> np.ndarray:
    outline = person["segmentation"]
    mask = np.zeros((height, width), bool)
    if outline:
        from pycocotools import mask as coco_mask

        if isinstance(outline, dict):
            counts = outline["counts"]
            rle = coco_mask.frPyObjects(outline, height, width) if isinstance(counts, list) else outline
        else:
            rle = coco_mask.merge(coco_mask.frPyObjects(outline, height, width))
        drawn = coco_mask.decode(rle).astype(bool)
        if drawn.shape == mask.shape:
            return np.asarray(drawn)
    x, y, w, h = person["bbox"]
    mask[max(0, int(y)) : max(0, int(np.ceil(y + h))), max(0, int(x)) : max(0, int(np.ceil(x + w)))] = True
    return mask
