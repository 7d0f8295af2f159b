"""Scene: one batch just before its paste, with the pose network that is to be fooled. What every adversary is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asda_fast.augment.base import Augmented
from asda_fast.augment.sampling import Slots
from asda_fast.augment.sda import Semantic
from asda_fast.core.batch import Batch
from asda_fast.models.coding import Coding, Heatmaps, last

SECOND = 2**32  # beyond every row of a table
SMALLEST_SIDE = 64  # pixels; below it the coarsest maps of the networks are of one cell


@dataclass
class Scene:
    """Who is in the batch, which parts each person gets, and D. The placement is what the adversary chooses.

    `trained` says that `batch.row` counts in the table that D is trained on, so that an adversary may keep what it
    learns of each person; of held-out people it may not.
    """

    batch: Batch
    slots: Slots
    target: Tensor  # [B, J, h, w], or as D's coding has it
    weight: Tensor  # [B, J]
    augmentation: Semantic
    pose: nn.Module  # the bare network, not DistributedDataParallel
    epoch: int | Tensor = 0
    amp: torch.dtype | None = None
    trained: bool = True
    coding: Coding = field(default_factory=Heatmaps)  # of D's answers
    teacher: nn.Module | None = None  # the mean of D's weights, which `solvable` adversaries ask; None: they do not
    pairs: bool = False  # the batch's second half is its first again: everybody twice, with one part at two places

    @staticmethod
    def of(
        batch: Batch,
        augmentation: Semantic,
        pose: nn.Module,
        epoch: int = 0,
        amp: torch.dtype | None = None,
        trained: bool = True,
        coding: Coding | None = None,
    ) -> Scene:
        """The scene of a batch: the augmentation's draw of the parts, and D's targets (coding: of its answers)."""
        coding = coding or Heatmaps()
        target, weight = coding.encode(batch.joints, batch.visible, (batch.image.shape[1], batch.image.shape[2]))
        slots = augmentation.draw(batch, epoch)
        return Scene(batch, slots, target, weight, augmentation, pose, epoch, amp, trained, coding)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the crop."""
        return self.batch.image.shape[1], self.batch.image.shape[2]

    @property
    def draws(self) -> Tensor:
        """[B] what random numbers are drawn by: a person's row, and for the second of a pair one of nobody else."""
        row = self.batch.row
        if not self.pairs:
            return row
        first, second = row.chunk(2)
        return torch.cat((first, second + SECOND))

    def of_people(self, index: Tensor) -> Scene:
        """The scene of the people at these places of the batch, [n]."""
        batch, slots = Batch(**at(vars(self.batch), index)), self.slots.each(lambda column: column[index])
        target, weight = self.target[index], self.weight[index]
        return replace(self, batch=batch, slots=slots, target=target, weight=weight, pairs=False)

    def paste(self, theta: Tensor, slots: Slots | None = None) -> Augmented:
        """The batch with its parts (or `slots`) at theta [B, N, 4]; differentiable in r, tx, ty."""
        return self.augmentation.render(self.batch, slots or self.slots, theta, self.epoch)

    def render(self, theta: Tensor, slots: Slots | None = None) -> Tensor:
        """The normalised image [B, 3, H, W] alone."""
        return self.paste(theta, slots).image

    @torch.no_grad()
    def predict(self, image: Tensor) -> Tensor:
        """D's answer [B, J, ..] to `image`, as D is when it is used: running batch-norm statistics, no gradient."""
        with evaluating(self.pose), self.autocast():
            return last(self.pose(image)).float()

    @torch.no_grad()
    def look(self, theta: Tensor | None, reduced: bool, slots: Slots | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """What D says of the parts (or `slots`) at theta [B, N, 4] (None: of the clean crop), in one forward pass.

        reduced: at about half the resolution, a quarter of the arithmetic (multiples of 32 pixels from 64 up).
        Returns the answer [B, J, ..] with the target [B, J, ..] and weight [B, J] that belong to it.
        """
        image = self.augmentation.clean(self.batch) if theta is None else self.render(theta, slots)
        size = reduced_size(self.size) if reduced else self.size
        if size == self.size:
            return self.predict(image), self.target, self.weight
        image = F.interpolate(image, size, mode="bilinear", antialias=True)
        joints = self.batch.joints
        x, y = joints[..., 0] * (size[1] / self.size[1]), joints[..., 1] * (size[0] / self.size[0])
        target, weight = self.coding.encode(torch.stack((x, y), -1), self.batch.visible, size)
        return self.predict(image), target, weight * (self.weight > 0)

    def judge(self, theta: Tensor | None, reduced: bool = False, slots: Slots | None = None) -> Tensor:
        """D's loss of each joint [B, J] with the parts at theta (see `look`)."""
        return self.coding.joint_losses(*self.look(theta, reduced, slots))

    def autocast(self) -> Any:
        if self.amp is None:
            return nullcontext()
        # In a loop's own autocast torch before 2.10 would keep the weights that a pass without gradient has cast, and
        # train nothing through them: https://github.com/pytorch/pytorch/issues/112583
        return torch.autocast(self.batch.image.device.type, self.amp, cache_enabled=False)


def at(rows: dict[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    """The rows at `index` of each."""
    return {name: value[index] for name, value in rows.items()}


def reduced_size(size: tuple[int, int]) -> tuple[int, int]:
    """The smallest (H, W) of at least half of `size` that every network takes: multiples of 32 from 64 up.

    256x192 -> 128x96; 96x96 -> 64x64; 64x64 stays.
    """
    height, width = (min(side, max(SMALLEST_SIDE, 32 * -(-side // 64))) for side in size)
    return height, width


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode for a while; every module's own mode comes back after it."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
