"""cutout: coarse dropout (DeVries and Taylor 2017). Rectangles of one colour at random places."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from asda_fast.augment.base import Augmentation, Augmented
from asda_fast.augment.sampling import Slots
from asda_fast.core.batch import Batch
from asda_fast.core.random import random_bits, uniform
from asda_fast.parts.pool import PartPool

STREAM = 3
_SIDE = 64  # pixels of the one patch: stretched to the hole, its soft edge is 1/64 of it


class Cutout(Augmentation):
    """`parts` holes per crop. Further options: `extent`, range of a hole's width and height as fractions of the crop's;
    `colour` in 0..255, by default ImageNet's mean, zero after normalisation; `probability` of a crop to get any.
    """

    def __init__(
        self,
        pool: PartPool | None = None,
        *,
        extent: tuple[float, float] = (0.1, 0.4),
        colour: tuple[int, int, int] = (124, 116, 104),
        probability: float = 1.0,
        **options: Any,
    ) -> None:
        patch = torch.tensor([*colour, 255], dtype=torch.uint8).expand(_SIDE, _SIDE, 4).contiguous()
        super().__init__(PartPool.from_patches([patch], mips=False), **options)
        if not (
            isinstance(extent, (tuple, list)) and len(extent) == 2 and all(isinstance(v, (int, float)) for v in extent)
        ):
            raise ValueError(f"extent: expected two numbers, got {extent!r}")
        if not 0 < extent[0] <= extent[1] <= 1:
            raise ValueError(f"extent: expected 0 < low <= high <= 1, got {extent}")
        self.extent, self.probability = extent, probability

    def __call__(self, batch: Batch, epoch: int | Tensor = 0) -> Augmented:
        height, width = batch.image.shape[1:3]
        slots = hole_slots(batch, self.fewest, self.most, self.probability, seed=self.seed, epoch=epoch, stream=STREAM)
        bits = random_bits(batch.row, 4 * self.most, self.seed, epoch, STREAM + 1).view(len(batch), self.most, 4)
        w = uniform(bits[..., 0], *self.extent) * width
        h = uniform(bits[..., 1], *self.extent) * height
        x = uniform(bits[..., 2]) * width - w / 2  # centres anywhere in the crop
        y = uniform(bits[..., 3]) * height - h / 2
        zero = torch.zeros_like(x)
        rows = (torch.stack((_SIDE / w, zero, -x * _SIDE / w), -1), torch.stack((zero, _SIDE / h, -y * _SIDE / h), -1))
        return self._paste(batch, self.pool_on(batch.image.device), slots, slots.theta, torch.stack(rows, -2))


def hole_slots(
    batch: Batch, fewest: int, most: int, probability: float, *, seed: int, epoch: int | Tensor, stream: int
) -> Slots:
    """Slots that all hold patch 0, of a drawn number per crop; theta is (1, 0, 0, 0)."""
    device = batch.row.device
    head = random_bits(batch.row, 2, seed, epoch, stream)
    number = fewest + ((head[:, 1] * (most - fewest + 1)) >> 32)
    keep = (uniform(head[:, 0]) < probability)[:, None] & (torch.arange(most, device=device) < number[:, None])
    part = torch.where(keep, 0, -1)
    theta = torch.zeros((*part.shape, 4), device=device)
    theta[..., 0] = 1
    return Slots(part, torch.zeros_like(part), torch.zeros_like(keep), theta)
