"""HRNet's loss of heatmaps: half the squared error, weighted by joint; over a batch, by person, by joint.

Every function takes prediction [B, J, h, w], or a list of such (a stacked hourglass: summed over its stacks); target
[B, J, h, w]; weight [B, J], 0 where a joint is not labelled. All joints count in a mean, those of weight 0 as 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Prediction = Tensor | Sequence[Tensor]


def pose_loss(prediction: Prediction, target: Tensor, weight: Tensor) -> Tensor:
    """[]: what a network learns from a batch. Paper: L_D = ||D(I_aug) - H_gt||^2; a paste changes neither heatmaps nor
    visibility."""
    if not isinstance(prediction, Tensor):
        return torch.stack([pose_loss(stack, target, weight) for stack in prediction]).sum()
    return 0.5 * _squares(prediction, target, weight).mean()


def pose_losses(prediction: Prediction, target: Tensor, weight: Tensor) -> Tensor:
    """[B], by person; `pose_loss` is their mean."""
    if not isinstance(prediction, Tensor):
        return torch.stack([pose_losses(stack, target, weight) for stack in prediction]).sum(0)
    return 0.5 * _squares(prediction, target, weight).mean((1, 2, 3))


def joint_losses(prediction: Prediction, target: Tensor, weight: Tensor) -> Tensor:
    """[B, J], by person and joint; `pose_losses` are their means over J."""
    if not isinstance(prediction, Tensor):
        return torch.stack([joint_losses(stack, target, weight) for stack in prediction]).sum(0)
    return 0.5 * _squares(prediction, target, weight).mean((2, 3))


def _squares(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    if prediction.shape != target.shape or weight.shape != target.shape[:2]:
        came = ", ".join(str(list(each.shape)) for each in (prediction, target, weight))
        raise ValueError(f"prediction, target, weight: expected [B, J, h, w] twice and [B, J], got {came}")
    each = weight[:, :, None, None]
    target = torch.where(each > 0, target, 0.0)  # also where a target of one's own is nan for who is not labelled
    return ((prediction.float() - target) * each).square()
