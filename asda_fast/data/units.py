"""Do boxes and joints look as they should? Values in another unit or layout train a network on garbage in silence."""

from __future__ import annotations

import numpy as np

from asda_fast.core.box_units import MANY, wrong_boxes

NEAR = 0.25  # of a box's longer side: how far outside it a joint may lie
ENOUGH = 0.25  # share of people with most joints near their box, below which the file as a whole is refused
CLOSE = 0.1  # of a box's longer side: joints within it are as good as inside
FILLED = 0.2  # of a box's sides: a person's joints spread that far at least
LOOKED_AT = 8192  # people whose joints are read in every way
SHARE = 0.1  # of people, that another reading fits where the file's own does not: the file is refused


def wrong_detections(box: np.ndarray, size: np.ndarray, photo: np.ndarray, people: dict[int, np.ndarray]) -> str | None:
    """What is wrong with detected boxes [P, 4] in `photo` [P] of size [P, 2]: as of drawn boxes, and whether they would
    meet the annotated ones ([n, 4] of each photo) if read otherwise. None where nothing is."""
    if wrong := wrong_boxes(box, size):
        return wrong
    both = np.tile(np.where(size[:, ::-1] > 0, size[:, ::-1], np.nan), 2)
    readings = {
        "per cent of the photo's size": box * both / 100,
        "shares of the photo's size, 0..1": box * both,
        "corners x1, y1, x2, y2": np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], axis=1),
        "centre x, centre y, width, height": _from_centre(box),
        "y, x, height, width": box[:, [1, 0, 3, 2]],
    }
    hits = _met(box, photo, people)
    count, best = max((_met(read, photo, people), name) for name, read in readings.items())
    if count >= max(MANY, SHARE * len(box)) and count > 2 * hits:
        return (
            f"boxes: expected x, y, width, height in pixels; {hits} of {len(box)} meet an annotated person; "
            f"{count} would if they were {best}"
        )
    return None


def _met(box: np.ndarray, photo: np.ndarray, people: dict[int, np.ndarray]) -> int:
    """How many of boxes [P, 4] overlap an annotated one of their photo: by half of what they cover together."""
    count = 0
    order = np.argsort(photo, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(photo[order])) + 1):
        there = people.get(int(photo[rows[0]]))
        if there is None:
            continue
        mine, theirs = box[rows][:, None], there[None]
        low = np.maximum(mine[..., :2], theirs[..., :2])
        high = np.minimum(mine[..., :2] + mine[..., 2:], theirs[..., :2] + theirs[..., 2:])
        shared = np.maximum(high - low, 0).prod(axis=-1)
        together = mine[..., 2:].prod(axis=-1) + theirs[..., 2:].prod(axis=-1) - shared
        met = (shared > 0) & (shared >= 0.5 * together) & (mine[..., 2:] > 0).all(axis=-1)
        count += int(met.any(axis=1).sum())
    return count


def wrong_joints(
    joints: np.ndarray, known: np.ndarray, box: np.ndarray, size: np.ndarray, drawn: bool = True
) -> str | None:
    """What is wrong with joints [P, J, 2] (labelled where `known` [P, J]) of people in boxes [P, 4], in photos of size
    [P, 2] height, width (0: not known). None where nothing is; else which reading of them would fit, if one would.

    drawn: whether the boxes were drawn; else they were made of other values, and are not read otherwise. Of large sets
    LOOKED_AT people tell, spread over the table: every reading of all of COCO-WholeBody takes minutes and gigabytes."""
    if len(joints) > LOOKED_AT:
        some = np.linspace(0, len(joints) - 1, LOOKED_AT).astype(np.int64)
        joints, known, box, size = joints[some], known[some], box[some], size[some]
    if not known.any():
        return None
    values = joints[known]
    if np.abs(values).max() <= 1 and (values % 1 > 0).any() and (box[:, 2:] > 4).any():
        return "keypoints: expected pixels of the photo; all lie in 0..1: shares of the photo's size?"
    readings = _readings(joints, box, size, drawn)
    found = [(int(fits.sum()), name) for name, fits in _better(joints, known, box, readings).items()]
    count, best = max(found)
    fits = count >= max(MANY, SHARE * len(joints))
    guess = f"; they would lie in them if {best}" if fits else ""
    if _near(joints, known, box) < ENOUGH:
        return f"keypoints: expected pixels of the photo; nearly all lie outside their boxes{guess}"
    if fits:
        return f"keypoints: {count} of {len(joints)} people have theirs outside their boxes{guess}"
    if drawn and _corners(joints, known, box):
        return "boxes: expected x, y, width, height; the joints tell that they are corners x1, y1, x2, y2"
    return None


def strays(joints: np.ndarray, known: np.ndarray, box: np.ndarray) -> int:
    """How many people have most of their labelled joints outside their box; 0 where they are fewer than MANY."""
    count = int((_share(joints, known, box) < 0.5).sum())
    return count if count >= MANY else 0


def _readings(
    joints: np.ndarray, box: np.ndarray, size: np.ndarray, drawn: bool
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What else joints and boxes may mean: those in pixels, by what they would have been given as."""
    scale = np.where(size[:, ::-1] > 0, size[:, ::-1], np.nan)[:, None].astype(np.float64)
    corner, side = box[:, None, :2], box[:, None, 2:]
    found = {
        "keypoints were shares of the photo's size, 0..1": (joints * scale, box),
        "keypoints were per cent of the photo's size": (joints * scale / 100, box),
        "keypoints were thousandths of the photo's size": (joints * scale / 1000, box),
        "keypoints were shares of the box, 0..1": (corner + joints * side, box),
        "keypoints were pixels from the box's corner": (corner + joints, box),
        "keypoints were y before x": (joints[..., ::-1], box),
        "keypoints were of a photo of half the size": (joints * 2, box),
        "keypoints were of a photo of twice the size": (joints / 2, box),
    }
    if drawn:
        both = np.tile(scale[:, 0], 2)
        found |= {
            "boxes were shares of the photo's size, 0..1": (joints, box * both),
            "boxes were per cent of the photo's size": (joints, box * both / 100),
            "boxes were centre x, centre y, width, height": (joints, _from_centre(box)),
            "boxes were y, x, height, width": (joints, box[:, [1, 0, 3, 2]]),
        }
    return found


def _from_centre(box: np.ndarray) -> np.ndarray:
    return np.concatenate([box[:, :2] - box[:, 2:] / 2, box[:, 2:]], axis=1)


def _better(
    joints: np.ndarray, known: np.ndarray, box: np.ndarray, readings: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Of each reading, the people [P] that it fits and the file's own does not: their joints fill the box."""
    apart = _share(joints, known, box) <= 0.5
    found = {}
    for name, (points, frame) in readings.items():
        low, high = (np.where(known[..., None], points, edge) for edge in (np.inf, -np.inf))
        filled = (high.max(axis=1) - low.min(axis=1)) > FILLED * frame[:, 2:]
        found[name] = apart & filled.all(axis=1) & (_share(points, known, frame) >= 0.9)
    return found


def _corners(joints: np.ndarray, known: np.ndarray, box: np.ndarray) -> bool:
    """Whether boxes are x1, y1, x2, y2: read as x, y, width, height they are too large, but hold all joints as well.
    Only people whose two boxes clearly differ tell, and only by the joints inside: a small one is soon nearly met. Most
    of them have to fill the corners' box: where joints of the head are all that is labelled, they lie in both."""
    telling = (box[:, :2] > 0.3 * box[:, 2:]).any(axis=1) & (known.sum(axis=1) >= MANY)
    read = np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], axis=1)[telling]
    fits = (read[:, 2:] > 0).all(axis=1) & (_share(joints[telling], known[telling], read, 0.0) >= 0.9)
    low, high = (np.where(known[telling][..., None], joints[telling], edge) for edge in (np.inf, -np.inf))
    full = (high.max(axis=1) - low.min(axis=1) > 0.6 * read[:, 2:]).all(axis=1)
    return bool(telling.sum() >= MANY and fits.mean() >= 0.9 and full.mean() > 0.5)


def _share(joints: np.ndarray, known: np.ndarray, box: np.ndarray, close: float = CLOSE) -> np.ndarray:
    """[P] how many of a person's labelled joints lie in the box, or within `close` of it."""
    reach = close * np.abs(box[:, 2:]).max(axis=1)[:, None, None]
    low, high = box[:, None, :2] - reach, box[:, None, :2] + box[:, None, 2:] + reach
    with np.errstate(invalid="ignore"):
        inside = ((joints >= low) & (joints <= high)).all(axis=2) & known
    return inside.sum(axis=1) / np.maximum(known.sum(axis=1), 1)


def _near(joints: np.ndarray, known: np.ndarray, box: np.ndarray) -> float:
    """The share of people most of whose labelled joints lie near their box."""
    reach = NEAR * box[:, 2:].max(axis=1)[:, None, None]
    low, high = box[:, None, :2] - reach, box[:, None, :2] + box[:, None, 2:] + reach
    with np.errstate(invalid="ignore"):
        inside = ((joints >= low) & (joints <= high)).all(axis=2) & known
    return float((inside.sum(axis=1) * 2 >= known.sum(axis=1)).mean())
