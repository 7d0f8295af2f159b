"""An ablation: arms x seeds on one dataset, resumable; what differs, and how far chance could have moved it."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from asda_fast.core.errors import UserError
from asda_fast.core.options import AtLeast, check
from asda_fast.core.registry import nearest
from asda_fast.train.recipe import Recipe, RunOptions

# What each arm changes in the recipe; "epochs" is a factor, the rest are fields of Recipe and its groups.
ARMS: dict[str, dict[str, Any]] = {
    "none": {"augment": "none"},
    "none-twice": {"augment": "none", "epochs": 2},
    "cutout": {"augment": "cutout"},
    "cutout-rtmpose": {"augment": "cutout", "augment_options": ("extent=0.2,0.4",)},
    "ror": {"augment": "ror"},
    "random": {"augment": "sda"},
    "random-twice": {"augment": "sda", "epochs": 2},
    "search": {"augment": "asda", "adversary": "search", "verify": 4},
    "cover": {"augment": "asda", "adversary": "cover", "clean_pass": True},
    "generator": {"augment": "asda", "adversary": "generator"},
    "generator-joint": {"augment": "asda", "adversary": "generator", "update": "joint"},
    "critic": {"augment": "asda", "adversary": "critic"},
    "critic-verify-2": {"augment": "asda", "adversary": "critic", "verify": 2},
}
BASELINE = "none"
MEASURES = {"clean": "all joints", "hidden": "occluded", "random": "random paste", "worst": "worst of 8"}


@dataclass(frozen=True)
class AblateOptions:
    """Train every arm with every seed and compare them: the recipe is that of all arms, an arm changes what is pasted.

    A finished run is never repeated and a part of one is gone on with: give the same command again.
    """

    arms: tuple[str, ...] = ("none", "random", "generator", "critic", "critic-verify-2")
    """of none, none-twice, cutout, cutout-rtmpose, ror, random, random-twice, search, cover, generator,
    generator-joint, critic, critic-verify-2; -twice: twice the epochs, for equal compute"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """every arm is trained with each"""
    jobs: Annotated[int, AtLeast(1)] = 1
    """runs at once, each with its share of the cores"""
    recipe: Recipe = field(default_factory=Recipe)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        check(self)
        for arm in self.arms:
            if arm not in ARMS:
                raise UserError(f"arms: expected some of {', '.join(ARMS)}, got {arm!r}{nearest(arm, list(ARMS))}")
        for name in ("arms", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise UserError(f"{name}: expected different ones, at least one, got {' '.join(map(str, values))}")

    @property
    def out(self) -> Path:
        return Path(self.run.out or f"runs/ablate-{self.recipe.dataset}")


def recipe_of(arm: str, seed: int, recipe: Recipe) -> Recipe:
    """The recipe of one run."""
    change = dict(ARMS[arm])
    epochs = (recipe.resolved().epochs or 1) * change.pop("epochs", 1)
    return Recipe.from_dict({**recipe.to_dict(), **change, "seed": seed, "epochs": epochs})


def ablate(options: AblateOptions, say: Callable[[str], None]) -> dict[str, Any]:
    """Run what is missing, then compare: the content of results.json. UserError where a run fails or a folder holds
    another one. KeyboardInterrupt leaves every run where it can be gone on with."""
    from asda_fast.core.files import write_atomic
    from asda_fast.core.hardware import cores
    from asda_fast.train.trial import RESULT, trial

    threads = options.run.threads or max(1, cores() // options.jobs)
    waiting = []
    for seed in options.seeds:  # all arms of a seed before the next: early results compare
        for arm in options.arms:
            folder, recipe = options.out / f"{arm}-{seed}", recipe_of(arm, seed, options.recipe)
            if (folder / RESULT).is_file():
                finished(folder / RESULT, recipe.resolved())
                continue
            run = replace(options.run, out=str(folder), threads=threads)
            waiting.append((folder, (recipe, run, {"arm": arm, "seed": seed})))
    total, context = len(waiting), multiprocessing.get_context("spawn")
    say(f"{len(options.arms) * len(options.seeds) - total} runs are finished, {total} to go")
    running: list[tuple[Path, Any]] = []
    try:
        while waiting or running:
            while waiting and len(running) < options.jobs:
                folder, arguments = waiting.pop(0)
                process = context.Process(target=trial, args=arguments)
                process.start()
                running.append((folder, process))
            for folder, process in [entry for entry in running if not entry[1].is_alive()]:
                running.remove((folder, process))
                if process.exitcode:
                    raise UserError(f"{folder}: the run failed (code {process.exitcode}), see {folder / 'log.txt'}")
                say(f"{folder.name} is finished, {len(waiting) + len(running)} to go")
            time.sleep(0.2)
    finally:
        for _, process in running:
            process.terminate()  # a run that gets SIGTERM saves its state
        for _, process in running:
            process.join()
    results = compare([json.loads((options.out / f"{arm}-{seed}" / RESULT).read_text())
                       for arm in options.arms for seed in options.seeds])  # fmt: skip
    write_atomic(options.out / "results.json", (json.dumps(results, indent=1) + "\n").encode())
    return results


def finished(path: Path, recipe: Recipe) -> None:
    """UserError unless the finished run is of this recipe."""
    saved = json.loads(path.read_text())["recipe"]
    for name, value in recipe.to_dict().items():
        if name in saved and saved[name] != value:
            raise UserError(f"{path}: of a run with {name} {saved[name]}, not {value}; take another --out")


def compare(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The runs' result.json -> each arm's means and spreads over seeds, and its paired difference from the baseline
    (the first arm, where there is no `none`) with a 95 % interval over people and seeds."""
    import numpy as np

    from asda_fast.evaluate.paired import difference, percentage

    arms = list(dict.fromkeys(run["arm"] for run in runs))
    baseline = BASELINE if BASELINE in arms else arms[0]
    of = {arm: [run for run in runs if run["arm"] == arm] for arm in arms}
    found = []
    for arm in arms:
        row: dict[str, Any] = {"arm": arm, "seeds": [run["seed"] for run in of[arm]]}
        for name in ("steps", "seconds", "pck_train", "hardness"):
            values = [run[name] for run in of[arm] if run[name] is not None]
            row[name] = float(np.mean(values)) if values else None
        row["gap"] = float(np.mean([run["losses"]["best_of_32"] - run["losses"]["random"] for run in of[arm]]))
        row["past_its_peak"] = all(max(run["pck_by_epoch"]) > run["pck_by_epoch"][-1] for run in of[arm])
        for measure in MEASURES:
            counted = np.array(of[arm][0]["people"]["hidden_counted" if measure == "hidden" else "counted"])
            if not counted.sum():
                continue
            hits, base = (np.array([run["people"][measure] for run in of[name]]) for name in (arm, baseline))
            each, more = percentage(hits, counted), difference(hits, base, counted)
            spread = float(each.std(ddof=1)) if len(each) > 1 else None
            row[measure] = {"mean": float(each.mean()), "spread": spread, "seeds": each.tolist(), "more": vars(more)}
        found.append(row)
    return {"baseline": baseline, "arms": found}
