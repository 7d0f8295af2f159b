"""The training step as one CUDA graph: recorded once, then replayed by a single launch.

A graph does again what the device was told, with the same tensors. So the batch is copied into tensors that stay, the
epoch is one of them, and what the step changes (weights, statistics, optimisers, sums) is changed in place. The first
steps are taken as ever: they compile kernels and make the optimisers' state. The first replay of each epoch is checked
against the step as ever from the same state, and what does not agree is not used: one line says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from asda_fast.core import cuda_graph
from asda_fast.core.batch import Batch
from asda_fast.core.cuda_graph import Record
from asda_fast.core.errors import first_line
from asda_fast.train.adversarial import Networks
from asda_fast.train.checkpoint import random_state, restore_random_state
from asda_fast.train.tally import SUMS_OF

Step = Callable[[Batch, "int | Tensor"], None]  # learns from one batch; the epoch is a number, or a tensor []
State = dict[str, list[Tensor]]  # what a step changes, by what it is called
WARM_UP = 3  # steps before the recording
# By how much of its step a replay may end elsewhere: convolutions add up in any order, which Adam makes more of.
AGREE, AGREE_SUMS = 0.1, 0.01
COUNTS, FEW = ("found", "pasted"), 2  # a joint more or less is 1 % of a step where few are found


class GraphedStep:
    """A `step` to be called as before, which becomes a graph when it is warm.

    step: changes nothing but the tensors of `state()`, in place. say: hears why there is no graph, once.
    """

    def __init__(
        self,
        step: Step,
        state: Callable[[], State],
        say: Callable[[str], None],
        record: Record = cuda_graph.record,
    ) -> None:
        self.step, self.state, self.say, self.record = step, state, say, record
        self.replay: Callable[[], None] | None = None
        self._warm = 0
        self._off = False
        self._checked: int | None = None  # the epoch whose first replay was right
        self._batch: Batch | None = None
        self._epoch: Tensor | None = None

    def __call__(self, batch: Batch, epoch: int) -> None:
        if self._off or self._warm < WARM_UP or not self._fits(batch):
            self._warm += 1
            self.step(batch, epoch)
            return
        try:
            if self.replay is None:
                self._record(batch)
        except Exception as error:  # whatever a step of one's own may do that a graph cannot
            self._give_up(f"cannot be recorded ({first_line(error)})")
            self.step(batch, epoch)
            return
        self._load(batch, epoch)
        if self._checked == epoch:
            assert self.replay is not None
            self.replay()
        else:
            self._check(batch, epoch)

    def _fits(self, batch: Batch) -> bool:
        """Whether the batch has the shapes that were recorded."""
        if self._batch is None:
            return True
        return all(getattr(batch, f.name).shape == getattr(self._batch, f.name).shape for f in fields(batch))

    def _record(self, batch: Batch) -> None:
        own = replace(batch, **{f.name: getattr(batch, f.name).clone() for f in fields(batch)})
        epoch = torch.zeros((), dtype=torch.int64, device=batch.row.device)
        self._batch, self._epoch = own, epoch
        self.replay = self.record(lambda: self.step(own, epoch))

    def _load(self, batch: Batch, epoch: int) -> None:
        assert self._epoch is not None
        self._epoch.fill_(epoch)
        for f in fields(batch):
            getattr(self._batch, f.name).copy_(getattr(batch, f.name))

    def _check(self, batch: Batch, epoch: int) -> None:
        """One step from one state twice: by the graph, then as ever, which is what stays."""
        assert self.replay is not None
        state = self.state()
        before, random = copied(state), random_state()
        try:
            self.replay()
            found = copied(state)
            put_back(state, before)
            restore_random_state(random)  # dropped paths are to be the same
            self.step(batch, epoch)
        except torch.OutOfMemoryError:  # both ways need their memory here
            put_back(state, before)
            restore_random_state(random)
            self._give_up("leaves no memory to check it")
            self.step(batch, epoch)
            return
        wrong = disagreement(before, found, state)
        torch.cuda.empty_cache()  # what the step without the graph took
        if wrong is None:
            self._checked = epoch
        else:
            self._give_up(f"does not do what the step does ({wrong})")

    def _give_up(self, why: str) -> None:
        self._off, self.replay, self._batch = True, None, None
        self.say(f"cuda_graph: the training step {why}; going on without a graph")


@torch.no_grad()
def disagreement(before: State, found: State, expected: State) -> str | None:
    """What of two states after one step differs by more than a share of the way from the state before; None: nothing.
    Whole numbers have to be equal."""
    for name, tensors in expected.items():
        three = list(zip(before[name], found[name], tensors))
        if not all(torch.equal(f, e) for _, f, e in three if not e.is_floating_point()):
            return name
        floats = [list(each) for each in zip(*(t for t in three if t[2].is_floating_point()))]
        if floats:
            start, reached, right = floats
            step, off = _length(right, start), _length(reached, right)
            allowed = step * (AGREE_SUMS if name in SUMS_OF else AGREE)
            if name in COUNTS:
                allowed = max(allowed, FEW)
            if not off <= allowed:  # also where one is not finite
                return f"{name}: off by {off / step if step else off:.2g} of its step"
    return None


def _length(there: list[Tensor], here: list[Tensor]) -> float:
    """Of the way from here to there, all tensors together."""
    return float(torch.stack([n.double() for n in torch._foreach_norm(torch._foreach_sub(there, here))]).norm())


def state_of(networks: Networks, sums: Tensor) -> State:
    """All that a training step changes."""
    state: State = {name: [sums[i : i + 1]] for i, name in enumerate(SUMS_OF)}
    for name, network, optimizer in (
        ("the pose network", networks.pose, networks.pose_optimizer),
        ("the generator", networks.generator, networks.generator_optimizer),
    ):
        if network is not None and optimizer is not None:
            state[name] = list(network.parameters())
            state[f"{name}'s statistics"] = list(network.buffers())
            state[f"{name}'s optimizer"] = tensors_of(optimizer.state_dict()["state"])
    if networks.average is not None:
        state["the mean of weights"] = networks.average.tensors()
    return state


def obstacle(world: int, compiled: bool, adversary: object, accumulate: int = 1) -> str | None:
    """Why a run's step on a GPU is not made a graph; None: it is."""
    if world > 1:
        return "several processes"
    if compiled:
        return "compile, which brings its own"
    if accumulate > 1:
        return "accumulate: batches that differ in what is done after them"
    if adversary is not None and not getattr(adversary, "capturable", False):
        return f"the adversary {type(adversary).__name__.lower()}, which counts its lessons in Python"
    return None


def copied(state: State) -> State:
    return {name: [value.detach().clone() for value in tensors] for name, tensors in state.items()}


@torch.no_grad()
def put_back(state: State, values: State) -> None:
    for name, tensors in state.items():
        for tensor, value in zip(tensors, values[name]):
            tensor.copy_(value)


def tensors_of(value: Any) -> list[Tensor]:
    """All tensors in nested dictionaries and lists, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for each in value for tensor in tensors_of(each)] if isinstance(value, (list, tuple)) else []
