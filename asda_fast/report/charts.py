"""Curves and maps as inline SVG. Series differ by dashes and marks as well as by colour; colours are CSS variables, so
that one page is right on light and on dark."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

WIDE, HIGH = 470, 210  # of a chart, in SVG units
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 10, 28
MARKS = 40  # points up to which each has a mark


Place = Callable[[float, float], tuple[float, float]]  # of a value on the chart


@dataclass(frozen=True)
class Series:
    """y over x; None in y leaves a gap. error: half the height of a band about the curve."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    error: Sequence[float | None] | None = None

    def points(self) -> list[tuple[float, float, float]]:
        """(x, y, error) of what there is."""
        errors = self.error or [None] * len(self.y)
        return [(x, y, e or 0.0) for x, y, e in zip(self.x, self.y, errors) if y is not None and math.isfinite(y)]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers that span low..high."""
    span = high - low
    if not span > 0:
        around = abs(low) / 10 or 1.0
        low, high, span = low - around, high + around, 2 * around
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.floor(low / step)
    return [k * step for k in range(first, math.ceil(high / step - 1e-9) + 1)]


def number(value: float) -> str:
    """A tick or a value, short."""
    if value == 0:
        return "0"
    if abs(value) < 1e-2 or abs(value) >= 1e5:
        return f"{value:.3g}"
    return f"{value:.4g}"


def chart(
    title: str, caption: str, series: Sequence[Series], levels: Sequence[tuple[float, str]] = (), whole: bool = False
) -> str:
    """A figure: curves over epochs, a legend, lines at `levels`; "" without a point. whole: from 0 to 100."""
    shown = [one for one in series if one.points()]
    if not shown:
        return ""
    points = [one.points() for one in shown]
    values = [y + sign * e for rows in points for _, y, e in rows for sign in (-1, 1)] + [y for y, _ in levels]
    marks = ticks(0, 100) if whole else ticks(min(values), max(values))
    xs = [x for rows in points for x, _, _ in rows]
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x_low) / (x_high - x_low) * (WIDE - LEFT - RIGHT)
        return across, TOP + (marks[-1] - y) / (marks[-1] - marks[0]) * (HIGH - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{html.escape(title)}">']
    for y in marks:
        _, v = at(x_low, y)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{v:.1f}" y2="{v:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{v + 4:.1f}" text-anchor="end">{number(y)}</text>')
    for x in sorted({round(x) for x in np.linspace(x_low, x_high, min(8, int(x_high - x_low) + 1))}):
        if x <= max(xs):
            u, _ = at(x, marks[0])
            parts.append(f'<text x="{u:.1f}" y="{HIGH - 10}" text-anchor="middle">{x}</text>')
    for y, words in levels:
        u, v = at(x_high, y)
        parts.append(f'<line class="level" x1="{LEFT}" x2="{u:.1f}" y1="{v:.1f}" y2="{v:.1f}"/>')
        beside = v + 13 if v < TOP + 14 else v - 4  # below a line at the top
        parts.append(f'<text x="{u - 4:.1f}" y="{beside:.1f}" text-anchor="end">{html.escape(words)}</text>')
    for k, rows in enumerate(points):
        parts.append(_curve(k % 3, rows, at, shown[k].name))
    legend = "".join(
        f'<span><svg class="key" viewBox="0 0 34 12"><line class="c{k % 3}" x1="1" x2="33" y1="6" y2="6"/>'
        f"{_mark(k % 3, 17, 6)}</svg>{html.escape(one.name)}</span>"
        for k, one in enumerate(shown)
    )
    return (
        f"<figure><figcaption><b>{html.escape(title)}</b> {html.escape(caption)}</figcaption>"
        f'<div class="legend">{legend if len(shown) > 1 else ""}</div>{"".join(parts)}</svg></figure>'
    )


def _curve(k: int, rows: list[tuple[float, float, float]], at: Place, name: str) -> str:
    line = " ".join(f"{u:.1f},{v:.1f}" for u, v in (at(x, y) for x, y, _ in rows))
    parts = []
    if any(e for _, _, e in rows):
        upper = [at(x, y + e) for x, y, e in rows]
        lower = [at(x, y - e) for x, y, e in reversed(rows)]
        band = " ".join(f"{u:.1f},{v:.1f}" for u, v in [*upper, *lower])
        parts.append(f'<polygon class="band b{k}" points="{band}"/>')
    parts.append(f'<polyline class="c{k}" points="{line}"/>')
    for x, y, e in rows if len(rows) <= MARKS else rows[-1:]:
        error = f" ± {number(e)}" if e else ""
        told = f"<title>{html.escape(name)}, epoch {x:g}: {number(y)}{error}</title>"
        u, v = at(x, y)
        parts.append(_mark(k, u, v, told))
    return "".join(parts)


def _mark(k: int, u: float, v: float, told: str = "") -> str:
    """Disc, square, triangle."""
    if k == 0:
        return f'<circle class="m0" cx="{u:.1f}" cy="{v:.1f}" r="3.5">{told}</circle>'
    if k == 1:
        return f'<rect class="m1" x="{u - 3.2:.1f}" y="{v - 3.2:.1f}" width="6.4" height="6.4">{told}</rect>'
    points = f"{u:.1f},{v - 4.4:.1f} {u + 4:.1f},{v + 3:.1f} {u - 4:.1f},{v + 3:.1f}"
    return f'<polygon class="m2" points="{points}">{told}</polygon>'


def small(name: str, x: Sequence[float], y: Sequence[float | None]) -> str:
    """A small curve from 0 to 100 with its last value: one of many that share their axes."""
    rows = Series(name, x, y).points()
    if not rows:
        return ""
    low, high = min(x), max(max(x), min(x) + 1)
    line = " ".join(f"{4 + (a - low) / (high - low) * 152:.1f},{46 - b / 100 * 42:.1f}" for a, b, _ in rows)
    end = line.rsplit(" ", 1)[-1].split(",")
    told = f"<title>{html.escape(name)}: {', '.join(f'{b:.1f}' for _, b, _ in rows[-12:])}</title>"
    return (
        f'<figure class="small"><figcaption>{html.escape(name)} <b>{rows[-1][1]:.1f}</b></figcaption>'
        f'<svg viewBox="0 0 160 50">{told}<line class="grid" x1="4" x2="156" y1="46" y2="46"/>'
        f'<line class="grid" x1="4" x2="156" y1="4" y2="4"/><polyline class="c0" points="{line}"/>'
        f'<circle class="m0" cx="{end[0]}" cy="{end[1]}" r="3"/></svg></figure>'
    )


def density(
    counts: np.ndarray, most: float, bones: Sequence[tuple[np.ndarray, np.ndarray]], aspect: float, label: str
) -> str:
    """A grid of counts [rows, columns] over a crop, darker for more (`most`: the darkest), a mean skeleton below it.

    bones: pairs of points [2] in 0..1 of the crop; aspect: its height over its width."""
    rows, columns = counts.shape
    wide, high = 120.0, 120.0 * aspect
    parts = [f'<svg viewBox="0 0 {wide:g} {high:.1f}" role="img" aria-label="{html.escape(label)}">']
    parts.append(f'<rect class="frame" x="0.5" y="0.5" width="{wide - 1:g}" height="{high - 1:.1f}"/>')
    for a, b in bones:
        ends = f'x1="{a[0] * wide:.1f}" y1="{a[1] * high:.1f}" x2="{b[0] * wide:.1f}" y2="{b[1] * high:.1f}"'
        parts.append(f'<line class="bone" {ends}/>')
    for r, c in np.argwhere(counts > 0):
        opacity = math.sqrt(counts[r, c] / most)
        parts.append(
            f'<rect class="cell" x="{c * wide / columns:.1f}" y="{r * high / rows:.1f}" width="{wide / columns:.1f}" '
            f'height="{high / rows:.1f}" fill-opacity="{opacity:.2f}"/>'
        )
    return "".join(parts) + "</svg>"
