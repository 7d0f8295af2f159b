"""An ablation: arms x seeds on one dataset, resumable; what differs, and how far chance could have moved it."""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from asda_fast.core.errors import UserError, short
from asda_fast.core.options import Above, AtLeast, check
from asda_fast.train.arms import baseline_of, check_own, expand, folder_of, recipe_of
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.result_file import RESULT, check_alike, read_result

MEASURES = {"clean": "all joints", "hidden": "occluded", "random": "random paste", "worst": "worst of 8"}


@dataclass(frozen=True)
class AblateOptions:
    """Train every arm with every seed and compare them: the recipe is that of all arms, an arm changes what is pasted.

    Each network is measured on the validation people: clean, under a random paste and under the worst of eight (of the
    same pool), and compared person by person with the arm `none`, or else the first. Written to --out: a folder for
    each run, results.json, results.png. A finished run is never repeated and a part of one is gone on with: give the
    same command again.
    """

    arms: tuple[str, ...] = ("none", "random", "generator", "critic", "critic-verify-4")
    """of none, none-twice, cutout, cutout-rtmpose, ror, random, random-twice, search, cover, generator,
    generator-joint, critic, critic-pairs (half the epochs), critic-verify-2, critic-verify-4 (for 0.3 of the people);
    -twice: twice the epochs, for equal compute. ARM:OPTION=VALUE changes the recipe further (generator:parts=2,
    critic:verify=2:candidates=256). Sets of arms: table-4 (occlusion), table-5 (number of parts), table-6 (networks) as
    in the paper; telling (none, critic-verify-4, random, generator)"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """every arm is trained with each; all arms of a seed before the next"""
    baseline: str | None = None
    """the arm that the others are compared with, e.g. random: what is a learnt place worth? [none, else the first]"""
    seconds: Annotated[float | None, Above(0)] = None
    """after so much time save what is under way and compare what is finished [no limit]"""
    dry_run: bool = False
    """only list the runs, with their estimated share of the compute"""
    jobs: Annotated[int, AtLeast(1)] = 1
    """runs at once, each with its share of the cores"""
    recipe: Recipe = field(default_factory=Recipe)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        check(self)
        named = self.run.files.dataset(self.recipe.dataset)
        object.__setattr__(self, "recipe", replace(self.recipe, dataset=named))
        check_own(expand(self.arms), self.recipe)
        if self.baseline is not None and self.baseline not in expand(self.arms):
            raise UserError(f"baseline: expected one of the arms, {', '.join(expand(self.arms))}, got {self.baseline}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"seeds: expected different ones, at least one, got {' '.join(map(str, self.seeds))}")

    @property
    def out(self) -> Path:
        return Path(self.run.out or f"runs/ablate-{self.recipe.dataset}")


@dataclass(frozen=True)
class Planned:
    """A run: done, begun (a part of it is saved) or to do."""

    arm: str
    seed: int
    folder: Path
    recipe: Recipe
    state: Literal["finished", "begun", "to do"]


def plan(options: AblateOptions) -> list[Planned]:
    """All runs, in their order. UserError where a folder holds a finished or a begun run of another recipe."""
    from asda_fast.train import checkpoint

    found: list[Planned] = []
    for seed in options.seeds:  # all arms of a seed before the next: early results compare
        for arm in expand(options.arms):
            folder, recipe = options.out / folder_of(arm, seed), recipe_of(arm, seed, options.recipe)
            if other := next((run.arm for run in found if run.folder == folder), None):
                raise UserError(f"arms: {other} and {arm} are one: their runs would share the folder {folder.name}")
            if other := next((run.arm for run in found if run.recipe == recipe), None):
                raise UserError(f"arms: {other} and {arm} are one: every run would be made twice, and compared")
            result, last = folder / RESULT, folder / "last.pt"
            state: Literal["finished", "begun", "to do"] = "to do"
            if result.is_file():
                state = "finished"
                check_recipe(result, read_result(result, arm, seed)["recipe"], recipe.resolved())
            elif last.is_file():
                state = "begun"
                check_recipe(last, checkpoint.load(last)["config"], recipe.resolved())
            found.append(Planned(arm, seed, folder, recipe, state))
    return found


def ablate(options: AblateOptions, say: Callable[[str], None]) -> dict[str, Any]:
    """Run what is missing, then compare: the content of results.json. Of a run that fails the others go on, and
    `failed` says why. UserError where none is finished before one fails or in time, or a folder holds another run.
    KeyboardInterrupt leaves every run where it can be gone on with."""
    from asda_fast.core.files import check_target, write_json
    from asda_fast.core.hardware import cores
    from asda_fast.train.trial import check_given, trial

    check_target("out", options.out / "results.json")
    began, threads = time.monotonic(), options.run.threads or max(1, cores() // options.jobs)
    runs = plan(options)
    given = check_given(options.out, options.recipe.resolved(), options.run)
    waiting = [run for run in runs if run.state != "finished"]
    context = multiprocessing.get_context("spawn")
    say(f"{len(runs) - len(waiting)} runs are finished, {len(waiting)} to go")
    if others := sorted({path.parent for path in options.out.glob(f"*/{RESULT}")} - {run.folder for run in runs}):
        say(f"not of these arms and seeds, and not compared: {', '.join(folder.name for folder in others)}")
    running: list[tuple[Path, Any, int]] = []  # the folder, the process, and where its part of log.txt begins
    failed: list[str] = []
    try:
        while waiting or running:
            if options.seconds is not None and time.monotonic() - began > options.seconds:
                say(f"time is over, {len(waiting) + len(running)} runs to go: the same command goes on")
                break
            while waiting and len(running) < options.jobs:
                run = waiting.pop(0)
                where = replace(options.run, out=str(run.folder), threads=threads)
                process = context.Process(target=trial, args=(run.recipe, where, {"arm": run.arm, "seed": run.seed}))
                log = run.folder / "log.txt"
                said = log.stat().st_size if log.is_file() else 0
                process.start()
                running.append((run.folder, process, said))
            for entry in [entry for entry in running if not entry[1].is_alive()]:
                running.remove(entry)
                folder, process, said = entry
                to_go = f"{len(waiting) + len(running)} to go"
                if not process.exitcode:
                    say(f"{folder.name} is finished, {to_go}")
                    continue
                failed.append(f"{folder}: the run failed: {last_words(folder / 'log.txt', said, process.exitcode)}")
                if not any((run.folder / RESULT).is_file() for run in runs):
                    raise UserError(failed[0])  # what is wrong may be wrong in all of them
                say(f"{failed[-1]}; the others go on, {to_go}")
            time.sleep(0.2)
    finally:
        for _, process, _ in running:
            process.terminate()  # a run that gets SIGTERM saves its state
        for _, process, _ in running:
            process.join()
    files = [(run.folder / RESULT, run) for run in runs if (run.folder / RESULT).is_file()]
    done = [(path, read_result(path, run.arm, run.seed)) for path, run in files]
    if not done:
        raise UserError(f"seconds: {options.seconds:g} were too few for a run; the same command goes on")
    check_alike(done)
    compared = compare([result for _, result in done], options.baseline)
    results = {"recipe": options.recipe.resolved().to_dict(), "given": given, **compared}
    results |= {"failed": failed} if failed else {}
    write_json(options.out / "results.json", results, indent=1)
    return results


def check_recipe(path: Path, saved: dict[str, Any], recipe: Recipe) -> None:
    """UserError unless what a run saved is of this recipe. An older run is one of the defaults in what it does not
    say."""
    usual = Recipe(dataset=recipe.dataset, model=recipe.model).resolved().to_dict()
    before, now = (  # lists, as a file has them
        json.loads(json.dumps(each, default=str)) for each in ({**usual, **saved}, recipe.to_dict())
    )
    for name, value in now.items():
        if before[name] != value:
            raise UserError(f"{path}: of a run with {name} {short(before[name])}, not {value}; take another --out")


def last_words(log: Path, begin: int, code: int) -> str:
    """Why a run ended: the signal that stopped it, or what it printed last into its log from byte `begin` on."""
    if code < 0:
        why = signal.Signals(-code).name + " (memory?)" * (-code == signal.SIGKILL)
        return f"it was stopped by {why} ({log})"
    said = log.read_bytes()[begin:].decode(errors="replace").strip() if log.is_file() else ""
    last = said.splitlines()[-1].removeprefix("error: ") if said else "it said nothing"
    return f"{last} ({log} has all of it)"


def course(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """How an arm went: training and validation score at each look, means over its seeds; by how much the validation
    score fell from its best look to the last, and whether that is more than chance makes of one plateau in twenty.

    The best look of a seed is that of the other seeds: the best of many looks at the same noise always comes out above
    the last. Of one seed it cannot be told, and is None."""
    import numpy as np
    from scipy.special import stdtrit

    scores = np.array([run["pck_by_look"] for run in runs])  # [S, L]
    seeds, best = len(scores), int(scores.mean(0).argmax())
    train = np.array([run["pck_train_by_look"] for run in runs]).mean(0)
    curve = {"epoch": runs[0]["looks"], "train": train.tolist(), "validation": scores.mean(0).tolist()}
    if seeds == 1:
        return {"curve": curve, "fell": None, "past_its_peak": None}
    others = (scores.sum(0) - scores).argmax(1)
    fall = scores[range(seeds), others] - scores[:, -1]
    error = float(fall.std(ddof=1) / seeds**0.5)
    fell = {"from_epoch": runs[0]["looks"][best], "mean": float(fall.mean()), "error": error}
    chance = float(stdtrit(seeds - 1, 0.95)) * error
    return {"curve": curve, "fell": fell, "past_its_peak": bool(fall.mean() > chance)}


def compare(runs: list[dict[str, Any]], baseline: str | None = None) -> dict[str, Any]:
    """The runs' result.json -> how many were judged on, and each arm's means and spreads over seeds, and its paired
    difference from its baseline (the one given, else `none`, else the first arm, of the same network) with a 95 %
    interval over people and the seeds of both (None where they share no seed, or one person is all there is)."""
    import numpy as np

    from asda_fast.evaluate.paired import difference, percentage

    arms = list(dict.fromkeys(run["arm"] for run in runs))
    of = {arm: {run["seed"]: run for run in runs if run["arm"] == arm} for arm in arms}
    found = []
    for arm in arms:
        beside = baseline_of(arm, arms, baseline)
        own, base = of[arm], of[beside]
        row: dict[str, Any] = {"arm": arm, "baseline": beside, "seeds": list(own)}
        for name in ("steps", "seconds", "pck_train", "hardness", "hardness_se"):
            values = [run[name] for run in own.values() if run[name] is not None]
            row[name] = float(np.mean(values)) if values else None
        row["gap"] = float(np.mean([run["losses"]["best_of_32"] - run["losses"]["random"] for run in own.values()]))
        row |= course(list(own.values()))
        for measure in MEASURES:
            counted = np.array(
                next(iter(own.values()))["people"]["hidden_counted" if measure == "hidden" else "counted"]
            )
            if not counted.sum():
                continue
            hits = {seed: np.array(run["people"][measure]) for seed, run in own.items()}
            each = percentage(np.array(list(hits.values())), counted)
            spread = float(each.std(ddof=1)) if len(each) > 1 else None
            row[measure] = {"mean": float(each.mean()), "spread": spread, "seeds": each.tolist(), "more": None}
            both = [seed for seed in own if seed in base]
            if both and (counted > 0).sum() > 1:
                other = np.array([base[seed]["people"][measure] for seed in both])
                row[measure]["more"] = vars(difference(np.array([hits[seed] for seed in both]), other, counted))
        found.append(row)
    return {"people": len(runs[0]["people"]["counted"]), "arms": found}
