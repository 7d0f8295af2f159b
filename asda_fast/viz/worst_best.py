"""Pictures of the best and worst predicted people: truth on the left, prediction on the right."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from asda_fast.core import images
from asda_fast.core.skeletons import Skeleton
from asda_fast.metrics.result import Result
from asda_fast.viz import draw

EACH = 6  # people shown from either end
SIDE = 224  # pixels of a picture
BLANK = 238  # grey where there is no photo


def write(
    path: str | Path,
    skeleton: Skeleton,
    truth: np.ndarray,
    labelled: np.ndarray,
    predicted: np.ndarray,
    quality: np.ndarray,
    photos: list[str | None],
    title: str,
    each: int = EACH,
) -> Path:
    """Write a sheet of the `each` worst and best people.

    truth, predicted [N, J, 2] continuous photo pixels; labelled [N, J] (0, 1 occluded, 2 visible); quality [N], nan for
    people who are not counted; photos [N] paths, None or a missing one gives a plain background.
    """
    order = np.argsort(quality, kind="stable")
    order = order[np.isfinite(quality[order])]
    each = min(each, max(1, len(order) // 2))
    chosen = [("worst", order[:each]), ("best", order[::-1][:each])]
    rows, captions = [], []
    for word, people in chosen:
        for target in (truth, predicted):
            rows.append(
                [
                    _picture(
                        skeleton, target[i], labelled[i], truth[i], labelled[i] > 0, photos[i], target is predicted
                    )
                    for i in people
                ]
            )
            what = "annotated" if target is truth else "predicted"
            captions.append([f"{word}: person {i}, {quality[i]:.2f}, {what}" for i in people])
    return draw.save(path, draw.sheet(rows, captions, title=title))


def write_result(path: str | Path, result: Result, skeleton: Skeleton) -> Path:
    """The sheet of a protocol's result."""
    if result.truth is None or result.predicted is None or result.labelled is None or result.quality is None:
        raise ValueError("result: has nothing to draw")
    photos: list[str | None] = list(result.photos) if result.photos else [None] * len(result.truth)
    title = f"{result.title}: worst and best"
    return write(path, skeleton, result.truth, result.labelled, result.predicted, result.quality, photos, title)


def _picture(
    skeleton: Skeleton,
    joints: np.ndarray,
    visible: np.ndarray,
    truth: np.ndarray,
    known: np.ndarray,
    photo: str | None,
    predicted: bool,
) -> np.ndarray:
    """The square round a person's true joints, with `joints` drawn."""
    import cv2

    low, high = truth[known].min(0), truth[known].max(0)
    side = 1.4 * max(float((high - low).max()), 8.0)
    corner, ratio = (low + high) / 2 - side / 2, SIDE / side
    picture = np.full((SIDE, SIDE, 3), BLANK, np.uint8)
    image = None
    if photo:
        with contextlib.suppress(images.BadImage):
            image = images.read(images.read_bytes(photo), photo)
    if image is not None:
        # OpenCV's integer-centre matrix of x' = (x - corner) * ratio in continuous coordinates
        move = 0.5 * ratio - 0.5 - corner * ratio
        matrix = np.array([[ratio, 0, move[0]], [0, ratio, move[1]]])
        picture = np.ascontiguousarray(cv2.warpAffine(image, matrix, (SIDE, SIDE)))
    usable = np.isfinite(joints).all(-1)
    where = np.where(usable[:, None], (joints - corner) * ratio, 0)
    return draw.skeleton(picture, where, np.where(usable, visible, 0), skeleton, predicted=predicted)
