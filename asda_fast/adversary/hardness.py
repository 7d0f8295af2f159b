"""Hardness: how much harder for D than chance the placements of an adversary are, as one number with its error.

For held-out people the same part of each is pasted at `draws` random placements, in the crop's centre, and where the
adversary chose. With L the mean over people of D's loss,

    s = (L_chosen - L_random) / (L_best - L_random)

where L_random is the mean and L_best the largest loss of a person's random placements: 0 is chance, 1 as hard as the
best of 32 forward passes. An adversary that chooses the part as well is measured by the same: each person's part is
drawn as a random paste draws it, the random placements are of that part, and what the adversary pastes instead covers
no more (part_choices.py). So chance is the same chance and s is in the same unit whatever may be chosen; it may pass 1,
by a part that is worse for D than the drawn one is anywhere. One that asks a teacher (selection.py) asks it here, too;
the losses are D's. The loss of the generator itself (-L_D) falls when D is poor and rises when D learns; it says
nothing about the adversary.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from asda_fast.adversary.base import Placer
from asda_fast.adversary.candidates import MEASURE, candidates, centre
from asda_fast.adversary.scene import Scene
from asda_fast.augment.sda import Semantic
from asda_fast.core.batch import Batch
from asda_fast.models.coding import Coding

DRAWS = 32
LEAST_PEOPLE = 2  # a standard error needs two


@dataclass(frozen=True)
class Hardness:
    """Mean losses over `people` (half the mean squared error of the heatmaps, as in training), and s (nan: no room)."""

    clean: float
    random: float
    centre: float
    best_of_32: float
    chosen: float
    s: float
    s_se: float  # standard error of s over people, numerator and denominator paired
    s_centre: float  # of the crop's centre, which costs nothing
    s_centre_se: float
    people: int
    draws: int

    @property
    def room(self) -> float:
        """Best of 32 over random, as a share of random (nan where that is 0): what an adversary can win at most."""
        return self.best_of_32 / self.random - 1 if self.random else math.nan

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "room": self.room}

    def __str__(self) -> str:
        return f"s {self.s:.2f} +- {self.s_se:.2f} (centre {self.s_centre:.2f}; room {100 * self.room:.1f} %)"


def measure(
    scenes: Iterable[Scene],
    adversary: Placer | None,
    draws: int = DRAWS,
    seconds: float | None = None,
    people: int | None = None,
) -> Hardness:
    """The hardness of `adversary` (None: random placement) over `scenes` of held-out people, by forward passes.

    seconds: stop after the batch in which so much time is over; people: measure the first so many who get a part, which
    is repeatable. Waits for the device.
    ValueError where fewer than two people got a part.
    """
    if draws < 2:
        raise ValueError(f"draws: expected at least 2 random placements, got {draws}")
    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds: expected a positive number, got {seconds}")
    if people is not None and people < LEAST_PEOPLE:
        raise ValueError(f"people: expected at least {LEAST_PEOPLE}, got {people}")
    began, rows = time.monotonic(), []
    for scene in scenes:
        rows.append(losses_of(scene, adversary, draws))
        seen = sum(map(len, rows))
        if seconds is not None and time.monotonic() - began > seconds and seen >= LEAST_PEOPLE:
            break
        if people is not None and seen >= people:
            break
    table = torch.cat(rows) if rows else torch.zeros(0, 5)
    if len(table) < LEAST_PEOPLE:
        raise ValueError(f"people: expected at least {LEAST_PEOPLE} who get a part, got {len(table)}")
    return summarise(table[:people], draws)


def held_out(
    batches: Iterable[Batch],
    augmentation: Semantic,
    pose: nn.Module,
    device: torch.device | str = "cpu",
    amp: torch.dtype | None = None,
    coding: Coding | None = None,
    teacher: nn.Module | None = None,
) -> Iterator[Scene]:
    """The scenes of people that D is not trained on; the parts are those of epoch 0, the same whenever it is asked."""
    for batch in batches:
        scene = Scene.of(batch.to(device), augmentation, pose, amp=amp, trained=False, coding=coding)
        yield replace(scene, teacher=teacher)


def losses_of(scene: Scene, adversary: Placer | None, draws: int) -> Tensor:
    """[n, 5] float64 on the CPU: clean, random, centre, best, chosen loss of each person of the scene with a part."""
    augmentation, row = scene.augmentation, scene.batch.row
    places = candidates(scene.slots, row, draws, augmentation.ranges, augmentation.seed, scene.epoch, MEASURE)
    drawn = torch.stack([scene.judge(places[:, :, k]).mean(1) for k in range(draws)]).double()  # [draws, B]
    if adversary is None:
        chosen = drawn[0]
    else:
        choice = adversary.choose(scene, explore=False)
        chosen = scene.judge(choice.theta, slots=choice.slots).mean(1)
    columns = (
        scene.judge(None).mean(1),
        drawn.mean(0),
        scene.judge(centre(scene.slots)).mean(1),
        drawn.amax(0),
        chosen,
    )
    pasted = (scene.slots.part >= 0).any(1)
    return torch.stack([column.double() for column in columns], 1)[pasted].cpu()


def summarise(table: Tensor, draws: int) -> Hardness:
    """[people, 5] losses (see `losses_of`) -> Hardness."""
    clean, random, middle, best, chosen = table.mean(0).tolist()
    s, s_se = ratio(table[:, 4] - table[:, 1], table[:, 3] - table[:, 1])
    s_centre, s_centre_se = ratio(table[:, 2] - table[:, 1], table[:, 3] - table[:, 1])
    return Hardness(clean, random, middle, best, chosen, s, s_se, s_centre, s_centre_se, len(table), draws)


def ratio(a: Tensor, b: Tensor) -> tuple[float, float]:
    """mean(a) / mean(b) of paired samples [n], and its standard error (delta method: that of a - s b, over mean(b))."""
    if not float(b.mean()) > 0:
        return math.nan, math.nan
    s = a.mean() / b.mean()
    error = (a - s * b).std() / math.sqrt(len(a)) / b.mean()
    return s.item(), error.item()
