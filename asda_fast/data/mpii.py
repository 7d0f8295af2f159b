"""MPII as HRNet stores it (annot/train.json, annot/valid.json, images/), or its own .mat -> People."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError, short
from asda_fast.core.files import read_json
from asda_fast.core.matlab import read_matlab
from asda_fast.core.skeletons import FAR, MPII
from asda_fast.data import mpii_release
from asda_fast.data.dataset import Dataset, Preset
from asda_fast.data.people import PIXEL_STD, People, box_of_joints
from asda_fast.data.photos import locate
from asda_fast.data.plan import GlobalAug
from asda_fast.data.units import wrong_joints

PAD = 1.25  # HRNet: the annotated scale is the person's height; the centre moves down by 15 of its 200 units
DOWN = 15.0
JOINTS = len(MPII.joints)
SMALLEST = 0.001  # of a scale: a fifth of a pixel
HEAD_OF_NECK = 0.75  # median over the 2,958 validation people; 98 % of them lie within 1 % of it
NECK, HEAD_TOP = MPII.joints.index("upper_neck"), MPII.joints.index("head_top")


def read(root: Path, split: str) -> People:
    """Head sizes come from gt_valid.mat beside the JSON (0.6 x the head box's diagonal, the PCKh of the benchmark);
    without it as HEAD_OF_NECK x the distance from upper neck to head top, which the annotators' boxes gave."""
    path, notes = _annotations(root, split)
    return read_file(path, [root / "images", root], f"mpii {split}", notes)


def read_file(
    path: Path, folders: Sequence[Path], name: str, notes: Sequence[str] = (), without: Collection[str] = ()
) -> People:
    """The people of one JSON in HRNet's form (MMPose's as well), or of MPII's own .mat, with its photos in the first of
    `folders` that has them. without: photos of the .mat to leave out, as it has no validation split of its own."""
    if path.suffix.lower() == ".mat":
        table, said = mpii_release.read(path, read_matlab(path))
        kept = [record for record in table if record["image"] not in without]
        if len(kept) < len(table):
            said.append(f"left out: {len(table) - len(kept)} people in photos to validate on")
        if not kept:
            raise UserError(f"{path}: all of its {len(table)} people are in photos to validate on")
        table, notes = kept, (*notes, *said)
    else:
        table = read_json(path)
    if not isinstance(table, list) or not table:
        coco = "; COCO's form is read as dataset coco" if isinstance(table, dict) and "annotations" in table else ""
        raise UserError(f"{path}: expected a list of records (HRNet's MPII JSON), got {type(table).__name__}{coco}")
    columns = {name: np.stack(values) for name, values in _columns(path, table).items()}
    names = [record["image"] for record in table]
    used = list(dict.fromkeys(names))
    number_of = {name: number for number, name in enumerate(used)}
    files, said_of_photos = locate(path, folders, used)

    annotated = columns["scale"]
    centre, joints = columns["center"] - 0.5, columns["joints"] - 0.5  # 1-based index -> continuous
    known = columns["joints_vis"] > 0
    box = box_of_joints(joints, known)
    square = np.concatenate([centre - annotated[:, None] * PIXEL_STD / 2, np.stack([annotated * PIXEL_STD] * 2, 1)], 1)
    wrong = wrong_joints(columns["joints"], known, square, np.zeros((len(table), 2)), drawn=False)
    if wrong:
        raise UserError(f"{path}: {wrong} (a box is 200 times the scale, round the centre)")
    box = np.where((known.sum(axis=1) >= 3)[:, None], box, square).astype(np.float32)
    count, bare = len(table), int((~known.any(axis=1)).sum())
    if bare:
        said_of_photos.append(f"{bare} people have no labelled joint")
    return People(
        skeleton=MPII,
        files=files,
        file=np.array([number_of[name] for name in names], dtype=np.int32),
        box=box,
        centre=(centre + annotated[:, None] * [0.0, DOWN]).astype(np.float32),
        scale=(annotated * PAD).astype(np.float32),
        joints=np.where(known[..., None], joints, 0).astype(np.float32),
        visible=np.where(known, columns["joints_vis"] if path.suffix.lower() == ".mat" else 2, 0).astype(np.uint8),
        head=_head_sizes(path, joints, known, [record.get("head") for record in table]),
        id=np.arange(count, dtype=np.int64),
        image_id=np.array([number_of[name] for name in names], dtype=np.int64),
        image_size=np.zeros((len(used), 2), dtype=np.int32),
        name=name,
        fit="square",
        notes=tuple(f"{path.name}: {note}" for note in (*notes, *said_of_photos)),
    )


def _annotations(root: Path, split: str) -> tuple[Path, list[str]]:
    """annot/{train,valid}.json, else the folder's only JSON, which then serves both splits, and that this is so."""
    name = "train.json" if split == "train" else "valid.json"
    folders = (root / "annot", root / "annotations", root)
    for folder in folders:
        if (folder / name).is_file():
            return folder / name, []
    there = sorted(path for folder in folders for path in folder.glob("*.json"))
    if len(there) == 1:
        if there[0].name in ("train.json", "valid.json"):  # that of the other split
            raise UserError(f"{there[0].with_name(name)}: no such file (split {split}); there is {there[0].name} alone")
        return there[0], ["the only annotation file: train and val are the same people"]
    listed = f"there are {', '.join(path.name for path in there[:4])}" if there else f"{root} holds no JSON"
    raise UserError(f"{root / 'annot' / name}: no such file (HRNet's MPII annotations); {listed}")


FIELDS = {"joints": (JOINTS, 2), "joints_vis": (JOINTS,), "center": (2,), "scale": ()}


def _columns(path: Path, table: list[Any]) -> dict[str, list[np.ndarray]]:
    """The numbers of every record by field, checked."""
    columns: dict[str, list[np.ndarray]] = {field: [] for field in FIELDS}
    for number, record in enumerate(table):
        name = record.get("image") if isinstance(record, dict) else None
        if not isinstance(name, str) or not name.strip("/. ") or "\0" in name:
            raise UserError(f"{path}: record {number}: expected an object with 'image', the photo's name")
        where = f"{path}: record {number} ({' '.join(name[:60].split())})"
        for field, shape in FIELDS.items():
            try:
                values = np.array(record[field], dtype=np.float64)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise UserError(f"{where}: field '{field}': {short(error)}") from None
            if values.shape != shape or not np.isfinite(values).all():
                raise UserError(
                    f"{where}: field '{field}': expected finite numbers of shape {shape}, got shape {values.shape}"
                )
            if np.abs(values).max() > FAR:
                raise UserError(f"{where}: field '{field}': {np.abs(values).max():g} is out of any photo")
            columns[field].append(values)
        if columns["scale"][-1] < SMALLEST:
            raise UserError(f"{where}: scale: expected > {SMALLEST}, got {columns['scale'][-1]:g}")
    return columns


def _head_sizes(path: Path, joints: np.ndarray, known: np.ndarray, given: list[Any]) -> np.ndarray:
    if path.suffix.lower() == ".mat":
        corners = np.array(given, dtype=np.float64)
        return (0.6 * np.linalg.norm(corners[:, 2:] - corners[:, :2], axis=1)).astype(np.float32)
    matlab = path.with_name("gt_valid.mat")
    if path.name == "valid.json" and matlab.is_file():
        boxes = np.asarray(read_matlab(matlab).get("headboxes_src"))  # [2 corners, 2, P]
        if boxes.shape != (2, 2, len(joints)) or boxes.dtype.kind not in "uif":
            raise UserError(
                f"{matlab}: headboxes_src: expected numbers (2, 2, {len(joints)}), got {boxes.dtype} {boxes.shape}"
            )
        boxes = boxes.astype(np.float64)
        return (0.6 * np.linalg.norm(boxes[1] - boxes[0], axis=0)).astype(np.float32)
    length = HEAD_OF_NECK * np.linalg.norm(joints[:, HEAD_TOP] - joints[:, NECK], axis=1)
    return np.where(known[:, HEAD_TOP] & known[:, NECK], length, np.nan).astype(np.float32)


# [paper]: rotation +-30 degrees, scale 0.75..1.25
DATASET = Dataset(
    "mpii", read, Preset(aug=GlobalAug(flip=0.5, rotation=30.0, scale=0.25)), protocol="pckh", skeleton=MPII
)
