"""Person boxes that somebody detected (COCO's results form) -> People to crop."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.coco_json import choose, image_numbers, images_of, is_id, read_table
from asda_fast.core.errors import UserError, short
from asda_fast.core.files import read_json
from asda_fast.core.skeletons import FAR
from asda_fast.data.coco import PAD
from asda_fast.data.people import PIXEL_STD, People
from asda_fast.data.sources import PHOTOS
from asda_fast.data.units import wrong_detections


def from_detections(
    path: str | Path, people: People, annotations: Path, table: dict[str, Any] | None = None,
    category: str | None = None,
) -> tuple[People, np.ndarray]:  # fmt: skip
    """The boxes of a detections file (COCO_val2017_detections_AP_H_56_person.json) as people to crop, and their scores.

    people: of the same split, for its photos' folder and skeleton; annotations: their COCO file, `table` its content.
    Boxes of the persons' category (or of the one named) with a positive area are used, whatever their score, as HRNet
    does by default.
    """
    path = Path(path)
    records = read_json(path, "detections")
    if not isinstance(records, list) or not records:
        raise UserError(f"{path}: expected a list of detections, got {short(records)}")
    table = read_table(annotations) if table is None else table
    images, choice = images_of(annotations, table), choose(annotations, table, category)
    wanted = choice.ids or frozenset({1})
    if len(wanted) > 1:
        raise UserError(f"{path}: detections: expected one category, but {annotations} has {len(wanted)} with joints")
    kept, left_out = [], Counter[str]()
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            raise UserError(f"{path}: record {row}: expected an object, got {short(record)}")
        try:
            box = tuple(float(v) for v in record["bbox"])
            image, score, category = record["image_id"], float(record["score"]), record.get("category_id")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{path}: record {row}: expected image_id, bbox and score ({short(error)})") from None
        if len(box) != 4 or not all(math.isfinite(v) and abs(v) <= FAR for v in box) or not math.isfinite(score):
            raise UserError(f"{path}: record {row}: bbox, score: expected five numbers, got {short([*box, score])}")
        if not is_id(image) or image not in images:
            raise UserError(f"{path}: record {row}: image_id {short(image)} is not in {annotations}")
        if category is not None and (not is_id(category) or category not in wanted):
            left_out[f"of category {short(category)}"] += 1
        elif not (box[2] > 0 and box[3] > 0):
            left_out["empty"] += 1
        else:
            kept.append((image, box, score))
    said = ", ".join(f"{count} {what}" for what, count in left_out.most_common(4))
    if not kept:
        names = " or ".join(short(i) for i in wanted)
        raise UserError(f"{path}: no person of category {names} among {len(records)} detections (left out: {said})")
    numbers = image_numbers(images)
    folder = photo_folder(people, (image.file_name for image in images.values()))
    used = sorted({image for image, _, _ in kept}, key=lambda image: images[image].number)
    number = {image: i for i, image in enumerate(used)}
    box_array = np.array([box for _, box, _ in kept], np.float32)
    photo = np.array([numbers[image] for image, _, _ in kept], np.int64)
    size = np.array([(images[image].height, images[image].width) for image, _, _ in kept], np.float64)
    annotated = {int(image): people.box[people.image_id == image] for image in np.intersect1d(photo, people.image_id)}
    if wrong := wrong_detections(box_array.astype(np.float64), size, photo, annotated):
        raise UserError(f"{path}: {wrong}")
    count, joints = len(kept), len(people.skeleton.joints)
    found = replace(
        people,
        source=PHOTOS,  # not a store: photos are cropped anew
        files=[str(folder / images[image].file_name) for image in used],
        file=np.array([number[image] for image, _, _ in kept], np.int32),
        box=box_array,
        centre=box_array[:, :2] + box_array[:, 2:] / 2,
        scale=(box_array[:, 2:].max(1) * (PAD / PIXEL_STD)).astype(np.float32),
        joints=np.zeros((count, joints, 2), np.float32),
        visible=np.zeros((count, joints), np.uint8),
        head=np.full(count, np.nan, np.float32),
        id=np.arange(count, dtype=np.int64),
        image_id=photo,
        image_size=np.array([(images[i].height, images[i].width) for i in used], np.int32).reshape(-1, 2),
        notes=(f"{path.name}: left out: {said}",) if said else (),
    )
    return found, np.array([score for _, _, score in kept])


def photo_folder(people: People, names: Iterable[str]) -> Path:
    """The folder that an annotation file's `names` of photos begin in: what remains of the people's own photos."""
    first = Path(people.files[0])
    fitting = [name for name in names if first.parts[-len(Path(name).parts) :] == Path(name).parts]
    longest = max((len(Path(name).parts) for name in fitting), default=1)
    return first.parents[min(longest, len(first.parents)) - 1]  # whole names begin at the root
