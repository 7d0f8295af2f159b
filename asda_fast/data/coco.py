"""COCO keypoint files (also the demo set, which is written in the same form) -> People."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.box_units import wrong_boxes
from asda_fast.core.coco_json import (
    Choice,
    Id,
    Image,
    annotation_numbers,
    choose,
    image_numbers,
    images_of,
    is_id,
    read_table,
)
from asda_fast.core.errors import UserError, short
from asda_fast.core.skeleton import Skeleton
from asda_fast.core.skeletons import COCO, FAR
from asda_fast.data import units
from asda_fast.data.coco_joints import Told, joints_of, values_of
from asda_fast.data.dataset import Dataset, Preset
from asda_fast.data.people import PIXEL_STD, People, box_of_joints
from asda_fast.data.photos import locate
from asda_fast.data.plan import GlobalAug

PAD = 1.25  # crop / box, as in HRNet
NO_BOX = (math.nan,) * 4


def read(root: Path, split: str) -> People:
    """root/annotations/person_keypoints_{split}2017.json and photos in root/{split}2017, root/images/{split}2017,
    root/images or root. Left out, as HRNet does: crowds, people without a labelled joint, empty boxes."""
    folders = [root / f"{split}2017", root / "images" / f"{split}2017", root / "images", root]
    return read_file(annotations_of(root, split), folders, f"coco {split}", COCO)


def annotations_of(root: Path, split: str) -> Path:
    """The annotation file of a split."""
    return root / "annotations" / f"person_keypoints_{split}2017.json"


@dataclass(frozen=True)
class _Person:
    """One annotation that may be read."""

    number: int  # place in the file
    id: Any  # as in the file
    image_id: Id
    box: tuple[float, float, float, float]
    keypoints: list[Any]


def read_file(
    path: Path, folders: Sequence[Path], name: str, wanted: Told = None, category: str | None = None
) -> People:
    """The people of one COCO keypoint file, with its photos in the first of `folders` that holds them.

    wanted: whose joints they must be. They are known by the names in `categories`, and read in `wanted`'s order
    whatever the file's; those of a file that names none are `wanted`'s where the number fits, and `notes` says so.
    None: the skeleton of the table that has these names, else one made of them. category: the name of the one to read.
    """
    return read_records(path, read_table(path), folders, name, wanted, category)


def read_records(
    path: Path, table: dict[str, Any], folders: Sequence[Path], name: str, wanted: Told = None,
    category: str | None = None, unique: bool = False,
) -> People:  # fmt: skip
    """As `read_file`, of a table that is read already, or that was made of a file of another format.

    unique: a photo that is in two of the folders is refused."""
    images = images_of(path, table)
    choice = choose(path, table, category)
    first: dict[str, Any] = next((a for a in table["annotations"] if _has_keypoints(a, choice)), {})
    skeleton, order, notes = joints_of(path, choice, wanted, first) if first else (COCO, [], [])
    out: Counter[str] = Counter()  # what is left out, and how often
    people = [
        p for n, a in enumerate(table["annotations"]) if (p := _person(path, n, a, images, choice, skeleton, out))
    ]
    if not people:
        raise _nobody(path, len(table["annotations"]), out)
    keypoints = _keypoints(path, people, len(order))[:, order]
    box = np.array([person.box for person in people], np.float64)
    size = np.array([(images[p.image_id].height, images[p.image_id].width) for p in people], np.float64)
    labelled = keypoints[..., 2] > 0
    bare = ~labelled.any(axis=1)
    unboxed = np.isnan(box[:, 0])
    if unboxed.any():
        box[unboxed] = box_of_joints(keypoints[unboxed, :, :2] + 0.5, labelled[unboxed])
    telling = ~bare & (box[:, 2:] > 0).all(axis=1)  # an empty box tells nothing of its joints
    for wrong in (
        wrong_boxes(box, size),
        units.wrong_joints(keypoints[telling, :, :2], labelled[telling], box[telling], size[telling]),
    ):
        if wrong:
            raise UserError(f"{path}: {wrong}")
    inside = _clipped(box, size)
    empty = (inside[:, 2:] <= 0).any(axis=1)
    out["without a labelled joint"] += int(bare.sum())
    out["with an empty box, or one outside the photo"] += int((empty & ~bare).sum())
    rows = np.flatnonzero(~bare & ~empty)
    if len(rows) == 0:
        raise _nobody(path, len(table["annotations"]), out)
    if made := int(unboxed[rows].sum()):
        notes.append(f"{made} people have no bbox: their box is the one round their joints")
    if said := _counts(out):
        notes.insert(0, f"left out: {said}")
    notes += _remarks(keypoints[rows], labelled[rows], box[rows], inside[rows], size[rows])

    kept = [people[row] for row in rows]
    used = list(dict.fromkeys(person.image_id for person in kept))  # in order of first use
    number_of = {image_id: number for number, image_id in enumerate(used)}
    files, said_of_photos = locate(path, folders, [images[image_id].file_name for image_id in used], unique)
    notes += said_of_photos
    numbers, (ids, true_ids) = image_numbers(images), annotation_numbers(table)
    for known, what in ((list(numbers) == list(numbers.values()), "photos"), (true_ids, "annotations")):
        if not known:
            notes.append(f"ids of {what} are not all whole numbers: they are numbered by their place in the file")
    if len(set(ids)) < len(ids):
        notes.append(f"{len(ids) - len(set(ids))} annotations have the id of another")
    box = inside[rows].astype(np.float32)
    visible = keypoints[rows, :, 2].astype(np.uint8)
    return People(
        skeleton=skeleton,
        files=files,
        file=np.array([number_of[person.image_id] for person in kept], dtype=np.int32),
        box=box,
        centre=box[:, :2] + box[:, 2:] / 2,
        scale=(box[:, 2:].max(axis=1) * (PAD / PIXEL_STD)).astype(np.float32),
        joints=np.where(visible[..., None] > 0, keypoints[rows, :, :2] + 0.5, 0).astype(np.float32),  # index -> centre
        visible=visible,
        head=np.full(len(rows), np.nan, dtype=np.float32),
        id=np.array([ids[person.number] for person in kept], np.int64),
        image_id=np.array([numbers[person.image_id] for person in kept], np.int64),
        image_size=np.array([(images[i].height, images[i].width) for i in used], dtype=np.int32),
        name=name,
        notes=tuple(f"{path.name}: {note}" for note in notes),
    )


def _wrong(path: Path, number: int, identity: Any, what: str) -> UserError:
    return UserError(f"{path}: annotations[{number}] (id {short(identity)}): {what}")


def _nobody(path: Path, count: int, out: Counter[str]) -> UserError:
    said = _counts(out)
    left_out = f" (left out: {said})" if said else ""
    return UserError(f"{path}: no person with a labelled joint among {count} annotations{left_out}")


def _counts(out: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in out.most_common() if count)


def _has_keypoints(annotation: dict[str, Any], choice: Choice) -> bool:
    category = annotation.get("category_id")
    chosen = choice.ids is None or category is None or (is_id(category) and category in choice.ids)
    return chosen and bool(annotation.get("keypoints"))


def _person(
    path: Path, number: int, annotation: dict[str, Any], images: Mapping[Id, Image], choice: Choice,
    skeleton: Skeleton, out: Counter[str],
) -> _Person | None:  # fmt: skip
    """A record, or None, counted in `out`, for what training leaves out. Its keypoints are checked later, together."""

    def wrong(what: str) -> UserError:
        return _wrong(path, number, annotation.get("id", "?"), what)

    category = annotation.get("category_id")
    if choice.ids is not None and (category is not None or len(choice.names) > 1):
        if category is None or not is_id(category):
            raise wrong(f"category_id: expected a number or a word, got {short(category)}")
        if category not in choice.ids:
            label = choice.names.get(category)
            out[f"of category {short(label)}" if label else f"of category {short(category)}, which has no name"] += 1
            return None
    crowd = annotation.get("iscrowd")
    if crowd not in (None, 0, 1):
        raise wrong(f"iscrowd: expected 0 or 1, got {short(crowd)}")
    if crowd:
        out["crowds"] += 1
        return None
    keypoints = values_of(annotation, skeleton)
    if keypoints is None or keypoints == []:
        out["without keypoints"] += 1
        return None
    if not isinstance(keypoints, list):
        raise wrong(f"keypoints: expected a list of x, y, flag of each joint, got {short(keypoints)}")
    try:
        bbox = annotation.get("bbox")
        if bbox in ([0, 0, 0, 0], None):  # as some write that they have none
            bbox = []
        x, y, width, height = (float(value) for value in bbox or NO_BOX)
        area = annotation.get("area")
        area = 1.0 if area is None else float(area)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise wrong(f"expected keypoints, bbox, image_id as in COCO ({short(error)})") from None
    if not all(map(math.isfinite, (x, y, width, height))) and bbox:
        raise wrong("bbox: a coordinate is not finite")
    if max(abs(x), abs(y), abs(width), abs(height)) > FAR:
        raise wrong("bbox: a coordinate is out of any photo")
    image_id = annotation.get("image_id")
    if image_id is None or not is_id(image_id) or image_id not in images:
        like = next((known for known in images if str(known) == str(image_id)), None) if is_id(image_id) else None
        kind = "" if like is None else f" (there {short(like)} is a {type(like).__name__})"
        raise wrong(f"image_id {short(image_id)} is not among the images{kind}")
    if not area > 0:
        out["of no area"] += 1
        return None
    return _Person(number, annotation.get("id", "?"), image_id, (x, y, width, height), keypoints)


def _keypoints(path: Path, people: list[_Person], joints: int) -> np.ndarray:
    """[P, joints, 3] float64 x, y, flag as in the file, checked."""
    for person in people:
        if len(person.keypoints) != 3 * joints:
            raise _wrong(
                path, person.number, person.id,
                f"expected {3 * joints} keypoint numbers, x, y, flag of {joints} joints, got {len(person.keypoints)}",
            )  # fmt: skip
    try:
        values = np.array([person.keypoints for person in people], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        values = np.zeros(0)
    if values.shape != (len(people), 3 * joints):
        for person in people:
            strange = [value for value in person.keypoints if not is_id(value) or isinstance(value, str)]
            if strange:
                raise _wrong(path, person.number, person.id, f"keypoints: expected numbers, got {short(strange[0])}")
        raise UserError(f"{path}: keypoints: expected numbers of a person's size")
    values = values.reshape(-1, joints, 3)
    for bad, what in (
        (~np.isfinite(values).all(axis=(1, 2)), "a coordinate is not finite"),
        ((np.abs(values[..., :2]) > FAR).any(axis=(1, 2)), "a coordinate is out of any photo"),
        (~np.isin(values[..., 2], (0, 1, 2)).all(axis=1), "expected keypoint flags 0, 1 or 2"),
    ):
        if bad.any():
            person = people[int(bad.argmax())]
            raise _wrong(path, person.number, person.id, f"keypoints: {what}")
    return values


def _clipped(box: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Boxes [P, 4] cut at the edges of their photos, size [P, 2] height, width (0: not known)."""
    edge = np.where(size > 0, size, np.inf)[:, ::-1]
    low = np.maximum(box[:, :2], 0.0)
    return np.concatenate([low, np.minimum(box[:, :2] + box[:, 2:], edge) - low], axis=1)


def _remarks(
    keypoints: np.ndarray, labelled: np.ndarray, box: np.ndarray, inside: np.ndarray, size: np.ndarray
) -> list[str]:
    """What is odd, and read all the same."""
    edge = np.where(size > 0, size, np.inf)[:, None, ::-1]
    off = labelled & ((keypoints[..., :2] < -0.5) | (keypoints[..., :2] > edge)).any(axis=2)
    origin = labelled & (keypoints[..., :2] == 0).all(axis=2)
    cut = (inside[:, 2:] < box[:, 2:] - 1).any(axis=1)
    found = {
        "boxes cut at the edge of their photo": cut.sum(),
        "labelled joints outside their photo": off.sum(),
        "labelled joints at (0, 0)": origin.sum(),
        "people most of whose labelled joints lie outside their box": units.strays(keypoints[..., :2], labelled, box),
        "people in photos of no declared size": (size == 0).any(axis=1).sum(),
    }
    return [f"{count} {what}" for what, count in found.items() if count]


DATASET = Dataset(
    "coco",
    read,
    # [paper]: rotation +-40 degrees, scale 0.7..1.3; half bodies as in HRNet
    Preset(size=(256, 192), aug=GlobalAug(flip=0.5, rotation=40.0, scale=0.3, half_body=0.3)),
    protocol="oks",
    skeleton=COCO,
    annotations=annotations_of,
)
