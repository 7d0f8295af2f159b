"""The scene of somebody else's training loop, for `Adversary`: any images, judged by the loop's network and loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from asda_fast.adversary.scene import Scene, evaluating
from asda_fast.augment.base import Augmented
from asda_fast.augment.module import SemanticPaste
from asda_fast.augment.sampling import Slots
from asda_fast.core.batch import MEAN, STD
from asda_fast.models.frozen import bare, frozen

LARGEST = 1e30  # sums of such losses overflow
Losses = Callable[[Any], Tensor]


@dataclass
class LoopScene(Scene):
    """A scene of somebody else's loop: images of any kind, judged by the loop's own network and loss."""

    module: SemanticPaste = field(kw_only=True)
    losses: Losses | None = field(kw_only=True)
    original: Tensor = field(kw_only=True)  # [B, 3, H, W]
    response: Tensor | None = field(kw_only=True, default=None)
    stand_ins: bool = field(kw_only=True, default=False)  # the joints are points of the box, not the loop's own

    def paste(self, theta: Tensor, slots: Slots | None = None) -> Augmented:
        return self.module.render(self.batch, self.original, slots or self.slots, theta, int(self.epoch))

    def normalised(self) -> Tensor:
        """[B, 3, H, W] float in ImageNet's normalisation: what a generator sees."""
        image = self.original.float()
        if self.original.dtype == torch.uint8:
            image = image / 255
        else:
            image = image * _column(self.module.paste.std, image) + _column(self.module.paste.mean, image)
        return (image - _column(MEAN, image)) / _column(STD, image)

    def judge(self, theta: Tensor | None, reduced: bool = False, slots: Slots | None = None) -> Tensor:
        image = self.original if theta is None else self.render(theta, slots)
        with torch.no_grad():
            return self.table(self.ask(image), "losses")

    def ask(self, image: Tensor, hold: bool = False) -> Tensor:
        """The loop's losses of its network's answer to `image`. hold: with a gradient to the image only."""
        assert self.losses is not None
        network = bare(self.pose)
        with self.autocast():
            if not isinstance(network, nn.Module):
                return self.losses(network(image))
            if hold:
                return self.losses(frozen(network, image))
            with evaluating(network):
                return self.losses(network(image))

    def table(self, losses: Any, name: str) -> Tensor:
        """losses [B] or [B, J] -> [B, J] float; ValueError otherwise. What is not finite, or near it (half precision
        overflows), is 0 and counts as not labelled from here on: a learner that takes it in never gets rid of it."""
        count, joints = self.weight.shape
        shape = list(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        if self.stand_ins and isinstance(losses, Tensor) and losses.dim() == 2 and len(losses) == count:
            losses, shape = losses.mean(1), [count]
        if shape not in ([count], [count, joints]):
            raise ValueError(
                f"{name}: expected the loss of each person [{count}] or of each joint [{count}, {joints}] "
                f"(a mean over the batch does not say who found it hard), got {shape}"
            )
        losses = losses.float()
        if losses.dim() == 1:
            losses = losses[:, None].expand(-1, joints)
        else:
            losses = torch.where(self.weight > 0, losses, 0.0)
        finite = losses.abs() < LARGEST
        self.weight = self.weight * finite
        return torch.where(finite, losses, 0.0)


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, 3, 1, 1)
