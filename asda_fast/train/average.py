"""A running mean of a network's weights (EMA): what is evaluated and kept, where it is asked for."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

HASTE = 10  # the first weights know little: after n steps the mean reaches back (1 + n) / (10 + n) at most


class Average:
    """The mean of the weights and of the statistics of normalisations; whole numbers are the newest."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.decay = decay
        self.steps = torch.zeros((), device=next(network.parameters()).device)  # on the device: a graph counts too

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the newest weights in."""
        self.steps += 1
        share = 1 - torch.clamp((1 + self.steps) / (HASTE + self.steps), max=self.decay)
        mean, new = ([*net.parameters(), *net.buffers()] for net in (self.network, network))
        real = [i for i, value in enumerate(mean) if value.is_floating_point()]
        away = torch._foreach_sub([new[i] for i in real], [mean[i] for i in real])
        torch._foreach_mul_(away, share)
        torch._foreach_add_([mean[i] for i in real], away)
        for there, value in zip(mean, new):
            if not there.is_floating_point():
                there.copy_(value)

    def tensors(self) -> list[Tensor]:
        """All that an update changes."""
        return [self.steps, *self.network.parameters(), *self.network.buffers()]

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.network.state_dict(), "steps": self.steps.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["weights"])
        self.steps.copy_(state["steps"])
