"""Drawing for eyes: skeletons on crops, contact sheets with captions. NumPy and OpenCV only; images are RGB uint8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.core.files import check_suffix
from asda_fast.core.skeleton import canonical

if TYPE_CHECKING:
    from asda_fast.data.people import Skeleton

Image = np.ndarray  # [H, W, 3] uint8, RGB

LEFT, RIGHT, MIDDLE = (255, 158, 27), (36, 170, 255), (180, 235, 90)  # the person's left is warm, the right cool
INK, PAPER, GREY = (32, 34, 40), (250, 249, 246), (118, 122, 130)
_FONT = cv2.FONT_HERSHEY_DUPLEX
_SHIFT = 4  # OpenCV draws with 4 fractional bits: joints keep their sub-pixel place


def sides(skeleton: Skeleton) -> list[int]:
    """Side of each joint: -1 the person's right, +1 left, 0 neither (nose, neck, pelvis...).

    Names decide where they say so ("left_hip", "l_hip", "R ankle"), else the order within `pairs` (left, right).
    """
    side = [0] * len(skeleton.joints)
    for a, b in skeleton.pairs:
        swapped = canonical(skeleton.joints[a]).startswith("right_")
        side[a], side[b] = (-1, 1) if swapped else (1, -1)
    return side


def _point(xy: np.ndarray) -> tuple[int, int]:
    """Continuous coordinates (pixel i covers [i, i + 1)) -> OpenCV's fixed-point integer-centre ones."""
    x, y = np.clip((np.asarray(xy, np.float64) - 0.5) * (1 << _SHIFT), -(1 << 20), 1 << 20)
    return round(float(x)), round(float(y))


def skeleton(
    image: Image,
    joints: np.ndarray,
    visible: np.ndarray,
    skeleton: Skeleton,
    *,
    thickness: float | None = None,
    predicted: bool = False,
) -> Image:
    """A copy of `image` with limbs and joints: left warm, right cool. What is annotated has solid limbs and round
    joints (occluded ones hollow, limbs to them thin), what is predicted has dashed limbs and square joints: the two
    differ without colours too.

    Args:
        image: [H, W, 3] uint8 RGB.
        joints: [J, 2] continuous (x, y) in pixels of `image`.
        visible: [J] 0 not drawn, 1 occluded, 2 visible (a bool or a score > 0 counts as visible from True).
        skeleton: joint names, pairs and edges.
        thickness: limb width in pixels; by default 1/70 of the image's longer side, at least 1.5.
        predicted: as a prediction, not as the truth.
    """
    seen = np.asarray(visible)
    seen = np.where(seen, 2, 0) if seen.dtype == np.bool_ else seen.astype(np.int64)
    canvas = np.ascontiguousarray(image).copy()
    width = max(1.5, max(image.shape[:2]) / 70) if thickness is None else thickness
    side = sides(skeleton)
    colours = {1: LEFT, -1: RIGHT, 0: MIDDLE}

    for outline in (True, False):  # a dark rim below everything keeps limbs readable on any clothes
        for a, b in skeleton.edges:
            if not (seen[a] and seen[b]):
                continue
            full = seen[a] == 2 and seen[b] == 2
            thick = max(1, round(width if full else width * 0.45)) + (2 if outline else 0)
            colour = INK if outline else colours[int(np.sign(side[a] + side[b]))]
            for start, end in _dashes(joints[a], joints[b], 2.5 * width) if predicted else [(joints[a], joints[b])]:
                cv2.line(canvas, _point(start), _point(end), colour, thick, cv2.LINE_AA, _SHIFT)
    for j in range(len(joints)):
        if not seen[j]:
            continue
        if predicted:
            for side_length, colour in ((width * 1.9 + 2, INK), (width * 1.9, colours[side[j]])):
                _square(canvas, joints[j], side_length, colour)
            continue
        radius = round(width * 0.95 * (1 << _SHIFT))
        cv2.circle(canvas, _point(joints[j]), radius + (1 << _SHIFT), INK, -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(canvas, _point(joints[j]), radius, colours[side[j]], -1, cv2.LINE_AA, _SHIFT)
        if seen[j] == 1:
            cv2.circle(canvas, _point(joints[j]), round(radius * 0.55), INK, -1, cv2.LINE_AA, _SHIFT)
    return canvas


def _dashes(start: np.ndarray, end: np.ndarray, length: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """A line as dashes of about `length` pixels with gaps as long, one at either end; all of it where it is short."""
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    pieces = 2 * int(np.linalg.norm(end - start) / (2 * length)) + 1
    step = (end - start) / pieces
    return [(start + k * step, start + (k + 1) * step) for k in range(0, min(pieces, 999), 2)]


def _square(canvas: Image, xy: np.ndarray, side: float, colour: tuple[int, int, int]) -> None:
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * side / 2 + np.asarray(xy, np.float64)
    cv2.fillPoly(canvas, [np.array([_point(c) for c in corners], np.int32)], colour, cv2.LINE_AA, _SHIFT)


def misses(image: Image, truth: np.ndarray, predicted: np.ndarray, missed: np.ndarray) -> Image:
    """A copy of `image` with a thin line from each missed joint's prediction to a ring where the joint is.

    truth, predicted: [J, 2] continuous pixels; missed: [J] bool.
    """
    canvas = np.ascontiguousarray(image).copy()
    radius = round(max(2.0, max(image.shape[:2]) / 70) * (1 << _SHIFT))
    for j in np.flatnonzero(missed):
        for tint, thick in ((INK, 3), (PAPER, 1)):
            cv2.line(canvas, _point(predicted[j]), _point(truth[j]), tint, thick, cv2.LINE_AA, _SHIFT)
            cv2.circle(canvas, _point(truth[j]), radius, tint, thick, cv2.LINE_AA, _SHIFT)
    return canvas


def contour(image: Image, mask: np.ndarray) -> Image:
    """A copy of `image` with the edge of `mask` [H, W] bool drawn black and white: what was pasted, as it lies."""
    canvas = np.ascontiguousarray(image).copy()
    edges, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for tint, thick in ((INK, 3), (PAPER, 1)):
        cv2.drawContours(canvas, edges, -1, tint, thick, cv2.LINE_AA)
    return canvas


def outline(image: Image, polygons: Sequence[np.ndarray], colour: tuple[int, int, int] = (255, 64, 160)) -> Image:
    """A copy of `image` with closed polygons [K, 2] (continuous pixels) drawn: where a part was pasted."""
    canvas = np.ascontiguousarray(image).copy()
    for polygon in polygons:
        points = np.array([_point(p) for p in polygon], np.int32)
        for tint, thick in ((INK, 3), (colour, 1)):
            cv2.polylines(canvas, [points], True, tint, thick, cv2.LINE_AA, _SHIFT)
    return canvas


def text(canvas: Image, xy: tuple[int, int], words: str, size: float = 13, colour: tuple[int, int, int] = INK) -> None:
    """Write `words` into `canvas`; `xy` is the left end of the baseline, `size` the line height in pixels."""
    cv2.putText(canvas, words, xy, _FONT, size / 32, colour, 1, cv2.LINE_AA)


def text_width(words: str, size: float = 13) -> int:
    return int(cv2.getTextSize(words, _FONT, size / 32, 1)[0][0])


def _fit(words: str, width: int, size: float) -> str:
    """`words`, cut with dots to at most `width` pixels."""
    if text_width(words, size) <= width:
        return words
    while words and text_width(words + "...", size) > width:
        words = words[:-1]
    return words + "..."


def sheet(
    rows: Sequence[Sequence[Image]],
    captions: Sequence[Sequence[str]] | Sequence[str] | None = None,
    *,
    title: str = "",
    notes: Sequence[str] = (),
    cell: int | None = None,
    gap: int = 8,
) -> Image:
    """Lay images out as a contact sheet.

    Args:
        rows: rows of images [H, W, 3] uint8 RGB, any sizes (fitted to one height, aspect kept).
        captions: one list per row (a caption under each image), or one flat list (headings above the columns).
        title: printed on top; notes: smaller lines below it, what the captions and the lines mean.
        cell: height of a cell in pixels; by default the tallest image's, between 128 and 320.
        gap: paper between cells in pixels.

    Returns:
        [H, W, 3] uint8 RGB. `save` writes it.
    """
    images = [image for row in rows for image in row]
    if not images:
        raise ValueError("rows: expected at least one image, got none")
    high = cell or int(np.clip(max(i.shape[0] for i in images), 128, 320))
    shown_wide = [[max(1, round(i.shape[1] * high / i.shape[0])) for i in row] for row in rows]
    wide = [max(row[c] for row in shown_wide if c < len(row)) for c in range(max(len(row) for row in rows))]
    left = [gap + sum(wide[:c]) + gap * c for c in range(len(wide))]
    flat = bool(captions) and isinstance(captions[0], str)  # type: ignore[index]
    line = 20
    head = gap + (28 if title else 0)
    top = head + line * len(notes) + (line if flat else 0)
    step = high + gap + (line if captions and not flat else 0)
    canvas = np.empty((top + step * len(rows), left[-1] + wide[-1] + gap, 3), np.uint8)
    canvas[:] = PAPER
    if title:
        text(canvas, (gap, gap + 17), _fit(title, canvas.shape[1] - 2 * gap, 18), 18)
    for k, words in enumerate(notes):
        text(canvas, (gap, head + line * k + 11), _fit(words, canvas.shape[1] - 2 * gap, 13), 13, GREY)
    if flat:
        for c, caption in enumerate(captions or ()):
            text(canvas, (left[c], top - 6), _fit(str(caption), wide[c], 13), 13, GREY)
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            factor = high / image.shape[0]
            size = (shown_wide[r][c], high)
            mode = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
            shown = image if image.shape[:2] == (high, size[0]) else cv2.resize(image, size, interpolation=mode)
            x, y = left[c] + (wide[c] - size[0]) // 2, top + r * step
            canvas[y : y + high, x : x + size[0]] = shown
            if captions and not flat and r < len(captions) and c < len(captions[r]):
                text(canvas, (left[c], y + high + 15), _fit(captions[r][c], wide[c], 13), 13, GREY)
    return canvas


def save(path: str | Path, image: Image) -> Path:
    """Write an RGB image; the suffix decides the format (PNG is lossless). Folders are made as needed."""
    path = Path(path)
    check_suffix(path)
    done, data = cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]))
    if not done:
        raise UserError(f"{path}: cannot write a picture of {image.shape[1]} x {image.shape[0]} pixels in this format")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise UserError(f"{path}: cannot write the picture: {error.strerror or error}") from None
    return path
