"""The results.json of `asda-fast ablate` as a markdown table, for pages that show one:

    <!-- ablation: benchmarks/results/ablations/FILE.json [short] -->
    <!-- end -->

`python -m benchmarks.report --into PAGE` writes the block anew.
"""

from __future__ import annotations

from typing import Any

from asda_fast.train.ablation import MEASURES

SHORT = ("clean", "worst")


def table(data: dict[str, Any], short: bool = False) -> str:
    """Percentages of correct joints, mean and spread over seeds, and the paired difference from the baseline."""
    arms = data["arms"]
    measures = [name for name in (SHORT if short else MEASURES) if any(name in row for row in arms)]
    heads = [head for name in measures for head in (MEASURES[name], f"beside `{arms[0]['baseline']}`")]
    heads += [] if short else ["training", "s", "own gap, 1e-3"]
    lines = [
        f"{about(data)} Correct joints in %, mean ± spread over seeds; differences with 95 % over people and seeds.",
        "",
    ]
    lines += ["| arm | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    alike = len({len(row["seeds"]) for row in arms}) == 1
    for row in arms:
        seeds = "" if alike else f" ({len(row['seeds'])} seed{'s' * (len(row['seeds']) > 1)})"
        cells = [f"`{row['arm']}`{seeds}"]
        for name in measures:
            cells += _measure(row[name], row["arm"] == row["baseline"]) if name in row else ["", ""]
        if not short:
            s = "" if row["hardness"] is None else f"{row['hardness']:.2f}"
            cells += [f"{row['pck_train']:.1f}", s, f"{1e3 * row['gap']:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def about(data: dict[str, Any]) -> str:
    """What was trained, in a sentence."""
    recipe, arms = data["recipe"], data["arms"]
    people = recipe.get("train_people")
    who = f"{people} people of {recipe['dataset']}" if people else f"{recipe['dataset']}"
    seeds = {len(row["seeds"]) for row in arms}
    least, most = (f(row["steps"] for row in arms) for f in (min, max))
    steps = f"{least:.0f}" if least == most else f"{least:.0f} to {most:.0f}"
    what = f"{recipe['model']} at {recipe['input']}, {who}, {steps} steps of {recipe['batch_size']}"
    turned = f"rotation {recipe['rotation']:g}, scale {recipe['scale']:g}, flip {recipe['flip']:g}"
    if patches := data.get("given", {}).get("patches"):  # not in older results
        turned += f", a pool of {patches:,} patches"
    number = f"{min(seeds)}" if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)}"
    return f"{what}, {turned}; {number} seed{'s' * (number != '1')}, {data['people']} validation people."


def _measure(found: dict[str, Any], baseline: bool) -> list[str]:
    more = found["more"]
    spread = "" if found["spread"] is None else f" ± {found['spread']:.2f}"
    beside = "" if baseline or more is None else f"{more['mean']:+.2f} [{more['low']:+.2f}, {more['high']:+.2f}]"
    return [f"{found['mean']:.2f}{spread}", beside]
