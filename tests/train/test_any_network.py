"""Networks of every kind through a whole run: each answers by its own coding, under each kind of adversary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asda_fast import models
from asda_fast.core.errors import UserError
from asda_fast.evaluate.network import score_network
from asda_fast.evaluate.options import NetworkOptions, TruthOptions
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.run import train

VIT = ("width=12", "depth=2", "attention_heads=2", "planes=8")
CASES: dict[str, dict[str, Any]] = {
    "udp": {"model": "vitpose_s", "model_options": VIT, "update": "joint", "generator_width": 8},
    "simcc": {
        "model": "vitpose_s", "model_options": (*VIT, "head='simcc'"), "adversary": "critic", "clean_pass": True,
        "half_resolution": True, "verify": 2,
    },
    "timm": {"model": "timm:test_resnet", "model_options": ("planes=8",), "augment": "sda", "optimizer": "adamw"},
    "timm simcc": {"model": "timm:test_vit", "model_options": ("head='simcc'",), "generator_width": 8},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_trains_resumes_and_is_evaluated(timm: Any, name: str, tmp_path: Path) -> None:
    flat = {"input": "64x64", "limit": 8, "batch_size": 4, **CASES[name]}
    for epochs, resume in ((1, False), (2, True)):
        run = RunOptions(
            pipeline="native", device="cpu", hardness_people=2 * (name == "simcc"), out=str(tmp_path), resume=resume
        )
        train(Recipe.from_dict({**flat, "epochs": epochs}), run)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in lines] == [1, 2]
    assert all(row["loss_d"] > 0 for row in lines)
    best = str(tmp_path / "best.safetensors")
    card = models.load(best).config
    assert card["target"] == {"udp": "udp", "timm": "hrnet"}.get(name, "simcc")
    options = NetworkOptions(checkpoint=best, pipeline="native", device="cpu", limit=8)
    result = score_network(TruthOptions(), options)
    decode = {"udp": "udp", "simcc": "simcc", "hrnet": "quarter"}[card["target"]]
    assert result.numbers["decode"] == decode
    row = max(lines, key=lambda row: row["pck"])
    assert result.numbers["pck"] == pytest.approx(row["pck"], abs=1e-6)  # as the run itself measured it
    if decode == "simcc":
        for wrong in ({"decode": "quarter"}, {"pyramid": True}):
            with pytest.raises(UserError, match=f"^{next(iter(wrong))}: .* answers by SimCC"):
                score_network(TruthOptions(), NetworkOptions(checkpoint=best, device="cpu", **wrong))
