"""cutout: coarse dropout (DeVries and Taylor 2017). Rectangles of one colour at random places.

RTMPose's CoarseDropout is `preset=rtmpose`: one black hole within the crop, of 0.2 to 0.4 of its sides; in the last
fourteenth of the epochs (30 of 420) only half of the crops get one.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from asda_fast.augment.base import Augmentation, Augmented
from asda_fast.augment.sampling import Slots
from asda_fast.core.batch import Batch
from asda_fast.core.random import random_bits, uniform
from asda_fast.parts.pool import PartPool

STREAM = 3
_SIDE = 64  # pixels of the one patch: stretched to the hole, its soft edge is 1/64 of it
PRESETS: dict[str | None, dict[str, Any]] = {
    None: {"extent": (0.1, 0.4), "colour": (124, 116, 104), "inside": False, "later": None},
    "rtmpose": {"extent": (0.2, 0.4), "colour": (0, 0, 0), "inside": True, "later": (1 / 14, 0.5)},
}


class Cutout(Augmentation):
    """`parts` holes per crop. Further options: `extent`, range of a hole's width and height as fractions of the crop's;
    `colour` in 0..255, by default ImageNet's mean, zero after normalisation; `probability` of a crop to get any;
    `inside`: holes lie wholly within the crop (else their centres do); `later`: (share, probability), another one in
    that last share of a run's epochs; `preset` "rtmpose", which the others may change.
    """

    def __init__(
        self,
        pool: PartPool | None = None,
        *,
        extent: tuple[float, float] | None = None,
        colour: tuple[int, int, int] | None = None,
        probability: float = 1.0,
        inside: bool | None = None,
        later: tuple[float, float] | None = None,
        preset: Literal["rtmpose"] | None = None,
        **options: Any,
    ) -> None:
        if preset not in PRESETS:
            raise ValueError(f"preset: expected {', '.join(filter(None, PRESETS))}, got {preset!r}")
        given = {"extent": extent, "colour": colour, "inside": inside, "later": later}
        chosen = {**PRESETS[preset], **{key: value for key, value in given.items() if value is not None}}
        low, high = _two("extent", chosen["extent"])
        if not 0 < low <= high <= 1:
            raise ValueError(f"extent: expected 0 < low <= high <= 1, got {chosen['extent']}")
        last = None if chosen["later"] is None else _two("later", chosen["later"])
        if last is not None and not (0 <= last[0] <= 1 and 0 <= last[1] <= 1):
            raise ValueError(f"later: expected a share and a probability, both of 0..1, got {chosen['later']}")
        patch = torch.tensor([*chosen["colour"], 255], dtype=torch.uint8).expand(_SIDE, _SIDE, 4).contiguous()
        super().__init__(PartPool.from_patches([patch], mips=False), **options)
        self.extent, self.probability, self.inside, self.later = (low, high), probability, chosen["inside"], last

    def __call__(self, batch: Batch, epoch: int | Tensor = 0) -> Augmented:
        height, width = batch.image.shape[1:3]
        chance = self.chance(epoch)
        slots = hole_slots(batch, self.fewest, self.most, chance, seed=self.seed, epoch=epoch, stream=STREAM)
        bits = random_bits(batch.row, 4 * self.most, self.seed, epoch, STREAM + 1).view(len(batch), self.most, 4)
        w = uniform(bits[..., 0], *self.extent) * width
        h = uniform(bits[..., 1], *self.extent) * height
        if self.inside:
            x, y = uniform(bits[..., 2]) * (width - w), uniform(bits[..., 3]) * (height - h)
        else:  # centres anywhere in the crop
            x, y = uniform(bits[..., 2]) * width - w / 2, uniform(bits[..., 3]) * height - h / 2
        zero = torch.zeros_like(x)
        rows = (torch.stack((_SIDE / w, zero, -x * _SIDE / w), -1), torch.stack((zero, _SIDE / h, -y * _SIDE / h), -1))
        return self._paste(batch, self.pool_on(batch.image.device), slots, slots.theta, torch.stack(rows, -2))

    def chance(self, epoch: int | Tensor) -> float | Tensor:
        """The probability of a crop to get holes in this epoch; `later` needs the run's number of epochs."""
        if self.later is None or self.epochs is None:
            return self.probability
        begin = self.epochs - round(self.later[0] * self.epochs)
        if isinstance(epoch, Tensor):  # a graph's
            late = (epoch >= begin).float()
            return late * self.later[1] + (1 - late) * self.probability
        return self.later[1] if epoch >= begin else self.probability


def _two(name: str, pair: Any) -> tuple[float, float]:
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and all(isinstance(v, (int, float)) for v in pair)):
        raise ValueError(f"{name}: expected two numbers, got {pair!r}")
    return pair[0], pair[1]


def hole_slots(
    batch: Batch, fewest: int, most: int, probability: float | Tensor, *, seed: int, epoch: int | Tensor, stream: int
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
