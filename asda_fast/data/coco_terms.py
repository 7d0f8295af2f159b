"""How a COCO annotation file calls what People have numbered: results scored against it must call it so too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.coco_json import Id, annotation_numbers, choose, image_numbers, images_of, is_id, read_table
from asda_fast.core.errors import UserError, short
from asda_fast.core.skeletons import COCO, WHOLEBODY, Skeleton, order_of, other_joints
from asda_fast.data.people import People


@dataclass(frozen=True)
class CocoTerms:
    """The file's own ids, categories and order of joints."""

    table: dict[str, Any]  # the file's content
    images: dict[int, Id]  # People.image_id -> the image's id
    categories: dict[int, Id]  # People.id -> the annotation's category, where there are several
    category: Id  # of everybody else
    people: dict[int, Id]  # People.id -> image's id, of every annotation that a scorer wants found
    place: list[int]  # which joint of the skeleton stands at each place of the file

    def result(self, image_id: int, person: int, keypoints: list[Any], score: float) -> dict[str, Any]:
        """A result of one person: keypoints are x, y, score of each joint in the skeleton's order, flat."""
        return {
            "image_id": self.images[image_id],
            "category_id": self.categories.get(person, self.category),
            "keypoints": [value for joint in self.place for value in keypoints[3 * joint : 3 * joint + 3]],
            "score": score,
        }


def read_terms(
    path: Path, skeleton: Skeleton, table: dict[str, Any] | None = None, category: str | None = None
) -> CocoTerms:
    """The terms of a file whose people were read with `skeleton`, those of `category`. UserError as of the people's
    reader (coco.py). table: what stands for a file of another form."""
    table = read_table(path) if table is None else table
    numbers, choice = image_numbers(images_of(path, table)), choose(path, table, category)
    whole = skeleton.name == WHOLEBODY.name and len(choice.joints) == len(COCO.joints)  # the body's joints have names
    named = choice.joints and not whole
    order = order_of(choice.joints, skeleton) if named else list(range(len(skeleton.joints)))
    if order is None:
        raise UserError(f"{path}: category {choice.name!r}: {other_joints(choice.joints, skeleton)}")
    ids, _ = annotation_numbers(table)
    wanted, only = choice.ids or frozenset({1}), len(choice.ids or (1,)) == 1
    categories, people = {}, {}
    for number, annotation in zip(ids, table["annotations"]):
        kind, image = annotation.get("category_id"), annotation.get("image_id")
        if (kind is None and only) or (is_id(kind) and kind in wanted):
            if not only:
                categories[number] = kind
            keypoints = annotation.get("keypoints")
            if keypoints and annotation.get("num_keypoints", 1) and not annotation.get("iscrowd") and is_id(image):
                people[number] = image
    return CocoTerms(
        table,
        images={number: identity for identity, number in numbers.items()},
        categories=categories,
        category=next(iter(wanted)),
        people=people,
        place=sorted(range(len(order)), key=lambda joint: order[joint]),
    )


def check_photos(path: Path, terms: CocoTerms, people: People) -> None:
    """UserError where `people` are in other photos than those of the file: by their ids, and their names' stems."""
    names = {identity: image.file_name for identity, image in images_of(path, terms.table).items()}
    shown, rows = np.unique(people.image_id, return_index=True)
    for image, row in zip(shown.tolist(), rows.tolist()):
        file = people.files[people.file[row]]
        if image not in terms.images:
            raise UserError(f"{path}: annotations of other photos: no image has id {image}, which {file} has")
        name = names[terms.images[image]]
        if Path(name).stem != Path(file).stem:
            raise UserError(f"{path}: annotations of other photos: image {image} is {short(name)}, not {file}")
