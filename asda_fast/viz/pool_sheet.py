"""The contact sheet of a pool: some patches of every type on a checkerboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.parts.pool_file import open_pool
from asda_fast.viz import draw

_LABEL = 150  # pixels of the column with the type's name
_SQUARE = 8  # of the checkerboard
_LARGEST = 65_000  # pixels of a side that JPEG can have
_PIXELS = 500_000_000  # of a picture that fits in memory a few times


def contact_sheet(
    path: str | Path, per_type: int = 12, cell: int = 112, zoom: float = 0.0, seed: int = 0
) -> np.ndarray:
    """A row per type that the pool has: name, count, median size, and some patches on a checkerboard. RGB uint8.

    zoom: magnification of every patch (bilinear, premultiplied; larger than a cell: its middle); 0 fits each patch.
    """
    pool = open_pool(path)
    counts = np.bincount(pool.type, minlength=len(pool.types))
    high, wide = int(np.count_nonzero(counts)) * cell, _LABEL + per_type * cell
    if max(high, wide) > _LARGEST or high * wide > _PIXELS:
        size = f"a picture of {wide} x {high} pixels"
        raise UserError(f"per_type {per_type}: with cells of {cell} pixels {size}, too large to look at: show fewer")
    rng = np.random.default_rng(seed)
    rows = []
    for type_, name in enumerate(pool.types):
        if not counts[type_]:
            continue
        members = np.flatnonzero(pool.type == type_)
        heading = np.full((cell, _LABEL, 3), 255, np.uint8)
        height, width = np.median(pool.size[members], 0)
        for line, words in enumerate((name, f"{len(members)} patches", f"median {width:.0f} x {height:.0f}")):
            draw.text(heading, (6, 26 + 20 * line), words)
        shown = members if len(members) <= per_type else np.sort(rng.choice(members, per_type, replace=False))
        cells = [_on_checkerboard(pool.patch(int(patch)), cell, zoom) for patch in shown]
        empty = [np.full((cell, cell, 3), 255, np.uint8)] * (per_type - len(cells))
        rows.append([heading, *cells, *empty])
    if not rows:
        raise UserError(f"{path}: the pool holds no patches to show")
    return draw.sheet(rows, cell=cell, gap=0)


def _on_checkerboard(rgba: np.ndarray, cell: int, zoom: float) -> np.ndarray:
    y, x = np.mgrid[:cell, :cell] // _SQUARE
    ground = np.where((x + y) % 2, 190, 235).astype(np.float32)[..., None].repeat(3, 2)
    ground[[0, -1]] = ground[:, [0, -1]] = 160
    height, width = rgba.shape[:2]
    factor = zoom or min(3.0, (cell - 6) / max(height, width))
    flat: Any = rgba.astype(np.float32)
    flat[..., :3] *= flat[..., 3:] / 255  # premultiplied, as the paste op samples
    matrix = np.array(
        [[factor, 0, cell / 2 - factor * width / 2], [0, factor, cell / 2 - factor * height / 2]], np.float32
    )
    matrix[:, 2] += factor / 2 - 0.5  # OpenCV's pixel centres are integers
    if factor < 1:  # reduce by area first, or fine texture turns to noise
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        flat = cv2.resize(flat, size, interpolation=cv2.INTER_AREA)
        top, left = (cell - size[1]) // 2, (cell - size[0]) // 2
        drawn: Any = np.zeros((cell, cell, 4), np.float32)
        drawn[top : top + size[1], left : left + size[0]] = flat
    else:
        drawn = cv2.warpAffine(flat, matrix, (cell, cell), flags=cv2.INTER_LINEAR)
    mixed = ground * (1 - drawn[..., 3:] / 255) + drawn[..., :3]
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
