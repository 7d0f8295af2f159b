"""MPII as HRNet stores it (annot/train.json, annot/valid.json, images/) -> People."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.core.files import read_json
from asda_fast.core.skeletons import MPII
from asda_fast.data.coco import folder_of
from asda_fast.data.dataset import Dataset, Preset
from asda_fast.data.people import FAR, PIXEL_STD, People, box_of_joints
from asda_fast.data.plan import GlobalAug

PAD = 1.25  # HRNet: the annotated scale is the person's height; the centre moves down by 15 of its 200 units
DOWN = 15.0
JOINTS = len(MPII.joints)
HEAD_OF_NECK = 0.75  # median over the 2,958 validation people; 98 % of them lie within 1 % of it
NECK, HEAD_TOP = MPII.joints.index("upper_neck"), MPII.joints.index("head_top")


def read(root: Path, split: str) -> People:
    """Head sizes come from gt_valid.mat beside the JSON (0.6 x the head box's diagonal, the PCKh of the benchmark);
    without it as HEAD_OF_NECK x the distance from upper neck to head top, which the annotators' boxes gave."""
    path = _annotations(root, split)
    table = read_json(path)
    if not isinstance(table, list) or not table:
        raise UserError(f"{path}: expected a list of records (HRNet's MPII JSON)")
    for number, record in enumerate(table):
        _check(path, number, record)
    names = [record["image"] for record in table]
    used = list(dict.fromkeys(names))
    number_of = {name: number for number, name in enumerate(used)}
    folder = folder_of(path, [root / "images", root], used[0])

    annotated = np.array([record["scale"] for record in table], dtype=np.float64)
    centre = np.array([record["center"] for record in table], dtype=np.float64) - 0.5  # 1-based index -> continuous
    joints = np.array([record["joints"] for record in table], dtype=np.float64) - 0.5
    known = np.array([record["joints_vis"] for record in table], dtype=np.float64) > 0
    box = box_of_joints(joints, known)
    square = np.concatenate([centre - annotated[:, None] * PIXEL_STD / 2, np.stack([annotated * PIXEL_STD] * 2, 1)], 1)
    box = np.where((known.sum(axis=1) >= 3)[:, None], box, square).astype(np.float32)
    count = len(table)
    return People(
        skeleton=MPII,
        files=[str(folder / name) for name in used],
        file=np.array([number_of[name] for name in names], dtype=np.int32),
        box=box,
        centre=(centre + annotated[:, None] * [0.0, DOWN]).astype(np.float32),
        scale=(annotated * PAD).astype(np.float32),
        joints=np.where(known[..., None], joints, 0).astype(np.float32),
        visible=np.where(known, 2, 0).astype(np.uint8),
        head=_head_sizes(path, joints, known),
        id=np.arange(count, dtype=np.int64),
        image_id=np.array([number_of[name] for name in names], dtype=np.int64),
        area=box[:, 2] * box[:, 3],
        image_size=np.zeros((len(used), 2), dtype=np.int32),
        labels=None,
        name=f"mpii {split}",
        fit="square",
    )


def _annotations(root: Path, split: str) -> Path:
    """annot/{train,valid}.json, else the folder's only JSON, which then serves both splits."""
    name = "train.json" if split == "train" else "valid.json"
    for folder in (root / "annot", root / "annotations", root):
        if (folder / name).is_file():
            return folder / name
    single = sorted(root.glob("*.json"))
    if len(single) == 1:
        return single[0]
    raise UserError(f"{root / 'annot' / name}: no such file (HRNet's MPII annotations), nor a single JSON in {root}")


def _check(path: Path, number: int, record: Any) -> None:
    expected = {"joints": (JOINTS, 2), "joints_vis": (JOINTS,), "center": (2,), "scale": ()}
    if not isinstance(record, dict) or not isinstance(record.get("image"), str):
        raise UserError(f"{path}: record {number}: expected an object with 'image', the photo's name")
    for field, shape in expected.items():
        try:
            values = np.array(record[field], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: record {number} ({record['image']}): field '{field}': {error!r}") from None
        if values.shape != shape or not np.isfinite(values).all():
            raise UserError(
                f"{path}: record {number} ({record['image']}): field '{field}': expected finite numbers of shape "
                f"{shape}, got shape {values.shape}"
            )
    if max(abs(value) for value in record["center"]) > FAR:
        raise UserError(f"{path}: record {number} ({record['image']}): center {record['center']} is out of any photo")
    if record["scale"] <= 0:
        raise UserError(f"{path}: record {number} ({record['image']}): scale: expected > 0, got {record['scale']}")


def _head_sizes(path: Path, joints: np.ndarray, known: np.ndarray) -> np.ndarray:
    matlab = path.with_name("gt_valid.mat")
    if path.name == "valid.json" and matlab.is_file():
        from scipy.io import loadmat

        try:
            boxes = np.asarray(loadmat(matlab)["headboxes_src"], dtype=np.float64)  # [2 corners, 2, P]
        except Exception as error:  # on a broken file scipy raises nearly anything
            raise UserError(f"{matlab}: expected MATLAB data with headboxes_src ({error!r})") from None
        if boxes.shape != (2, 2, len(joints)):
            raise UserError(f"{matlab}: headboxes_src: expected (2, 2, {len(joints)}), got {boxes.shape}")
        return (0.6 * np.linalg.norm(boxes[1] - boxes[0], axis=0)).astype(np.float32)
    length = HEAD_OF_NECK * np.linalg.norm(joints[:, HEAD_TOP] - joints[:, NECK], axis=1)
    return np.where(known[:, HEAD_TOP] & known[:, NECK], length, np.nan).astype(np.float32)


# [paper]: rotation +-30 degrees, scale 0.75..1.25
DATASET = Dataset(
    "mpii", read, Preset(aug=GlobalAug(flip=0.5, rotation=30.0, scale=0.25)), protocol="pckh", skeleton=MPII
)
