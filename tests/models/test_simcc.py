"""SimCC's labels, loss and decoding against loops written from their published description."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asda_fast import models
from asda_fast.core.errors import UserError
from asda_fast.models import simcc
from asda_fast.models.coding import SimCC, coding_of
from asda_fast.models.heatmaps import flip_heatmaps

SIZE = (64, 48)


def label(index: float, side: int, sigma: float) -> np.ndarray:
    """RTMPose's of one coordinate, a pixel index: a Gaussian of peak 1 round a bin, then a softmax at 10."""
    bins = np.arange(2 * side)
    g = 10 * np.exp(-((bins - np.around(2 * index)) ** 2) / (2 * sigma**2))
    return np.exp(g) / np.exp(g).sum()


def test_labels_and_loss_equal_the_loop() -> None:
    rng = np.random.default_rng(0)
    index = np.stack([rng.uniform(0, 47, (2, 9)), rng.uniform(0, 63, (2, 9))], -1)
    index[0, 0], index[0, 1], index[0, 2], index[1, 0] = (1000, 5), (np.nan, np.nan), (-3.4, 5), (49, 66)
    visible = torch.ones(2, 9)
    visible[0, 1] = 0
    target, weight = simcc.labels(torch.tensor(index + 0.5), visible, SIZE)
    assert target.shape == (2, 9, 2 * (48 + 64))
    assert (weight == 0).nonzero().tolist() == [[0, 0], [0, 1]]
    answer = torch.randn(2, 9, 224, generator=torch.Generator().manual_seed(0))
    losses = simcc.joint_losses(answer, target, weight, SIZE)
    for b, j in ((0, 2), (1, 0), (1, 8)):
        expected = 0.0
        parts = ((index[b, j, 0], 48, answer[b, j, :96]), (index[b, j, 1], 64, answer[b, j, 96:]))
        for at, (value, side, said) in zip((slice(0, 96), slice(96, 224)), parts):
            wanted = label(value, side, (side / 8) ** 0.5)
            np.testing.assert_allclose(target[b, j, at], wanted, rtol=1e-4, atol=1e-9)
            p = np.exp(10 * said.double().numpy())
            expected += (wanted * np.log(wanted / (p / p.sum()))).mean()
        assert losses[b, j].item() == pytest.approx(expected, rel=1e-4)
    assert losses[0, 0] == losses[0, 1] == 0
    assert [simcc.sigma_of(side) for side in (192, 256, 288, 384)] == pytest.approx([4.9, 5.66, 6.0, 6.93], abs=0.005)


def test_a_joint_counts_while_three_sigma_reach_in() -> None:
    """Of 96 bins, sigma 6 ** .5: from bin -8 to bin 103; a pixel is two bins, and its index .5 less."""
    x = torch.tensor([-4.0, -3.5, 52.0, 52.5])
    _, weight = simcc.labels(torch.stack((x, torch.full((4,), 30.0)), -1)[None], torch.ones(1, 4), SIZE)
    assert weight.tolist() == [[0, 1, 1, 0]]


def test_joints_come_back_also_from_the_mirror() -> None:
    coding, pairs = SimCC(SIZE), ((0, 1),)
    joints = torch.rand(4, 3, 2, generator=torch.Generator().manual_seed(0)) * 40 + 4
    target, _ = coding.encode(joints, torch.ones(4, 3), SIZE)
    xy, score = coding.decode(target)
    assert (xy - joints).abs().max() <= 0.25 + 1e-5
    assert score.shape == (4, 3)
    mirrored = joints[:, [1, 0, 2]].clone()
    mirrored[..., 0] = 48 - mirrored[..., 0]
    back, _ = coding.decode(coding.flip(coding.encode(mirrored, torch.ones(4, 3), SIZE)[0], pairs))
    assert (back - joints).abs().max() <= 0.25 + 1e-5
    half, _ = coding.encode(joints / 2, torch.ones(4, 3), (32, 24))  # of a crop at half the resolution: the same bins
    assert torch.equal(half, target)
    assert coding.found(target, target, 0.0).all() and not coding.found(coding.flip(target, pairs), target, 0.0).all()
    logits = target.log() / simcc.BETA
    assert coding.response(logits, target).min() > 0.999
    assert coding.losses(logits, target, torch.ones(4, 3)).abs().max() < 1e-6
    noise, ones = torch.randn_like(target), torch.ones(4, 3)
    torch.testing.assert_close(coding.loss([noise, logits], target, ones), coding.loss(noise, target, ones))
    assert coding.response(torch.zeros_like(target), target).max() < 0.1


def test_an_answer_for_crops_of_another_size_is_refused() -> None:
    """Its bins would be split elsewhere, and read as other places, also where there are as many."""
    network = models.build("simple_r50", joints=3, head="simcc", size=(64, 96)).eval()
    assert coding_of(network, (64, 96)).decoders == ("simcc",)
    for size in ((96, 64), (128, 128)):
        with pytest.raises(UserError, match=f"^input: the network answers for crops of 64x96, got {size[0]}x{size[1]}"):
            coding_of(network, size)
    with pytest.raises(ValueError, match=r"^answer: expected 256 bins"):
        simcc.decode(torch.zeros(1, 3, 320), (64, 64))


@pytest.mark.parametrize("pairs", [((0, 1), (1, 2)), ((0, 3),), ((-1, 0),), ((1, 1),)])
def test_pairs_that_are_none_are_refused(pairs: tuple[tuple[int, int], ...]) -> None:
    for flip in (
        lambda: flip_heatmaps(torch.zeros(1, 3, 4, 4), pairs),
        lambda: simcc.flip(torch.zeros(1, 3, 224), pairs, SIZE),
    ):
        with pytest.raises(ValueError, match=r"^pairs: expected each of 3 joints in one pair at most"):
            flip()
    assert flip_heatmaps(torch.zeros(1, 0, 4, 4), ()).shape == (1, 0, 4, 4)
