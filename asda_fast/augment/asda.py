"""asda: adversarial semantic data augmentation (paper, section 3.3). SDA's parts, placed by the generator.

The trainer does it in steps, because the generator learns:

    slots = aug.draw(batch, epoch)                                     # which parts, at which random size
    out = generator(aug.clean(batch))                                  # [B, types, 3] r, tx, ty of every type
    image = aug.render(batch, slots, generator_theta(out, slots)).image
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asda_fast.augment.base import Augmented
from asda_fast.augment.sampling import Slots
from asda_fast.augment.sda import Semantic
from asda_fast.core.batch import Batch


def generator_theta(output: Tensor, slots: Slots) -> Tensor:
    """The generator's [B, types, 3] (r, tx, ty) -> theta [B, N, 4] of each slot's type; s stays random: a predicted s
    would grow until the part covers the person (paper, section 3.3). Differentiable in `output`, which may be of half
    precision (autocast): theta is not, in which a part would lie a pixel beside itself."""
    if output.dim() != 3 or output.shape[-1] != 3:
        raise ValueError(f"output: expected [B, types, 3], got {list(output.shape)}")
    output = output if output.dtype == torch.float64 else output.float()
    chosen = output.gather(1, slots.type[..., None].expand(-1, -1, 3))  # [B, N, 3]
    return torch.cat((slots.theta[..., :1].to(chosen.dtype), chosen), -1)


class Adversarial(Semantic):
    """ASDA; options as SDA (the ranges of r, tx, ty are not used). Without a generator it starts where an untrained
    one does: r = tx = ty = 0."""

    learned = True

    def __call__(self, batch: Batch, epoch: int | Tensor = 0, generator: nn.Module | None = None) -> Augmented:
        slots = self.draw(batch, epoch)
        if generator is None:
            theta = slots.theta * torch.tensor([1.0, 0.0, 0.0, 0.0], device=slots.theta.device)
        else:
            theta = generator_theta(generator(self.clean(batch)), slots)
        return self.render(batch, slots, theta, epoch)
