"""Is this the photo that was annotated? Where the annotations declare no size, all that tells is where people are.

A photo at another scale than the annotated one would give black or wrong crops without a word.
"""

from __future__ import annotations

import numpy as np

from asda_fast.core.images import BadImage, Size
from asda_fast.data.people import PIXEL_STD, People


def refuse_outside(name: str, box: np.ndarray, matrix: np.ndarray, size: Size, photo: Size) -> None:
    """BadImage where a crop lies wholly beyond its photo, right of it or below: beyond 0 nothing tells its size.

    box [4] of the person in the photo; matrix [2, 3] crop pixel -> photo pixel; size of the crop and photo, height and
    width each. Plain floats: this is asked of every sample whose photo has no declared size.
    """
    half = size[1] / 2, size[0] / 2
    for (a, b, shift), edge in zip(matrix.tolist(), (photo[1], photo[0])):
        middle, reach = a * half[0] + b * half[1] + shift, abs(a) * half[0] + abs(b) * half[1]
        if middle - reach >= edge:
            raise BadImage(name, f"is {photo[1]} x {photo[0]}, its person at {_extent(box)} is wholly outside")


def lost(people: People, rows: np.ndarray, photo: Size) -> str | None:
    """What is wrong with the people `rows` of a photo of this height and width: somebody whose region, or most of whose
    labelled joints, lie beyond it. None where nothing is."""
    half = people.scale[rows, None] * PIXEL_STD / 2
    away = np.flatnonzero((people.centre[rows] - half >= photo[::-1]).any(axis=1))
    if len(away):
        extent = _extent(people.box[rows[away[0]]])
        return f"is {photo[1]} x {photo[0]}, its person at {extent} is wholly outside"
    joints, known = people.joints[rows], people.visible[rows] > 0
    outside = known & (joints > photo[::-1]).any(axis=2)  # beyond 0 lie joints of photos of any size
    wrong = np.flatnonzero(2 * outside.sum(axis=1) > known.sum(axis=1))
    if len(wrong) == 0:
        return None
    first = wrong[0]
    at = joints[first][known[first]]
    extent = _extent(np.concatenate([at.min(axis=0), at.max(axis=0) - at.min(axis=0)]))
    of = f"{int(outside[first].sum())} of {len(at)} labelled joints of a person, at {extent}, lie beyond it"
    return f"is {photo[1]} x {photo[0]}, {of}: another photo, or another scale, than was annotated?"


def _extent(box: np.ndarray) -> str:
    x, y, width, height = box.tolist()
    return f"x {x:.0f} to {x + width:.0f}, y {y:.0f} to {y + height:.0f}"
