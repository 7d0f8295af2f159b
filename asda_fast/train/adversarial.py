"""The paper on one screen: how the pose network D and the generator G learn from one batch.

`alternate` is the paper's (L_D = -L_G, updated in turn): D takes a step on the pasted images with the placement held
fixed; then G takes a step uphill, through D as it now is. `joint` is this project's: one forward, one backward; D
receives the gradient, G the same gradient with its sign flipped. Half the cost; G learns against D before its step.

Cost of a batch in network passes (forward, backward): `alternate` G 1, 1 and D 2, 2 (the second D backward only
reaches the image); `joint` G 1, 1 and D 1, 1. The released code runs G's forward twice and D's weights' gradients too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from asda_fast.adversary import Adversary, Scene
from asda_fast.models.loss import joint_losses, pose_loss

Paste = Callable[[Tensor], Tensor]  # G's output [B, T, 3] -> image [B, 3, H, W]


@dataclass
class Players:
    """Both networks and their optimisers. Without a generator there is no game: D alone learns."""

    pose: nn.Module
    pose_optimizer: torch.optim.Optimizer
    generator: nn.Module | None = None
    generator_optimizer: torch.optim.Optimizer | None = None
    amp: torch.dtype | None = None  # autocast both networks to this type

    def autocast(self, device: torch.device) -> Any:
        return torch.autocast(device.type, self.amp) if self.amp is not None else nullcontext()


@dataclass
class Outcome:
    """What one batch gave; all of it detached, none of it read back to the host."""

    loss_d: Tensor  # []
    loss_g: Tensor | None  # []
    heatmaps: Tensor  # [B, J, h, w]


def frozen(network: nn.Module, image: Tensor) -> Any:
    """network(image) in its present mode, with a gradient to the image only: weights enter as constants, and
    batch-norm statistics are copies that are thrown away."""
    network = getattr(network, "module", network)  # out of DistributedDataParallel: nothing here is to be reduced
    constants = {name: value.detach() for name, value in network.named_parameters()}
    scratch = {name: value.clone() for name, value in network.named_buffers()}
    return functional_call(network, {**constants, **scratch}, (image,))


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return -grad


def step_alone(players: Players, image: Tensor, target: Tensor, weight: Tensor) -> Outcome:
    """D learns from `image`; there is no adversary (none, cutout, ror, objects, sda)."""
    with players.autocast(image.device):
        heatmaps = players.pose(image)
    loss = pose_loss(heatmaps, target, weight)
    _descend(players.pose_optimizer, loss)
    return _outcome(loss, None, heatmaps)


def step_alternate(players: Players, clean: Tensor, paste: Paste, target: Tensor, weight: Tensor) -> Outcome:
    """The paper: a D-step on G's placement, then a G-step through the D that came out of it."""
    assert players.generator is not None and players.generator_optimizer is not None
    with players.autocast(clean.device):
        placement = players.generator(clean)
    image = paste(placement)

    outcome = step_alone(players, image.detach(), target, weight)

    with players.autocast(clean.device):
        heatmaps = frozen(players.pose, image)
    loss_g = -pose_loss(heatmaps, target, weight)
    _descend(players.generator_optimizer, loss_g)
    outcome.loss_g = loss_g.detach()
    return outcome


def step_joint(players: Players, clean: Tensor, paste: Paste, target: Tensor, weight: Tensor) -> Outcome:
    """One forward and one backward for both networks, through a gradient reversal at G's output."""
    assert players.generator is not None and players.generator_optimizer is not None
    with players.autocast(clean.device):
        placement = players.generator(clean)
    image = paste(_Reverse.apply(placement))
    with players.autocast(clean.device):
        heatmaps = players.pose(image)
    loss = pose_loss(heatmaps, target, weight)
    players.generator_optimizer.zero_grad(set_to_none=True)
    _descend(players.pose_optimizer, loss)
    players.generator_optimizer.step()
    return _outcome(loss, -loss, heatmaps)


def step_against(players: Players, adversary: Adversary, scene: Scene) -> Outcome:
    """D learns where the adversary chose to paste; the adversary learns from what D lost, joint by joint."""
    choice = adversary.choose(scene, explore=True)
    outcome = step_alone(players, scene.render(choice.theta), scene.target, scene.weight)
    adversary.learn(scene, choice, joint_losses(outcome.heatmaps, scene.target, scene.weight))
    return outcome


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def _outcome(loss_d: Tensor, loss_g: Tensor | None, heatmaps: Any) -> Outcome:
    last = heatmaps[-1] if isinstance(heatmaps, (list, tuple)) else heatmaps
    return Outcome(loss_d.detach(), None if loss_g is None else loss_g.detach(), last.detach())
