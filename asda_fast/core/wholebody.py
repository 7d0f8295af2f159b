"""COCO-WholeBody's records: 133 joints in five parts, which have fields of their own and are scored apart."""

from __future__ import annotations

from typing import Any

from asda_fast.core.errors import UserError, short

FIELDS = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
"""The fields of a record and how many joints each holds."""
PARTS = {
    "body": slice(0, 17), "foot": slice(17, 23), "face": slice(23, 91), "lefthand": slice(91, 112),
    "righthand": slice(112, 133), "wholebody": slice(0, 133),
}  # fmt: skip
"""What is scored: the parts by the names that results give their scores, and all of it."""


def has_parts(record: dict[str, Any]) -> bool:
    """Whether a record keeps its joints in WholeBody's fields."""
    return FIELDS.keys() <= record.keys()


def join_parts(record: dict[str, Any], where: str) -> dict[str, Any]:
    """The record with all 133 joints, as its `keypoints`. UserError for a field of another length."""
    values: list[Any] = []
    for name, joints in FIELDS.items():
        part = record.get(name)
        if not isinstance(part, list) or len(part) != 3 * joints:
            raise UserError(f"{where}: {name}: expected {joints} x (x, y, flag or score), got {short(part)}")
        values += part
    return {**record, "keypoints": values}


def split_parts(record: dict[str, Any]) -> dict[str, Any]:
    """A record of 133 joints with its joints in WholeBody's fields."""
    values, made, at = record["keypoints"], dict(record), 0
    for name, joints in FIELDS.items():
        made[name] = values[3 * at : 3 * (at + joints)]
        at += joints
    return made
