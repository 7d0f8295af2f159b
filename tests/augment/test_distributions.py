"""What cutout, ror and objects draw, read back from the matrices they paste with."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from asda_fast import augment
from asda_fast.core.batch import Batch
from asda_fast.parts.pool import PartPool

H, W = 64, 48
COUNT = 3000


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Many people with four joints at known places, the first of them not labelled."""
    joints = torch.tensor([[5.0, 5], [12, 16], [36, 16], [24, 48]]).expand(COUNT, 4, 2)
    return Batch(
        image=torch.zeros((COUNT, H, W, 3), dtype=torch.uint8),
        joints=joints,
        visible=torch.tensor([0, 1, 2, 2], dtype=torch.uint8).expand(COUNT, 4),
        row=torch.arange(COUNT),
        matrix=torch.zeros((COUNT, 2, 3)),
        box=torch.tensor([[24.0, 32.0, 30.0, 40.0]]).expand(COUNT, 4),
        flip=torch.zeros(COUNT, dtype=torch.bool),
        half=torch.zeros(COUNT, dtype=torch.bool),
    )


def is_uniform(values, low: float, high: float) -> bool:
    return stats.kstest(np.asarray(values, float), "uniform", (low, high - low)).pvalue > 1e-4


def test_cutout_sizes_and_places(batch):
    out = augment.build("cutout", parts=2, extent=(0.1, 0.4), seed=5)(batch, 1)
    scale_x, scale_y = out.matrix[..., 0, 0], out.matrix[..., 1, 1]
    wide, high = 64 / scale_x, 64 / scale_y
    x, y = -out.matrix[..., 0, 2] / scale_x + wide / 2, -out.matrix[..., 1, 2] / scale_y + high / 2
    for values, low, high_ in ((wide, 0.1 * W, 0.4 * W), (high, 0.1 * H, 0.4 * H), (x, 0, W), (y, 0, H)):
        assert is_uniform(values.flatten(), low, high_)
    table = torch.cat([wide, high, x, y], 1).numpy()
    assert np.abs(np.corrcoef(table.T) - np.eye(8)).max() < 0.08


def test_cutout_number_and_probability(batch):
    number = (augment.build("cutout", parts=(1, 4))(batch).slots.part >= 0).sum(1)
    assert stats.chisquare(np.bincount(number.numpy(), minlength=5)[1:]).pvalue > 1e-4
    some = augment.build("cutout", probability=0.3)(batch).slots.part >= 0
    assert abs(some.float().mean() - 0.3) < 0.04


def test_ror_takes_every_labelled_joint_alike(batch):
    """Squares laid on a joint (occlude = 1) stand at the three labelled joints, a third of them at each."""
    out = augment.build("ror", occlude=1.0, extent=0.125, seed=2)(batch)
    corner = -out.matrix[:, 0, :, 2]
    places, counts = np.unique(corner.numpy() + 3, axis=0, return_counts=True)
    assert places.tolist() == [[12, 16], [24, 48], [36, 16]]
    assert stats.chisquare(counts).pvalue > 1e-4


def test_ror_occludes_and_repeats_as_often_as_asked(batch):
    out = augment.build("ror", occlude=0.3, extent=0.125, seed=2)(batch)
    centre = -out.matrix[:, 0, :, 2] + 3
    nearest = (centre[:, None] - batch.joints[:, 1:]).norm(dim=-1).amin(1)
    assert abs((nearest < 1).float().mean() - 0.3) < 0.04
    repeated = nearest[nearest >= 1]
    assert repeated.mean() > 6  # on background: a random place near a joint is about 5 px from one
    assert ((centre >= 3) & (centre <= torch.tensor([W - 3.0, H - 3.0]))).all()


def test_objects_sizes_angles_and_places(batch):
    pool = PartPool.from_patches([np.full((30, 40, 4), 255, np.uint8)], types=["object"], type=[0])
    out = augment.build("objects", pool, seed=4)(batch)
    linear = out.matrix[:, 0, :, :2]
    diagonal = 50 / linear.det().sqrt()  # of the object on the crop
    assert is_uniform(diagonal / math.hypot(30, 40), 0.2, 0.6)
    angle = torch.atan2(linear[:, 0, 1], linear[:, 0, 0])
    assert is_uniform(angle, -math.pi / 6, math.pi / 6)
    assert is_uniform(out.theta[:, 0, 2], -1, 1)
    assert is_uniform(out.theta[:, 0, 3], -1, 1)


def test_rtmposes_cutout(batch):
    """One hole of 0.2 to 0.4 within every crop; of every second one in the last fourteenth of a run."""
    aug = augment.build("cutout", preset="rtmpose", seed=5)
    height, width = batch.image.shape[1:3]
    out = aug(batch, 1)
    assert (out.slots.part == 0).all()
    scale = 64 / out.matrix[:, 0, [0, 1], [0, 1]]  # [B, 2] pixels wide and high
    corner = -out.matrix[:, 0, :, 2] * scale / 64
    sides = torch.tensor([width, height])
    assert (scale / sides).min() >= 0.2 - 1e-6 and (scale / sides).max() <= 0.4 + 1e-6
    assert (corner >= -1e-4).all() and (corner + scale <= sides + 1e-3).all()
    assert torch.equal(aug.pool.texels.unique(), torch.tensor([0, 255], dtype=torch.uint8))
    aug.epochs = 420
    assert [aug.chance(epoch) for epoch in (0, 389, 390, 419)] == [1, 1, 0.5, 0.5]
    assert [float(aug.chance(torch.tensor(epoch))) for epoch in (389, 390)] == [1, 0.5]
    share = (aug(batch, 400).slots.part == 0).float().mean()
    assert 0.3 < share < 0.7
    assert augment.build("cutout", preset="rtmpose", extent=(0.1, 0.2)).extent == (0.1, 0.2)
    for wrong in ({"preset": "rtm"}, {"later": (2, 0.5)}, {"later": 0.5}):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))}: expected"):
            augment.build("cutout", **wrong)
