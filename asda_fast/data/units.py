"""Do boxes and joints look as they should? Values in another unit or layout train a network on garbage in silence."""

from __future__ import annotations

import numpy as np

NEAR = 0.25  # of a box's longer side: how far outside it a joint may lie
ENOUGH = 0.25  # share of people with most joints near their box, below which the file as a whole is refused
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
    out = (end > size * (1 + BEYOND)).any(axis=1)
    corners = (box[:, 2:] > box[:, :2]).all(axis=1) & (box[:, 2:] <= size * (1 + BEYOND)).all(axis=1)
    if len(box) >= 3 and out.mean() > 0.5 and corners.all():
        return "boxes: expected x, y, width, height; most reach out of their photo: corners x1, y1, x2, y2?"
    return None


def wrong_joints(joints: np.ndarray, known: np.ndarray, box: np.ndarray, size: np.ndarray) -> str | None:
    """What is wrong with joints [P, J, 2] (labelled where `known` [P, J]) of people in boxes [P, 4], in photos of size
    [P, 2] height, width (0: not known). None where nothing is; else which reading of them would fit, if one would."""
    if not known.any():
        return None
    values = joints[known]
    if np.abs(values).max() <= 1 and (values % 1 > 0).any() and (box[:, 2:] > 4).any():
        return "keypoints: expected pixels of the photo; all lie in 0..1: shares of the photo's size?"
    if _near(joints, known, box) >= ENOUGH:
        return None
    scale = np.where(size[:, ::-1] > 0, size[:, ::-1], np.nan)[:, None].astype(np.float64)
    corner = box[:, None, :2]
    readings = {
        "per cent of the photo's size": joints * scale / 100,
        "shares of the box, 0..1": corner + joints * box[:, None, 2:],
        "pixels from the box's corner": corner + joints,
        "y before x": joints[..., ::-1],
    }
    fits = {name: _near(read, known, box) for name, read in readings.items()}
    best = max(fits, key=lambda name: fits[name])
    guess = f": {best}?" if fits[best] > 0.9 else ""
    return f"keypoints: expected pixels of the photo; nearly all lie outside their boxes{guess}"


def _near(joints: np.ndarray, known: np.ndarray, box: np.ndarray) -> float:
    """The share of people most of whose labelled joints lie near their box."""
    reach = NEAR * box[:, 2:].max(axis=1)[:, None, None]
    low, high = box[:, None, :2] - reach, box[:, None, :2] + box[:, None, 2:] + reach
    with np.errstate(invalid="ignore"):
        inside = ((joints >= low) & (joints <= high)).all(axis=2) & known
    return float((inside.sum(axis=1) * 2 >= known.sum(axis=1)).mean())
