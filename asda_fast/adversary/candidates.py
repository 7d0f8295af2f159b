"""Candidate placements: counter-based draws, the same for a person whatever the batch, rank or device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from asda_fast.augment.sampling import Ranges, Slots
from asda_fast.core.random import random_bits, uniform

# Streams of core.random.random_bits: an adversary's places, its dice, hardness, whom it judges, further parts.
CANDIDATES, CHANCE, MEASURE, JUDGED, PARTS = 16, 17, 18, 19, 20


@dataclass
class Candidates:
    """K placements of every slot."""

    theta: Tensor  # [B, N, K, 4]
    parts: Slots | None = None  # [B, N, K] the part of each; None: all are of the slot's own part

    def at(self, index: Tensor) -> Candidates:
        """Those at index [B, N, G]."""
        return self._each(lambda value: pick(value, index))

    def of_people(self, index: Tensor) -> Candidates:
        """Those of the people at these places of the batch, [n]."""
        return self._each(lambda value: value[index])

    def one(self, k: int) -> tuple[Tensor, Slots | None]:
        """theta [B, N, 4] and parts [B, N] of the candidates k."""
        found = self._each(lambda value: value[:, :, k])
        return found.theta, found.parts

    def between(self, first: int, end: int) -> Candidates:
        """Those from number `first` up to, not including, `end`."""
        return self._each(lambda value: value[:, :, first:end])

    def one_after_another(self) -> tuple[Tensor, Slots | None]:
        """theta [K B, N, 4] and parts [K B, N]: all people's first candidate, then their second, .."""
        found = self._each(lambda value: value.movedim(2, 0).flatten(0, 1))
        return found.theta, found.parts

    def _each(self, change: Callable[[Tensor], Tensor]) -> Candidates:
        parts = self.parts and self.parts.each(change)
        return Candidates(change(self.theta), parts)


def candidates(
    slots: Slots, row: Tensor, count: int, ranges: Ranges, seed: int, epoch: int | Tensor, stream: int
) -> Tensor:
    """theta [B, N, count, 4]: r, tx, ty uniform in `ranges`, every slot's random size s kept."""
    batch, parts = slots.part.shape
    bits = random_bits(row, 4 * parts * count, seed, epoch, stream).view(batch, parts, count, 4)
    drawn = [uniform(bits[..., i], *span) for i, span in enumerate((ranges.r, ranges.tx, ranges.ty))]
    return torch.stack((slots.scale[..., None].expand(-1, -1, count), *drawn), -1)


def spread(theta: Tensor, choices: Slots, groups: int) -> Candidates:
    """theta [B, N, K, 4] over the parts [B, N, M] to choose among, each candidate of its part's size.

    Candidate i of group g, of K / groups, is of part (i + g) mod M: the first ones of the groups, which are proposed
    where nothing is known and to explore, are of different parts.
    """
    k = torch.arange(theta.shape[2], device=theta.device)
    size = theta.shape[2] // groups
    which = (k % size + k // size) % choices.part.shape[2]
    parts = choices.each(lambda column: column[:, :, which])
    parts.theta = torch.cat((parts.theta[..., :1], theta[..., 1:]), -1)
    return Candidates(parts.theta, parts)


def centre(slots: Slots) -> Tensor:
    """theta [B, N, 4] of every part upright in the crop's centre, where an untrained generator puts it."""
    zero = torch.zeros_like(slots.scale)
    return torch.stack((slots.scale, zero, zero, zero), -1)


def pick(value: Tensor, index: Tensor) -> Tensor:
    """value [B, N, K, ...] at index [B, N, G] -> [B, N, G, ...]."""
    tail = value.shape[3:]
    return value.gather(2, index.view(*index.shape, *[1] * len(tail)).expand(-1, -1, -1, *tail))
