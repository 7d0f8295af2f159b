"""Leeds Sports Pose and its extended set (joints.mat, images/) -> People.

Three layouts, also several side by side as folders under one root (LSP + LSP-extended, the usual training set):

- LSP: joints (3, 14, 2000), images/im0001.jpg ..; the first 1,000 train, the last 1,000 validate;
- LSP-extended: joints (14, 3, N), images/im00001.jpg ..; all train;
- a part of either: files.txt names the photo of each column; val.txt names those to validate on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import LSP
from asda_fast.data.dataset import Dataset, Preset
from asda_fast.data.people import PIXEL_STD, People, box_of_joints
from asda_fast.data.plan import GlobalAug

PAD = 1.1  # crop / box; the box is already wider than the joints (box_of_joints)
JOINTS = len(LSP.joints)
TRAIN_OF_LSP = 1000


def read(root: Path, split: str) -> People:
    """LSP's third row is 1 where a joint is occluded; LSP-extended's is 1 where it is labelled at all."""
    folders = [root] if (root / "joints.mat").is_file() else sorted(p.parent for p in root.glob("*/joints.mat"))
    if not folders:
        raise UserError(f"{root / 'joints.mat'}: no such file, nor a joints.mat in a folder below {root} (LSP)")
    parts = [part for folder in folders if len(part := _read_one(folder, split))]
    if not parts:
        raise UserError(
            f"{root}: nobody in split {split}: LSP-extended alone needs a val.txt naming photos to validate on"
        )
    return replace(_concatenate(parts), name=f"lsp {split}")


def _read_one(root: Path, split: str) -> People:
    joints, visible = _joints(root / "joints.mat")
    names = _names(root, len(joints))
    rows = _split(root, names, split, original=len(joints) == 2 * TRAIN_OF_LSP)
    box = box_of_joints(joints, visible).astype(np.float32)
    labelled = rows[box[rows, 2:].max(axis=1) > 0]  # two joints at least, at different places
    joints, visible, box = joints[labelled], visible[labelled], box[labelled]
    return People(
        skeleton=LSP,
        files=[str(root / "images" / names[row]) for row in labelled],
        file=np.arange(len(labelled), dtype=np.int32),
        box=box,
        centre=box[:, :2] + box[:, 2:] / 2,
        scale=(box[:, 2:].max(axis=1) * (PAD / PIXEL_STD)).astype(np.float32),
        joints=joints.astype(np.float32),
        visible=visible,
        head=np.full(len(labelled), np.nan, dtype=np.float32),
        id=labelled.astype(np.int64),
        image_id=labelled.astype(np.int64),
        area=box[:, 2] * box[:, 3],
        image_size=np.zeros((len(labelled), 2), dtype=np.int32),
        labels=None,
        name="lsp",
        fit="square",
    )


def _joints(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """joints [N, 14, 2] continuous photo pixels, visible [N, 14]."""
    from scipy.io import loadmat

    try:
        table = np.asarray(loadmat(path)["joints"], dtype=np.float64)
    except KeyError:
        raise UserError(f"{path}: no variable 'joints'") from None
    except Exception as error:  # on a broken file scipy raises nearly anything
        raise UserError(f"{path}: not a readable MATLAB file: {error}") from None
    if table.ndim == 3 and table.shape[:2] == (3, JOINTS):
        flag = table[2].T
        visible = np.where(flag > 0, 1, 2)
        points = table[:2].transpose(2, 1, 0)
    elif table.ndim == 3 and table.shape[:2] == (JOINTS, 3):
        visible = np.where(table[:, 2].T > 0, 2, 0)
        points = table[:, :2].transpose(2, 0, 1)
    else:
        raise UserError(f"{path}: joints: expected (3, {JOINTS}, N) of LSP or ({JOINTS}, 3, N), got {table.shape}")
    bad = ~np.isfinite(np.where(visible[..., None] > 0, points, 0)).all(axis=(1, 2))
    if bad.any():
        raise UserError(f"{path}: record {int(bad.argmax())}: a labelled joint is not finite")
    return np.where(visible[..., None] > 0, points - 0.5, 0), visible.astype(np.uint8)  # 1-based index -> continuous


def _names(root: Path, count: int) -> list[str]:
    listed = root / "files.txt"
    if listed.is_file():
        names = listed.read_text(encoding="utf-8").split()
        where = str(listed)
    else:
        names = sorted(p.name for p in (root / "images").glob("im*.jpg"))
        where = f"{root / 'images'} (im*.jpg)"
    if len(names) != count:
        raise UserError(f"{where}: expected {count} photos, one for each column of joints.mat, got {len(names)}")
    if not (root / "images" / names[0]).is_file():
        raise UserError(f"{root / 'images' / names[0]}: no such photo")
    return names


def _split(root: Path, names: list[str], split: str, original: bool) -> np.ndarray:
    listed = root / "val.txt"
    if listed.is_file():
        chosen = set(listed.read_text(encoding="utf-8").split())
        unknown = chosen.difference(names)
        if unknown:
            raise UserError(f"{listed}: {min(unknown)} is not among the photos")
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
        for name in ("box", "centre", "scale", "joints", "visible", "head", "area", "image_size")
    }
    ids = np.arange(sum(len(part) for part in parts), dtype=np.int64)
    file = np.concatenate([part.file + first for part, first in zip(parts, firsts)]).astype(np.int32)
    files = [name for part in parts for name in part.files]
    return replace(parts[0], files=files, file=file, id=ids, image_id=file.astype(np.int64), **columns)


# [paper]: rotation +-30 degrees, scale 0.75..1.25
DATASET = Dataset("lsp", read, Preset(aug=GlobalAug(flip=0.5, rotation=30.0, scale=0.25)), protocol="pck", skeleton=LSP)
