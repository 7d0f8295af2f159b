"""The live game's JSON (game.py) as a markdown table, with what each adversary costs (adversary.py) beside it:

    <!-- game: GAME.json [GAME.json ...] COSTS.json -->
    <!-- end -->

`python -m benchmarks.report --into PAGE` writes the block anew.
"""

from __future__ import annotations

from typing import Any

from asda_fast.adversary.options import PAIRS
from benchmarks.game import ARMS

COST = "of a plain step"
BESIDE = {"centre's s": ("the centre's s", 2), "own gap, 1e-3": ("own gap, 1e-3", 2), "PCK@0.1 crop": ("PCK", 1)}


def table(files: list[dict[str, Any]]) -> str:
    """A line an adversary, in the order of the files: its options; s, mean over seeds and of each; medians of the
    rest; its cost beside a plain step, where a file of costs has it."""
    rows = [row for data in files for row in data["results"]]
    cost = {row["name"]: row["median"] for row in rows if row["unit"] == COST}
    games: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for row in rows:
        if row["unit"] in ("s", *BESIDE):
            games.setdefault((row["name"], row["params"]["steps"]), {})[row["unit"]] = row
    usual = min(steps for _, steps in games)
    heads = ["adversary", "seeds", "s", *(head for head, _ in BESIDE.values()), COST]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for (arm, steps), found in games.items():
        params = found["s"]["params"]
        longer = f", {steps:,} steps" if steps != usual else ""
        cells = [called(arm, params["candidates"]) + longer, str(params["seeds"])]
        each = f" ({params['each']})" if "each" in params else ""  # not in older files
        cells.append(f"{params['mean']:.2f} ± {params['se']:.2f}{each}")
        cells += [f"{found[unit]['median']:.{digits}f}" for unit, (_, digits) in BESIDE.items()]
        cells.append(f"{cost[arm]:.2f}" if arm in cost else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def called(arm: str, candidates: int) -> str:
    """An arm of the game as the options of training that ask for it."""
    kind, options = ARMS[arm]
    if kind == "random":
        return "random places"
    words = [kind]
    words += ["--pairs"] if options.get("memory") == PAIRS else []
    words += ["--clean-pass"] if options.get("clean") else []
    words += [f"--verify {options['verify']}"] if "verify" in options else []
    words += [f"--verify-share {options['share']:g}"] if "share" in options else []
    words += [f"--part-choices {options['parts']}"] if "parts" in options else []
    words += ["--half-resolution"] if options.get("reduced") else []
    words += [f"--candidates {candidates}"] if "candidates" in options else []
    return f"`{' '.join(words)}`"
