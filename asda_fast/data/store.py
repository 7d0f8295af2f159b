"""Stores: people cut out once and kept as crops, so that training never decodes a whole photo again.

A store is a folder per split that `python -m asda_fast.data pack` writes (store_pack.py):

    train/store.json            what this is: version, dataset, margin, shards; written last, it makes the store
    train/index.npz             the Person table, and for every person shard, offset, length, window, shrink, crc
    train/shard-000000.tar ...  WebDataset tars of NAME.jpg (JPEG q95) and NAME.json (the person's annotation), or
    train/shard-000000.raw ...  with --raw: uint8 RGB pixels, memory-mapped

The table is that of the photos, in photo coordinates: the plan of a store equals the plan of its photos, row by row,
and only `fetch` knows where the pixels come from. A crop's window is a rectangle of the photo; it may be kept at 1/2,
1/4 or 1/8 of its size (`shrink`) where even the strongest zoom of training asks for no more.

What a draw asks for outside its window (and inside the photo) is never filled with black: `fetch` reads the photo
itself while it is still there, and where it is not, `clamp` (plan.py) narrows the draw to what the window holds. Both
are counted.
"""

from __future__ import annotations

import math
import mmap
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.core.images import BadImage, read_bytes
from asda_fast.data.sources import UNCHANGED, EncodedImage, Photo

REACH = 1.0  # crop pixels beyond the crop's edge that bilinear sampling may touch
COARSE = 1.02  # stored pixels per crop pixel below which a shrunk crop is coarser than its photo


@dataclass
class Store:
    """The shards of one folder, a source of pixels (sources.py). Maps a shard when it is first read, so a rank only
    touches its own. `People.files` are still the original photos."""

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
    crc: np.ndarray  # [C] int64 CRC-32 of the stored bytes; -1: not recorded
    crop: np.ndarray  # [P] int64: which of the C crops each person of the table is
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

    def select(self, rows: np.ndarray) -> Store:
        """The same shards, mapped once, for these rows of the table."""
        return replace(self, crop=self.crop[rows])

    def share(self, visit: np.ndarray, *, rank: int, world: int, batch_size: int, drop_last: bool) -> np.ndarray:
        """The rows of `visit` in shards rank, rank + world, ...: a machine needs its own ranks' shards only.

        With `drop_last` all ranks keep the number of full batches that the smallest has. UserError, on all ranks alike,
        where that is none, or a rank has nobody: an epoch would end at once, or never, without a word.
        """
        if world > len(self.shards):
            raise UserError(
                f"{self.folder}: {len(self.shards)} shards cannot feed {world} ranks (pack with {world} shards or more)"
            )
        owner = self.shard[self.crop[visit]] % world
        mine = visit[owner == rank]
        smallest = int(np.bincount(owner, minlength=world).min())
        if drop_last and smallest < batch_size:
            raise UserError(f"batch_size: {batch_size} is more than the smallest of the {world} shares, {smallest}")
        if not smallest:
            raise UserError(f"{self.folder}: its {len(visit)} people lie in too few shards for {world} processes")
        if drop_last:
            mine = mine[: smallest // batch_size * batch_size]
        return mine

    def fetch(self, row: int, photo: Photo, matrix: np.ndarray, size: tuple[int, int]) -> EncodedImage:
        """The crop where it holds all that is asked for, else the photo, if it may be read and is the one packed."""
        matrix = np.array(matrix, dtype=np.float64)  # a copy, the caller's to change
        path, index = photo.path, int(self.crop[row])
        if self._holds(index, matrix, size) or not (self.photos and Path(path).is_file()):
            return self._stored(index, matrix)
        data, length = read_bytes(path), int(self.photo_bytes[index])
        if length and len(data) != length:
            raise BadImage(path, f"has {len(data)} bytes, but {length} when the store was packed: another photo?")
        height, width = self.photo[index].tolist()
        return EncodedImage(path, data, None, matrix, (height, width) if height else None)

    def images(self, file: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(len(file)), np.ones(len(file), np.int64)

    def whole(self, row: int, photo: Photo) -> EncodedImage:
        index = int(self.crop[row])
        image, crc = self._stored(index, UNCHANGED), int(self.crc[index])
        if crc >= 0 and zlib.crc32(self.blob(index)) != crc:
            raise BadImage(image.name, "damaged since it was packed (its checksum is wrong)")
        return image

    def _stored(self, index: int, matrix: np.ndarray) -> EncodedImage:
        x, y, width, height = (int(v) for v in self.window[index])
        shrink = int(self.shrink[index])
        local = matrix.copy()
        local[:, 2] -= (x, y)
        local /= shrink
        blob = self.blob(index)
        name = f"{self.folder / self.shards[self.shard[index]]} (crop {index})"
        size = (-(-height // shrink), -(-width // shrink))
        if not self.raw:
            return EncodedImage(name, blob, None, local, size)
        return EncodedImage(name, None, np.frombuffer(blob, np.uint8).reshape(*size, 3), local, size)

    def fits(self, rows: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Whether the window holds all that the crop asks of the photo, and whether in enough detail: [n, 2] bool."""
        crop, need = self.crop[rows], reach(matrix, size)
        window = self.window[crop].astype(np.float64)
        low, high = window[:, :2], window[:, :2] + window[:, 2:]
        edge = self.photo[crop][:, ::-1]
        inside = ((need[:, :2] >= low) | (low <= 0)) & ((need[:, 2:] <= high) | (high >= edge))
        ratio = np.sqrt(np.abs(np.linalg.det(matrix[:, :, :2].astype(np.float64))))  # photo pixels per crop pixel
        shrink = self.shrink[crop]
        return np.stack([inside.all(axis=1), (shrink == 1) | (ratio * COARSE >= shrink)], axis=1)

    def _holds(self, index: int, matrix: np.ndarray, size: tuple[int, int]) -> bool:
        """`fits` of one crop in plain floats: fetch calls it for every sample, and numpy would take 50 us of it."""
        (a, b, tx), (c, d, ty) = matrix.tolist()
        half_width, half_height = size[1] / 2, size[0] / 2
        across, down = half_width + REACH, half_height + REACH
        x, y = a * half_width + b * half_height + tx, c * half_width + d * half_height + ty
        wide, high = abs(a) * across + abs(b) * down, abs(c) * across + abs(d) * down
        left, top, width, height = self.window[index].tolist()
        bottom_edge, right_edge = self.photo[index].tolist()
        shrink = int(self.shrink[index])
        return (
            (x - wide >= left or left <= 0)
            and (y - high >= top or top <= 0)
            and (x + wide <= left + width or left + width >= right_edge)
            and (y + high <= top + height or top + height >= bottom_edge)
            and (shrink == 1 or math.sqrt(abs(a * d - b * c)) * COARSE >= shrink)
        )

    def zoom(
        self, rows: np.ndarray, paths: Sequence[str], matrix: np.ndarray, size: tuple[int, int]
    ) -> tuple[np.ndarray, dict[str, int]]:
        """A crop that leaves its window stays as it is while its photo can be read ("from photo"); where it cannot, it
        must shrink until the window holds it. "coarse" are those of fewer stored pixels than the photo has."""
        counts, factor = {"from photo": 0, "coarse": 0}, np.ones(len(rows))
        if len(rows) == 0:
            return factor, counts
        inside, fine = self.fits(rows, matrix, size).T
        if self.photos and not (inside & fine).all():
            odd = np.flatnonzero(~(inside & fine))
            wanted = [paths[at] for at in odd.tolist()]
            there = {path: Path(path).is_file() for path in set(wanted)}
            readable = np.array([there[path] for path in wanted], dtype=bool)
            counts["from photo"] = int(readable.sum())
            inside[odd[readable]] = fine[odd[readable]] = True
        counts["coarse"] = int((~fine).sum())
        outside = np.flatnonzero(~inside)
        factor[outside] = self._zoom(rows[outside], matrix[outside].astype(np.float64), size)
        return factor, counts

    def _zoom(self, rows: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The largest factor <= 1 by which each crop, shrunk about its centre, fits its window: [n] float64."""
        crop, need = self.crop[rows], reach(matrix, size)
        window = self.window[crop].astype(np.float64)
        low, high, edge = window[:, :2], window[:, :2] + window[:, 2:], self.photo[crop][:, ::-1]
        centre = (need[:, :2] + need[:, 2:]) / 2
        half = (need[:, 2:] - need[:, :2]) / 2
        room = np.minimum(np.where(low <= 0, np.inf, centre - low), np.where(high >= edge, np.inf, high - centre))
        return np.clip((room / half).min(axis=1) * (1 - 1e-6), -1.0, 1.0)


def reach(matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The photo rectangle that each crop touches: [n, 4] float64 x0, y0, x1, y1, of matrices [n, 2, 3]."""
    matrix = matrix.astype(np.float64)
    half = np.array([size[1] / 2, size[0] / 2])
    centre = matrix[:, :, :2] @ half + matrix[:, :, 2]
    extent = np.abs(matrix[:, :, :2]) @ (half + REACH)
    return np.concatenate([centre - extent, centre + extent], axis=1)
