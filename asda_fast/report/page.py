"""The page of a run: read what the run wrote, put it in order, in words and pictures that say what is counted."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from asda_fast.core.errors import UserError, short
from asda_fast.core.files import check_target, write_atomic
from asda_fast.report import blocks
from asda_fast.report.look import Looked, look
from asda_fast.report.options import ReportOptions
from asda_fast.train import checkpoint
from asda_fast.train.place import FILES

LARGEST = 1e300  # of a number on a chart


def write(options: ReportOptions) -> Path:
    """The page's path. UserError where `run` is no run, or its people cannot be read."""
    folder = Path(options.run)
    history = read_history(folder)
    last = folder / "last.pt"
    saved = checkpoint.load(last) if last.is_file() else {}
    if not isinstance(saved.get("versions") or {}, dict):
        raise UserError(f"{last}: versions: expected a dictionary, got {short(saved['versions'])}")
    if not saved and (options.root or options.files.given or options.pool):
        raise UserError(f"{last}: no checkpoint here to look at people: leave out `root`, `pool` and annotations")
    out = Path(options.out) if options.out else folder / "report.html"
    if any(out.resolve() == (folder / name).resolve() for name in FILES):
        raise UserError(f"out {out}: expected a file of its own to write, not one of the run's")
    check_target("out", out)
    looked = None
    if saved and options.people and (options.root or options.files.given or saved["config"].get("dataset") == "demo"):
        looked = look(options, last, saved)
    body = "\n".join(sections(folder, history, saved, looked, options.sheets))
    template = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    page = template.replace("{{title}}", html.escape(f"Report of {folder}")).replace("{{body}}", body)
    write_atomic(out, page.encode())
    return out


def read_history(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl: an object per epoch, whose numbers are finite. UserError naming the folder or the line."""
    path = folder / "metrics.jsonl"
    if not path.is_file():
        raise UserError(f"{folder}: expected the folder of a run, with a metrics.jsonl in it")
    rows: list[dict[str, Any]] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path}: expected text in UTF-8") from None
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or type(row.get("epoch")) is not int:
            raise UserError(f"{path}: line {number}: expected an object with an epoch, got {line[:40]!r}")
        for key, value in row.items():
            if not _belongs(key, value):
                raise UserError(f"{path}: line {number}: {short(key)}: expected {_kind(key)}, got {short(value)}")
        if row["epoch"] <= (rows[-1]["epoch"] if rows else 0):
            before = f"that of line {number - 1}, {rows[-1]['epoch']}" if rows else "0"
            raise UserError(f"{path}: line {number}: expected an epoch after {before}, got {row['epoch']}")
        rows.append(row)
    if not rows:
        raise UserError(f"{path}: no epoch has ended yet")
    return rows


def _belongs(key: str, value: Any) -> bool:
    """Whether it is what an epoch's row has under this key: a number or null, for all but two."""
    if key == "protocol":
        return isinstance(value, str)
    if key == "pck_per_joint":
        return isinstance(value, dict) and all(_belongs(joint, each) for joint, each in value.items())
    return value is None or (isinstance(value, (int, float)) and abs(value) < LARGEST)  # not of nan


def _kind(key: str) -> str:
    return {"protocol": "a word", "pck_per_joint": "an object of numbers"}.get(key, "a finite number or null")


def sections(
    folder: Path, history: list[dict[str, Any]], saved: dict[str, Any], looked: Looked | None, sheets: int
) -> list[str]:
    """The page's parts from top to bottom."""
    config = saved.get("config") or {}
    what = ", ".join(str(config[k]) for k in ("dataset", "model", "input", "augment") if config.get(k))
    if config.get("augment") == "asda":
        what += f", adversary {config.get('adversary', 'generator')}"
    found = [f"<h1>{html.escape(str(folder))}</h1><p>{html.escape(what)}</p>", blocks.tiles(history, config)]
    found += ["<h2>Curves</h2>", f'<div class="charts">{"".join(blocks.curves(history))}</div>', blocks.joints(history)]
    found += blocks.contact_sheets(folder, sheets)
    if looked is None:
        found.append(
            "<h2>Where parts lie, and the worst people</h2><p>Not looked at: that needs the photos. "
            "Give <code>--root</code> (or <code>--val-annotations</code> and <code>--images</code>) and "
            "<code>--pool</code> to add them.</p>"
        )
    else:
        found += [blocks.maps(looked), blocks.worst(looked)]
    found.append(blocks.made_with(config, saved.get("versions")))
    found.append(blocks.table(history))
    return found
