"""One photo and its label map -> patches, and what became of every connected component. No files, no torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from asda_fast import _C
from asda_fast.parts.labels import SHARE, TYPES, Scheme

FATES = ("kept", "small", "scattered", "border", "sliver", "fragment", "flat")
"""What becomes of a component, in the order in which it is asked; the first that holds. The last three are the
measurable form of the paper's "low semantics"."""

_SHARES = dict(zip(TYPES, SHARE))


@dataclass(frozen=True)
class Filters:
    """When a component is not worth keeping. Lengths and areas are in pixels of the photo, before any reduction."""

    min_area: float = 35.0**2  # small: fewer pixels than this (paper)
    whole: float = 0.75  # scattered: not the largest component, or the largest holds less than this part of the type
    border: float = 0.25  # border: pixels on the photo's edge / sqrt(area) above this, so the part is cut off
    thickness: float = 0.25  # sliver: side of the largest square inside / sqrt(area) below this
    share: float = 0.4  # fragment: diagonal below this part of what is usual for the type on this person
    contrast: float = 8.0  # flat: standard deviation of the grey level below this
    erode: int = 0  # pixels taken off every part's edge, where the maps include a rim of background
    person_height: int = 384  # larger people are reduced to this height by area averaging; 0 = never


@dataclass
class Patch:
    """One part cut from one person."""

    type: int  # index into Scheme.types
    rgba: np.ndarray  # [h, w, 4] uint8, straight
    person: tuple[float, float]  # width, height of the person's box, in this patch's pixels
    fate: str  # "kept", or why it was dropped
    corner: tuple[int, int]  # x, y of its top-left pixel in the photo
    area: int  # pixels of the component in the photo


def cut(
    photo: np.ndarray,
    label: np.ndarray,
    scheme: Scheme,
    filters: Filters = Filters(),
    instances: np.ndarray | None = None,
    boxes: dict[int, tuple[float, float, float, float]] | None = None,
    dropped: bool = False,
    apart: bool = False,
) -> tuple[list[Patch], Counter[tuple[str, str]]]:
    """Cut all parts of all people of one photo.

    photo      [H, W, 3] uint8 RGB
    label      [H, W] uint8 ids of `scheme`
    instances  [H, W] person number per pixel, 0 = nobody; None: the map shows one person, or, with `apart`, one in
               every connected component of the labelled pixels
    boxes      person number -> x, y, w, h where known; otherwise the box of the person's labelled pixels
    dropped    also return the low-semantics and border-cut patches (with their fate), to look at

    Returns the patches and how many components met which fate: {(type name, fate): count}. Every component of every
    type of every person is counted once.
    """
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(f"photo: expected uint8 [H, W, 3], got {photo.dtype} {list(photo.shape)}")
    if label.dtype != np.uint8 or label.shape != photo.shape[:2]:
        raise ValueError(f"label: expected uint8 {list(photo.shape[:2])}, got {label.dtype} {list(label.shape)}")
    if instances is not None and instances.shape != label.shape:
        raise ValueError(f"instances: expected {list(label.shape)}, got {list(instances.shape)}")
    photo, label = np.ascontiguousarray(photo), np.ascontiguousarray(label)  # the kernels take addresses
    patches: list[Patch] = []
    fates: Counter[tuple[str, str]] = Counter()
    index = {name: i for i, name in enumerate(scheme.types)}
    for number, (x, y), region in _people(label, scheme, instances, apart):
        height, width = region.shape
        box = (boxes or {}).get(number)
        person = (box[2], box[3]) if box is not None else (float(width), float(height))
        factor = min(1.0, filters.person_height / person[1]) if filters.person_height else 1.0
        spans = spans_of(region)
        for rule in scheme.rules:
            ids = [i for i in rule.ids if i in spans]
            if not ids or any(not any(i in spans for i in group) for group in rule.need):
                continue
            x0, y0 = (min(spans[i][k] for i in ids) for k in (0, 1))
            x1, y1 = (max(spans[i][k] for i in ids) for k in (2, 3))
            table = np.zeros(256, np.uint8)
            table[ids] = 1
            mask = cv2.LUT(region[y0:y1, x0:x1], table)
            corner = (x + x0, y + y0)
            for fate, (cx, cy, w, h), piece, area in _components(
                mask, corner, label.shape, person, rule.type, rule.each, filters
            ):
                px, py = corner[0] + cx, corner[1] + cy
                if rule.need and fate not in ("small", "scattered"):
                    mine = spans_of(region[py - y : py - y + h, px - x : px - x + w] * piece)
                    if any(not any(i in mine for i in group) for group in rule.need):
                        fate = "scattered"  # a leg with shoe whose shoe is another component
                wanted = fate == "kept" or (dropped and fate in FATES[3:])
                if wanted and filters.erode:
                    (dx, dy, w, h), piece = _erode(piece, filters.erode)
                    px, py = px + dx, py + dy
                    if not w:
                        fate, wanted = "sliver", False  # nothing is left of it
                if wanted:
                    colours = photo[py : py + h, px : px + w]
                    if fate == "kept" and _C.parts_contrast(*_rows(colours), *_rows(piece), h, w) < filters.contrast:
                        fate = "flat"
                    if fate == "kept" or dropped:
                        rgba = cut_patch(colours, piece, factor)
                        size = (person[0] * rgba.shape[1] / w, person[1] * rgba.shape[0] / h)
                        patches.append(Patch(index[rule.type], rgba, size, fate, (px, py), area))
                fates[rule.type, fate] += 1
    return patches, fates


def _people(
    label: np.ndarray, scheme: Scheme, instances: np.ndarray | None, apart: bool
) -> Iterator[tuple[int, tuple[int, int], np.ndarray]]:
    """(number, corner, labels of this person only within their box, background = 0), one person at a time."""
    spans = [span for i, span in spans_of(label).items() if i not in scheme.background]
    if not spans:
        return
    x0, y0 = min(s[0] for s in spans), min(s[1] for s in spans)
    x1, y1 = max(s[2] for s in spans), max(s[3] for s in spans)
    table = np.arange(256, dtype=np.uint8)
    table[list(scheme.background)] = 0
    region = cv2.LUT(label[y0:y1, x0:x1], table)
    if instances is None and not apart:
        yield 0, (x0, y0), region
        return
    if instances is None:
        numbers = cv2.connectedComponents(np.minimum(region, 1), connectivity=8)[1]
    else:
        numbers = instances[y0:y1, x0:x1]
    for number in np.unique(numbers).tolist():
        mine = region * (numbers == number)
        x, y, w, h = cv2.boundingRect(mine)
        if number > 0 and w and h:
            yield number, (x0 + x, y0 + y), np.ascontiguousarray(mine[y : y + h, x : x + w])


def spans_of(label: np.ndarray) -> dict[int, tuple[int, int, int, int]]:
    """id -> x0, y0, x1, y1 of its pixels, for the ids present in [h, w] uint8."""
    table = np.empty((256, 4), np.int64)
    _C.parts_spans(*_rows(label), *label.shape, table.ctypes.data)
    present = np.flatnonzero(table[:, 2])
    return {i: (x0, y0, x1, y1) for i, (x0, y0, x1, y1) in zip(present.tolist(), table[present].tolist())}


def _components(
    mask: np.ndarray,
    corner: tuple[int, int],
    photo_size: tuple[int, ...],
    person: tuple[float, float],
    type_: str,
    each: bool,
    filters: Filters,
) -> Iterator[tuple[str, tuple[int, int, int, int], np.ndarray, int]]:
    """Every 8-connected component: fate, box (x, y, w, h) within `mask`, its own mask in that box, area."""
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_16U)
    if count < 2:
        return
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest, total = int(areas.argmax()), int(areas.sum())
    for i in range(count - 1):
        area = int(areas[i])
        x, y, w, h = (int(v) for v in stats[i + 1, :4])
        if area < filters.min_area:
            yield "small", (x, y, w, h), mask, area
            continue
        if not each and (i != largest or area < filters.whole * total):
            yield "scattered", (x, y, w, h), mask, area
            continue
        window = (slice(y, y + h), slice(x, x + w))
        piece = (numbers[window] == i + 1).view(np.uint8) if count > 2 else mask[window]
        fate = "kept"
        if _border(piece, (corner[0] + x, corner[1] + y), photo_size) > filters.border * math.sqrt(area):
            fate = "border"
        elif not _C.parts_has_square(*_rows(piece), h, w, math.ceil(filters.thickness * math.sqrt(area))):
            fate = "sliver"
        elif math.hypot(w, h) < filters.share * _SHARES.get(type_, 0.0) * math.hypot(*person):
            fate = "fragment"
        yield fate, (x, y, w, h), piece, area


def _erode(piece: np.ndarray, pixels: int) -> tuple[tuple[int, int, int, int], np.ndarray]:
    """The piece without its outermost pixels, and where what is left lies in it: x, y, w, h."""
    options = {"iterations": pixels, "borderType": cv2.BORDER_CONSTANT, "borderValue": 0}
    inner = np.asarray(cv2.erode(piece, np.ones((3, 3), np.uint8), **options))  # type: ignore[call-overload]
    x, y, w, h = (int(v) for v in cv2.boundingRect(inner))
    return (x, y, w, h), np.ascontiguousarray(inner[y : y + h, x : x + w])


def _border(piece: np.ndarray, corner: tuple[int, int], photo_size: tuple[int, ...]) -> int:
    """Pixels of the piece on the photo's outermost rows and columns."""
    (x, y), (h, w) = corner, piece.shape
    count = 0
    for touches, line in (
        (x == 0, piece[:, 0]),
        (y == 0, piece[0]),
        (x + w == photo_size[1], piece[:, -1]),
        (y + h == photo_size[0], piece[-1]),
    ):
        if touches:
            count += int(np.count_nonzero(line))
    return count


def cut_patch(colours: np.ndarray, piece: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """Photo pixels [h, w, 3] and a 0/1 mask -> straight RGBA with an anti-aliased edge, reduced by `factor`.

    Alpha falls off on the inside of the edge only: a pixel of the mask has at least one half, any other has none. So
    alpha cut at one half is the mask, and a patch laid back where it came from changes nothing. Pixels just outside
    carry the colour of the mask's pixels next to them: whoever interpolates straight colours gets no background.
    """
    height, width = piece.shape
    shape = (height, width) if factor >= 1 else (max(1, round(height * factor)), max(1, round(width * factor)))
    out = np.empty((*shape, 4), np.uint8)
    _C.parts_patch(*_rows(colours), *_rows(piece), height, width, out.ctypes.data, *shape)
    return out


def _rows(image: np.ndarray) -> tuple[int, int]:
    """Address and pitch of a picture whose rows, at least, are contiguous."""
    return image.ctypes.data, image.strides[0]
