"""asda-fast ablate: arms x seeds, trained and compared."""

from __future__ import annotations

from typing import Any

from asda_fast.cli import entry
from asda_fast.train.ablation import MEASURES, AblateOptions


def ablate(options: AblateOptions) -> None:
    from asda_fast.train.ablation import ablate as run

    results = run(options, lambda text: print(text, flush=True))
    show(results)
    print(options.out / "results.json")


def show(results: dict[str, Any]) -> None:
    """Percentages of correct joints: mean +- spread over seeds, and beside the baseline's [95 % interval]."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"correct joints, %; difference from {results['baseline']} [95 % over people and seeds]")
    for name in ("arm", *MEASURES.values(), "train", "hardness", "gap, 1e-3", "steps", "seconds"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for row in results["arms"]:
        cells = [row["arm"]]
        for measure in MEASURES:
            cells.append(_cell(row[measure], row["arm"] == results["baseline"]) if measure in row else "-")
        hardness = "-" if row["hardness"] is None else f"{row['hardness']:.2f}"
        cells += [f"{row['pck_train']:.1f}", hardness, f"{1e3 * row['gap']:.2f}", f"{row['steps']:.0f}"]
        table.add_row(*cells, f"{row['seconds']:.0f}")
    Console(highlight=False, width=max(Console().width, 150)).print(table)
    early = [row["arm"] for row in results["arms"] if not row["past_its_peak"]]
    if results["baseline"] in early:
        print(f"{results['baseline']} is not past its best epoch: so short a run shows how augmentation slows learning")


def _cell(found: dict[str, Any], baseline: bool) -> str:
    spread = "" if found["spread"] is None else f" +- {found['spread']:.1f}"
    more = found["more"]
    beside = "" if baseline else f"\n{more['mean']:+.2f} [{more['low']:+.2f}, {more['high']:+.2f}]"
    return f"{found['mean']:.2f}{spread}{beside}"


def main(prog: str = "asda-fast ablate") -> None:
    entry.command(AblateOptions, prog, ablate)
