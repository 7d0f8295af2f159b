"""What the ranks of a run tell each other, so that every one learns from all and their states stay equal."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def gathered(rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """The rows [n, ...] of all ranks, in the order of the ranks, the same on each; every rank brings as many."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows

    def all_of(value: Tensor) -> Tensor:
        parts = [torch.empty_like(value) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, value.contiguous())
        return torch.cat(parts)

    return {name: all_of(value) for name, value in rows.items()}
