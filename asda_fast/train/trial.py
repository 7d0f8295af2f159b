"""One run of an ablation: trained in a folder of its own, then measured person by person on its last network.

It is a process of its own: what it prints goes to log.txt of its folder, whose last line says why it ended.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from asda_fast import data, models
from asda_fast.adversary import held_out, measure
from asda_fast.augment import pools
from asda_fast.augment.options import PasteOptions
from asda_fast.augment.sda import Semantic
from asda_fast.core.errors import UserError, short
from asda_fast.core.files import read_json, write_json
from asda_fast.core.hardware import choose_device
from asda_fast.data.people import People
from asda_fast.evaluate.network import learnt_skeleton
from asda_fast.evaluate.robustness import WORST_OF, predict_pasted
from asda_fast.evaluate.score import joint_hits
from asda_fast.ops import PasteFormat
from asda_fast.pipelines.loader import make_loader
from asda_fast.train import checkpoint
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.result_file import RESULT
from asda_fast.train.run import train


def trial(recipe: Recipe, run: RunOptions, name: dict[str, Any]) -> None:
    """Train to the end (going on where the folder holds a part), measure, write result.json. name: arm and seed."""
    folder = Path(run.out or "")
    folder.mkdir(parents=True, exist_ok=True)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _trial(recipe, run, name, folder)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as error:
        print(str(error) or "interrupted", file=sys.stderr)
        sys.exit(130)


def _end_with_parent() -> None:
    """Where the ablation itself was killed: save and end, as by SIGTERM. Nobody would look after the run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _trial(recipe: Recipe, run: RunOptions, name: dict[str, Any], folder: Path) -> None:
    train(recipe, replace(run, resume=(folder / "last.pt").is_file()))
    saved = checkpoint.load(folder / "last.pt")
    history = saved["history"]
    looks = [row for row in history if "pck" in row]
    found = {
        **name,
        "recipe": saved["config"],
        "trained_on": saved.get("people"),
        "steps": steps_of(recipe.resolved(), run),
        "seconds": sum(row["seconds"] for row in history),
        "pck_train": history[-1]["pck_train"],
        "looks": [row["epoch"] for row in looks],
        "pck_train_by_look": [row["pck_train"] for row in looks],
        "pck_by_look": [row["pck"] for row in looks],
        "hardness": history[-1].get("hardness"),
        "hardness_se": history[-1].get("hardness_se"),
        **measured(folder / "last.pt", recipe.resolved(), run),
    }
    write_json(folder / RESULT, found)  # where no place is worse than another, hardness is nan


def check_given(out: Path, recipe: Recipe, run: RunOptions) -> dict[str, Any]:
    """What all runs of an ablation share besides the recipe, kept in given.json: the weights that they start from and
    the pool. UserError where the folder's runs were made with others: their differences would not be the arms'.
    Returned with the number of the pool's patches, by which a reader knows it again."""
    now: dict[str, Any] = {"init": _mark(run.init), "generator_init": _mark(run.generator_init)}
    now |= {"within": run.within, "random_body": run.random_body or None}  # not in what older runs left
    pasted = pools.choose(run.pool, recipe.dataset, PasteOptions(augment="sda"))  # of what all are measured with
    now["pool"] = pools.mark(pasted)
    said = {**now, "patches": None if pasted is None else len(pasted)}
    path = out / "given.json"
    if not path.is_file() or not any((*out.glob("*/last.pt"), *out.glob(f"*/{RESULT}"))):
        write_json(path, now, indent=1)
        return said
    saved = read_json(path, "what the runs of an ablation share")
    if not isinstance(saved, dict):
        raise UserError(f"{path}: expected an object, got {short(saved)}")
    for name, mark in now.items():
        if saved.get(name) != mark:
            raise UserError(f"{name}: the runs in {out} were made with another one ({path}); take another --out")
    return said


def _mark(path: str | None) -> str | None:
    return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def steps_of(recipe: Recipe, run: RunOptions) -> int:
    """Optimiser steps of a whole run."""
    people = len(data.load(recipe.dataset, run.root, "train", run.files).first(recipe.train_first))
    assert recipe.epochs is not None
    batches = max(1, people // min(people, recipe.people_a_step))
    return recipe.epochs * -(-batches // recipe.optimisation.accumulate)


def measured(path: Path, recipe: Recipe, run: RunOptions) -> dict[str, Any]:
    """The network of a checkpoint on the validation people: clean, under a random paste and under the worst of eight,
    correct joints of each person; and its own gap. The pastes are the same for every arm."""
    device = choose_device(run.device)
    pose = models.load(path).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    learnt = learnt_skeleton(str(path), cast(dict[str, Any], pose.config))
    people = data.load(recipe.dataset, run.root, "val", run.files, learnt).first(recipe.limit)
    paste = PasteOptions(augment="sda")
    pool = pools.choose(run.pool, recipe.dataset, paste)
    augmentation = paste.build(pool, 0, PasteFormat(channels_last=True))
    assert isinstance(augmentation, Semantic) and recipe.input is not None and recipe.batch_size is not None
    coding = models.coding_of(pose, recipe.input)
    with make_loader(
        people, size=recipe.input, batch_size=min(recipe.batch_size, len(people)), pipeline="native", train=False,
        threads=run.threads, on_bad_image=run.on_bad_image,
    ) as loader:  # fmt: skip
        pasted = predict_pasted(held_out(loader, augmentation, pose, device, coding=coding), len(people), WORST_OF)
        try:
            gap = measure(held_out(loader, augmentation, pose, device, coding=coding), None, people=128)
        except ValueError as error:
            raise UserError(f"validation people of {recipe.dataset}: {error}") from None
    losses = {"clean": gap.clean, "random": gap.random, "best_of_32": gap.best_of_32}
    return {"losses": losses, "people": by_person(pasted.clean, pasted.random, pasted.worst, people)}


def by_person(clean: np.ndarray, random: np.ndarray, worst: np.ndarray, people: People) -> dict[str, list[int]]:
    """Correct joints of each person, and how many count: all of them, and the occluded ones (clean)."""
    hit, counted = joint_hits(clean, people)
    hidden = counted & (people.visible == 1)
    table = {"counted": counted, "clean": hit, "hidden_counted": hidden, "hidden": hit & hidden}
    table |= {"random": joint_hits(random, people)[0], "worst": joint_hits(worst, people)[0]}
    return {name: value.sum(1).tolist() for name, value in table.items()}
