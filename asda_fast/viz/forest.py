"""A forest plot: a line for each arm of an experiment, a panel for each measure, a dot with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from asda_fast.viz import draw

Point = tuple[float, float, float]  # value, low, high
LINE, WIDE, EDGE = 34, 250, 16  # pixels: between two arms, of a panel, between panels
GRID = (228, 226, 220)


@dataclass(frozen=True)
class Panel:
    """points: one for each arm, None where there is none; `reference`: a value that has a line of its own."""

    heading: str
    points: list[Point | None]
    reference: float | None = None


def forest(arms: Sequence[str], panels: Sequence[Panel], title: str) -> draw.Image:
    """[H, W, 3] uint8 RGB. Each panel has a scale of its own, marked at its ends' round numbers."""
    left = 2 * EDGE + max(draw.text_width(arm, 15) for arm in arms)
    top, bottom = 78, 34
    height = top + LINE * len(arms) + bottom
    width = max(left + (WIDE + EDGE) * len(panels), draw.text_width(title, 18) + 2 * EDGE)
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = draw.PAPER
    draw.text(canvas, (EDGE, 28), title, 18)
    rows = [top + LINE * i + LINE // 2 for i in range(len(arms))]
    for arm, y in zip(arms, rows):
        draw.text(canvas, (EDGE, y + 5), arm, 15)
    for number, panel in enumerate(panels):
        x = left + (WIDE + EDGE) * number
        draw.text(canvas, (x, top - 14), panel.heading, 15, draw.GREY)
        _panel(canvas, panel, x, rows, top, height - bottom)
    return canvas


def _panel(canvas: draw.Image, panel: Panel, left: int, rows: list[int], top: int, bottom: int) -> None:
    ends = [value for point in panel.points if point is not None for value in point]
    ends += [] if panel.reference is None else [panel.reference]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    step = _round_step(high - low)
    low, high = step * np.floor(low / step), step * np.ceil(high / step)
    high = high if high > low else low + step

    def at(value: float) -> int:
        return left + 12 + round((WIDE - 24) * (value - low) / (high - low))

    for mark in np.arange(low, high + step / 2, step):
        words = f"{mark:.6g}" if abs(mark) > step / 1e6 else "0"
        cv2.line(canvas, (at(mark), top), (at(mark), bottom), GRID, 1)
        draw.text(canvas, (at(mark) - draw.text_width(words, 12) // 2, bottom + 18), words, 12, draw.GREY)
    if panel.reference is not None:
        cv2.line(canvas, (at(panel.reference), top), (at(panel.reference), bottom), draw.GREY, 1)
    for point, y in zip(panel.points, rows):
        if point is not None:
            value, *interval = (at(each) for each in point)
            cv2.line(canvas, (interval[0], y), (interval[1], y), draw.RIGHT, 2, cv2.LINE_AA)
            cv2.circle(canvas, (value, y), 4, draw.INK, -1, cv2.LINE_AA)


def _round_step(span: float) -> float:
    """1, 2 or 5 times a power of ten, of which at most five fit into `span`."""
    if not span > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(span / 5))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power * 5 >= span * (1 - 1e-9)))
