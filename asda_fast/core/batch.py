"""Batch: the one record that travels from the pipelines to the loss."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

# ImageNet's, which every published pose network was trained with; RGB, of values in 0..1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(eq=False)
class Batch:
    """One batch of crops with all that the later stages need to know of them.

    Convention: coordinates are (x, y), continuous, pixel i covers [i, i + 1), so its centre is i + 0.5. Joints that a
    flip renamed (left <-> right) are already renamed.
    """

    image: Tensor  # [B, H, W, 3] uint8, RGB
    joints: Tensor  # [B, J, 2] float32, crop pixels; unlabelled joints are (0, 0)
    visible: Tensor  # [B, J] uint8: 0 not labelled, 1 labelled but occluded, 2 visible
    row: Tensor  # [B] int64, row of the Person table
    matrix: Tensor  # [B, 2, 3] float32, crop pixel -> photo pixel
    box: (
        Tensor  # [B, 4] float32: centre x, centre y, width, height of the person's own box in crop pixels (not rotated)
    )
    flip: Tensor  # [B] bool: mirrored left-right
    half: Tensor  # [B] bool: narrowed to a half body

    def __len__(self) -> int:
        return self.image.shape[0]

    def twice(self) -> Batch:
        """Everybody twice: [2 B], the whole batch and then again."""
        return Batch(**{name: torch.cat((value, value)) for name, value in vars(self).items()})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch on `device`."""
        device = torch.device(device)
        return replace(
            self, **{f.name: getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)}
        )


def normalise(image: Tensor) -> Tensor:
    """[B, H, W, 3] uint8 -> [B, 3, H, W] float32 in ImageNet's normalisation."""
    x = image.permute(0, 3, 1, 2).float() / 255
    mean, std = _constants(x.device)
    return (x - mean) / std


@functools.cache
def _constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """MEAN and STD as [1, 3, 1, 1], made once: a copy from Python's numbers waits for a GPU."""
    with torch.inference_mode(False):
        mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return mean, std


def to_uint8(image: Tensor) -> Tensor:
    """The inverse, to look at: normalised [B, 3, H, W] -> [B, H, W, 3] uint8."""
    mean, std = (image.new_tensor(v)[:, None, None] for v in (MEAN, STD))
    pixels = ((image.float() * std + mean) * 255).round().clamp(0, 255)
    return pixels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
