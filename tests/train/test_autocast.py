"""Training in bfloat16 as on a GPU, every place that sees a pasted image; on the CPU, whose autocast does the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from asda_fast.train import setup
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.run import train


@pytest.mark.parametrize(
    "options",
    [
        {"augment": "sda"},
        {"update": "alternate"},
        {"update": "joint", "generator_input": "half", "colour_jitter": 0.2},
        {"adversary": "critic", "candidates": 8, "verify": 2, "half_resolution": True},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_a_run_in_bfloat16(options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "autocast_type", lambda recipe, ranks: torch.bfloat16)
    kinds = []
    forward = torch.nn.Conv2d.forward
    monkeypatch.setattr(torch.nn.Conv2d, "forward", lambda self, x: kinds.append(x.dtype) or forward(self, x))
    recipe = Recipe.from_dict({"limit": 16, "batch_size": 8, "epochs": 1, "input": "64x64", **options})
    train(recipe, RunOptions(device="cpu", pipeline="native", hardness_people=8, out=str(tmp_path)))
    (row,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert row["loss_d"] > 0 and 0 <= row["pck"] <= 100 and row["hardness"] is not None
    assert kinds.count(torch.bfloat16) > 0.9 * len(kinds)
    assert (tmp_path / "sheets" / "epoch-001.jpg").stat().st_size > 10_000
