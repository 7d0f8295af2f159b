"""The paper's adversary: one placement for each part type, predicted from the clean crop by a network.

It learns by D's gradient through the paste, in the steps of the trainer (`step_alternate`, `step_joint`), not here.
"""

from __future__ import annotations

import torch
from torch import nn

from asda_fast.adversary.base import Choice, Placer
from asda_fast.adversary.scene import Scene, evaluating
from asda_fast.augment.asda import generator_theta


class Generated(Placer):
    """The placement that a generator (models.Generator, or any [B, 3, H, W] -> [B, types, 3]) gives."""

    def __init__(self, generator: nn.Module) -> None:
        self.generator = generator

    @torch.no_grad()
    def choose(self, scene: Scene, explore: bool) -> Choice:
        with evaluating(self.generator), scene.autocast():
            output = self.generator(scene.augmentation.clean(scene.batch))
        return Choice(generator_theta(output, scene.slots))
