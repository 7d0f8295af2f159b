"""MPII's own annotation file, mpii_human_pose_v1_u12_1.mat -> records as in HRNet's JSON.

RELEASE.annolist(i) is a photo: image.name and annorect(j), its people, with scale, objpos (x, y), annopoints.point(k)
(x, y, id, is_visible) and the head's box x1, y1, x2, y2; RELEASE.img_train(i) is 1 where joints are published
(http://human-pose.mpi-inf.mpg.de, README of the release). Coordinates are MATLAB's: the first pixel is 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError, first_line, short
from asda_fast.core.skeletons import MPII

JOINTS = len(MPII.joints)


def read(path: Path, content: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The records of the people whose joints are published, and what is to be said of the others."""
    if "RELEASE" not in content and "joints" in content:
        raise UserError(f"{path}: LSP's joints? They are read as dataset lsp, with their folder as root")
    if "pos_img" in content:
        raise UserError(f"{path}: JHMDB's joints of one video: expected the JSON of all, MMPose's Sub1_train.json")
    try:
        release = content["RELEASE"][0, 0]
        photos, published = np.ravel(release["annolist"]), np.ravel(release["img_train"]).astype(np.float64) > 0
        if len(photos) != len(published):
            raise ValueError(f"{len(photos)} and {len(published)} of them")
        people = [
            (_name(number, photo["image"]["name"][0, 0]), person)
            for number, (photo, known) in enumerate(zip(photos, published), 1)
            if known and photo["annorect"].dtype.names
            for person in np.ravel(photo["annorect"])
        ]
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f"{path}: expected MPII's RELEASE with annolist and img_train ({short(str(error))})") from None
    records, left_out, twice = [], 0, 0
    for number, (photo, person) in enumerate(people):
        try:
            record, again = _record(photo, person)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError) as error:
            raise UserError(f"{path}: person {number} ({short(photo)}): {first_line(error)}") from None
        left_out, twice = left_out + (record is None), twice + again
        records += [record] if record is not None else []
    if not records:
        raise UserError(f"{path}: nobody with published joints")
    without = len(photos) - int(published.sum())
    notes = [f"left out: {left_out} people without joints, {without} photos whose joints are not published"]
    notes += [f"{twice} joints are given twice: the last of each is taken"] if twice else []
    return records, notes


def _record(photo: str, person: Any) -> tuple[dict[str, Any] | None, int]:
    """The record, None of somebody without joints; and how many joints are given a second time: the last counts."""
    fields = person.dtype.names or ()
    if not {"annopoints", "scale", "objpos"} <= set(fields):
        return None, 0
    if not person["annopoints"].size or not person["scale"].size or not person["objpos"].size:
        return None, 0
    inner = person["annopoints"][0, 0]
    points = np.ravel(inner["point"]) if "point" in (inner.dtype.names or ()) else ()
    joints, known, twice = np.zeros((JOINTS, 2)), np.zeros(JOINTS, np.int64), 0
    for point in points:
        joint = _number(point, "id")
        if joint not in range(JOINTS):
            raise ValueError(f"expected joints 0 to {JOINTS - 1}, got id {joint:g}")
        at = int(joint)
        twice += bool(known[at])
        joints[at] = _number(point, "x"), _number(point, "y")
        hidden = "is_visible" in point.dtype.names and point["is_visible"].size and _number(point, "is_visible") == 0
        known[at] = 1 if hidden else 2
    if not known.any():
        return None, 0
    place = person["objpos"][0, 0]
    head = [
        _number(person, name) if person[name].size else np.nan for name in ("x1", "y1", "x2", "y2") if name in fields
    ]
    return {
        "image": photo, "center": [_number(place, "x"), _number(place, "y")], "scale": _number(person, "scale"),
        "joints": joints.tolist(), "joints_vis": known.tolist(), "head": head if len(head) == 4 else [np.nan] * 4,
    }, twice  # fmt: skip


def _name(number: int, value: Any) -> str:
    """The name of a photo, MATLAB's count of it."""
    (name,) = np.ravel(value)[:1] if np.ravel(value).size else (None,)
    if not isinstance(name, str):
        raise ValueError(f"annolist({number}): image.name: expected text, got {short(np.ravel(value).tolist())}")
    return str(name)  # of numpy's


def _number(record: Any, field: str) -> float:
    """The one number of a field; some are written as words."""
    if field not in (record.dtype.names or ()):
        raise ValueError(f"{field}: expected a number, there is none")
    values = np.ravel(record[field])
    try:
        (value,) = values
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{field}: expected a number, got {short(values.tolist())}") from None
