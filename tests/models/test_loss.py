"""The loss by hand: joints of weight 0 count as 0, stacks are summed, the three forms agree."""

from __future__ import annotations

import pytest
import torch

from asda_fast.models import simcc
from asda_fast.models.heatmaps import heatmaps
from asda_fast.models.loss import joint_losses, pose_loss, pose_losses


def test_by_hand() -> None:
    prediction = torch.zeros(2, 2, 1, 2)
    prediction[0, 0, 0] = torch.tensor([3.0, 1.0])  # off by 2 and 0: half the mean square is 1
    prediction[1, 1, 0] = torch.tensor([5.0, 5.0])  # not labelled
    target = torch.zeros(2, 2, 1, 2)
    target[0, 0] = 1.0
    weight = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    assert joint_losses(prediction, target, weight).tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert pose_losses(prediction, target, weight).tolist() == [0.5, 0.0]
    assert pose_loss(prediction, target, weight).item() == 0.25
    stacks = [prediction, prediction]
    assert joint_losses(stacks, target, weight).tolist() == [[2.0, 0.0], [0.0, 0.0]]
    assert pose_losses(stacks, target, weight).tolist() == [1.0, 0.0]
    assert pose_loss(stacks, target, weight).item() == 0.5


@pytest.mark.parametrize("stacks", [0, 3])
def test_means_agree(stacks: int) -> None:
    torch.manual_seed(0)
    target, weight = torch.rand(4, 5, 8, 6), torch.rand(4, 5)
    prediction = torch.rand(4, 5, 8, 6) if not stacks else [torch.rand(4, 5, 8, 6) for _ in range(stacks)]
    people = pose_losses(prediction, target, weight)
    torch.testing.assert_close(joint_losses(prediction, target, weight).mean(1), people)
    torch.testing.assert_close(people.mean(), pose_loss(prediction, target, weight))


def test_shapes_that_would_be_broadcast_are_refused() -> None:
    """HRNet's weights are [B, J, 1]: of as many people as joints they would weigh other joints."""
    maps, weight = torch.rand(4, 4, 8, 6), torch.rand(4, 4)
    for target, each in ((maps, weight[..., None]), (maps[:, :1], weight), (maps[:1], weight), (maps, weight[:, :1])):
        with pytest.raises(ValueError, match=r"^prediction, target, weight: expected"):
            pose_loss(maps, target, each)
    for encode in (heatmaps, simcc.labels):
        for visible in (torch.ones(4, 4, 1), torch.ones(4, 1), torch.ones(4)):
            with pytest.raises(ValueError, match=r"^joints, visible: expected"):
                encode(torch.rand(4, 4, 2) * 64, visible, (64, 64))


def test_a_target_that_is_nan_where_nobody_is_labelled_counts_as_0() -> None:
    prediction, target, weight = torch.rand(2, 2, 3, 3), torch.rand(2, 2, 3, 3), torch.ones(2, 2)
    weight[0, 1] = 0
    expected = joint_losses(prediction, target, weight)
    target[0, 1] = torch.nan
    assert torch.equal(joint_losses(prediction, target, weight), expected)
    prediction[0, 1] = torch.nan  # a network that answers so is to be seen
    assert joint_losses(prediction, target, weight)[0, 1].isnan()
