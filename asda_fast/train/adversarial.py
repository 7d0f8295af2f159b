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
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from asda_fast.adversary import Placer, Scene
from asda_fast.augment.base import Augmented
from asda_fast.models.coding import Coding, Heatmaps
from asda_fast.models.frozen import frozen
from asda_fast.train.average import Average
from asda_fast.train.distributed import bare
from asda_fast.train.optimizers import set_rate

Paste = Callable[[Tensor], Tensor]  # G's output [B, T, 3] -> image [B, 3, H, W]


@dataclass(frozen=True)
class Turn:
    """A batch's place among those of one optimiser step, whose gradients are averaged."""

    first: bool = True
    last: bool = True
    share: float = 1.0


@dataclass
class Networks:
    """Both networks and their optimisers. Without a generator there is no game: D alone learns."""

    pose: nn.Module
    pose_optimizer: torch.optim.Optimizer
    generator: nn.Module | None = None
    generator_optimizer: torch.optim.Optimizer | None = None
    amp: torch.dtype | None = None  # autocast both networks to this type
    coding: Coding = field(default_factory=Heatmaps)  # of the pose network's answers
    clip: float | None = None  # longest gradient of the pose network
    average: Average | None = None  # of the pose network
    turn: Turn = field(default_factory=lambda: Turn())

    def autocast(self, device: torch.device) -> Any:
        return torch.autocast(device.type, self.amp) if self.amp is not None else nullcontext()

    @property
    def device(self) -> torch.device:
        return next(self.pose.parameters()).device

    @property
    def judged(self) -> nn.Module:
        """The network that is evaluated: the mean of the weights where there is one."""
        return bare(self.pose) if self.average is None else self.average.network

    @property
    def teacher(self) -> nn.Module | None:
        """The mean of the weights, where there is one."""
        return None if self.average is None else self.average.network

    def descend(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        """One optimiser's share of the batch's gradient, and its step where it is due."""
        if self.turn.first:
            optimizer.zero_grad(set_to_none=True)
        (loss if self.turn.share == 1 else loss * self.turn.share).backward()
        self.advance(optimizer)

    def advance(self, optimizer: torch.optim.Optimizer) -> None:
        """The step, if it is due."""
        if not self.turn.last:
            return
        ours = optimizer is self.pose_optimizer
        if ours and self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.pose.parameters(), self.clip)
        optimizer.step()
        if ours and self.average is not None:
            self.average.update(bare(self.pose))

    def set_rate(self, rate: float, generator_rate: float | None = None) -> None:
        """The learning rate of both, or each its own."""
        set_rate(self.pose_optimizer, rate)
        if self.generator_optimizer is not None:
            set_rate(self.generator_optimizer, rate if generator_rate is None else generator_rate)

    def not_finite(self) -> str | None:
        """The network (and its first tensor) that holds a value that is not finite; None: all is well. A host sync."""
        mean = None if self.average is None else self.average.network
        named = ("the pose network", self.pose), ("the mean of its weights", mean), ("the generator", self.generator)
        for name, network in named:
            if network is None:
                continue
            state = {k: v for k, v in network.state_dict().items() if v.is_floating_point()}
            flags = torch.stack([v.isfinite().all() for v in state.values()])
            if not flags.all():
                return f"{name} ({list(state)[int((~flags).nonzero()[0])]})"
        return None


@dataclass
class StepOutput:
    """What one batch gave; all of it detached, none of it read back to the host."""

    loss_d: Tensor  # []
    loss_g: Tensor | None  # []
    heatmaps: Tensor  # [B, J, h, w], or what the coding has for them


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return -grad


def step_alone(networks: Networks, image: Tensor, target: Tensor, weight: Tensor) -> StepOutput:
    """D learns from `image`; there is no adversary (none, cutout, ror, objects, sda)."""
    with networks.autocast(image.device):
        heatmaps = networks.pose(image)
    loss = networks.coding.loss(heatmaps, target, weight)
    networks.descend(networks.pose_optimizer, loss)
    return _output(loss, None, heatmaps)


def step_alternate(networks: Networks, clean: Tensor, paste: Paste, target: Tensor, weight: Tensor) -> StepOutput:
    """The paper: a D-step on G's placement, then a G-step through the D that came out of it."""
    assert networks.generator is not None and networks.generator_optimizer is not None
    with networks.autocast(clean.device):
        placement = networks.generator(clean)
    image = paste(placement)

    output = step_alone(networks, image.detach(), target, weight)

    with networks.autocast(clean.device):
        heatmaps = frozen(networks.pose, image)
    loss_g = -networks.coding.loss(heatmaps, target, weight)
    networks.descend(networks.generator_optimizer, loss_g)
    output.loss_g = loss_g.detach()
    return output


def step_joint(networks: Networks, clean: Tensor, paste: Paste, target: Tensor, weight: Tensor) -> StepOutput:
    """One forward and one backward for both networks, through a gradient reversal at G's output."""
    assert networks.generator is not None and networks.generator_optimizer is not None
    with networks.autocast(clean.device):
        placement = networks.generator(clean)
    image = paste(_Reverse.apply(placement))
    with networks.autocast(clean.device):
        heatmaps = networks.pose(image)
    loss = networks.coding.loss(heatmaps, target, weight)
    if networks.turn.first:
        networks.generator_optimizer.zero_grad(set_to_none=True)
    networks.descend(networks.pose_optimizer, loss)
    networks.advance(networks.generator_optimizer)
    return _output(loss, -loss, heatmaps)


def step_against(networks: Networks, adversary: Placer, scene: Scene) -> tuple[StepOutput, Augmented]:
    """D learns where the adversary chose to paste; the adversary learns from what D lost, joint by joint."""
    choice = adversary.choose(scene, explore=True)
    pasted = scene.paste(choice.theta, choice.slots)
    output = step_alone(networks, pasted.image, scene.target, scene.weight)
    adversary.learn(scene, choice, networks.coding.joint_losses(output.heatmaps, scene.target, scene.weight))
    return output, pasted


def _output(loss_d: Tensor, loss_g: Tensor | None, heatmaps: Any) -> StepOutput:
    last = heatmaps[-1] if isinstance(heatmaps, (list, tuple)) else heatmaps
    return StepOutput(loss_d.detach(), None if loss_g is None else loss_g.detach(), last.detach())
