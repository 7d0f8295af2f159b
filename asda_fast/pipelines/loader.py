"""make_loader: people in, batches out, through the pipeline of your choice.

The place in the data is two integers, (epoch, step): a loader that is told them goes on with the very batches that an
uninterrupted one would have given.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any, Protocol

import numpy as np
import torch

from asda_fast.core.batch import Batch
from asda_fast.core.errors import UserError
from asda_fast.core.hardware import find_device
from asda_fast.data.people import People
from asda_fast.data.plan import GlobalAug, Plan, clamp, draw
from asda_fast.pipelines import PIPELINES
from asda_fast.pipelines.bad_images import BadImages

LESS = {  # counts of `clamp` that are worth a word
    "coarse": "are of fewer pixels than their photos",
    "narrowed": "show less round the person than was drawn",
    "plain": "are not augmented",
}
log = logging.getLogger("asda_fast")


class Pipeline(Protocol):
    """What a pipeline is to the loader. It is made with (people, size, batch_size, bad_images, device, threads,
    prefetch) and any options of its own."""

    def run(self, plan: Plan, first: int, epoch: int) -> Iterator[Batch]:
        """The batches of the plan's steps first, first + 1, .., in order. May be left early and run again."""
        ...

    def close(self) -> None:
        """Let go of threads, processes and memory."""
        ...


class Loader:
    """Iterating gives one epoch of batches; the next iteration gives the next epoch.

    Leaving an epoch early and iterating again begins that epoch anew; only `load_state` starts in its middle. One
    iteration at a time: a new one, or `close`, ends the one before, whose next batch is a RuntimeError.
    """

    def __init__(
        self,
        people: People,
        size: tuple[int, int],
        batch_size: int,
        pipeline: Pipeline,
        bad: BadImages,
        *,
        seed: int,
        train: bool,
        rank: int,
        world: int,
        drop_last: bool,
    ) -> None:
        self.people, self.size, self.batch_size = people, size, batch_size
        self.pipeline, self.bad = pipeline, bad
        self.seed, self.train, self.rank, self.world, self.drop_last = seed, train, rank, world, drop_last
        self._epoch = self._step = self._start = 0
        self._turn = 0  # counts iterations, so that an old one notices that it is over
        self._plan: tuple[int, Plan] | None = None
        self._told = False

    def plan(self, epoch: int) -> Plan:
        """This rank's plan of an epoch."""
        if self._plan is None or self._plan[0] != epoch:
            plan = draw(
                self.people,
                self.size,
                epoch=epoch,
                seed=self.seed,
                train=self.train,
                aug=self.bad.aug,
                rank=self.rank,
                world=self.world,
                batch_size=self.batch_size,
                drop_last=self.drop_last,
            )
            plan, counts = clamp(self.people, plan, self.size)
            self._tell(plan, counts)
            self._plan = (epoch, plan)
        return self._plan[1]

    def _tell(self, plan: Plan, counts: dict[str, int]) -> None:
        """Log what a store could not give as it was drawn, one line for the first epoch in which there is any."""
        short = [f"{counts[name]} {what}" for name, what in LESS.items() if counts.get(name)]
        if short and not self._told and self.rank == 0:
            self._told = True
            why = "the store holds no more of them, and their photos are not there"
            log.warning("%s: of %d crops %s: %s", self.people.name, len(plan.row), ", ".join(short), why)

    def __len__(self) -> int:
        """Batches in the current epoch on this rank, whole, also where `load_state` starts in its middle."""
        return len(self.plan(self._epoch))

    def __iter__(self) -> Iterator[Batch]:
        epoch, self._step = self._epoch, self._start
        self._start = 0
        self._turn += 1
        turn = (self._turn, os.getpid())  # in a forked child the pipeline's threads are missing
        for batch in self.pipeline.run(self.plan(epoch), self._step, epoch):
            self._step += 1
            yield batch
            if (self._turn, os.getpid()) != turn:
                raise RuntimeError("this iteration is over: the loader was closed, iterated anew, or forked")
        self.bad.report()
        if self._epoch == epoch:  # unless set_epoch was called within the epoch
            self._epoch, self._step = epoch + 1, 0

    def state(self) -> dict[str, int]:
        """{"epoch", "step", ..} of the batch after the last one given, and what its place depends on; `load_state` goes
        on there, also in this loader."""
        return {"epoch": self._epoch, "step": self._step, **self._order()}

    def _order(self) -> dict[str, int]:
        """What decides whose turn it is."""
        own = {"seed": self.seed, "batch_size": self.batch_size, "world": self.world}
        return {**own, "train": int(self.train), "drop_last": int(self.drop_last), "people": len(self.people)}

    def load_state(self, state: dict[str, int]) -> None:
        """Go on where `state()` was taken. ValueError, and no change, for a state that is none of this loader's."""
        epoch, step = (state.get(name) if isinstance(state, dict) else None for name in ("epoch", "step"))
        if not (isinstance(epoch, Integral) and isinstance(step, Integral) and 0 <= epoch < 2**31):
            raise ValueError(f"state: expected {{'epoch': .., 'step': ..}} of integers from 0, got {state!r}")
        for name, own in self._order().items() if step else ():  # an epoch may begin in another way
            if state.get(name, own) != own:
                raise ValueError(f"state: of a loader with {name} {state[name]!r}, not {own}")
        epoch, step = int(epoch), int(step)
        steps = len(self.plan(epoch))
        if not 0 <= step <= steps:
            raise ValueError(f"state: step {step} of an epoch of {steps} steps: other data or batch size?")
        self._epoch, self._step = (epoch + 1, 0) if step == steps else (epoch, step)
        self._start = self._step

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration gives. Naming the epoch that `load_state` set keeps its step."""
        if not isinstance(epoch, Integral) or epoch < 0:
            raise ValueError(f"epoch: expected an integer from 0, got {epoch!r}")
        if epoch != self._epoch:
            self._epoch, self._step, self._start = int(epoch), 0, 0

    @property
    def skipped(self) -> int:
        """Samples replaced so far because their photo was bad (on_bad_image "skip")."""
        return self.bad.skipped

    @property
    def bad_images(self) -> dict[str, str]:
        """Photo -> reason, of those met so far."""
        return dict(self.bad.files)

    def close(self) -> None:
        """Stop threads and free buffers. The loader may be iterated again."""
        self._turn += 1
        self.pipeline.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_loader(
    people: People,
    size: tuple[int, int] = (256, 192),
    batch_size: int = 32,
    pipeline: str = "native",
    seed: int = 0,
    train: bool = True,
    device: str | torch.device = "cpu",
    rank: int = 0,
    world: int = 1,
    aug: GlobalAug | None = None,
    drop_last: bool | None = None,
    on_bad_image: str = "error",
    threads: int | None = None,
    prefetch: int = 2,
    **options: Any,
) -> Loader:
    """A loader over `people`, to crops of `size` (height, width).

    pipeline: "native" (threads, C++) or "dali"; the same batches within one grey level, joints equal.
    seed: with the epoch and the row it fixes every draw. train: shuffle and augment (by `aug`; None: no augmentation).
    rank, world: this process's share; over all ranks every row comes once. drop_last: leave out the last, smaller
    batch; by default when training, unless it is the only one. on_bad_image: "error" raises a UserError that names the
    file, "skip" takes another person's photo (the same every time) and counts it (`loader.skipped`).
    threads: of the pipeline (default: the cores this process may use). prefetch: batches under way.
    options: the pipeline's own.
    """
    PIPELINES.check(pipeline)
    if not isinstance(people, People):
        raise TypeError(f"people: expected a Person table (asda_fast.data.load), got {type(people).__name__}")
    if len(people) == 0:
        raise UserError(f"{people.name}: nobody to load")
    if not (
        isinstance(size, Sequence) and len(size) == 2 and all(isinstance(n, Integral) and 1 <= n <= 8192 for n in size)
    ):
        raise UserError(f"size: expected (height, width) from 1 to 8192, got {size!r}")
    size = (int(size[0]), int(size[1]))
    batch_size, prefetch, world = _whole("batch_size", batch_size), _whole("prefetch", prefetch), _whole("world", world)
    threads = None if threads is None else _whole("threads", threads)
    seed, rank = _whole("seed", seed, None), _whole("rank", rank, 0)
    if rank >= world:
        raise UserError(f"rank: expected 0 to {world - 1} of {world} processes, got {rank}")
    for name, value in (("train", train), ("drop_last", drop_last)):
        if not isinstance(value, bool) and (value is not None or name == "train"):
            raise TypeError(f"{name}: expected True or False, got {value!r}")
    if aug is not None and not isinstance(aug, GlobalAug):
        raise TypeError(f"aug: expected a GlobalAug or None, got {type(aug).__name__}")
    if drop_last is None:
        drop_last = train and len(people) >= batch_size * world
    if len(people) < (batch_size * world if drop_last else world):
        what = f"full batch of {batch_size}" if drop_last else "person"
        raise UserError(f"{people.name}: {len(people)} people are not one {what} for each of {world} processes")
    everybody = np.arange(len(people))  # a store deals whole shards, and says now which share would be empty
    people.shard(everybody, rank=rank, world=world, batch_size=batch_size, drop_last=drop_last)
    where = find_device(device)
    aug = aug if train else None
    bad = BadImages(people, size, seed, aug, on_bad_image)
    make = PIPELINES.load(pipeline)
    if unknown := sorted(set(options) - set(inspect.signature(make).parameters)):
        raise UserError(f"{unknown[0]}: neither make_loader nor pipeline {pipeline} takes such an option")
    engine = make(people, size, batch_size, bad, where, threads=threads, prefetch=prefetch, **options)
    return Loader(
        people, size, batch_size, engine, bad,
        seed=seed, train=train, rank=rank, world=world, drop_last=drop_last,
    )  # fmt: skip


def _whole(name: str, value: Any, least: int | None = 1) -> int:
    """A whole number as Python's own: numpy's have an end."""
    if not isinstance(value, Integral) or (least is not None and value < least):
        raise UserError(f"{name}: expected a whole number{'' if least is None else f' from {least}'}, got {value!r}")
    return int(value)
