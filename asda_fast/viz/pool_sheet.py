"""Look at a pool: contact sheet, counts, and the report of a build."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.parts.build import Report
from asda_fast.parts.cut import FATES
from asda_fast.parts.pool_file import PoolFile, open_pool

_LABEL = 150  # pixels of the column with the type's name
_SQUARE = 8  # of the checkerboard
_TEXT = (40, 40, 40)


def contact_sheet(
    path: str | Path, per_type: int = 12, cell: int = 112, zoom: float = 0.0, seed: int = 0
) -> np.ndarray:
    """A row per type that the pool has: name, count, median size, and some patches on a checkerboard. RGB uint8.

    zoom: magnification of every patch (bilinear, premultiplied; larger than a cell: its middle); 0 fits each patch.
    """
    pool = open_pool(path)
    rng = np.random.default_rng(seed)
    rows = []
    for type_, name in enumerate(pool.types):
        members = np.flatnonzero(pool.type == type_)
        if not len(members):
            continue
        row = np.full((cell, _LABEL + per_type * cell, 3), 255, np.uint8)
        height, width = np.median(pool.size[members], 0)
        for line, text in enumerate((name, f"{len(members)} patches", f"median {width:.0f} x {height:.0f}")):
            where, white = (6, 26 + 20 * line), cv2.LINE_AA
            cv2.putText(row, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.38, _TEXT, 1, white)
        shown = members if len(members) <= per_type else np.sort(rng.choice(members, per_type, replace=False))
        for i, patch in enumerate(shown):
            x = _LABEL + i * cell
            row[:, x : x + cell] = _on_checkerboard(pool.patch(int(patch)), cell, zoom)
        rows.append(row)
    if not rows:
        raise UserError(f"{path}: the pool holds no patches to show")
    return np.concatenate(rows)


def _on_checkerboard(rgba: np.ndarray, cell: int, zoom: float) -> np.ndarray:
    y, x = np.mgrid[:cell, :cell] // _SQUARE
    ground = np.where((x + y) % 2, 190, 235).astype(np.float32)[..., None].repeat(3, 2)
    ground[[0, -1]] = ground[:, [0, -1]] = 160
    height, width = rgba.shape[:2]
    factor = zoom or min(3.0, (cell - 6) / max(height, width))
    flat: Any = rgba.astype(np.float32)
    flat[..., :3] *= flat[..., 3:] / 255  # premultiplied, as the paste op samples
    matrix = np.array(
        [[factor, 0, cell / 2 - factor * width / 2], [0, factor, cell / 2 - factor * height / 2]], np.float32
    )
    matrix[:, 2] += factor / 2 - 0.5  # OpenCV's pixel centres are integers
    if factor < 1:  # reduce by area first, or fine texture turns to noise
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        flat = cv2.resize(flat, size, interpolation=cv2.INTER_AREA)
        top, left = (cell - size[1]) // 2, (cell - size[0]) // 2
        drawn: Any = np.zeros((cell, cell, 4), np.float32)
        drawn[top : top + size[1], left : left + size[0]] = flat
    else:
        drawn = cv2.warpAffine(flat, matrix, (cell, cell), flags=cv2.INTER_LINEAR)
    mixed = ground * (1 - drawn[..., 3:] / 255) + drawn[..., :3]
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def save_png(picture: np.ndarray, path: str | Path) -> None:
    """Write an RGB picture."""
    path = Path(path)
    done, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes() if done else b"")
    except OSError as error:
        raise UserError(f"--out {path}: cannot write the picture: {error.strerror or error}") from None


def pool_info(path: str | Path) -> dict[str, Any]:
    """Counts and sizes of a pool: patches, photos, mebibytes, types {name: count}, sizes {name: [h, w]}."""
    pool: PoolFile = open_pool(path)
    counts = np.bincount(pool.type, minlength=len(pool.types))
    return {
        "patches": len(pool),
        "photos": len(set(pool.source)),
        "mebibytes": round(pool.rgba.size / 2**20, 3),
        "types": {name: int(count) for name, count in zip(pool.types, counts)},
        "sizes": {
            name: np.median(pool.size[pool.type == i], 0).round().astype(int).tolist()
            for i, name in enumerate(pool.types)
            if counts[i]
        },
    }


def print_info(info: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"{info['patches']} patches from {info['photos']} photos, {info['mebibytes']:.1f} MiB"
    table = Table("type", "patches", "median size", title=title)
    for name, count in info["types"].items():
        height, width = info["sizes"].get(name, (0, 0))
        table.add_row(name, str(count), f"{width} x {height}" if count else "")
    Console().print(table)


def print_report(report: Report, out: Path) -> None:
    """What a build kept and dropped, per type and reason."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for line in report.problems:
        console.print(f"skipped {line}", markup=False, highlight=False, soft_wrap=True)
    title = f"connected components, scheme {report.scheme}"
    table = Table("type", "found", *FATES, title=title, padding=(0, 1, 0, 0), box=SIMPLE)  # fits 80 columns
    totals = {fate: sum(row[fate] for row in report.counts.values()) for fate in FATES}
    for name, row in {**report.counts, "all": totals}.items():
        table.add_row(name, str(sum(row.values())), *(str(row[fate] or "") for fate in FATES))
    console.print(table)
    rate = report.photos / report.seconds if report.seconds > 0 else math.inf
    line = f"{report.kept} patches from {report.photos} photos, {len(report.problems)} skipped; {rate:.0f} photos/s"
    console.print(f"{out}: {line}", highlight=False, soft_wrap=True)
