"""One photo and its label map -> patches, and what became of every connected component. No files, no torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, fields

import cv2
import numpy as np

from asda_fast import _C
from asda_fast.core.errors import UserError
from asda_fast.parts.scheme import Rule, Scheme
from asda_fast.parts.types import SHARE, TYPES

OUTCOMES = ("kept", "small", "scattered", "border", "sliver", "fragment", "flat")
"""What becomes of a component, in the order in which it is asked; the first that holds. The last three are the
measurable form of the paper's "low semantics"."""

_SHARES = dict(zip(TYPES, SHARE))


@dataclass(frozen=True)
class Filters:
    """When a component is not worth keeping. Lengths and areas are in pixels of the photo, before any reduction."""

    min_area: float = 35.0**2
    """small: fewer pixels than this (paper)"""
    whole: float = 0.75
    """scattered: not the largest component, or the largest holds less than this part of the type"""
    border: float = 0.25
    """border: pixels on the photo's edge / sqrt(area) above this, so the part is cut off"""
    thickness: float = 0.25
    """sliver: side of the largest square inside / sqrt(area) below this"""
    share: float = 0.4
    """fragment: diagonal below this part of what is usual for the type on this person"""
    contrast: float = 8.0
    """flat: standard deviation of the grey level below this"""
    erode: int = 0
    """pixels taken off every part's edge, where the maps include a rim of background"""
    person_height: int = 384
    """larger people are reduced to this height by area averaging; 0 = never"""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < float("inf"):
                raise UserError(f"{field.name}: expected 0 or more, got {getattr(self, field.name)}")


@dataclass
class Patch:
    """One part cut from one person."""

    type: int  # index into Scheme.types
    rgba: np.ndarray  # [h, w, 4] uint8, straight
    person: tuple[float, float]  # width, height of the person's box, in this patch's pixels
    outcome: str  # "kept", or why it was dropped
    corner: tuple[int, int]  # x, y of its top-left pixel in the photo


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
    dropped    also return the low-semantics and border-cut patches (with their outcome), to look at

    Returns the patches and how many components met which outcome: {(type name, outcome): count}. Every component of
    every type of every person is counted once.
    """
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(f"photo: expected uint8 [H, W, 3], got {photo.dtype} {list(photo.shape)}")
    if label.dtype != np.uint8 or label.shape != photo.shape[:2]:
        raise ValueError(f"label: expected uint8 {list(photo.shape[:2])}, got {label.dtype} {list(label.shape)}")
    if instances is not None and instances.shape != label.shape:
        raise ValueError(f"instances: expected {list(label.shape)}, got {list(instances.shape)}")
    photo, label = np.ascontiguousarray(photo), np.ascontiguousarray(label)  # the kernels take addresses
    patches: list[Patch] = []
    outcomes: Counter[tuple[str, str]] = Counter()
    index = {name: i for i, name in enumerate(scheme.types)}
    for number, (x, y), region in _people(label, scheme, instances, apart):
        height, width = region.shape
        box = (boxes or {}).get(number)
        if box is not None and min(box[2:]) <= 0:
            box = None  # annotations have such: the labelled pixels tell the person's size
        person = (box[2], box[3]) if box is not None else (float(width), float(height))
        factor = min(1.0, filters.person_height / person[1]) if filters.person_height else 1.0
        spans = spans_of(region)
        for rule in scheme.rules:
            for piece in _pieces(region, spans, rule, (x, y), label.shape, person, filters):
                (px, py), (h, w) = piece.corner, piece.mask.shape
                colours, outcome = photo[py : py + h, px : px + w], piece.outcome
                if outcome == "kept" and _contrast(colours, piece.mask) < filters.contrast:
                    outcome = "flat"
                if outcome == "kept" or (dropped and outcome in OUTCOMES[3:] and h):
                    rgba = cut_patch(colours, piece.mask, factor)
                    size = (person[0] * rgba.shape[1] / w, person[1] * rgba.shape[0] / h)
                    patches.append(Patch(index[rule.type], rgba, size, outcome, piece.corner))
                outcomes[rule.type, outcome] += piece.count
    return patches, outcomes


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
    _C.parts_spans(*_rows(label), label.shape[0], label.shape[1], table.ctypes.data)
    present = np.flatnonzero(table[:, 2])
    return {i: (x0, y0, x1, y1) for i, (x0, y0, x1, y1) in zip(present.tolist(), table[present].tolist())}


@dataclass
class _Piece:
    """One connected component of one type of one person."""

    outcome: str  # "kept" as far as its shape goes
    corner: tuple[int, int]  # x, y in the photo
    mask: np.ndarray  # [h, w] 0 / 1
    count: int = 1  # components that this stands for


def _pieces(
    region: np.ndarray,
    spans: dict[int, tuple[int, int, int, int]],
    rule: Rule,
    origin: tuple[int, int],
    photo_size: tuple[int, ...],
    person: tuple[float, float],
    filters: Filters,
) -> Iterator[_Piece]:
    """Every 8-connected component of `rule`'s type in a person's labels, whose corner lies at `origin` in the photo."""
    ids = [i for i in rule.ids if i in spans]
    if not ids or not _has_all(spans, rule):
        return
    left, top = (min(spans[i][k] for i in ids) for k in (0, 1))
    right, bottom = (max(spans[i][k] for i in ids) for k in (2, 3))
    table = np.zeros(256, np.uint8)
    table[ids] = 1
    labels = region[top:bottom, left:right]
    mask = cv2.LUT(labels, table)
    wide = cv2.CV_16U if mask.size < 4 * 65535 else cv2.CV_32S  # at most one component in four pixels
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=wide)
    areas = stats[1:, cv2.CC_STAT_AREA]
    first, total = int(areas.argmax()), int(areas.sum())
    small = areas < filters.min_area
    if small.any():  # all at once: a noisy map has a hundred thousand of them
        yield _Piece("small", (0, 0), mask[:0, :0], int(np.count_nonzero(small)))
    for i in np.flatnonzero(~small).tolist():
        x, y, w, h, area = stats[i + 1].tolist()
        window = (slice(y, y + h), slice(x, x + w))
        corner = (origin[0] + left + x, origin[1] + top + y)
        if not rule.each and (i != first or area < filters.whole * total):
            yield _Piece("scattered", corner, mask[window])
            continue
        mine = (numbers[window] == i + 1).view(np.uint8) if count > 2 else mask[window]
        if rule.need and not _has_all(spans_of(labels[window] * mine), rule):
            outcome = "scattered"  # a leg with shoe whose shoe is another component
        else:
            outcome = _shape_outcome(mine, corner, area, photo_size, person, rule.type, filters)
        if filters.erode and outcome != "scattered":
            corner, mine = _erode(mine, corner, filters.erode)
            outcome = outcome if mine.size else "sliver"  # nothing is left of it
        yield _Piece(outcome, corner, mine)


def _has_all(present: Container[int], rule: Rule) -> bool:
    """Whether every group that a merged type needs has an id among those present."""
    return all(any(i in present for i in group) for group in rule.need)


def _shape_outcome(
    mask: np.ndarray,
    corner: tuple[int, int],
    area: int,
    photo_size: tuple[int, ...],
    person: tuple[float, float],
    type_: str,
    filters: Filters,
) -> str:
    h, w = mask.shape
    if _border(mask, corner, photo_size) > filters.border * math.sqrt(area):
        return "border"
    if not _C.parts_has_square(*_rows(mask), h, w, math.ceil(filters.thickness * math.sqrt(area))):
        return "sliver"
    if math.hypot(w, h) < filters.share * _SHARES.get(type_, 0.0) * math.hypot(*person):
        return "fragment"
    return "kept"


def _contrast(colours: np.ndarray, mask: np.ndarray) -> float:
    """Standard deviation of the grey level of photo pixels [h, w, 3] where the mask is 1."""
    return float(_C.parts_contrast(*_rows(colours), *_rows(mask), *mask.shape))


def _erode(mask: np.ndarray, corner: tuple[int, int], pixels: int) -> tuple[tuple[int, int], np.ndarray]:
    """The mask without its outermost pixels, tight, and the corner it then has."""
    kernel = np.ones((3, 3), np.uint8)
    inner = np.asarray(cv2.erode(mask, kernel, iterations=pixels, borderType=cv2.BORDER_CONSTANT, borderValue=(0,)))
    x, y, w, h = cv2.boundingRect(inner)
    return (corner[0] + x, corner[1] + y), np.ascontiguousarray(inner[y : y + h, x : x + w])


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
