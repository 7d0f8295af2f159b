"""The contact sheet of label maps: photo, map over it, and what its colours mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.parts.label import palette
from asda_fast.parts.pairs import find_pairs
from asda_fast.parts.read import read_map, read_photo
from asda_fast.parts.scheme import Scheme
from asda_fast.viz import draw

_WIDTH, _LINE = 190, 20  # pixels of the column of names, and of a name


def label_sheet(images: Path, labels: Path, scheme: Scheme, count: int = 8, cell: int = 320) -> np.ndarray:
    """`count` photos that have a map, evenly from all of them, with their maps and the labels' names. RGB uint8."""
    pairs, _ = find_pairs(images, labels)
    rows, colours = [], palette()
    for at in np.unique(np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int)):
        label = pairs[at].label
        if label is None:
            raise UserError(f"{labels}: no map of {pairs[at].name}")
        ids, photo = read_map(label, scheme=scheme), read_photo(pairs[at].photo)
        shown = np.where(
            (ids == 0)[..., None], photo // 2, (photo.astype(np.uint16) + 2 * colours[ids].astype(np.uint16)) // 3
        )
        present, names = np.unique(ids), np.full((cell, _WIDTH, 3), 255, np.uint8)
        for line, number in enumerate(n for n in present.tolist() if n):
            top = 4 + _LINE * line
            names[top : top + 14, 4:24] = colours[number]
            draw.text(names, (30, top + 12), f"{number} {scheme.labels.get(number, '?')}")
        rows.append([photo, shown.astype(np.uint8), names])
    return draw.sheet(rows, cell=cell, gap=8)
