"""Which parts an adversary may choose among: some for each slot, under a budget of area.

How much a part covers explains most of what it does to the loss, so a free choice would be one of size. The budget is
the part that chance drew: of the further ones, which are drawn in the same way, one that would cover more of the person
gives its place to it. So for every person, slot and epoch no larger part is pasted than by chance, and on average a
smaller one, as often as the choice falls on one: what is won over chance is not won by size. A price on area that
adapts until the means agree would need a state and the other people of the batch; this needs neither.
"""

from __future__ import annotations

import torch
from torch import Tensor

from asda_fast.adversary.candidates import PARTS
from asda_fast.adversary.scene import Scene
from asda_fast.augment.sampling import Slots


def part_choices(scene: Scene, count: int, seed: int) -> Slots:
    """[B, N, count] the parts of each slot of the scene: first its own, then `count - 1` as large at most.

    A function of (seed, epoch, person); a slot that is empty has none. Area: Semantic.areas.
    """
    batch, slots, augmentation = scene.batch, scene.slots, scene.augmentation
    further = augmentation.alternatives(batch, slots, count - 1, seed, scene.epoch, PARTS)
    flat = further.each(lambda column: column.flatten(1, 2))
    area = augmentation.areas(batch, flat).view(further.part.shape)
    fits = area <= augmentation.areas(batch, slots)[..., None]

    def chosen(own: Tensor, other: Tensor) -> Tensor:
        own = own[:, :, None]
        return torch.cat((own, torch.where(fits.view(*fits.shape, *[1] * (own.dim() - 3)), other, own)), 2)

    return Slots(**{name: chosen(value, getattr(further, name)) for name, value in vars(slots).items()})
