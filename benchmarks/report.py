"""Benchmark JSON -> markdown tables and a plot.

    python -m benchmarks.report FILE...                        print the tables
    python -m benchmarks.report FILE --plot out.png            bars, one group per line of the table
    python -m benchmarks.report FILE --where mode=both,forward only these lines (repeatable; values by comma)
    python -m benchmarks.report --into README.md [--check]     rewrite (or only compare) the blocks between
                                                               <!-- results: FILE KEY=VALUES ... --> and <!-- end -->,
                                                               and those of ablations (ablation.py) and of the live
                                                               game (game_table.py)

One line per set of parameters, one column per contestant. Beside a contestant's time stands its ratio to asda_fast:
above 1 it is slower than asda_fast, below 1 it is faster.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks import ablation, game_table
from benchmarks.common import ROOT, validate

OURS = "asda_fast"
WIDEST = 7  # columns of contestants
BLOCK = re.compile(r"(<!-- (?P<kind>results|ablation|game): (?P<call>[^>]*?) -->\n).*?<!-- end -->", re.DOTALL)
END = "<!-- end -->"


def read(path: Path) -> dict[str, Any]:
    data = json.loads(path.read_text())
    try:
        validate(data)
    except ValueError as error:
        raise SystemExit(f"{path}: not a benchmark result: {error}") from None
    return data


def select(rows: list[dict[str, Any]], where: list[str]) -> list[dict[str, Any]]:
    """The rows whose parameters (or name, or unit) have one of the values asked for."""
    for clause in where:
        key, _, values = clause.partition("=")
        wanted = set(values.split(","))
        rows = [row for row in rows if _value(row, key) in wanted]
    return rows


def _value(row: dict[str, Any], key: str) -> str:
    if key == "unit":
        return str(row["unit"]).replace(" ", "_")  # the blocks of a page are split at spaces
    return str(row["name"] if key == "name" else row["params"].get(key))


def pivot(rows: list[dict[str, Any]]) -> dict[tuple[tuple[str, Any], ...], dict[str, dict[str, Any]]]:
    """parameters and unit -> name -> row, in the order of the file."""
    lines: dict[tuple[tuple[str, Any], ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        lines.setdefault((*row["params"].items(), ("unit", row["unit"])), {})[row["name"]] = row
    return lines


def number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def table(data: dict[str, Any], where: list[str]) -> str:
    """A markdown table; parameters that are the same in every line stand above it."""
    lines = pivot(select(data["results"], where))
    if not lines:
        raise SystemExit(f"no result matches {' '.join(where)}")
    keys = list(dict.fromkeys(key for line in lines for key, _ in line))
    values = {key: {dict(line).get(key) for line in lines} for key in keys}
    fixed = [key for key in keys if len(values[key]) == 1 and len(lines) > 1]
    shown = [key for key in keys if key not in fixed]
    names = list(dict.fromkeys(name for line in lines.values() for name in line))
    machine = data["machine"]
    what = [
        machine.get("gpu") or f"{machine['cpu']}, {machine['threads']} threads",
        f"torch {data['versions']['torch']}",
    ]
    what += [f"{key} {next(iter(values[key]))}" for key in fixed]
    base = OURS if OURS in names else names[0]
    out = [f"{', '.join(what)}; median ± quartile distance, in brackets the ratio to {base}.", ""]
    if len(names) > WIDEST:  # contestants downward: a line of many columns cannot be read
        heads = [", ".join(str(dict(line).get(key, "")) for key in shown) for line in lines]
        out += ["| | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
        for name in names:
            row = [cell(cells.get(name), cells.get(base)) for cells in lines.values()]
            out.append(f"| {name} | " + " | ".join(row) + " |")
        return "\n".join(out) + "\n"
    out.append("| " + " | ".join([*shown, *names]) + " |")
    out.append("|" + "---|" * len(shown) + "---:|" * len(names))
    for line, cells in lines.items():
        row = [str(dict(line).get(key, "")) for key in shown]
        row += [cell(cells.get(name), cells.get(base)) for name in names]
        out.append("| " + " | ".join(row) + " |")
    return "\n".join(out) + "\n"


def cell(row: dict[str, Any] | None, ours: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    text = number(row["median"]) + (f" ± {number(row['iqr'])}" if row["iqr"] else "")
    if ours is None or row is ours or not ours["median"]:
        return text
    return f"{text} ({number(row['median'] / ours['median'])}x)"


def plot(data: dict[str, Any], where: list[str], path: Path) -> None:
    """Horizontal bars on a logarithmic axis; whiskers are the quartile distance."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = pivot(select(data["results"], where))
    unit = next(iter(lines))[-1][1]
    lines = {line: cells for line, cells in lines.items() if line[-1][1] == unit}
    names = list(dict.fromkeys(name for cells in lines.values() for name in cells))
    common = set.intersection(*(set(line) for line in lines))
    colours = plt.get_cmap("tab10")
    figure, axes = plt.subplots(figsize=(8, 1 + 0.24 * len(lines) * max(2, len(names))), layout="constrained")
    for group, cells in enumerate(lines.values()):
        for i, name in enumerate(n for n in names if n in cells):
            row, colour = cells[name], colours(names.index(name))
            y = group + 0.8 * (i / len(cells)) - 0.3
            axes.barh(y, row["median"], 0.7 / len(cells), xerr=row["iqr"] / 2, color=colour, label=name)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels())))
    axes.legend(handles.values(), handles.keys(), fontsize=8)
    labels = [", ".join(f"{k} {v}" for k, v in line if (k, v) not in common) for line in lines]
    axes.set_yticks(range(len(lines)), labels or [""], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel(f"{unit} (shorter is better)" if unit in ("ms", "s", "us", "MiB") else unit)
    machine = data["machine"]
    axes.set_title(machine.get("gpu") or f"{machine['cpu']}, {machine['threads']} threads", fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def rewrite(text: str) -> str:
    """`text` with every marked block made anew from its JSON."""

    def block(match: re.Match[str]) -> str:
        file, *where = match["call"].split()
        if match["kind"] == "ablation":
            made = ablation.table(json.loads((ROOT / file).read_text()), short="short" in where)
        elif match["kind"] == "game":
            made = game_table.table([read(ROOT / each) for each in (file, *where)])
        else:
            made = table(read(ROOT / file), where)
        return f"{match[1]}{made}{END}"

    return BLOCK.sub(block, text)


def main() -> None:
    cli = argparse.ArgumentParser(description="Tables and plots from benchmark JSON")
    cli.add_argument("files", nargs="*", type=Path)
    cli.add_argument("--where", action="append", default=[], metavar="KEY=VALUES")
    cli.add_argument("--plot", type=Path, default=None)
    cli.add_argument("--into", type=Path, default=None, help="a markdown file with marked blocks")
    cli.add_argument("--check", action="store_true", help="with --into: fail if a block is out of date")
    options = cli.parse_args()
    for file in options.files:
        data = read(file)
        print(f"### {file.stem}\n\n{table(data, options.where)}")
        if options.plot:
            plot(data, options.where, options.plot)
    if options.into:
        old = options.into.read_text()
        new = rewrite(old)
        if options.check and new != old:
            sys.exit(
                f"{options.into}: a results block is out of date: run python -m benchmarks.report --into {options.into}"
            )
        options.into.write_text(new)


if __name__ == "__main__":
    main()
