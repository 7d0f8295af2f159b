"""COCO keypoint results (what somebody predicted) as arrays for `oks`, checked record by record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.coco_json import Id, is_id, short
from asda_fast.core.errors import UserError
from asda_fast.core.files import read_json
from asda_fast.core.skeletons import WHOLEBODY
from asda_fast.core.wholebody import PARTS, has_parts, join_parts
from asda_fast.metrics.coco_files import Annotations, Record, numbers
from asda_fast.metrics.oks import Predictions


def read_records(predictions: str | Path | list[Any] | Record) -> tuple[str, list[Record]]:
    """Where they come from, and the list of results, also where it is wrapped in an object."""
    if isinstance(predictions, (str, Path)):
        return str(predictions), _records(str(predictions), read_json(Path(predictions), "predictions"))
    return "predictions", _records("predictions", predictions)


def whole(records: list[Record]) -> bool | None:
    """Whether they are COCO-WholeBody's; None where there are none that could tell."""
    if not records:
        return None
    first = records[0]
    try:
        return has_parts(first) or np.size(first["keypoints"]) == 3 * len(WHOLEBODY.joints)
    except ValueError:  # a list of lists and numbers: refused where it is read
        return False


def read_results(
    where: str, records: list[Record], truth: Annotations, one_based: bool
) -> tuple[dict[Id, Predictions], list[str]]:
    """Predicted people by category (all of the truth's), and what is to be said of them."""
    number = len(truth.skeleton.joints)
    notes = [f"{len(records)} predicted people of {number} joints; first pixel is {int(one_based)}"]
    categories = list(truth.people)
    given = [record.get("category_id") for record in records]
    if len(categories) == 1:
        given = [categories[0] if category is None else category for category in given]
    found = _predictions(where, records, truth, one_based)
    rows: dict[Id, list[int]] = {category: [] for category in categories}
    strangers = 0
    for row, category in enumerate(given):
        if (type(category) is int or is_id(category)) and category in rows:
            rows[category].append(row)
        else:
            strangers += 1
    if records and strangers == len(records):
        raise UserError(
            f"{where}: no prediction of category {', '.join(map(short, categories[:6]))}, which {truth.where} has; "
            f"theirs is {short(given[0])}"
        )
    if strangers:
        notes.append(f"{strangers} predictions of another category left out")
    if not strangers and len(categories) == 1:
        return {categories[0]: found}, notes
    return {category: found.select(chosen) for category, chosen in rows.items()}, notes


def _records(where: str, content: Any) -> list[Record]:
    """The list of results, also where it is wrapped in an object."""
    if isinstance(content, dict):
        content = next((content[k] for k in ("annotations", "predictions", "results") if k in content), content)
    if not isinstance(content, list):
        raise UserError(f"{where}: expected a list of COCO keypoint results, got {type(content).__name__}")
    content = [_of_file(record) if isinstance(record, dict) else record for record in content]
    for row, record in enumerate(content):
        if not isinstance(record, dict):
            raise UserError(f"{where}: record {row}: expected an object, got {type(record).__name__}")
        for name in ("image_id", "keypoints", "score"):
            if name not in record:
                raise UserError(f"{where}: record {row}: no key '{name}', it has {', '.join(record) or 'none'}")
    return content


def _of_file(record: Record) -> Record:
    """A record as a file would have it: lists and numbers for the arrays and tensors of somebody's loop."""
    if all(type(value) in (int, float, str, list) for value in record.values()):
        return record
    plain = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in record.items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def _predictions(where: str, records: list[Record], truth: Annotations, one_based: bool) -> Predictions:
    number = len(truth.skeleton.joints)
    if truth.skeleton.name == WHOLEBODY.name:
        records = [r if not has_parts(r) else join_parts(r, f"{where}: record {i}") for i, r in enumerate(records)]
    place = {identity: i for i, identity in enumerate(truth.images)}
    for row, record in enumerate(records):
        identity = record["image_id"]
        if not (type(identity) is int or is_id(identity)) or identity not in place:
            raise UserError(f"{where}: record {row}: image_id {short(identity)} is not in the annotations")
        count = len(record["keypoints"]) if isinstance(record["keypoints"], list) else 0
        if count != 3 * number:
            raise UserError(
                f"{where}: record {row}: wrong number of joints: expected {number} x (x, y, score), got {count} numbers"
            )
    keypoints = numbers(where, "record", records, "keypoints", 3 * number).reshape(-1, number, 3)[:, truth.order]
    score = numbers(where, "record", records, "score", 1)[:, 0]
    if len(records) > 1 and 0 < np.abs(keypoints[..., :2]).max() <= 1:
        raise UserError(f"{where}: keypoints: expected pixels of the photo, but all lie within -1 .. 1")
    keypoints[..., :2] -= float(one_based)
    parts, spanned = None, keypoints[..., :2]
    if truth.skeleton.name == WHOLEBODY.name:  # whose results may score the parts apart, and whose area is the body's
        columns = [numbers(where, "record", records, f"{part}_score", 1, score.tolist())[:, 0] for part in PARTS]
        parts, spanned = np.stack([score, *columns[1:]], 1), spanned[:, PARTS["body"]]
    if records and records[0].get("bbox"):  # pycocotools goes by the first record
        box = numbers(where, "record", records, "bbox", 4)
        area = box[:, 2] * box[:, 3]
    else:
        spread = np.ptp(spanned, axis=1) if records else np.zeros((0, 2))
        area = spread[:, 0] * spread[:, 1]
    return Predictions(np.array([place[r["image_id"]] for r in records], np.int64), keypoints, score, area, parts)
