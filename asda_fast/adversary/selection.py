"""Adversaries that choose among candidate placements: search, cover, and the critic's way of choosing.

    candidates -> a score of each, unpasted -> the best of each of `verify` groups -> pasted, judged by D -> the hardest

A candidate is a place, or a part and its place (part_choices.py).

With one group nothing is pasted but what D is trained on. Every number is drawn by (seed, epoch, person). Where only a
share of a batch is judged, it is those to whom the scores promise most; the others get the best of all candidates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from asda_fast.adversary.base import Choice, Placer
from asda_fast.adversary.candidates import CANDIDATES, CHANCE, JUDGED, Candidates, candidates, spread
from asda_fast.adversary.coverage import Coverage, coverage
from asda_fast.adversary.part_choices import part_choices
from asda_fast.adversary.scene import Scene, at
from asda_fast.augment.sampling import Slots
from asda_fast.core.random import random_bits, uniform


@dataclass
class Clean:
    """What D says of the clean crop."""

    response: Tensor  # [B, J] its heatmap where the joint is, 1 = as the target
    losses: Tensor  # [B, J]


@dataclass
class Judged:
    """What one batch taught: G proposals of each person, and D's losses of them where they were pasted."""

    scene: Scene  # of those who were judged
    coverage: Coverage | None  # of the proposals, [B, N, G, ...]
    losses: Tensor | None  # [B, G, J]; None: nothing was pasted before D's own step
    clean: Clean | None


class Selection(Placer):
    """Options:

    candidates  random placements that are scored for each part
    parts       parts to choose among for each slot (part_choices.py), over which the candidates are spread
    verify      proposals that are pasted and judged by a forward pass of D; the hardest is taken. 1: none is pasted
    share       of the people of a batch whose proposals are judged
    clean       first let D look at the clean crop, which the scores then use
    reduced     those passes at half the resolution
    explore     share of the proposals in training that are drawn at random
    target      how far from the mean of the candidates' scores (0) to the best one (1) a proposal is sought
    solvable    take the proposal of the largest L_D - solvable * L_teacher, not L_D: hard for D, and solvable by the
                mean of its weights (Scene.teacher), by `verify` more passes. TeachAugment (Suzuki, CVPR 2022) has 1
    """

    def __init__(
        self,
        edges: tuple[tuple[int, int], ...] = (),
        *,
        candidates: int = 32,
        verify: int = 1,
        share: float = 1.0,
        clean: bool = False,
        reduced: bool = True,
        explore: float = 0.0,
        target: float = 1.0,
        parts: int = 1,
        solvable: float = 0.0,
        seed: int = 0,
    ) -> None:
        for name, value in (("candidates", candidates), ("verify", verify), ("parts", parts)):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        if candidates % verify:
            raise ValueError(f"verify: expected a divisor of candidates ({candidates}), got {verify}")
        if parts > candidates:
            raise ValueError(f"parts: expected at most candidates ({candidates}), got {parts}")
        if not 0 < share <= 1:
            raise ValueError(f"share: expected more than 0, at most 1, got {share}")
        if not 0 <= explore < 1:
            raise ValueError(f"explore: expected 0 up to, not including, 1, got {explore}")
        if not 0 <= target <= 1:
            raise ValueError(f"target: expected 0 to 1, got {target}")
        if not 0 <= solvable < math.inf or (solvable and verify == 1):
            raise ValueError(f"solvable: expected at least 0, and 0 where verify is 1, got {solvable}")
        self.edges, self.candidates, self.verify, self.clean = edges, candidates, verify, clean
        self.share, self.reduced, self.explore, self.target, self.seed = share, reduced, explore, target, seed
        self.parts, self.solvable = parts, solvable

    def score(self, scene: Scene, covered: Coverage, clean: Clean | None) -> Tensor:
        """How hard each candidate seems: [B, N, K]."""
        raise NotImplementedError

    @torch.no_grad()
    def choose(self, scene: Scene, explore: bool) -> Choice:
        row, chance, most = scene.draws, self.explore if explore else 0.0, len(scene.batch)
        clean = self.look(scene) if self.clean else None
        drawn = self.draw(scene)
        if self.verify == self.candidates:  # no choice: all are pasted
            return self.judged(scene, drawn, None, clean)
        covered = coverage(scene, drawn.theta, self.edges, drawn.parts)
        score = self.score(scene, covered, clean)  # [B, N, K]
        if self.verify == 1 or self.share < 1:
            best = self.best(score, row, scene.epoch, 1, chance)
            alone, parts = drawn.at(best).one(0)
            if self.verify == 1:
                return Choice(alone, Judged(scene, covered.at(best), None, clean), parts)
            few = self.promising(score, row, scene.epoch, chance)
            scene, drawn, score, row = scene.of_people(few), drawn.of_people(few), score[few], row[few]
            covered = Coverage(**at(vars(covered), few))
            clean = clean and Clean(**at(vars(clean), few))
        best = self.best(score, row, scene.epoch, self.verify, chance)
        choice = self.judged(scene, drawn.at(best), covered.at(best), clean, most)
        if self.share < 1:
            choice.theta = alone.index_copy(0, few, choice.theta)
            if parts is not None and choice.slots is not None:
                judged = vars(choice.slots)
                choice.slots = Slots(**{n: v.index_copy(0, few, judged[n]) for n, v in vars(parts).items()})
        return choice

    def draw(self, scene: Scene) -> Candidates:
        """The candidates of every slot, [B, N, K]."""
        slots, ranges = scene.slots, scene.augmentation.ranges
        theta = candidates(slots, scene.draws, self.candidates, ranges, self.seed, scene.epoch, CANDIDATES)
        if self.parts == 1:
            return Candidates(theta)
        return spread(theta, part_choices(scene, self.parts, self.seed), self.verify)

    def judged(
        self, scene: Scene, proposals: Candidates, covered: Coverage | None, clean: Clean | None, most: int = 1
    ) -> Choice:
        """The hardest of the G proposals for D; with `solvable`, of those that its teacher solves. most: images that a
        forward pass may have, where that is more than one proposal's."""
        people, slots, count = proposals.theta.shape[:3]
        together = max(1, most // people)  # a pass of a few images takes a GPU as long as one of many
        at_once = [proposals.between(first, first + together) for first in range(0, count, together)]

        def passes(scene: Scene) -> Tensor:
            return torch.cat([judge(scene, some, self.reduced) for some in at_once], 1)

        losses = passes(scene)  # [B, G, J]
        hardness = losses.mean(2)
        if self.solvable and scene.teacher is not None:
            hardness = hardness - self.solvable * passes(replace(scene, pose=scene.teacher)).mean(2)
        hardest = hardness.argmax(1)[:, None, None].expand(-1, slots, 1)
        theta, parts = proposals.at(hardest).one(0)
        return Choice(theta, Judged(scene, covered, losses, clean), parts)

    def best(self, score: Tensor, row: Tensor, epoch: int | Tensor, groups: int, chance: float) -> Tensor:
        """[B, N, groups] the best candidate of each group, or the nearest to `target`; a random one with probability
        `chance`."""
        if self.target < 1:
            score = -(score - torch.lerp(score.mean(-1, True), score.amax(-1, True), self.target)).abs()
        best = score.unflatten(-1, (groups, -1)).argmax(-1)
        if chance:
            dice = random_bits(row, groups, self.seed, epoch, CHANCE)[:, None]  # one throw for all of its parts
            best = torch.where(uniform(dice) < chance, torch.zeros_like(best), best)  # the first of a group: random
        return best + torch.arange(groups, device=row.device) * (self.candidates // groups)

    def promising(self, score: Tensor, row: Tensor, epoch: int | Tensor, chance: float) -> Tensor:
        """The places in the batch of those who are judged: `share` of them, by how far their best candidates stand out;
        `chance` of these are anybody, so that those are heard of too to whom little is promised."""
        room = (score.amax(-1) - score.mean(-1)).sum(1)
        if chance:
            anybody = uniform(random_bits(row, 1, self.seed, epoch, JUDGED)[:, 0]) < chance * self.share
            room = torch.where(anybody, torch.inf, room)
        return room.topk(judged_of(len(room), self.share)).indices

    def look(self, scene: Scene) -> Clean:
        """D's clean pass."""
        answer, target, weight = scene.look(None, self.reduced)
        return Clean(scene.coding.response(answer, target), scene.coding.joint_losses(answer, target, weight))


class Search(Selection):
    """The hardest of `verify` random placements (with `parts`, of so many parts), by as many forward passes."""

    capturable = True

    def __init__(self, edges: tuple[tuple[int, int], ...] = (), *, verify: int = 4, **options: float) -> None:
        if verify < 2:
            raise ValueError(f"verify: expected at least 2 placements to search among, got {verify}")
        super().__init__(edges, candidates=verify, verify=verify, **options)  # type: ignore[arg-type]


class Cover(Selection):
    """The candidate that hides most of what D sees of the joints: nothing is learned.

    Without a clean pass it hides most of the joints.
    """

    capturable = True

    def score(self, scene: Scene, covered: Coverage, clean: Clean | None) -> Tensor:
        hidden = (covered.joint + covered.near + covered.far) / 3
        seen = scene.weight if clean is None else clean.response * (scene.weight > 0)
        return (hidden * seen[:, None, None]).sum(-1)


def judged_of(people: int, share: float) -> int:
    """How many of a batch are judged."""
    return max(1, round(share * people))


def judge(scene: Scene, proposals: Candidates, reduced: bool) -> Tensor:
    """D's losses [B, G, J] of G proposals of each person, in one forward pass."""
    people, _, count = proposals.theta.shape[:3]
    if count == 1:
        theta, parts = proposals.one(0)
        return scene.judge(theta, reduced, parts)[:, None]
    everybody = scene.of_people(torch.arange(people, device=proposals.theta.device).repeat(count))
    theta, parts = proposals.one_after_another()
    return everybody.judge(theta, reduced, parts).unflatten(0, (count, people)).transpose(0, 1)
