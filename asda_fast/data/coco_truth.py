"""A COCO annotation file as its reader understood it, for a scorer that knows COCO's own form alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asda_fast.core.coco_json import Id, annotation_numbers, choose, image_numbers, images_of, read_table
from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import Skeleton, order_of, other_joints


@dataclass(frozen=True)
class CocoTruth:
    """What is scored. Images and annotations are known by the numbers of `People.image_id` and `People.id`, category 1
    is what was read, joints stand in the skeleton's order."""

    table: dict[str, Any]
    notes: list[str]
    images: dict[int, Id]  # number -> the file's id
    category: Id  # the file's
    order: list[int]  # where each joint of the skeleton stands in the file

    def in_the_files_terms(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Results of these numbers and this order, as a scorer that is given the file itself wants them."""
        back = sorted(range(len(self.order)), key=lambda joint: self.order[joint])
        return [
            {
                **record,
                "image_id": self.images[record["image_id"]],
                "category_id": self.category,
                "keypoints": [v for joint in back for v in record["keypoints"][3 * joint : 3 * joint + 3]],
            }
            for record in records
        ]


def read_truth(path: Path, skeleton: Skeleton) -> CocoTruth:
    """The truth of a file whose people were read with `skeleton`. UserError as for the people; one for a missing area.

    Where no annotation has an area, that of its box stands for it, and `notes` says so: scores by size of person, and
    OKS itself, are then not those of segmented people.
    """
    table = read_table(path)
    images, choice = images_of(path, table), choose(path, table)
    numbers = image_numbers(images)
    order = order_of(choice.joints, skeleton) if choice.joints else list(range(len(skeleton.joints)))
    if order is None:
        raise UserError(f"{path}: category {choice.name!r}: {other_joints(choice.joints, skeleton)}")
    ids, _ = annotation_numbers(table)
    bare = sum("area" not in a for a in table["annotations"])
    if 0 < bare < len(table["annotations"]):
        number = next(n for n, a in enumerate(table["annotations"]) if "area" not in a)
        raise UserError(f"{path}: annotations[{number}]: has no area, though {len(table['annotations']) - bare} have")
    kept = []
    for number, annotation in enumerate(table["annotations"]):
        category = annotation.get("category_id")
        if category is not None and category not in (choice.ids or {1}):
            continue
        record = {**annotation, "id": ids[number], "category_id": 1}
        if annotation.get("image_id") in numbers:
            record["image_id"] = numbers[annotation["image_id"]]
        if bare and len(annotation.get("bbox") or ()) == 4:
            record["area"] = annotation["bbox"][2] * annotation["bbox"][3]
        keypoints = annotation.get("keypoints")
        if isinstance(keypoints, list) and len(keypoints) == 3 * len(order):
            record["keypoints"] = [v for joint in order for v in keypoints[3 * joint : 3 * joint + 3]]
        kept.append(record)
    once = {image.number for image in images.values()}  # some copies of COCO's list an image twice
    listed = [{**image, "id": numbers[image["id"]]} for n, image in enumerate(table["images"]) if n in once]
    return CocoTruth(
        table={**table, "images": listed, "annotations": kept, "categories": [{"id": 1, "name": "person"}]},
        notes=[f"{path.name}: no areas: the area of the box stands for the person's"] * bool(bare),
        images={number: identity for identity, number in numbers.items()},
        category=next(iter(sorted(choice.ids, key=str))) if choice.ids else 1,
        order=order,
    )
