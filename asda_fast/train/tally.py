"""What is counted of every batch, on the device; read back now and then."""

from __future__ import annotations

import torch
from torch import Tensor

from asda_fast.augment.base import Augmented
from asda_fast.metrics.pck import CROP_SHARE
from asda_fast.models.coding import Coding
from asda_fast.train.adversarial import StepOutput

# Joints found of so many joints, people who got a part, parts whose place was not finite.
SUMS_OF = ("L_D", "L_G", "found", "joints", "pasted", "lost")
SUMS = len(SUMS_OF)


def tally(output: StepOutput, target: Tensor, weight: Tensor, pasted: Augmented, coding: Coding) -> Tensor:
    """[SUMS] float64, on the device."""
    found = coding.found(output.heatmaps, target, CROP_SHARE) * weight
    zero = output.loss_d.new_zeros(())
    people, lost = zero, zero
    if pasted.slots is not None and pasted.matrix is not None:
        there = pasted.slots.part >= 0  # [B, N]
        finite = pasted.matrix.detach().isfinite().all(-1).all(-1)
        people, lost = (there & finite).any(1).sum(), (there & ~finite).sum()
    loss_g = zero if output.loss_g is None else output.loss_g
    sums = (output.loss_d, loss_g, found.sum(), weight.sum(), people, lost)
    return torch.stack([value.double() for value in sums])
