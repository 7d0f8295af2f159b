"""No step makes the host wait for the device: counted by operation on the CPU, and by CUDA itself on a GPU."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, get_args, get_type_hints

import cv2
import numpy as np
import pytest
import torch

from asda_fast.adversary.options import AdversaryOptions
from asda_fast.augment import AUGMENTATIONS
from asda_fast.augment.jitter import jittered, lengths
from asda_fast.parts.pool import PartPool
from tests.train.tape import Watch
from tests.train.test_graph import trainer_for

STEPS: dict[str, dict[str, Any]] = {
    "none": {"augment": "none"},
    "cutout": {"augment": "cutout"},
    "ror": {"augment": "ror"},
    "objects": {"augment": "objects"},
    "sda": {"augment": "sda", "patch_flip": 0.5, "paste_min_joints": 4},
    "alternate": {"augment": "asda", "update": "alternate", "generator_input": "half"},
    "joint": {"augment": "asda", "update": "joint"},
    "search": {"augment": "asda", "adversary": "search", "verify": 2, "half_resolution": True},
    "search, solvable": {"augment": "asda", "adversary": "search", "verify": 2, "solvable": 1.0, "ema": 0.9},
    "cover": {"augment": "asda", "adversary": "cover", "clean_pass": True, "candidates": 8},
    "critic": {"augment": "asda", "adversary": "critic", "candidates": 8},
    "critic, verified": {"augment": "asda", "adversary": "critic", "candidates": 8, "verify": 2},
    "critic, parts": {"augment": "asda", "adversary": "critic", "candidates": 8, "verify": 2, "part_choices": 2},
}


def options_of(name: str, folder: Path) -> dict[str, Any]:
    options = {"parts": 2, **STEPS[name]}
    if name == "objects":
        cut_out = np.full((9, 7, 4), 200, np.uint8)
        cut_out[0, 0, 3] = 0
        cv2.imwrite(str(folder / "thing.png"), cut_out)
        options["objects"] = str(folder)
    return options


@pytest.mark.parametrize("name", STEPS)
def test_no_operation_of_a_step_waits(name: str, tmp_path: Path) -> None:
    trainer = trainer_for("cpu", tmp_path, **options_of(name, tmp_path))
    with closing(trainer.parts):
        batches = [next(iter(trainer.parts.loader))] * 2
        trainer.learn(batches[0])  # makes the optimisers' state, and what is cached
        with Watch() as seen:
            trainer.learn(batches[1])
    assert not seen.found
    assert seen.operations > 100, "the watch saw no step"


def test_every_augmentation_and_adversary_is_watched() -> None:
    watched = {(step["augment"], step.get("adversary", "generator")) for step in STEPS.values()}
    assert {augment for augment, _ in watched} == set(AUGMENTATIONS)
    adversaries = get_args(get_type_hints(AdversaryOptions)["adversary"])
    assert {adversary for augment, adversary in watched if augment == "asda"} == set(adversaries)


def test_the_watch_sees_what_waits() -> None:
    with Watch() as seen:
        x = torch.arange(4.0)
        (x > 1).sum().item(), x[x > 1], x.nonzero(), bool(x[0]), x.tolist(), torch.tensor([1.0]), x[[0, 2]]
        torch.repeat_interleave(torch.arange(2), torch.ones(2, dtype=torch.int64))
    kinds = [found.split(".")[1].split(" ")[0] for found in seen.found]
    assert {"_local_scalar_dense", "index", "nonzero", "tensor", "repeat_interleave", "lift_fresh"} <= set(kinds)
    assert kinds.count("_local_scalar_dense") >= 2


def test_colour_jitter_waits_only_where_it_counts_its_texels() -> None:
    pool = PartPool.from_patches([np.full((5, 4, 4), 255, np.uint8), np.full((9, 3, 4), 99, np.uint8)])
    part, row, longest = torch.tensor([[1, 0], [-1, 1]]), torch.arange(2), int(lengths(pool).max())
    for given, waits in ((None, 1), (longest, 0)):
        with Watch() as seen:
            jittered(pool, part, row, 0.3, seed=0, epoch=0, longest=given)
        assert len(seen.found) == waits, seen.found


@pytest.mark.parametrize("name", STEPS)
def test_cuda_sees_no_wait_in_a_step(cuda: torch.device, name: str, tmp_path: Path) -> None:
    options = {"colour_jitter": 0.3} if STEPS[name]["augment"] in ("sda", "asda") else {}
    trainer = trainer_for("cuda", tmp_path, **{**options_of(name, tmp_path), **options})
    with closing(trainer.parts):
        batches = [next(iter(trainer.parts.loader)) for _ in range(2)]
        trainer.learn(batches[0])
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            trainer.learn(batches[1])
        finally:
            torch.cuda.set_sync_debug_mode("default")
