"""YOLO-pose folders: a data YAML, and beside each photo a text file of normalised labels -> records in COCO's form.

A line is an object: class, centre x, centre y, width, height, then x, y (and a flag, where kpt_shape says 3) of each
joint, all as shares of the photo's width and height (https://docs.ultralytics.com/datasets/pose). Labels of
images/a.jpg lie in labels/a.txt. A share times the side is taken for COCO's coordinate, as Ultralytics converts COCO.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from asda_fast.core import skeleton_file
from asda_fast.core.errors import UserError, named, short
from asda_fast.core.files import files_below
from asda_fast.core.images import SUFFIXES

MOST = 10_000  # classes
PIXELS = 2.0  # a share beyond it is one of another unit


def read(path: Path, split: str, category: str | None = None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a data YAML holds of a split: a table in COCO's form, its photos by their whole paths, and what is to be
    said. category: the class to read; else all of them, which share their joints. UserError naming file and line."""
    content = skeleton_file.load(path)
    if not isinstance(content, dict) or "kpt_shape" not in content:
        raise UserError(f"{path}: expected a YOLO-pose data file with kpt_shape, got {short(content)}")
    told = skeleton_file.read(path)
    width = int(content["kpt_shape"][1])
    assert told.count is not None
    names = _names(content.get("names"))
    classes = _classes(path, names, category)
    listed = _photos(path, content, split)
    photos = list(dict.fromkeys(listed))
    twice = len(listed) - len(photos)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    bare, turned = 0, list[Path]()
    for number, photo in enumerate(photos):
        labels = _labels_of(photo)
        if not os.path.isfile(labels):
            bare += 1
            continue
        size = _size(photo)
        if size is None:
            turned.append(photo)
            continue
        high, wide = size
        images.append({"id": number, "file_name": str(photo), "height": high, "width": wide})
        for kind, box, points in _lines(labels, told.count, width, len(names)):
            if classes is not None and kind not in classes:
                continue
            centre, side = box[:2] * (wide, high), box[2:] * (wide, high)
            points[:, :2] *= (wide, high)
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": 0,
                    "bbox": [*(centre - side / 2).tolist(), *side.tolist()],
                    "keypoints": points.reshape(-1).tolist(),
                }
            )  # fmt: skip
    if not annotations:
        what = f", {len(turned)} left out that EXIF turns" if turned else ""
        raise UserError(
            f"{path}: {split}: nobody in the labels of {len(photos)} photos, {bare} of them without any{what}"
        )
    name = category or (names or ["object"])[0]
    table = {
        "images": images, "annotations": annotations,
        "categories": [{"id": 1, "name": name, "keypoints": list(told.joints)}],
    }  # fmt: skip
    notes = [f"{path.name}: {bare} of {len(photos)} photos have no labels"] if bare else []
    if turned:
        why = f"EXIF turns them, and their size does not tell how they were labelled ({named(turned[0])}): save upright"
        notes.append(f"{path.name}: {len(turned)} photos left out: {why}")
    if twice:
        notes.append(f"{path.name}: {twice} photos are listed twice, and read once")
    return table, tuple(notes)


def _names(given: Any) -> list[str]:
    """The classes' names, by their numbers."""
    if isinstance(given, dict):
        by_number = {int(number): name for number, name in given.items() if str(number).isdecimal()}
        given = [by_number.get(number, "") for number in range(min(max(by_number, default=-1) + 1, MOST))]
    return [str(name) for name in given] if isinstance(given, list) else []


def _classes(path: Path, names: list[str], category: str | None) -> set[int] | None:
    if category is None:
        return None
    found = {number for number, name in enumerate(names) if name.strip().lower() == category.strip().lower()}
    if not found:
        raise UserError(f"{path}: category: none is called {category!r}; there are {', '.join(names) or 'no names'}")
    return found


def _photos(path: Path, content: dict[str, Any], split: str) -> list[Path]:
    """The photos of a split: of folders, of text files that list them, or of several of either."""
    given = content.get(split)
    if given is None and split == "val":
        given = content.get("valid")
    if given is None:
        raise UserError(f"{path}: has no {split}: expected the folder of its photos, or a text file that lists them")
    base = content.get("path")
    if base is not None and not isinstance(base, str):
        raise UserError(f"{path}: path: expected a folder, got {short(base)}")
    roots = [path.parent] if base is None else [path.parent / base, Path(base), path.parent]
    found: list[Path] = []
    for place in given if isinstance(given, list) else [given]:
        if not isinstance(place, str):
            raise UserError(f"{path}: {split}: expected a folder or a text file, got {short(place)}")
        tried = [root / name for root in roots for name in (place, re.sub(r"^(\.\./)+", "", place))]
        there = next((some for some in tried if os.path.exists(some)), None)
        if there is None:
            where = ", ".join(map(named, dict.fromkeys(roots)))
            raise UserError(f"{path}: {split}: {named(place)} is in none of {where}")
        if there.is_dir():
            found += files_below(there, SUFFIXES)
        else:
            for number, line in enumerate(there.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
                if line.strip():
                    photo = there.parent / line.strip()
                    if not photo.name:
                        raise UserError(f"{there}: line {number}: expected a photo's path, got {short(line)}")
                    if not photo.is_file():
                        raise UserError(f"{there}: line {number}: no such photo: {named(photo)}")
                    found.append(photo)
    if not found:
        raise UserError(f"{path}: {split}: no photos in {short(given)}")
    return found


def _labels_of(photo: Path) -> Path:
    """labels/ in the place of the last images/ of the photo's path; beside the photo where there is none."""
    parts = list(photo.with_suffix(".txt").parts)
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == "images":
            parts[at] = "labels"
            break
    return Path(*parts)


def _size(photo: Path) -> tuple[int, int] | None:
    """Height and width as the photo is shown, from its header; None where EXIF turns it to the same size: photos are
    read as they are stored unless their size tells otherwise, labels are of what their tool showed."""
    try:
        with Image.open(photo) as image:
            wide, high = image.size
            turn = image.getexif().get(274, 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{photo}: cannot read the photo's size ({short(str(error))})") from None
    swapped = turn in (5, 6, 7, 8)
    if turn in (2, 3, 4) or (swapped and wide == high):
        return None
    return (wide, high) if swapped else (high, wide)


def _lines(labels: Path, joints: int, width: int, classes: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Class (of `classes`; 0: any), box [4] and joints [J, 3] of each line; shares, and flags 0, 1 or 2."""
    wanted = 5 + joints * width
    try:
        text = labels.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{labels}: expected lines of numbers ({short(str(error))})") from None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        where = f"{labels}: line {number}"
        if len(words) != wanted:
            raise UserError(
                f"{where}: expected {wanted} numbers (class, box, {width} of each of {joints} joints), got {len(words)}"
            )
        try:
            values = np.array(words, dtype=np.float64)
        except ValueError:
            raise UserError(f"{where}: expected numbers, got {short(line)}") from None
        points = values[5:].reshape(joints, width)
        if not np.isfinite(values).all() or values[0] != int(values[0]):
            raise UserError(f"{where}: expected a class and finite numbers, got {short(line)}")
        if values[0] < 0 or (classes and values[0] >= classes):
            most = f"0 to {classes - 1}, as `names` has them" if classes else "0 or more"
            raise UserError(f"{where}: expected a class of {most}, got {values[0]:g}")
        shares = np.concatenate([values[1:5], points[:, :2].reshape(-1)])
        if np.abs(shares).max() > PIXELS:
            raise UserError(f"{where}: expected shares of the photo, 0 to 1, got {np.abs(shares).max():g}: pixels?")
        there = (points[:, :2] >= 0).all(axis=1, keepdims=True) & (points[:, :2] > 0).any(axis=1, keepdims=True)
        flags = points[:, 2:] if width == 3 else np.where(there, 2.0, 0.0)
        if not np.isin(flags, (0, 1, 2)).all():
            raise UserError(f"{where}: expected flags 0, 1 or 2, got {flags[~np.isin(flags, (0, 1, 2))][0]:g}")
        yield int(values[0]), values[1:5], np.concatenate([points[:, :2], flags], axis=1)
