"""Candidate placements: counter-based draws, the same for a person whatever the batch, rank or device."""

from __future__ import annotations

import torch
from torch import Tensor

from asda_fast.augment.sampling import Ranges, Slots
from asda_fast.core.random import random_bits, uniform

# Streams of core.random.random_bits: an adversary's places, its dice, hardness, whom it judges.
CANDIDATES, CHANCE, MEASURE, JUDGED = 16, 17, 18, 19


def candidates(
    slots: Slots, row: Tensor, count: int, ranges: Ranges, seed: int, epoch: int | Tensor, stream: int
) -> Tensor:
    """theta [B, N, count, 4]: r, tx, ty uniform in `ranges`, every slot's random size s kept."""
    batch, parts = slots.part.shape
    bits = random_bits(row, 4 * parts * count, seed, epoch, stream).view(batch, parts, count, 4)
    drawn = [uniform(bits[..., i], *span) for i, span in enumerate((ranges.r, ranges.tx, ranges.ty))]
    return torch.stack((slots.scale[..., None].expand(-1, -1, count), *drawn), -1)


def centre(slots: Slots) -> Tensor:
    """theta [B, N, 4] of every part upright in the crop's centre, where an untrained generator puts it."""
    zero = torch.zeros_like(slots.scale)
    return torch.stack((slots.scale, zero, zero, zero), -1)
