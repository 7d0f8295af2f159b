"""The loss by hand: joints of weight 0 count as 0, stacks are summed, the three forms agree."""

from __future__ import annotations

import pytest
import torch

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
