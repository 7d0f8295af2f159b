"""asda-fast ablate: arms x seeds, trained and compared."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from asda_fast.adversary.options import AdversaryOptions
from asda_fast.cli import entry
from asda_fast.core.errors import UserError
from asda_fast.train.ablation import MEASURES, AblateOptions
from asda_fast.train.arms import lacks_baseline

OF_ARMS = ("augment", *(field.name for field in fields(AdversaryOptions)))


def ablate(options: AblateOptions) -> None:
    from asda_fast.train import ablation
    from asda_fast.viz import draw

    if options.dry_run:
        list_runs(options)
        return
    results = ablation.ablate(options, lambda text: print(text, flush=True))
    show(results)
    pictures = draw.save(options.out / "results.png", plot(results))
    print(f"{options.out / 'results.json'}, {pictures}")
    if failed := results.get("failed"):
        raise UserError(f"{len(failed)} of the runs failed, they are in no row above; {failed[0]}")


def list_runs(options: AblateOptions) -> None:
    """Every run in its order, and its share of the compute of all of them."""
    from asda_fast.train.ablation import plan
    from asda_fast.train.arms import costs, expand

    runs, cost = plan(options), costs(expand(options.arms), options.recipe)
    whole = sum(cost[run.arm] for run in runs)
    width = max(len(run.folder.name) for run in runs)
    for run in runs:
        made = run.recipe.resolved()
        print(
            f"{run.folder.name:{width}}  {100 * cost[run.arm] / whole:5.1f} %  {run.state:8}  {made.model}, "
            f"{made.epochs} epochs"
        )
    left = sum(cost[run.arm] for run in runs if run.state != "finished")
    print(f"{len(runs)} runs, {100 * left / whole:.0f} % of their compute still to go (estimated, without measuring)")


def show(results: dict[str, Any]) -> None:
    """Percentages of correct joints: mean +- spread over seeds, and beside the baseline's [95 % interval]."""
    from rich.console import Console
    from rich.table import Table

    baselines = dict.fromkeys(row["baseline"] for row in results["arms"])
    table = Table(title=f"correct joints, %; difference from {', '.join(baselines)} [95 % over people and seeds]")
    for name in ("arm", *MEASURES.values(), "train", "hardness", "gap, 1e-3", "seeds", "steps", "seconds"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for row in results["arms"]:
        cells = [row["arm"]]
        for measure in MEASURES:
            cells.append(_cell(row[measure], row["arm"] in baselines) if measure in row else "-")
        hardness = "-" if row["hardness"] is None else f"{row['hardness']:.2f}"
        cells += [f"{row['pck_train']:.1f}", hardness, f"{1e3 * row['gap']:.2f}", str(len(row["seeds"]))]
        table.add_row(*cells, f"{row['steps']:.0f}", f"{row['seconds']:.0f}")
    Console(highlight=False, width=max(Console().width, 150)).print(table)
    for row in results["arms"]:
        if row["arm"] not in baselines:
            continue
        if lacking := lacks_baseline(row["arm"], list(baselines)):
            print(f"{row['arm']} is compared with nothing: no other arm is trained alike, {lacking} would be")
        if row["past_its_peak"] is None:
            print(f"{row['arm']}: of one seed it cannot be told whether it is past its best epoch")
        elif not row["past_its_peak"]:
            print(f"{row['arm']}: no fall from its best epoch is shown: if it still rises, a paste only slows it")
        else:
            fell, epoch = row["fell"]["mean"], row["fell"]["from_epoch"]
            print(f"{row['arm']} lost {fell:.2f} after epoch {epoch}: fewer epochs alone may give what its rivals do")
    if alone := [row["arm"] for row in results["arms"] if len(row["seeds"]) == 1]:
        print(f"one seed ({', '.join(alone)}): these intervals answer for other people, not for other seeds")


def plot(results: dict[str, Any]) -> Any:
    """The differences from the baseline with their intervals, and how hard each arm's places were (+- 2 errors)."""
    from asda_fast.viz.forest import Panel, forest

    rows = results["arms"]
    panels = []
    for measure, name in MEASURES.items():
        more = [row[measure]["more"] if measure in row else None for row in rows]
        if any(more):
            points = [None if m is None else (m["mean"], m["low"], m["high"]) for m in more]
            panels.append(Panel(f"{name}: difference, %", points, 0.0))
    hard = [row["hardness"] for row in rows]
    if any(value is not None for value in hard):
        errors = [2 * (row["hardness_se"] or 0.0) for row in rows]
        points = [None if s is None else (s, s - e, s + e) for s, e in zip(hard, errors)]
        panels.append(Panel("hardness (0 chance, 1 worst of 32)", points, 0.0))
    fewest = min(len(row["seeds"]) for row in rows)
    title = f"Correct joints beside the baseline, 95 % over people and seeds (at least {fewest} each)"
    return forest([row["arm"] for row in rows], panels, title)


def _cell(found: dict[str, Any], baseline: bool) -> str:
    spread = "" if found["spread"] is None else f" +- {found['spread']:.1f}"
    more = found["more"]
    beside = "" if baseline or more is None else f"\n{more['mean']:+.2f} [{more['low']:+.2f}, {more['high']:+.2f}]"
    return f"{found['mean']:.2f}{spread}{beside}"


def main(prog: str = "asda-fast ablate") -> None:
    try:
        entry.command(AblateOptions, prog, ablate)
    except UserError as error:
        if str(error).startswith(tuple(f"--{name.replace('_', '-')}:" for name in OF_ARMS)):
            raise UserError(f"{error}; an arm's own options stand behind its name, as critic:verify=2") from None
        raise
