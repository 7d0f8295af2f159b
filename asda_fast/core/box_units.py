"""Are boxes x, y, width, height in pixels? They tell the size of crops, and of the people whom parts are cut from."""

from __future__ import annotations

import numpy as np

MANY = 3  # people, and joints of a person, below which nothing is told from them
BEYOND = 0.05  # of the photo: so far may a box that an annotator drew reach out of it


def wrong_boxes(box: np.ndarray, size: np.ndarray) -> str | None:
    """What is wrong with boxes [P, 4] x, y, width, height of photos of size [P, 2] height, width (0: not known).

    None where nothing is.
    """
    known = size.min(axis=1) > 8
    if not known.any():
        return None
    box, size = box[known], size[known][:, ::-1]
    if (np.abs(box) <= 1.001).all() and (box[:, 2:] > 0).any():
        return "boxes: expected pixels; all lie in 0..1: shares of the photo's size?"
    end = box[:, :2] + box[:, 2:]
    if ((end <= 0) | (box[:, :2] >= size)).any(axis=1).all() and len(box) >= MANY:
        return "boxes: expected pixels of the photo; all lie outside theirs"
    out = (end > size * (1 + BEYOND)).any(axis=1)
    corners = (box[:, 2:] > box[:, :2]).all(axis=1) & (box[:, 2:] <= size * (1 + BEYOND)).all(axis=1)
    if len(box) >= MANY and out.mean() > 0.5 and corners.all():
        return "boxes: expected x, y, width, height; most reach out of their photo: corners x1, y1, x2, y2?"
    return None
