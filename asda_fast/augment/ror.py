"""ror: keypoint masking (Ke et al. 2018), the paper's competitor. Occlude a joint, or repeat it nearby.

Occlude: a square of background is copied over a joint. Repeat: the square around a joint is copied onto background near
it. Both are taken from the crop itself, on the batch's device; `background` is the best of a few random places, the one
farthest from every labelled joint.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from asda_fast.augment.base import Augmentation, Augmented, translation
from asda_fast.augment.cutout import hole_slots
from asda_fast.core.batch import Batch
from asda_fast.core.random import random_bits, uniform
from asda_fast.parts.pool import PartPool

STREAM = 5
_TRIES = 8


class Masking(Augmentation):
    """`parts` squares per crop. Further options: `extent`, a square's side as a fraction of the crop's shorter side;
    `occlude`, the probability to occlude rather than repeat; `probability` of a crop to get any."""

    def __init__(
        self,
        pool: PartPool | None = None,
        *,
        extent: float = 0.15,
        occlude: float = 0.5,
        probability: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(None, **options)
        for name, value in (("extent", extent), ("occlude", occlude), ("probability", probability)):
            if not (isinstance(value, (int, float)) and 0 <= value <= 1):
                raise ValueError(f"{name}: expected a number from 0 to 1, got {value!r}")
        self.extent, self.occlude, self.probability = extent, occlude, probability

    def __call__(self, batch: Batch, epoch: int | Tensor = 0) -> Augmented:
        height, width = batch.image.shape[1:3]
        side = min(max(2, round(self.extent * min(height, width))), height, width)
        slots = hole_slots(batch, self.fewest, self.most, self.probability, seed=self.seed, epoch=epoch, stream=STREAM)
        joint, found = self._joints(batch, epoch)  # [B, N, 2], [B, N]
        draws = 1 + 2 * _TRIES * 2  # which kind; two sets of places
        bits = random_bits(batch.row, self.most * draws, self.seed, epoch, STREAM + 2)
        bits = bits.view(len(batch), self.most, draws)
        limit = torch.full((2,), float(height), device=joint.device)
        limit[0] = width
        unit = uniform(bits[..., 1:]).view(len(batch), self.most, 2, _TRIES, 2)
        anywhere = self._background(batch, unit[:, :, 0] * limit)
        near = joint[:, :, None] + (unit[:, :, 1] * 2 - 1) * (2.0 * side)  # within two squares of the joint
        nearby = self._background(batch, torch.minimum(near.clamp(min=0), limit))
        occlude = (uniform(bits[..., 0]) < self.occlude)[..., None]
        source = self._corner(torch.where(occlude, anywhere, joint), side, limit)
        target = self._corner(torch.where(occlude, joint, nearby), side, limit)
        own = squares(batch.image, source, side)
        count = torch.arange(slots.part.numel(), device=joint.device).view(slots.part.shape)
        slots.part = torch.where((slots.part >= 0) & found, count, -1)
        return self._paste(batch, own, slots, slots.theta, translation(slots.theta, target.float()))

    def _joints(self, batch: Batch, epoch: int | Tensor) -> tuple[Tensor, Tensor]:
        """One labelled joint per slot, uniformly: [B, N, 2] and whether there is one [B, N]."""
        count, joints = batch.visible.shape
        score = random_bits(batch.row, self.most * joints, self.seed, epoch, STREAM + 1).view(count, self.most, joints)
        inside = (batch.joints >= 0).all(-1) & (batch.joints[..., 0] < batch.image.shape[2])
        usable = (batch.visible > 0) & inside & (batch.joints[..., 1] < batch.image.shape[1])
        best = torch.where(usable[:, None], score, -1).max(-1)
        return batch.joints.gather(1, best.indices[..., None].expand(-1, -1, 2)), best.values >= 0

    @staticmethod
    def _background(batch: Batch, places: Tensor) -> Tensor:
        """Of `places` [B, N, tries, 2] the one farthest from every labelled joint: [B, N, 2]."""
        distance = (places[:, :, :, None] - batch.joints[:, None, None]).square().sum(-1)  # [B, N, tries, J]
        distance = torch.where((batch.visible > 0)[:, None, None], distance, torch.inf).amin(-1)
        best = distance.argmax(-1)[..., None, None].expand(-1, -1, 1, 2)
        return places.gather(2, best).squeeze(2)

    @staticmethod
    def _corner(centre: Tensor, side: int, limit: Tensor) -> Tensor:
        """Top-left pixel [B, N, 2] int64 of the square about `centre` that lies inside the crop."""
        return torch.minimum((centre - side / 2).round().clamp(min=0), limit - side).to(torch.int64)


def squares(image: Tensor, corner: Tensor, side: int) -> PartPool:
    """A pool of opaque squares cut from `image` [B, H, W, 3] uint8 at `corner` [B, N, 2] (x, y), on its device."""
    count, number = corner.shape[:2]
    device, total = image.device, count * number
    step = torch.arange(side, device=device)
    y = (corner[..., 1, None] + step)[:, :, :, None]  # [B, N, side, 1]
    x = (corner[..., 0, None] + step)[:, :, None, :]
    who = torch.arange(count, device=device)[:, None, None, None]
    block = torch.zeros((total, side + 2, side + 2, 4), dtype=torch.uint8, device=device)  # transparent border
    block[:, 1:-1, 1:-1, :3] = image[who, y, x].view(total, side, side, 3)
    block[:, 1:-1, 1:-1, 3] = 255
    index = torch.arange(total, device=device)
    table = torch.stack([index * (side + 2) ** 2, *(torch.full_like(index, v) for v in (side, side, 1))], 1)
    nan = torch.full((total, 2), torch.nan, device=device)
    return PartPool(block.view(-1, 4), table, torch.zeros_like(index), nan, ("square",), [])
