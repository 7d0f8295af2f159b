"""A world small enough to follow by hand: black crops, white opaque patches, a network that sees where the white is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asda_fast.adversary import Scene
from asda_fast.augment import Ranges, build
from asda_fast.core.batch import Batch
from asda_fast.models import heatmaps as targets
from asda_fast.parts.pool import PartPool

SIDE, JOINTS = 64, 5
EDGES = ((0, 1), (1, 2), (2, 3))


class WhereWhite(nn.Module):
    """Heatmaps that are constant: each the x of the white's middle, 0 at the left edge, 1 at the right one."""

    def forward(self, image: Tensor) -> Tensor:
        white = image.sum(1).double() - image[:, :, 0, 0].sum(1).double()[:, None, None]  # the corner is black
        x = (torch.arange(image.shape[-1], dtype=torch.float64) + 0.5) / image.shape[-1]
        middle = (white.sum(1) * x).sum(-1) / white.sum((1, 2)).clamp(min=1e-6)
        height, width = image.shape[2] // 4, image.shape[3] // 4
        return middle.float()[:, None, None, None].expand(-1, JOINTS, height, width)


class Small(nn.Sequential):
    """A network with batch norm, as D has."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, JOINTS, 3, 2, 1))


@pytest.fixture
def pool() -> PartPool:
    """White squares of 8 to 11 pixels, of four types, of people as large as those in the crops."""
    patches = [np.full((n, n, 4), 255, np.uint8) for n in (8, 9, 10, 11)]
    return PartPool.from_patches(patches, type=[0, 1, 2, 3], types=("a", "b", "c", "d"), person=[[30.0, 40.0]] * 4)


@pytest.fixture
def make_scene(pool):
    """make_scene(pose, count, parts, first row, **ranges) -> Scene of black crops."""

    def make(pose: nn.Module, count: int = 6, parts: int = 1, row: int = 0, seed: int = 3, **ranges) -> Scene:
        inside = {"s": (1.0, 1.0), "r": (0.0, 0.0), "tx": (-0.6, 0.6), "ty": (-0.6, 0.6), **ranges}
        draw = torch.Generator().manual_seed(row + 1)
        visible = torch.full((count, JOINTS), 2, dtype=torch.uint8)
        visible[0, -1] = 0
        joints = 12 + 40 * torch.rand(count, JOINTS, 2, generator=draw)
        batch = Batch(
            image=torch.zeros(count, SIDE, SIDE, 3, dtype=torch.uint8),
            joints=joints * (visible > 0)[..., None],
            visible=visible,
            row=torch.arange(row, row + count),
            matrix=torch.eye(3)[:2].expand(count, 2, 3).clone(),
            box=torch.tensor([[32.0, 32.0, 30.0, 40.0]]).expand(count, 4).clone(),
            flip=torch.zeros(count, dtype=torch.bool),
            half=torch.zeros(count, dtype=torch.bool),
        )
        augmentation = build("asda", pool, parts=parts, seed=seed, ranges=Ranges(**inside))
        target, weight = targets.heatmaps(batch.joints, batch.visible, (SIDE, SIDE))
        return Scene(batch, augmentation.draw(batch, 0), target, weight, augmentation, pose)

    return make
