"""What the ranks of a run tell each other, so that every one learns from all and their states stay equal."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def rank_and_world() -> tuple[int, int]:
    """This process's number, and how many there are: 0 of 1 where no process group is."""
    several = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if several else (0, 1)


def gathered(rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """The rows [n, ...] of all ranks, in the order of the ranks, the same on each; every rank brings as many.

    ValueError on a CPU where one does not. On a GPU nothing looks: the host would wait for the answer.
    """
    world = rank_and_world()[1]
    if world == 1:
        return rows
    first = next(iter(rows.values()))
    if first.device.type == "cpu":
        came = [torch.zeros(1, dtype=torch.int64) for _ in range(world)]
        dist.all_gather(came, torch.tensor([len(first)]))
        counts = torch.cat(came).tolist()
        if len(set(counts)) > 1:
            many = ", ".join(map(str, counts))
            raise ValueError(f"expected as many people on every process, got {many}: leave out uneven last batches")

    def all_of(value: Tensor) -> Tensor:
        parts = [torch.empty_like(value) for _ in range(world)]
        dist.all_gather(parts, value.contiguous())
        return torch.cat(parts)

    return {name: all_of(value) for name, value in rows.items()}
