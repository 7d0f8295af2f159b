"""SimCC (Li et al., ECCV 2022) as RTMPose has it: x and y of a joint as two classifications over bins of half a pixel.

Labels are Gaussians of peak 1 on the bins, made distributions by a softmax at inverse temperature `BETA`, as are the
answers; the loss is the divergence between the two. A crop's pixel *index* xi = x - 0.5 falls into bin 2 xi, rounded.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from asda_fast.models.heatmaps import check_joints, swapped

SPLIT = 2  # bins to a crop pixel
BETA = 10.0


def sigma_of(side: int) -> float:
    """In bins: the published 4.9, 5.66, 6 and 6.93 of sides of 192, 256, 288 and 384."""
    return math.sqrt(side / 8)


def labels(joints: Tensor, visible: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Joints [B, J, 2] in crop pixels -> distributions [B, J, X + Y], and weight [B, J]: 0 where a joint is unlabelled
    (visible [B, J] is 0) or its Gaussian, of 3 sigma, lies wholly outside."""
    check_joints(joints, visible)
    found, inside = [], visible > 0
    for axis, side in ((0, size[1]), (1, size[0])):
        length, sigma = SPLIT * side, sigma_of(side)
        bin_of = ((joints[..., axis].float() - 0.5) * SPLIT).round()
        inside = inside & (bin_of - 3 * sigma < length) & (bin_of + 3 * sigma + 1 >= 0)
        d = torch.arange(length, device=joints.device) - bin_of.nan_to_num()[..., None]
        found.append((BETA * torch.exp(-(d * d) / (2 * sigma * sigma))).softmax(-1))
    return torch.cat(found, -1), inside.float()


def parts(answer: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Of x [B, J, X], and of y [B, J, Y]. ValueError where there are more or fewer bins than crops of `size` have."""
    if answer.shape[-1] != SPLIT * sum(size):
        raise ValueError(f"answer: expected {SPLIT * sum(size)} bins for crops of {size}, got {answer.shape[-1]}")
    return answer[..., : SPLIT * size[1]], answer[..., SPLIT * size[1] :]


def joint_losses(answer: Tensor, target: Tensor, weight: Tensor, size: tuple[int, int]) -> Tensor:
    """[B, J] the divergence of x and of y, each averaged over its bins. (The published loss is the sum over a batch of
    the means over joints: ours times the batch.)"""
    both = zip(parts(answer.float(), size), parts(target, size))
    each = [F.kl_div((BETA * a).log_softmax(-1), t, reduction="none").mean(-1) for a, t in both]
    return (each[0] + each[1]) * weight


def decode(answer: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The joints [B, J, 2] in crop pixels, and score [B, J]: the lower one of the two highest values."""
    (score_x, x), (score_y, y) = (part.float().max(-1) for part in parts(answer, size))
    return torch.stack((x, y), -1) / SPLIT + 0.5, torch.minimum(score_x, score_y)


def flip(answer: Tensor, pairs: tuple[tuple[int, int], ...], size: tuple[int, int]) -> Tensor:
    """The answer to the mirrored crop, brought back. Its first pixel's bin meets the last pixel's: one bin beside the
    mirrored one, which the published code leaves out."""
    x, y = parts(swapped(answer, pairs), size)
    x = x.flip(-1)
    return torch.cat((x[..., 1:], x[..., -1:], y), -1)


def response(answer: Tensor, target: Tensor, size: tuple[int, int]) -> Tensor:
    """[B, J] the probability of each joint's bins, as a share of the target's."""
    shares = []
    for a, t in zip(parts(answer.float(), size), parts(target, size)):
        peak = t.argmax(-1, keepdim=True)
        shares.append(((BETA * a).softmax(-1).gather(-1, peak) / t.gather(-1, peak))[..., 0].clamp(0, 1))
    return shares[0] * shares[1]
