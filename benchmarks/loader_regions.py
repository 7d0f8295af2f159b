"""Decoding alone, for benchmarks/loader.py: the rectangles of the photos that an epoch's crops touch, as RGB, by our
decoder and by libjpeg-turbo's crop and skip (jpeg_region.c, compiled here: needs cc and libjpeg's header).

Ours also walks the crop's grid (it makes crops, not rectangles), with the identity for a matrix.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from asda_fast import _C
from asda_fast.core.images import MAX_PIXELS
from asda_fast.data import GlobalAug, People, draw
from benchmarks.loader_peers import photo_bytes

MARGIN = 64  # pixels of a row that libjpeg may add to meet whole blocks

Rectangle = tuple[int, int, int, int]  # x, y, width, height
Decode = Callable[[bytes, Rectangle], np.ndarray]  # -> [h, w, 3] uint8


def ours(data: bytes, at: Rectangle) -> np.ndarray:
    x, y, width, height = at
    out = np.empty((height, width, 3), np.uint8)
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
    verdict = _C.jpeg_crop(data, 0, 0, matrix.ctypes.data, out.ctypes.data, height, width, 1)
    if verdict:
        raise ValueError(f"a photo that our decoder leaves to libjpeg (verdict {verdict})")
    return out


def turbo() -> Decode:
    """libjpeg-turbo's. RuntimeError where it cannot be compiled."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise RuntimeError("cc: not on PATH")
    source = Path(__file__).with_name("jpeg_region.c")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "jpeg_region.so"
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ljpeg"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = next((line for line in done.stderr.splitlines() if "rror" in line), "cc failed")
            raise RuntimeError(f"{reason} (libjpeg-turbo's header: apt install libjpeg-dev)")
        call = ctypes.CDLL(str(library)).jpeg_region
    call.argtypes = (ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong)
    own = threading.local()

    def decode(data: bytes, at: Rectangle) -> np.ndarray:
        x, _, width, height = at
        room = 3 * (width + MARGIN)
        if getattr(own, "out", np.empty(0)).size < room * height:
            own.out = np.empty(room * height, np.uint8)
        asked = np.array(at, np.uint32)
        if call(data, len(data), asked.ctypes.data, own.out.ctypes.data, room):
            raise ValueError("libjpeg refuses a photo")
        rows = own.out[: room * height].reshape(height, -1, 3)
        return rows[:, x - int(asked[0]) :][:, :width]

    return decode


def rectangles(people: People, photos: list[bytes], size: tuple[int, int], aug: GlobalAug) -> list[Rectangle]:
    """What each crop of the first epoch touches of its photo; photos: the file of each person."""
    plan = draw(people, size, epoch=0, seed=0, train=True, aug=aug, batch_size=1, drop_last=False)
    corners = np.array([[0, 0, 1], [size[1], 0, 1], [0, size[0], 1], [size[1], size[0], 1]])
    found: list[Rectangle] = [(0, 0, 1, 1)] * len(people)
    for row, matrix in zip(plan.row, plan.matrix):
        points = corners @ matrix.T
        _, tall, wide, *_ = _C.jpeg_check(photos[row], known_rows=MAX_PIXELS)  # its header alone
        edge = np.array([wide, tall])
        low = np.clip(np.floor(points.min(0)), 0, edge - 1).astype(int)
        high = np.clip(np.ceil(points.max(0)), low + 1, edge).astype(int)
        found[row] = (*low.tolist(), *(high - low).tolist())
    return found


def epochs(decode: Decode, people: People, size: tuple[int, int], aug: GlobalAug, threads: int) -> Callable[[], int]:
    photos = photo_bytes(people)
    work = list(zip(photos, rectangles(people, photos, size, aug)))
    pool = ThreadPoolExecutor(threads)
    return lambda: sum(1 for _ in pool.map(lambda each: decode(*each) is not None, work))
