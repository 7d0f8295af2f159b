"""Whose joints a COCO keypoint file has: by their names, by what its reader was told, and in which of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asda_fast.core.coco_json import Choice
from asda_fast.core.errors import UserError
from asda_fast.core.skeleton import Skeleton, from_names, order_of, other_joints
from asda_fast.core.skeleton_file import SkeletonFile, own_name
from asda_fast.core.skeletons import COCO, HALPE26, HALPE136, SKELETONS, WHOLEBODY
from asda_fast.core.wholebody import FIELDS

# COCO-WholeBody keeps all but COCO's 17 in fields of their own; whose third number, of machine labels, is a confidence.
PARTS = {name: joints for name, joints in FIELDS.items() if name != "keypoints"}
HALPE_ALL, HALPE_BODY = 3 * len(HALPE136.joints), 3 * len(HALPE26.joints)

Told = Skeleton | SkeletonFile | None


def joints_of(
    path: Path, choice: Choice, told: Told, first: Mapping[str, Any]
) -> tuple[Skeleton, list[int], list[str]]:
    """The skeleton, where each of its joints stands in the file, and what is to be said of that.

    told: whose joints they must be; None: those of the table that have the file's names, else the file's own.
    first: the first annotation with keypoints, for the number of joints where the file names none.
    """
    names = choice.joints
    if isinstance(told, SkeletonFile):
        skeleton = told.skeleton(names, choice.edges, choice.name)
        names = names or told.joints or skeleton.joints
        if not choice.joints:
            return _unnamed(path, choice, skeleton, first, order_of(names, skeleton))
    elif told is not None:
        skeleton = told
    elif names:
        found = [(s, order) for s in SKELETONS.values() if (order := order_of(names, s)) is not None]
        found.sort(key=lambda each: each[1] != sorted(each[1]))  # LSP's joints are AIC's too
        skeleton = found[0][0] if found else from_names(own_name(choice.name), names, choice.edges)
    else:
        raise UserError(
            f"{path}: category {choice.name!r} does not name its joints: `skeleton` says whose they are (a file, "
            f"or one of {', '.join(SKELETONS)})"
        )
    if not names or (skeleton.joints == WHOLEBODY.joints and names == COCO.joints):
        return _unnamed(path, choice, skeleton, first, None)
    order = order_of(names, skeleton)
    if order is None:
        raise UserError(
            f"{path}: category {choice.name!r} has not the {len(skeleton.joints)} joints of {skeleton.name.upper()}: "
            f"{other_joints(names, skeleton)}"
        )
    notes = [f"joints put into {skeleton.name.upper()}'s order by their names"] if order != sorted(order) else []
    if skeleton is COCO and "face_kpts" in first:
        notes.append("feet, faces and hands are left out (skeleton wholebody reads all 133 joints)")
    return skeleton, order, notes


def _unnamed(
    path: Path, choice: Choice, skeleton: Skeleton, first: Mapping[str, Any], order: list[int] | None
) -> tuple[Skeleton, list[int], list[str]]:
    count, there = len(skeleton.joints), len(values_of(first, skeleton) or ()) / 3
    if there != count:
        raise UserError(
            f"{path}: category {choice.name!r} names no joints and its people have {there:g}"
            f": expected the {count} of {skeleton.name.upper()}"
        )
    what = f"category {choice.name!r} names no joints" if choice.names else "there are no categories"
    if choice.joints:
        what = "feet, faces and hands have no names"
    return (
        skeleton,
        order or list(range(count)),
        [f"{what}: the {count} joints are taken for {skeleton.name.upper()}'s"],
    )


def values_of(annotation: Mapping[str, Any], skeleton: Skeleton | None) -> Any:
    """The keypoints of an annotation as x, y, flag of each joint, flat; as they are where they have another form."""
    keypoints = annotation.get("keypoints")
    if isinstance(keypoints, list) and keypoints and all(isinstance(joint, list) for joint in keypoints):
        keypoints = [value for joint in keypoints for value in joint]  # [[x, y, v], ..]
    if skeleton is None or not isinstance(keypoints, list):
        return keypoints
    if skeleton.joints == HALPE26.joints and len(keypoints) == HALPE_ALL:
        return keypoints[:HALPE_BODY]
    if skeleton.joints == WHOLEBODY.joints and len(keypoints) == 3 * len(COCO.joints):
        parts = [value for field, joints in PARTS.items() for value in _part(annotation.get(field), joints)]
        return keypoints + parts
    return keypoints


def _part(values: Any, joints: int) -> list[Any]:
    if not isinstance(values, list) or len(values) != 3 * joints:
        return [0] * (3 * joints) if values is None else [values]  # refused by its number
    values = values.copy()
    values[2::3] = [2 if isinstance(v, (int, float)) and v > 0 else 0 if v == 0 else v for v in values[2::3]]
    return values
