"""Stores: people cut out once and kept as crops, so that training never decodes a whole photo again.

A store is a folder per split that `python -m asda_fast.data pack` writes (store_pack.py):

    train/store.json            what this is: version, dataset, margin, shards; written last, it makes the store
    train/index.npz             the Person table, and for every person shard, offset, length, window, shrink
    train/shard-000000.tar ...  WebDataset tars of NAME.jpg (JPEG q95) and NAME.json (the person's annotation), or
    train/shard-000000.raw ...  with --raw: uint8 RGB pixels, memory-mapped

The table is that of the photos, in photo coordinates: the plan of a store equals the plan of its photos, row by row,
and only `fetch` knows where the pixels come from. A crop's window is a rectangle of the photo; it may be kept at 1/2,
1/4 or 1/8 of its size (`shrink`) where even the strongest zoom of training asks for no more.

What a draw asks for outside its window (and inside the photo) is never filled with black: `fetch` reads the photo
itself while it is still there, and where it is not, `settle` narrows the draw to what the window holds. Both are
counted.
"""

from __future__ import annotations

import json
import math
import mmap
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.core.images import BadImage, read_bytes
from asda_fast.core.skeletons import SKELETONS, Skeleton
from asda_fast.data.people import People
from asda_fast.data.plan import Plan, place

FORMAT, VERSION = "asda_fast store", 1
REACH = 1.0  # crop pixels beyond the crop's edge that bilinear sampling may touch
COARSE = 1.02  # stored pixels per crop pixel below which a shrunk crop is coarser than its photo


@dataclass(frozen=True)
class EncodedImage:
    """The pixels of one sample, not decoded yet (`data`) or ready (`pixels`), and the way into them."""

    name: str  # what an error message should name
    data: bytes | memoryview | None  # an encoded image
    pixels: np.ndarray | None  # [h, w, 3] uint8 RGB
    matrix: np.ndarray  # [2, 3] float64, crop pixel -> pixel of this image
    size: tuple[int, int] | None  # height, width that the image is declared to have; None: nobody says


@dataclass
class Store:
    """The shards of one folder. Maps a shard when it is first read, so a rank only touches its own."""

    folder: Path
    shards: list[str]
    raw: bool
    margin: float
    photos: bool  # the photos may be read where a window is too small
    shard: np.ndarray  # [C] int32, index into shards
    offset: np.ndarray  # [C] int64 bytes
    length: np.ndarray  # [C] int64 bytes
    window: np.ndarray  # [C, 4] int32 x, y, width, height in photo pixels
    shrink: np.ndarray  # [C] uint8: 1, 2, 4 or 8 photo pixels to a stored pixel
    photo: np.ndarray  # [C, 2] int32 height, width of the photo, as its annotations see it
    photo_bytes: np.ndarray  # [C] int64 length of the photo's file; 0: not recorded
    _maps: dict[int, memoryview] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def blob(self, index: int) -> memoryview:
        """The stored bytes of crop `index`, mapped, not copied."""
        shard = int(self.shard[index])
        view = self._maps.get(shard)
        if view is None:
            with self._lock:
                view = self._maps.setdefault(shard, self._map(shard))
        start, length = int(self.offset[index]), int(self.length[index])
        if start + length > len(view):
            raise UserError(
                f"{self.folder / self.shards[shard]}: crop {index} ends at byte {start + length}, "
                f"the file at {len(view)}"
            )
        return view[start : start + length]

    def _map(self, shard: int) -> memoryview:
        path = self.folder / self.shards[shard]
        try:
            with open(path, "rb") as file:
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
            raise UserError(f"{path}: cannot map this shard of the store ({error})") from None

    def __getstate__(self) -> dict[str, Any]:  # maps and locks stay in their process
        return {**self.__dict__, "_maps": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


@dataclass(frozen=True)
class StorePeople(People):
    """People whose pixels come from a store. `files` are still the original photos."""

    crop: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # [P] int64, index into the store's crops
    store: Store = field(default=None)  # type: ignore[assignment]

    def deal(self, visit: np.ndarray, *, rank: int, world: int, batch_size: int, drop_last: bool) -> np.ndarray:
        """This rank's part of `visit` (rows in visiting order): the rows in shards rank, rank + world, ...

        So a machine needs only its own ranks' shards on its disk. With `drop_last` all ranks keep the number of full
        batches that the smallest has; otherwise every row is visited exactly once.
        """
        if world > len(self.store.shards):
            raise UserError(
                f"{self.store.folder}: {len(self.store.shards)} shards cannot feed {world} ranks "
                f"(pack with --shards {world} or more)"
            )
        owner = self.store.shard[self.crop[visit]] % world
        mine = visit[owner == rank]
        if drop_last:
            smallest = np.bincount(owner, minlength=world).min()
            mine = mine[: smallest // batch_size * batch_size]
        return mine


def is_store(folder: Path, split: str) -> bool:
    """Whether `folder` holds a finished store of this split (or is one)."""
    return (folder / split / "store.json").is_file() or (folder / "store.json").is_file()


def read(folder: Path, split: str, photos: bool = True) -> StorePeople:
    """Open one split of a store. Reads the index only; shards are mapped on first use.

    photos: fall back to the original photos (where they still are) for what lies outside a window.
    Raises UserError for a folder that holds no finished store.
    """
    folder = Path(folder)
    at = folder if (folder / "store.json").is_file() else folder / split
    try:
        about = json.loads((at / "store.json").read_text())
    except FileNotFoundError:
        raise UserError(
            f"{folder}: no store here: expected {split}/store.json (python -m asda_fast.data pack)"
        ) from None
    except ValueError as error:
        raise UserError(f"{at / 'store.json'}: not JSON ({error})") from None
    if about.get("format") != FORMAT or about.get("version") != VERSION:
        raise UserError(
            f"{at / 'store.json'}: expected {FORMAT!r} version {VERSION}, "
            f"got {about.get('format')!r} {about.get('version')!r}"
        )
    try:
        with np.load(at / "index.npz", allow_pickle=False) as index:
            columns = {name: index[name] for name in index.files}
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{at / 'index.npz'}: cannot read the store's index ({error})") from None
    return _people(at, about, columns, photos)


def _people(at: Path, about: dict[str, Any], columns: dict[str, Any], photos: bool) -> StorePeople:
    columns["file"] = columns.pop("file_index")
    columns.pop("area", None)  # of stores packed earlier
    own: dict[str, Any] = {
        name: columns.pop(name) for name in ("shard", "offset", "length", "window", "shrink", "photo")
    }
    own["photo_bytes"] = columns.pop("photo_bytes", np.zeros(len(own["shard"]), np.int64))
    files = [str(Path(about["root"]) / name) for name in columns.pop("files").tolist()]
    store = Store(folder=at, shards=about["shards"], raw=about["raw"], margin=about["margin"], photos=photos, **own)
    return StorePeople(
        skeleton=_skeleton(about["skeleton"]),
        files=files,
        name=about["dataset"],
        fit=about["fit"],
        crop=np.arange(len(columns["file"])),
        store=store,
        **columns,
    )


def _skeleton(record: dict[str, Any]) -> Skeleton:
    known = SKELETONS.get(record["name"])
    if known and list(known.joints) == record["joints"]:
        return known  # also for stores that were packed before skeletons had groups and a torso
    return Skeleton(
        name=record["name"],
        joints=tuple(record["joints"]),
        pairs=tuple((a, b) for a, b in record["pairs"]),
        edges=tuple((a, b) for a, b in record["edges"]),
        upper=tuple(record["upper"]),
        groups={name: tuple(joints) for name, joints in record.get("groups", {}).items()},
        torso=(record["torso"][0], record["torso"][1]) if record.get("torso") else None,
        sigmas=tuple(record["sigmas"]) if record["sigmas"] else None,
    )


def reach(matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The photo rectangle that each crop touches: [n, 4] float64 x0, y0, x1, y1, of matrices [n, 2, 3]."""
    matrix = matrix.astype(np.float64)
    half = np.array([size[1] / 2, size[0] / 2])
    centre = matrix[:, :, :2] @ half + matrix[:, :, 2]
    extent = np.abs(matrix[:, :, :2]) @ (half + REACH)
    return np.concatenate([centre - extent, centre + extent], axis=1)


def fits(people: StorePeople, rows: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Whether the window holds all that the crop asks of the photo, and whether in enough detail: [n, 2] bool."""
    store, crop = people.store, people.crop[rows]
    need = reach(matrix, size)
    window = store.window[crop].astype(np.float64)
    low, high = window[:, :2], window[:, :2] + window[:, 2:]
    edge = store.photo[crop][:, ::-1]
    inside = ((need[:, :2] >= low) | (low <= 0)) & ((need[:, 2:] <= high) | (high >= edge))
    ratio = np.sqrt(np.abs(np.linalg.det(matrix[:, :, :2].astype(np.float64))))  # photo pixels per crop pixel
    shrink = store.shrink[crop]
    return np.stack([inside.all(axis=1), (shrink == 1) | (ratio * COARSE >= shrink)], axis=1)


def _fits(store: Store, index: int, matrix: np.ndarray, size: tuple[int, int]) -> bool:
    """`fits` of one crop in plain floats: fetch calls it for every sample, and numpy would take 50 us of it."""
    (a, b, tx), (c, d, ty) = matrix.tolist()
    half_width, half_height = size[1] / 2, size[0] / 2
    across, down = half_width + REACH, half_height + REACH
    x, y = a * half_width + b * half_height + tx, c * half_width + d * half_height + ty
    wide, high = abs(a) * across + abs(b) * down, abs(c) * across + abs(d) * down
    left, top, width, height = store.window[index].tolist()
    bottom_edge, right_edge = store.photo[index].tolist()
    shrink = int(store.shrink[index])
    return (
        (x - wide >= left or left <= 0)
        and (y - high >= top or top <= 0)
        and (x + wide <= left + width or left + width >= right_edge)
        and (y + high <= top + height or top + height >= bottom_edge)
        and (shrink == 1 or math.sqrt(abs(a * d - b * c)) * COARSE >= shrink)
    )


def fetch(people: People, row: int, matrix: np.ndarray, size: tuple[int, int]) -> EncodedImage:
    """Where the pixels of one sample are: the one way to them for every pipeline.

    matrix [2, 3] crop pixel -> photo pixel, size (height, width) of the crop. Raises BadImage for a file that cannot be
    read, or that is not the one the store was packed from; UserError for a broken store.
    """
    matrix = np.array(matrix, dtype=np.float64)  # a copy, the caller's to change
    path = people.files[people.file[row]]
    if isinstance(people, StorePeople):
        store, index = people.store, int(people.crop[row])
        if _fits(store, index, matrix, size) or not (store.photos and Path(path).is_file()):
            return _stored(store, index, matrix)
        declared, length = store.photo[index], int(store.photo_bytes[index])
    else:
        declared, length = people.image_size[people.file[row]], 0
    data = read_bytes(path)
    if length and len(data) != length:
        raise BadImage(path, f"has {len(data)} bytes, but {length} when the store was packed: another photo?")
    height, width = declared.tolist()
    return EncodedImage(path, data, None, matrix, (height, width) if height else None)


def _stored(store: Store, index: int, matrix: np.ndarray) -> EncodedImage:
    x, y, width, height = (int(v) for v in store.window[index])
    shrink = int(store.shrink[index])
    local = matrix.copy()
    local[:, 2] -= (x, y)
    local /= shrink
    blob = store.blob(index)
    name = f"{store.folder / store.shards[store.shard[index]]} (crop {index})"
    size = (-(-height // shrink), -(-width // shrink))
    if not store.raw:
        return EncodedImage(name, blob, None, local, size)
    return EncodedImage(name, None, np.frombuffer(blob, np.uint8).reshape(*size, 3), local, size)


def settle(people: People, plan: Plan, size: tuple[int, int]) -> tuple[Plan, dict[str, int]]:
    """Make a fresh plan one that the store can serve, and count what did not fit.

    Plain people: unchanged. A draw that leaves its window keeps its matrix while its photo can be read ("from photo").
    Where it cannot, the crop zooms in about its centre until the window holds it ("narrowed"), by a factor of two at
    most; what needs more than that becomes the plain crop ("plain"), which every window holds. Joints and boxes follow.
    """
    counts = {"from photo": 0, "narrowed": 0, "plain": 0, "coarse": 0}
    if not isinstance(people, StorePeople) or len(plan.row) == 0:
        return plan, counts
    inside, fine = fits(people, plan.row, plan.matrix, size).T
    if people.store.photos and not (inside & fine).all():
        odd = np.flatnonzero(~(inside & fine))
        there = {f: Path(people.files[f]).is_file() for f in np.unique(people.file[plan.row[odd]])}
        readable = np.array([there[f] for f in people.file[plan.row[odd]]], dtype=bool)
        counts["from photo"] = int(readable.sum())
        inside[odd[readable]] = fine[odd[readable]] = True
    counts["coarse"] = int((~fine).sum())
    outside = np.flatnonzero(~inside)
    if len(outside) == 0:
        return plan, counts
    factor = _zoom(people, plan.row[outside], plan.matrix[outside].astype(np.float64), size)
    counts["narrowed"], counts["plain"] = int((factor >= 0.5).sum()), int((factor < 0.5).sum())
    return _narrow(people, plan, outside, factor, size), counts


def _zoom(people: StorePeople, rows: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The largest factor <= 1 by which each crop, shrunk about its centre, fits its window: [n] float64."""
    crop, need = people.crop[rows], reach(matrix, size)
    window = people.store.window[crop].astype(np.float64)
    low, high, edge = window[:, :2], window[:, :2] + window[:, 2:], people.store.photo[crop][:, ::-1]
    centre = (need[:, :2] + need[:, 2:]) / 2
    half = (need[:, 2:] - need[:, :2]) / 2
    room = np.minimum(np.where(low <= 0, np.inf, centre - low), np.where(high >= edge, np.inf, high - centre))
    return np.clip((room / half).min(axis=1) * (1 - 1e-6), -1.0, 1.0)


def _narrow(people: StorePeople, plan: Plan, at: np.ndarray, factor: np.ndarray, size: tuple[int, int]) -> Plan:
    plain = factor < 0.5
    factor = np.where(plain, 1.0, factor)
    middle = np.array([size[1] / 2, size[0] / 2])
    new = {name: getattr(plan, name).copy() for name in ("matrix", "flip", "half", "joints", "visible", "box")}
    matrix = new["matrix"][at].astype(np.float64)
    moved = matrix[:, :, :2] @ middle + matrix[:, :, 2]
    matrix[:, :, :2] *= factor[:, None, None]
    matrix[:, :, 2] = moved - matrix[:, :, :2] @ middle  # the centre stays where it was
    known = new["visible"][at][..., None] > 0
    new["matrix"][at] = matrix
    new["joints"][at] = np.where(known, middle + (new["joints"][at] - middle) / factor[:, None, None], 0.0)
    box = new["box"][at].astype(np.float64)
    box[:, :2] = middle + (box[:, :2] - middle) / factor[:, None]
    box[:, 2:] /= factor[:, None]
    new["box"][at] = box
    if plain.any():
        simple = place(people, plan.row[at[plain]], size, epoch=0, seed=0, aug=None)
        for name, values in new.items():
            values[at[plain]] = getattr(simple, name)
    return replace(plan, **new)
