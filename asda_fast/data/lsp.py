"""Leeds Sports Pose and its extended set (joints.mat, images/) -> People.

Three layouts, also several side by side as folders under one root (LSP + LSP-extended, the usual training set):

- LSP: joints (3, 14, 2000), images/im0001.jpg ..; the first 1,000 train, the last 1,000 validate;
- LSP-extended: joints (14, 3, N), images/im00001.jpg ..; all train;
- a part of either: files.txt names the photo of each column; val.txt names those to validate on.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError, short
from asda_fast.core.lsp_layout import read_joints
from asda_fast.core.matlab import read_matlab
from asda_fast.core.skeletons import LSP
from asda_fast.data.dataset import Dataset, Preset
from asda_fast.data.people import PIXEL_STD, People, box_of_joints
from asda_fast.data.photos import folder_of
from asda_fast.data.plan import GlobalAug

PAD = 1.1  # crop / box; the box is already wider than the joints (box_of_joints)
TRAIN_OF_LSP = 1000


def read(root: Path, split: str) -> People:
    """The people of one folder with a joints.mat, or of all such folders below the root."""
    folders = [root] if (root / "joints.mat").is_file() else sorted(p.parent for p in root.glob("*/joints.mat"))
    if not folders:
        raise UserError(f"{root / 'joints.mat'}: no such file, nor a joints.mat in a folder below {root} (LSP)")
    parts = [_read_one(folder, split) for folder in folders]
    notes = tuple(note for part in parts for note in part.notes)
    parts = [part for part in parts if len(part)]
    if not parts:
        raise UserError(
            f"{root}: nobody in split {split}: LSP-extended alone needs a val.txt naming photos to validate on"
        )
    return replace(_concatenate(parts), name=f"lsp {split}", notes=notes)


def _read_one(root: Path, split: str) -> People:
    path = root / "joints.mat"
    joints, visible, notes = _joints(path)
    names = _names(root, len(joints))
    rows = _split(root, names, split, original=len(joints) == 2 * TRAIN_OF_LSP)
    box = box_of_joints(joints, visible).astype(np.float32)
    usable = box[rows, 2:].max(axis=1, initial=0) > 0  # two joints at least, at different places
    if not usable.all():
        notes = [*notes, f"left out: {(~usable).sum()} people with fewer than two labelled joints"]
    labelled = rows[usable]
    joints, visible, box = joints[labelled], visible[labelled], box[labelled]
    folder = folder_of(path, [root / "images", root], names)
    return People(
        skeleton=LSP,
        files=[str(folder / names[row]) for row in labelled],
        file=np.arange(len(labelled), dtype=np.int32),
        box=box,
        centre=box[:, :2] + box[:, 2:] / 2,
        scale=(box[:, 2:].max(axis=1, initial=0) * (PAD / PIXEL_STD)).astype(np.float32),
        joints=joints.astype(np.float32),
        visible=visible,
        head=np.full(len(labelled), np.nan, dtype=np.float32),
        id=labelled.astype(np.int64),
        image_id=labelled.astype(np.int64),
        image_size=np.zeros((len(labelled), 2), dtype=np.int32),
        name="lsp",
        fit="square",
        notes=tuple(f"{path}: {note}" for note in notes),
    )


def _joints(path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """joints [N, 14, 2] continuous photo pixels, visible [N, 14], and what is to be said of the file."""
    content = read_matlab(path)
    if "joints" not in content:
        there = ", ".join(sorted(content)[:6]) or "nothing"
        raise UserError(f"{path}: no variable 'joints'; it holds {there}")
    points, visible, notes = read_joints(str(path), np.asarray(content["joints"]))
    return np.where(visible[..., None] > 0, points - 0.5, 0), visible, notes  # 1-based index -> continuous


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise UserError(f"{path}: expected names of photos, a line each, in UTF-8") from None


def _names(root: Path, count: int) -> list[str]:
    listed = root / "files.txt"
    if listed.is_file():
        names = _lines(listed)
        where = str(listed)
    else:
        names = sorted((p.name for p in (root / "images").glob("im*.jpg")), key=lambda name: (_number(name), name))
        others = sorted(p.name for p in root.glob("images/*"))[:1]
        instead = f"; there is {others[0]}, for one: name them in files.txt" if others and not names else ""
        where = f"{root / 'images'} (im*.jpg{instead})"
    if len(names) != count:
        raise UserError(f"{where}: expected {count} photos, one for each column of joints.mat, got {len(names)}")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < count else []
    if twice:
        raise UserError(f"{where}: {short(twice[0])} is named twice")
    if not listed.is_file():
        _check_numbers(where, names)
    return names


def _number(name: str) -> int:
    """12 of im0012.jpg, -1 of a name without a number."""
    found = re.fullmatch(r"im(\d+)\.jpg", name, re.ASCII)
    return int(found[1]) if found else -1


def _check_numbers(where: str, names: list[str]) -> None:
    """Photos go to the columns by their numbers, so none may lack or come twice. UserError else."""
    first = _number(names[0])
    if first not in (0, 1):
        raise UserError(f"{where}: expected photos numbered from 1, got {short(names[0])}: name them in files.txt")
    for number, name in enumerate(names, first):
        if _number(name) != number:
            what = "comes twice" if _number(name) < number else "is missing"
            which = _number(name) if _number(name) < number else number
            raise UserError(f"{where}: photo number {which} {what}: name the photos of the columns in files.txt")


def _split(root: Path, names: list[str], split: str, original: bool) -> np.ndarray:
    listed = root / "val.txt"
    if listed.is_file():
        chosen = set(_lines(listed))
        unknown = chosen.difference(names)
        if unknown:
            raise UserError(f"{listed}: {short(min(unknown))} is not among the photos")
        validate = np.array([name in chosen for name in names])
    elif original:
        validate = np.arange(len(names)) >= TRAIN_OF_LSP
    else:
        validate = np.zeros(len(names), dtype=bool)
    return np.flatnonzero(validate == (split == "val"))


def _concatenate(parts: list[People]) -> People:
    if len(parts) == 1:
        return parts[0]
    firsts = np.cumsum([0, *(len(part.files) for part in parts)])
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("box", "centre", "scale", "joints", "visible", "head", "image_size")
    }
    ids = np.arange(sum(len(part) for part in parts), dtype=np.int64)
    file = np.concatenate([part.file + first for part, first in zip(parts, firsts)]).astype(np.int32)
    files = [name for part in parts for name in part.files]
    return replace(parts[0], files=files, file=file, id=ids, image_id=file.astype(np.int64), **columns)


# [paper]: rotation +-30 degrees, scale 0.75..1.25
DATASET = Dataset("lsp", read, Preset(aug=GlobalAug(flip=0.5, rotation=30.0, scale=0.25)), protocol="pck", skeleton=LSP)
