"""The step as a graph: replays do what the step does, whatever changes between them; what cannot be one is not."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asda_fast.adversary import Cover, Search
from asda_fast.core.batch import Batch
from asda_fast.train import distributed, graph, optimizers
from asda_fast.train.checkpoint import RunFolder
from asda_fast.train.console import Console
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.setup import prepare
from asda_fast.train.trainer import Trainer
from tests.train.tape import recorder

SMALL: dict[str, Any] = {"limit": 24, "batch_size": 4, "input": "64x64", "colour_jitter": 0.0}


# AdamW, clipped, with layers' own rates, dropped paths and a mean of the weights.
TRANSFORMER: dict[str, Any] = {
    "model": "vitpose_s", "ema": 0.9, "model_options": ("width=12", "depth=2", "attention_heads=2", "planes=8"),
}  # fmt: skip


def trainer_for(device: str, out: Path, cuda_graph: Any = "off", **flat: Any) -> Trainer:
    recipe = Recipe.from_dict({**SMALL, **flat}).resolved()
    run = RunOptions(pipeline="native", device=device, cuda_graph=cuda_graph)
    console = Console(enabled=False)
    ranks = distributed.start(device)
    return Trainer(recipe, run, prepare(recipe, run, ranks, console.say), RunFolder(out), ranks, console)


def learnt(trainer: Trainer) -> dict[str, Tensor]:
    networks = trainer.parts.networks
    found = {f"pose {name}": value for name, value in networks.pose.state_dict().items()}
    if networks.generator is not None:
        found |= {f"generator {name}": value for name, value in networks.generator.state_dict().items()}
    if networks.average is not None:
        found |= {f"mean {i}": value for i, value in enumerate(networks.average.tensors())}
    return {**found, "sums": trainer.progress.sums}


def play(trainer: Trainer, epochs: int = 2) -> None:
    """Some epochs, each at its own rate; every batch is another."""
    now = trainer.progress
    for now.epoch in range(epochs):
        trainer.parts.networks.set_rate(1e-3 / 10**now.epoch)
        trainer.parts.loader.load_state({"epoch": now.epoch, "step": 0})
        for batch in trainer.parts.loader:
            trainer.learn(batch)


@pytest.fixture
def capturable(monkeypatch: pytest.MonkeyPatch) -> None:
    make = optimizers.make
    monkeypatch.setattr(
        optimizers, "make", lambda network, rate, options, capturable=False: make(network, rate, options, True)
    )


@pytest.mark.parametrize(
    ("augment", "update", "more"),
    [
        ("none", "joint", {}),
        ("cutout", "joint", {}),
        ("ror", "joint", {}),
        ("sda", "joint", {}),
        ("asda", "alternate", {}),
        ("asda", "joint", {}),
        ("asda", "joint", {"adversary": "search", "verify": 2}),
        ("asda", "joint", {"adversary": "search", "verify": 4, "part_choices": 2}),
        ("asda", "joint", {"adversary": "search", "verify": 2, "solvable": 1.0, "ema": 0.9}),
        ("asda", "joint", {"adversary": "cover", "candidates": 8, "clean_pass": True}),
        ("none", "joint", TRANSFORMER),
        ("asda", "alternate", {**TRANSFORMER, "optimizer": "sgd", "freeze": ("backbone.patch_embed",)}),
    ],
)
def test_a_recorded_step_does_what_the_step_does(
    augment: str, update: str, more: dict[str, Any], capturable: None, tmp_path: Path
) -> None:
    """New batches, a new epoch, another rate: all reach a step that is only done again. To the bit, on a CPU."""
    ends = []
    for recorded in (False, True):
        trainer = trainer_for("cpu", tmp_path, augment=augment, update=update, parts=2, **more)
        said: list[str] = []
        state = partial(graph.state_of, trainer.parts.networks, trainer.progress.sums)
        step = graph.GraphedStep(trainer.learn_from, state, said.append, recorder(state))
        if recorded:
            trainer.step = step
        with closing(trainer.parts):
            play(trainer)
        assert not said, said
        assert recorded == (step.replay is not None)
        ends.append(learnt(trainer))
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name


class Toy:
    """One weight, which every batch adds to."""

    def __init__(self) -> None:
        self.weight, self.said, self.steps = torch.zeros(3), [], 0

    def state(self) -> graph.State:
        return {"the weight": [self.weight]}

    def run(self, step: graph.Step, batches: int = 8, record: Any = None) -> tuple[graph.GraphedStep, list[float]]:
        graphed = graph.GraphedStep(step, self.state, self.said.append, record or recorder(self.state))
        path = []
        for batch in batches_of(batches):
            graphed(batch, 3)
            path.append(float(self.weight[0]))
        return graphed, path


def batches_of(count: int) -> Iterator[Batch]:
    for i in range(count):
        one = torch.full((1,), i + 1)
        yield Batch(one, one, one, one.clone(), one, one, one.bool(), one.bool())


SUMS = [1, 3, 6, 10, 15, 21, 28, 36]


def test_what_python_decides_anew_is_found_out_and_the_step_goes_on() -> None:
    toy, draw = Toy(), random.Random(0)
    expected = [draw.random() for _ in range(9)]
    draw.seed(0)
    graphed, path = toy.run(lambda batch, epoch: toy.weight.add_(draw.random()))
    assert graphed.replay is None
    (line,) = toy.said
    assert line.startswith("cuda_graph: the training step does not do what the step does (the weight: off by")
    # The recording drew once, without a step.
    assert path == pytest.approx([sum(expected[:i]) - (expected[3] if i > 3 else 0) for i in (1, 2, 3, 5, 6, 7, 8, 9)])


def test_what_waits_for_the_device_cannot_be_recorded() -> None:
    toy = Toy()
    graphed, path = toy.run(lambda batch, epoch: toy.weight.add_(batch.row.sum().item()))
    assert path == SUMS and graphed.replay is None
    (line,) = toy.said
    assert line.startswith("cuda_graph: the training step cannot be recorded (operation not permitted")


def test_no_memory_for_the_check_is_a_line_and_no_step_is_lost_or_taken_twice() -> None:
    toy = Toy()

    def step(batch: Batch, epoch: int | Tensor) -> None:
        toy.weight.add_(batch.row)
        toy.steps += 1
        if toy.steps == 5:  # three to be warm, the recording, the check's own
            raise torch.OutOfMemoryError("CUDA out of memory")

    _, path = toy.run(step)
    assert path == SUMS
    assert toy.said == ["cuda_graph: the training step leaves no memory to check it; going on without a graph"]


def test_a_batch_of_another_shape_is_learnt_without_the_graph() -> None:
    toy = Toy()
    graphed, path = toy.run(lambda batch, epoch: toy.weight.add_(batch.row.sum()))
    assert path == SUMS and graphed.replay is not None
    wide = next(batches_of(1))
    graphed(replace(wide, row=torch.tensor([1, 2, 3])), 3)
    graphed(wide, 4)
    assert float(toy.weight[0]) == SUMS[-1] + 6 + 1 and not toy.said


def test_states_agree_within_a_share_of_the_step() -> None:
    before = {"w": [torch.zeros(100)], "L_D": [torch.zeros(1)], "n": [torch.zeros(1, dtype=torch.int64)]}

    def end(w: float, loss: float, n: int) -> graph.State:
        return {"w": [torch.full((100,), w)], "L_D": [torch.tensor([loss])], "n": [torch.tensor([n])]}

    right = end(1.0, 2.0, 5)
    assert graph.disagreement(before, end(1.05, 2.01, 5), right) is None
    for wrong, name in ((end(1.2, 2.0, 5), "w"), (end(1.0, 2.1, 5), "L_D"), (end(1.0, 2.0, 4), "n")):
        assert str(graph.disagreement(before, wrong, right)).startswith(name)
    assert graph.disagreement(before, end(float("nan"), 2.0, 5), right)
    assert graph.disagreement(before, before, before) is None


def test_a_joint_more_or_less_is_no_other_step() -> None:
    """Early on a batch finds a few joints, and convolutions that add up in another order tip one of them."""

    def end(found: float, joints: float) -> graph.State:
        return {"found": [torch.tensor([found])], "joints": [torch.tensor([joints])]}

    before, right = end(100.0, 500.0), end(110.0, 600.0)
    assert graph.disagreement(before, end(112.0, 600.0), right) is None
    assert str(graph.disagreement(before, end(113.0, 600.0), right)).startswith("found")
    assert str(graph.disagreement(before, end(110.0, 602.0), right)).startswith("joints")
    assert graph.disagreement(before, end(float("nan"), 600.0), right)


def test_what_has_no_graph_says_why() -> None:
    assert (
        graph.obstacle(1, False, None)
        is graph.obstacle(1, False, Cover())
        is graph.obstacle(1, False, Search())
        is None
    )
    assert graph.obstacle(2, False, None) == "several processes"
    assert str(graph.obstacle(1, True, None)).startswith("compile")
    assert str(graph.obstacle(1, False, Toy())).startswith("the adversary toy")


def test_an_optimizer_keeps_plain_numbers_and_its_own_rates() -> None:
    """A checkpoint of a graph's run goes on without a graph, and the other way round, from the same state."""
    for first, second in ((True, False), (False, True), (True, True)):
        torch.manual_seed(0)
        network, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
        one, two = optimizers.adam(network, 0.1, capturable=first), optimizers.adam(other, 0.3, capturable=second)
        network(torch.ones(1, 3)).sum().backward()
        one.step()
        optimizers.set_rate(one, 0.2)
        saved = copy.deepcopy(optimizers.state_of(one))  # as from a file
        (group,) = saved["param_groups"]
        assert type(group["lr"]) is float and group["lr"] == pytest.approx(0.2) and not group["capturable"]
        rate = two.param_groups[0]["lr"]
        del group["scale"]  # as before groups had shares of the rate
        other.load_state_dict(network.state_dict())
        optimizers.restore(two, saved)
        assert two.param_groups[0]["capturable"] == second
        assert float(two.param_groups[0]["lr"]) == pytest.approx(0.2)
        assert (two.param_groups[0]["lr"] is rate) == second
        for each, optimizer in ((network, one), (other, two)):
            optimizer.zero_grad()
            each(torch.arange(3.0)[None]).sum().backward()
            optimizer.step()
        torch.testing.assert_close(network.weight, other.weight, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("augment", "update"), [("none", "joint"), ("asda", "alternate"), ("asda", "joint")])
def test_replays_on_a_gpu_are_the_step(
    cuda: torch.device, augment: str, update: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs of new batches at two rates: where they lead, by the measure that every run is checked with."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    ends, start = [], {}
    for choice in ("off", "auto"):
        trainer = trainer_for("cuda", tmp_path, choice, augment=augment, update=update, parts=2, amp=False)
        said: list[str] = []
        if isinstance(trainer.step, graph.GraphedStep):
            trainer.step.say = said.append
        kept = {name: value.clone() for name, value in learnt(trainer).items()}
        assert all(torch.equal(value, start.setdefault(name, value)) for name, value in kept.items())
        with closing(trainer.parts):
            play(trainer)
        assert not said, said
        ends.append(learnt(trainer))
    assert isinstance(trainer.step, graph.GraphedStep) and trainer.step.replay is not None
    weights = [name for name, value in start.items() if name != "sums" and value.is_floating_point()]
    as_state = [{"weights": [each[name] for name in weights]} for each in (start, ends[1], ends[0])]
    assert graph.disagreement(*as_state) is None
    torch.testing.assert_close(ends[1]["sums"][:2], ends[0]["sums"][:2], rtol=0.01, atol=1e-6)
