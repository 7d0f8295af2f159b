"""Optimisers as the steps use them: one kernel for all weights, and nothing in Python that a CUDA graph would not see.

With `capturable` the learning rate is a tensor on the device, which every replay of a graph reads anew. A checkpoint
holds plain numbers either way, so that a run goes on wherever it is resumed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from asda_fast.core.errors import UserError
from asda_fast.train.optimisation import OptimisationOptions

MOMENTUM = 0.9  # of sgd
KEPT = ("lr", "capturable", "scale")  # of a group: its own, whatever a checkpoint has


def adam(network: nn.Module, rate: float, capturable: bool = False) -> Optimizer:
    """Adam of all weights of a network that is on its device already."""
    return make(network, rate, OptimisationOptions(), capturable)


def make(network: nn.Module, rate: float, options: OptimisationOptions, capturable: bool = False) -> Optimizer:
    """The optimiser of the weights that learn, of a network that is on its device already. A group's `scale` is its
    share of the learning rate. UserError for a decay by layers of a network that does not tell its layers."""
    device = next(network.parameters()).device
    groups = []
    for (scale, decay), weights in _grouped(network, options).items():
        lr: Any = torch.tensor(rate * scale, device=device) if capturable else rate * scale
        groups.append({"params": weights, "lr": lr, "scale": scale, "weight_decay": decay})
    if not groups:
        raise UserError("freeze: leaves nothing of the network to learn")
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=groups[0]["lr"], momentum=MOMENTUM, fused=True)
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=groups[0]["lr"], fused=True, capturable=capturable)


def _grouped(network: nn.Module, options: OptimisationOptions) -> dict[tuple[float, float], list[nn.Parameter]]:
    """(share of the rate, weight decay) -> weights, in the network's order; one group where nothing parts them."""
    by_layer, depth = options.layer_decay not in (None, 1.0), dict[str, int]()
    if by_layer:
        if not hasattr(network, "layer_of"):
            raise UserError("layer_decay: expected a network that tells its layers (vitpose_*, timm:*), this does not")
        depth = network.layer_of()  # type: ignore[operator]
    top, found = max(depth.values(), default=0), dict[tuple[float, float], list[nn.Parameter]]()
    spared: set[str] = network.no_weight_decay() if hasattr(network, "no_weight_decay") else set()  # type: ignore[operator]
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            pulled = weight.ndim > 1 and not name.endswith((".bias", "pos_embed", "_token")) and name not in spared
            scale = (options.layer_decay or 1.0) ** (top - depth[name]) if by_layer else 1.0
            found.setdefault((scale, (options.weight_decay or 0.0) if pulled else 0.0), []).append(weight)
    return found


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """The full rate; each group's is its share of it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate * group.get("scale", 1.0))
        else:
            group["lr"] = rate * group.get("scale", 1.0)


def state_of(optimizer: Optimizer) -> dict[str, Any]:
    """Its state_dict, of numbers where a graph needs tensors. Waits for the device."""
    state = optimizer.state_dict()
    plain = {"capturable": False} if "capturable" in optimizer.defaults else {}
    return {**state, "param_groups": [{**g, "lr": float(g["lr"]), **plain} for g in state["param_groups"]]}


def restore(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load what `state_of` gave, now or before groups had shares; the rate stays in the tensor that it was in."""
    own = [{key: group[key] for key in KEPT if key in group} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    for group, kept, rate in zip(optimizer.param_groups, own, rates):
        kept["lr"] = kept["lr"].fill_(rate) if isinstance(kept["lr"], Tensor) else rate
        group |= kept
