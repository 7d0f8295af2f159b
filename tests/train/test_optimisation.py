"""How weights follow their gradient: each option against the same thing computed the long way, and under resume."""

from __future__ import annotations

import copy
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asda_fast import models
from asda_fast.core.errors import UserError
from asda_fast.models.network import Training
from asda_fast.train import adversarial, optimizers
from asda_fast.train import checkpoint as state
from asda_fast.train.adversarial import Networks, Turn
from asda_fast.train.average import Average
from asda_fast.train.freezing import freeze, hold
from asda_fast.train.optimisation import OptimisationOptions
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.run import train
from asda_fast.train.trainer import Trainer

TINY = {"width": 12, "depth": 2, "attention_heads": 2, "planes": 8}


class Shift(nn.Module):
    """A generator small enough: [B, 3, 16, 16] -> [B, 1, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(3 * 256, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.line(x.flatten(1))[:, None]


def networks_of(options: OptimisationOptions | None = None, average: float | None = None) -> Networks:
    torch.manual_seed(0)
    pose, generator = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 5, 3, 2, 1)), Shift()
    optimizer = optimizers.make(pose, 0.1, options or OptimisationOptions(optimizer="sgd"))
    found = Networks(pose, optimizer, generator, torch.optim.SGD(generator.parameters(), 0.1))
    found.average = None if average is None else Average(pose, average)
    return found


def batch_of(count: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(count, 3, 16, 16, generator=draw)
    return images, torch.rand(count, 5, 4, 4, generator=draw), torch.ones(count, 5)


def step(networks: Networks, mode: str, part: slice = slice(None)) -> None:
    clean, target, weight = (value[part] for value in batch_of())

    def paste(placement: Tensor) -> Tensor:
        return clean + placement.mean((1, 2))[:, None, None, None].sin()

    if mode == "alone":
        adversarial.step_alone(networks, clean, target, weight)
    else:
        (adversarial.step_joint if mode == "joint" else adversarial.step_alternate)(
            networks, clean, paste, target, weight
        )


@pytest.mark.parametrize("mode", ["alone", "joint", "alternate"])
def test_accumulated_batches_are_one_larger_batch(mode: str) -> None:
    """Of both networks: no step but the last."""
    whole, parts = networks_of(), networks_of()
    if mode == "alternate":  # the whole batch's G-step goes through the D that came out of it: compare D alone
        whole.generator_optimizer.param_groups[0]["lr"] = parts.generator_optimizer.param_groups[0]["lr"] = 0.0
    step(whole, mode)
    for i in range(4):
        parts.turn = Turn(i == 0, i == 3, 1 / 4)
        before = copy.deepcopy(parts.pose.state_dict())
        step(parts, mode, slice(2 * i, 2 * i + 2))
        assert all(torch.equal(v, before[k]) for k, v in parts.pose.state_dict().items()) == (i < 3)
    for a, b in zip([*whole.pose.parameters(), *whole.generator.parameters()],
                    [*parts.pose.parameters(), *parts.generator.parameters()]):  # fmt: skip
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_a_gradient_is_clipped_as_a_whole() -> None:
    free, held = networks_of(), networks_of()
    held.clip = 1e-3
    for each in (free, held):
        step(each, "joint")
    one, other, start = (list(n.pose.parameters()) for n in (free, held, networks_of()))
    moved = torch.cat([(b - s).flatten() for b, s in zip(other, start)])
    wanted = torch.cat([(a - s).flatten() for a, s in zip(one, start)])
    assert moved.norm().item() == pytest.approx(0.1 * 1e-3, rel=1e-2)  # the rate times the length
    torch.testing.assert_close(moved / moved.norm(), wanted / wanted.norm(), rtol=1e-3, atol=1e-4)
    for a, b in zip(free.generator.parameters(), held.generator.parameters()):
        assert torch.equal(a, b)  # of the pose network alone


def test_the_mean_of_weights_equals_the_loop() -> None:
    networks = networks_of(average=0.5)
    mean = [p.clone() for p in networks.pose.parameters()]
    for n in range(1, 5):
        step(networks, "alone")
        decay = min(0.5, (1 + n) / (10 + n))
        mean = [decay * m + (1 - decay) * p for m, p in zip(mean, networks.pose.parameters())]
    for found, expected in zip(networks.judged.parameters(), mean):
        torch.testing.assert_close(found, expected)
    norm = nn.BatchNorm1d(2)
    average = Average(norm, 0.9)
    norm(torch.randn(8, 2))
    average.update(norm)
    assert average.network.num_batches_tracked == 1
    assert not torch.equal(average.network.running_mean, norm.running_mean)


def test_layers_and_weights_have_vitposes_rates_and_decays() -> None:
    model = models.build("vitpose_b", 17, size=(64, 48), **TINY)
    options = OptimisationOptions().resolved(models.NETWORKS.load("vitpose_b").training)
    assert (options.optimizer, options.warmup, options.clip_gradient) == ("adamw", "500", 1.0)
    optimizer = optimizers.make(model, 5e-4, options)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    for name, p in model.named_parameters():
        layer = 0 if "patch_embed" in name or "pos_embed" in name else int(name[16]) + 1 if "blocks" in name else 3
        decay = 0.0 if p.ndim == 1 or "pos_embed" in name else 0.1
        assert found[id(p)] == (pytest.approx(5e-4 * 0.75 ** (3 - layer)), decay), name
    optimizers.set_rate(optimizer, 1.0)
    assert sorted({g["lr"] for g in optimizer.param_groups}) == pytest.approx([0.75**3, 0.75**2, 0.75, 1.0])
    with pytest.raises(UserError, match="layer_decay: expected a network that tells its layers"):
        optimizers.make(models.build("hrnet_tiny"), 1e-3, OptimisationOptions(layer_decay=0.5))


def test_plain_adam_is_one_group_in_the_networks_order() -> None:
    """As in every checkpoint from before there were options."""
    model = models.build("hrnet_tiny", 5)
    (group,) = optimizers.make(model, 1e-3, OptimisationOptions().resolved(Training())).param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in model.parameters()]
    assert group["weight_decay"] == 0


def test_the_rate_warms_up_in_steps_or_epochs() -> None:
    steps, epochs, none = (OptimisationOptions(warmup=text) for text in ("10", "1.5e", None))
    assert [steps.warmth(n, 100) for n in (0, 5, 10, 99)] == pytest.approx([0.001, 0.5005, 1, 1])
    assert [epochs.warmth(n, 4) for n in (0, 3, 6)] == pytest.approx([0.001, 0.5005, 1])
    assert none.warmth(0, 100) == 1


def test_a_warm_up_counts_the_optimisers_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five batches an epoch in steps of two: three an epoch, each at one rate, as of the same batch in one piece."""
    rates: list[float] = []
    advance = Networks.advance

    def told(self: Networks, optimizer: torch.optim.Optimizer) -> None:
        rates.append(optimizer.param_groups[0]["lr"])
        advance(self, optimizer)

    monkeypatch.setattr(Networks, "advance", told)
    flat: dict[str, Any] = {
        "augment": "none", "input": "64x64", "limit": 20, "batch_size": 4, "epochs": 2, "lr": 1e-3, "drops": (),
        "warmup": "4", "accumulate": 2,
    }  # fmt: skip
    run = RunOptions(pipeline="native", device="cpu", out=str(tmp_path / "run"), log=())
    train(Recipe.from_dict(flat), run)
    share = [0.001, 0.25075, 0.5005, 0.75025, 1, 1]
    assert rates == pytest.approx([1e-3 * share[i] for i in (0, 0, 1, 1, 2, 3, 3, 4, 4, 5)])


def test_frozen_parts_stand_still() -> None:
    torch.manual_seed(0)
    model = models.build("hrnet_tiny", 5)
    lines = freeze(model, ["conv1", "layer1"])
    assert lines[0].startswith("freeze: conv1: 1 tensors, 0.000 of 0.") and "layer1" in lines[1]
    before = copy.deepcopy(model.state_dict())
    networks = Networks(model, optimizers.make(model, 0.01, OptimisationOptions()))
    model.train()
    hold(model, ["conv1", "layer1"])
    image = torch.randn(2, 3, 64, 64)
    adversarial.step_alone(networks, image, torch.rand(2, 5, 16, 16), torch.ones(2, 5))
    changed = {k.split(".")[0] for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert not changed & {"conv1", "layer1"}
    assert changed >= {"bn1", "conv2", "stage2", "final_layer"}
    with pytest.raises(UserError, match=r"freeze: no weights in the network are named 'layer9'; .*did you mean layer1"):
        freeze(model, ["layer9"])
    freeze(model, sorted({name.split(".")[0] for name, _ in model.named_parameters()}))
    with pytest.raises(UserError, match="leaves nothing of the network to learn"):
        optimizers.make(model, 0.01, OptimisationOptions())


@pytest.mark.parametrize("wrong", [{"warmup": "5s"}, {"ema": 1.0}, {"accumulate": 0}, {"layer_decay": 0.0}])
def test_what_is_wrong_is_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"^{next(iter(wrong))}: expected"):
        OptimisationOptions(**wrong)


def test_a_resumed_run_with_all_of_it_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five batches an epoch in steps of two; the signal comes amid one, which is finished before the state is saved."""
    flat: dict[str, Any] = {
        "model": "vitpose_s", "model_options": tuple(f"{k}={v}" for k, v in TINY.items()), "input": "64x64",
        "limit": 20, "batch_size": 4, "epochs": 2, "warmup": "1.5e", "ema": 0.9, "accumulate": 2, "update": "joint",
        "freeze": ("backbone.patch_embed",), "generator_width": 8,
    }  # fmt: skip

    def start(name: str, resume: bool = False) -> None:
        run = RunOptions(pipeline="native", device="cpu", hardness_people=0, out=str(tmp_path / name), resume=resume)
        train(Recipe.from_dict(flat), run)

    start("whole")
    learn, seen = Trainer.learn, []

    def interrupted(self: Trainer, batch: Any) -> None:
        learn(self, batch)
        seen.append(batch.row)
        if len(seen) == 8:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Trainer, "learn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start("parts")
    saved = state.load(tmp_path / "parts" / "last.pt")
    assert (saved["epoch"], saved["step"]) == (1, 4)
    torch.manual_seed(99)
    start("parts", resume=True)
    whole, parts = (state.load(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    for key in ("pose", "generator"):
        assert all(torch.equal(v, parts[key][k]) for k, v in whole[key].items())
    assert all(torch.equal(v, parts["average"]["weights"][k]) for k, v in whole["average"]["weights"].items())
    assert whole["average"]["steps"] == 6  # three an epoch
    assert "backbone.patch_embed.proj.weight" in whole["pose"]
    judged = models.load(tmp_path / "whole" / "last.pt").state_dict()
    assert all(torch.equal(v, judged[k]) for k, v in whole["average"]["weights"].items())
    flat["ema"] = 0.5
    with pytest.raises(UserError, match=r"resume: the run in .* has ema 0.9, not 0.5"):
        start("parts", resume=True)
