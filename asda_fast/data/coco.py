"""COCO person keypoints (also the demo set, which is written in the same form) -> People."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.core.files import read_json
from asda_fast.core.skeletons import COCO
from asda_fast.data.dataset import Dataset, Preset
from asda_fast.data.people import FAR, PIXEL_STD, People
from asda_fast.data.plan import GlobalAug

PAD = 1.25  # crop / box, as in HRNet
JOINTS = len(COCO.joints)


def read(root: Path, split: str) -> People:
    """root/annotations/person_keypoints_{split}2017.json and photos in root/{split}2017, root/images/{split}2017 or
    root/images. Left out, as HRNet does: crowds, people without a labelled joint, empty boxes."""
    folders = [root / f"{split}2017", root / "images" / f"{split}2017", root / "images"]
    return read_file(annotations_of(root, split), folders, name=f"coco {split}")


def annotations_of(root: Path, split: str) -> Path:
    """The annotation file of a split."""
    return root / "annotations" / f"person_keypoints_{split}2017.json"


def read_file(path: Path, folders: list[Path], name: str) -> People:
    """A COCO keypoint file with its photos in the first of `folders` that holds the first of them."""
    table = read_json(path)
    if not isinstance(table, dict) or not {"images", "annotations"} <= table.keys():
        raise UserError(f"{path}: expected COCO annotations, an object with 'images' and 'annotations'")
    for name_of in ("images", "annotations"):
        if not isinstance(table[name_of], list):
            raise UserError(f"{path}: expected a list of '{name_of}', got {type(table[name_of]).__name__}")
    images: dict[int, dict[str, Any]] = {}
    for number, image in enumerate(table["images"]):
        try:
            images[image["id"]] = {"file": str(image["file_name"]), "size": (int(image["height"]), int(image["width"]))}
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: images[{number}]: expected id, file_name, height, width ({error!r})") from None

    records = [
        record
        for number, annotation in enumerate(table["annotations"])
        if (record := _person(path, number, annotation, images)) is not None
    ]
    if not records:
        raise UserError(f"{path}: no person with a labelled joint among {len(table['annotations'])} annotations")
    used = list(dict.fromkeys(record["image_id"] for record in records))  # in order of first use
    number_of = {image_id: number for number, image_id in enumerate(used)}
    folder = folder_of(path, folders, images[used[0]]["file"])
    keypoints = np.array([record["keypoints"] for record in records], dtype=np.float64).reshape(-1, JOINTS, 3)
    visible = keypoints[..., 2].astype(np.uint8)
    box = np.array([record["box"] for record in records], dtype=np.float32)
    return People(
        skeleton=COCO,
        files=[str(folder / images[image_id]["file"]) for image_id in used],
        file=np.array([number_of[record["image_id"]] for record in records], dtype=np.int32),
        box=box,
        centre=box[:, :2] + box[:, 2:] / 2,
        scale=(box[:, 2:].max(axis=1) * (PAD / PIXEL_STD)).astype(np.float32),
        joints=np.where(visible[..., None] > 0, keypoints[..., :2] + 0.5, 0).astype(np.float32),  # index -> centre
        visible=visible,
        head=np.full(len(records), np.nan, dtype=np.float32),
        id=np.array([record["id"] for record in records], dtype=np.int64),
        image_id=np.array([record["image_id"] for record in records], dtype=np.int64),
        area=np.array([record["area"] for record in records], dtype=np.float32),
        image_size=np.array([images[image_id]["size"] for image_id in used], dtype=np.int32),
        labels=None,
        name=name,
    )


def _person(
    path: Path, number: int, annotation: dict[str, Any], images: dict[int, dict[str, Any]]
) -> dict[str, Any] | None:
    """One checked record, or None for what training leaves out."""

    def wrong(what: str) -> UserError:
        label = annotation.get("id", "?") if isinstance(annotation, dict) else "?"
        return UserError(f"{path}: annotations[{number}] (id {label}): {what}")

    if not isinstance(annotation, dict):
        raise wrong(f"expected an object, got {type(annotation).__name__}")
    if annotation.get("iscrowd") or annotation.get("category_id", 1) != 1 or "keypoints" not in annotation:
        return None
    try:
        keypoints = np.array(annotation["keypoints"], dtype=np.float64)
        x, y, width, height = (float(value) for value in annotation["bbox"])
        image_id, area = annotation["image_id"], float(annotation.get("area", width * height))
        identity = int(annotation.get("id", number))
    except (KeyError, TypeError, ValueError) as error:
        raise wrong(f"expected keypoints, bbox, image_id as in COCO ({error!r})") from None
    if keypoints.shape != (3 * JOINTS,):
        raise wrong(f"expected {3 * JOINTS} keypoint numbers, got shape {keypoints.shape}")
    if not (np.isfinite(keypoints).all() and np.isfinite([x, y, width, height]).all()):
        raise wrong("a coordinate is not finite")
    if max(np.abs(keypoints).max(), abs(x), abs(y), abs(width), abs(height)) > FAR:
        raise wrong("a coordinate is out of any photo")
    if not np.isin(keypoints[2::3], (0, 1, 2)).all():
        raise wrong("expected keypoint flags 0, 1 or 2")
    if not isinstance(image_id, (int, str)) or image_id not in images:
        raise wrong(f"image_id {image_id} is not among the images")
    if not keypoints[2::3].any():
        return None
    image_height, image_width = images[image_id]["size"]
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + width, image_width), min(y + height, image_height)
    if not area > 0 or right <= left or bottom <= top:
        return None
    box = (left, top, right - left, bottom - top)
    return {"keypoints": keypoints, "box": box, "image_id": image_id, "area": area, "id": identity}


def folder_of(annotations: Path, folders: list[Path], first: str) -> Path:
    """The first of `folders` that holds the photo `first`."""
    for folder in folders:
        if (folder / first).is_file():
            return folder
    places = " or ".join(str(folder) for folder in folders)
    raise UserError(f"{annotations}: its first photo {first} is in none of {places}")


DATASET = Dataset(
    "coco",
    read,
    # [paper]: rotation +-40 degrees, scale 0.7..1.3; half bodies as in HRNet
    Preset(size=(256, 192), aug=GlobalAug(flip=0.5, rotation=40.0, scale=0.3, half_body=0.3)),
    protocol="oks",
    skeleton=COCO,
    annotations=annotations_of,
)
