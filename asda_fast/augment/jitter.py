"""Colour jitter of pasted patches, as a small pool of recoloured copies for one batch."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from asda_fast.core.random import random_bits, uniform
from asda_fast.parts.pool import PartPool

STREAM = 2


def lengths(pool: PartPool) -> Tensor:
    """[P] texels of each patch, with borders and mips."""
    end = torch.cat((pool.table[1:, 0], torch.full_like(pool.table[:1, 0], pool.texels.shape[0])))
    return end - pool.table[:, 0]


def jittered(
    pool: PartPool,
    part: Tensor,
    row: Tensor,
    strength: float,
    *,
    seed: int,
    epoch: int | Tensor,
    longest: int | None = None,
) -> tuple[PartPool, Tensor]:
    """Recolour the patches of `part` [B, N]: contrast about mid-grey, then a gain per channel, each within
    1 +- strength, drawn by (seed, epoch, row, slot). Returns the batch's own pool and `part` counted in it.

    All mip levels of a patch are changed alike. longest: texels of the pool's longest patch, of which every slot then
    gets as many; without it the texels are counted, for which the host would wait on a GPU.
    """
    shape, device = part.shape, part.device
    used = part.flatten() >= 0
    chosen = part.flatten().clamp(min=0)
    length = torch.where(used, lengths(pool)[chosen], 0)  # [B * N]
    end = torch.cumsum(length, 0)
    first = end - length
    total = int(end[-1]) if longest is None and len(end) else len(end) * (longest or 0)
    place = torch.arange(total, device=device)
    slot = torch.searchsorted(end, place, right=True).clamp(max=max(len(end) - 1, 0))
    texel = (place - first[slot] + pool.table[chosen, 0][slot]).clamp(max=pool.texels.shape[0] - 1)
    bits = random_bits(row, 4 * shape[1], seed, epoch, STREAM).view(-1, 4)
    factor = uniform(bits, 1 - strength, 1 + strength)  # [B * N, 4] contrast, red, green, blue
    rgba = pool.texels[texel].float()
    colour, alpha = rgba[:, :3], rgba[:, 3:]
    contrast, gain = factor[slot, :1], factor[slot, 1:]
    colour = ((colour - 0.5 * alpha) * contrast + 0.5 * alpha) * gain  # premultiplied: mid-grey is alpha / 2
    colour = torch.minimum(colour.clamp(min=0), alpha)
    table = pool.table[chosen].clone()
    table[:, 0] = first.clamp(max=max(len(slot) - 1, 0))
    own = replace(
        pool,
        texels=torch.cat((colour, alpha), 1).round().to(torch.uint8),
        table=table,
        type=pool.type[chosen],
        person=pool.person[chosen],
        source=[],
    )
    return own, torch.where(used, torch.arange(len(length), device=device), -1).view(shape)
