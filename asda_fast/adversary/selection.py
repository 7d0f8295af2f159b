"""Adversaries that choose among candidate placements: search, cover, and the critic's way of choosing.

    candidates -> a score of each, unpasted -> the best of each of `verify` groups -> pasted, judged by D -> the hardest

With one group nothing is pasted but what D is trained on. Every number is drawn by (seed, epoch, person).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from asda_fast.adversary.base import Adversary, Choice
from asda_fast.adversary.candidates import CANDIDATES, CHANCE, candidates
from asda_fast.adversary.coverage import Coverage, coverage
from asda_fast.adversary.scene import Scene
from asda_fast.core.random import random_bits, uniform
from asda_fast.models.loss import joint_losses


@dataclass
class Clean:
    """What D says of the clean crop."""

    response: Tensor  # [B, J] its heatmap where the joint is, 1 = as the target
    losses: Tensor  # [B, J]


@dataclass
class Judged:
    """What one batch taught: G proposals of each person, and D's losses of them where they were pasted."""

    coverage: Coverage | None  # of the proposals, [B, N, G, ...]
    losses: Tensor | None  # [B, G, J]; None: nothing was pasted before D's own step
    clean: Clean | None


class Selection(Adversary):
    """Options:

    candidates  random placements that are scored for each part
    verify      proposals that are pasted and judged by a forward pass of D; the hardest is taken. 1: none is pasted
    clean       first let D look at the clean crop, which the scores then use
    reduced     those passes at half the resolution
    explore     share of the proposals in training that are drawn at random
    """

    def __init__(
        self,
        edges: tuple[tuple[int, int], ...] = (),
        *,
        candidates: int = 32,
        verify: int = 1,
        clean: bool = False,
        reduced: bool = True,
        explore: float = 0.0,
        seed: int = 0,
    ) -> None:
        for name, value in (("candidates", candidates), ("verify", verify)):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        if candidates % verify:
            raise ValueError(f"verify: expected a divisor of candidates ({candidates}), got {verify}")
        if not 0 <= explore < 1:
            raise ValueError(f"explore: expected 0 up to, not including, 1, got {explore}")
        self.edges, self.candidates, self.verify, self.clean = edges, candidates, verify, clean
        self.reduced, self.explore, self.seed = reduced, explore, seed

    def score(self, scene: Scene, covered: Coverage, clean: Clean | None) -> Tensor:
        """How hard each candidate seems: [B, N, K]."""
        raise NotImplementedError

    @torch.no_grad()
    def choose(self, scene: Scene, explore: bool) -> Choice:
        clean = self.look(scene) if self.clean else None
        theta, covered = self.propose(scene, clean, self.explore if explore else 0.0)
        if self.verify == 1:
            return Choice(theta[:, :, 0], Judged(covered, None, clean))
        losses = torch.stack([scene.judge(theta[:, :, g], self.reduced) for g in range(self.verify)], 1)  # [B, G, J]
        hardest = losses.mean(2).argmax(1)[:, None, None, None].expand(-1, theta.shape[1], 1, 4)
        return Choice(theta.gather(2, hardest)[:, :, 0], Judged(covered, losses, clean))

    def propose(self, scene: Scene, clean: Clean | None, explore: float) -> tuple[Tensor, Coverage | None]:
        """The best candidate of each group: theta [B, N, G, 4], and what it covers."""
        row, ranges, groups = scene.batch.row, scene.augmentation.ranges, self.verify
        theta = candidates(scene.slots, row, self.candidates, ranges, self.seed, scene.epoch, CANDIDATES)
        if groups == self.candidates:  # no choice: all are pasted
            return theta, None
        covered = coverage(scene, theta, self.edges)
        score = self.score(scene, covered, clean).unflatten(-1, (groups, -1))  # [B, N, G, K / G]
        best = score.argmax(-1)
        if explore:
            dice = random_bits(row, groups, self.seed, scene.epoch, CHANCE)[:, None]  # one throw for all of its parts
            best = torch.where(uniform(dice) < explore, torch.zeros_like(best), best)  # the first of a group: random
        best = best + torch.arange(groups, device=row.device) * (self.candidates // groups)
        return pick(theta, best), Coverage(**{name: pick(value, best) for name, value in vars(covered).items()})

    def look(self, scene: Scene) -> Clean:
        """D's clean pass."""
        heatmaps, target, weight = scene.look(None, self.reduced)
        peak = target.flatten(2).argmax(-1, keepdim=True)
        return Clean(heatmaps.flatten(2).gather(2, peak)[..., 0].clamp(0, 1), joint_losses(heatmaps, target, weight))


def pick(value: Tensor, index: Tensor) -> Tensor:
    """value [B, N, K, ...] at index [B, N, G] -> [B, N, G, ...]."""
    tail = value.shape[3:]
    return value.gather(2, index.view(*index.shape, *[1] * len(tail)).expand(-1, -1, -1, *tail))


class Search(Selection):
    """The hardest of `verify` random placements, by as many forward passes."""

    def __init__(self, edges: tuple[tuple[int, int], ...] = (), *, verify: int = 4, **options: bool | int) -> None:
        if verify < 2:
            raise ValueError(f"verify: expected at least 2 placements to search among, got {verify}")
        super().__init__(edges, candidates=verify, verify=verify, **options)  # type: ignore[arg-type]


class Cover(Selection):
    """The candidate that hides most of what D sees of the joints: nothing is learned.

    Without a clean pass it hides most of the joints.
    """

    def score(self, scene: Scene, covered: Coverage, clean: Clean | None) -> Tensor:
        hidden = (covered.joint + covered.near + covered.far) / 3
        seen = scene.weight if clean is None else clean.response * (scene.weight > 0)
        return (hidden * seen[:, None, None]).sum(-1)
