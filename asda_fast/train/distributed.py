"""This process among the processes of a run: torchrun starts them, this file only reads what it says."""

from __future__ import annotations

import datetime
import gc
import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from asda_fast.core.hardware import choose_device


@dataclass(frozen=True)
class Ranks:
    """rank of world; `device` is this process's own."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over the ranks. Its buffers are each rank's own until `share`."""
        if self.world == 1:
            return network
        return DistributedDataParallel(
            network,
            device_ids=[self.device.index] if self.device.type == "cuda" else None,
            broadcast_buffers=False,  # at each forward, hundreds of them
            gradient_as_bucket_view=True,
        )

    def share(self, network: nn.Module) -> None:
        """Give every rank the first one's buffers: batch-norm statistics of its share of the data, which are what is
        saved and validated."""
        if self.world == 1:
            return
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for buffer in network.buffers():
            kinds.setdefault(buffer.dtype, []).append(buffer)
        for buffers in kinds.values():  # one message for each type
            flat = torch.cat([buffer.flatten() for buffer in buffers])
            dist.broadcast(flat, 0)
            parts = flat.split([buffer.numel() for buffer in buffers])
            torch._foreach_copy_(buffers, [part.view_as(buffer) for part, buffer in zip(parts, buffers)])

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over the ranks."""
        if self.world > 1:
            dist.all_reduce(value)
            value /= self.world
        return value

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank: the same answer on all of them."""
        if self.world == 1:
            return flag
        value = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return bool(value.item())

    def wait(self) -> None:
        if self.world > 1:
            dist.barrier()


def start(device_name: str) -> Ranks:
    """Join the run: torchrun's when its variables are set, else a run of one process."""
    device = choose_device(device_name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Ranks(0, 1, device)
    # The first rank evaluates while the others wait: longer than the default limit on a large dataset.
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=datetime.timedelta(hours=2))
    return Ranks(dist.get_rank(), world, device)


def stop() -> None:
    """Leave the run. Networks of `wrap` hold the processes' group and must have been dropped: where one outlives this
    call, the group's threads are ended at the interpreter's exit, which now and then aborts the process."""
    gc.collect()  # they stand in cycles
    if dist.is_initialized():
        dist.destroy_process_group()


def bare(network: nn.Module) -> nn.Module:
    """The network itself, out of DistributedDataParallel: its keys are the published ones."""
    return network.module if isinstance(network, DistributedDataParallel) else network
