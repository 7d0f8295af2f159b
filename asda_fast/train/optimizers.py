"""Adam as the steps use it: one kernel for all weights, and nothing in Python that a CUDA graph would not see.

With `capturable` the learning rate is a tensor on the device, which every replay of a graph reads anew. A checkpoint
holds plain numbers either way, so that a run goes on wherever it is resumed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def adam(network: nn.Module, rate: float, capturable: bool = False) -> Optimizer:
    """Adam of all weights of a network that is on its device already."""
    device = next(network.parameters()).device
    lr = torch.tensor(rate, device=device) if capturable else rate
    return torch.optim.Adam(network.parameters(), lr=lr, fused=True, capturable=capturable)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def state_of(optimizer: Optimizer) -> dict[str, Any]:
    """Its state_dict, of numbers where a graph needs tensors. Waits for the device."""
    state = optimizer.state_dict()
    return {**state, "param_groups": [{**g, "lr": float(g["lr"]), "capturable": False} for g in state["param_groups"]]}


def restore(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load what `state_of` gave; the rate stays in the tensor that it was in."""
    own = [{key: group[key] for key in ("lr", "capturable")} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    for group, kept, rate in zip(optimizer.param_groups, own, rates):
        if isinstance(kept["lr"], Tensor):
            group |= {**kept, "lr": kept["lr"].fill_(rate)}
