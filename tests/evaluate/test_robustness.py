"""A network that looks for the brightest spot: what is pasted takes it in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from asda_fast.adversary import Scene
from asda_fast.adversary.candidates import MEASURE, candidates
from asda_fast.augment import Ranges, build
from asda_fast.core.batch import Batch
from asda_fast.evaluate.robustness import predict_pasted
from asda_fast.models.heatmaps import decode, heatmaps
from asda_fast.parts.pool import PartPool

SIDE, PEOPLE = 64, 5


class Brightest(nn.Module):
    def forward(self, image):
        return nn.functional.avg_pool2d(image.mean(1, keepdim=True) + 3, 4).expand(-1, 3, -1, -1)


@pytest.fixture
def scene() -> Scene:
    joints = torch.tensor([[[14.0, 30], [14, 30], [14, 30]]]).expand(PEOPLE, 3, 2).clone()
    image = torch.zeros(PEOPLE, SIDE, SIDE, 3, dtype=torch.uint8)
    image[:, 28:32, 12:16] = 128  # grey at the joint; the patch is white
    matrix = torch.tensor([[2.0, 0, 10], [0, 2, 20]]).expand(PEOPLE, 2, 3).clone()
    no = torch.zeros(PEOPLE, dtype=torch.bool)
    box = torch.tensor([[32.0, 32, 30, 40]]).expand(PEOPLE, 4).clone()
    rows = torch.tensor([5, 1, 2, 3, 0])
    batch = Batch(image, joints, torch.full((PEOPLE, 3), 2, dtype=torch.uint8), rows, matrix, box, no, no)
    pool = PartPool.from_patches([np.full((8, 8, 4), 255, np.uint8)], person=[[30.0, 40.0]])
    aug = build("asda", pool, ranges=Ranges((1.0, 1.0), (0.0, 0.0), (-0.7, 0.7), (-0.7, 0.7)))
    target, weight = heatmaps(joints, batch.visible, (SIDE, SIDE))
    return Scene(batch, aug.draw(batch, 0), target, weight, aug, Brightest())


def test_clean_people_are_found_and_pasted_ones_are_not(scene) -> None:
    found = predict_pasted([scene], 6)
    assert found.clean.shape == (6, 3, 2) and np.isnan(found.clean[4]).all()
    truth = np.array([2 * 14 + 10, 2 * 30 + 20])
    seen = [0, 1, 2, 3, 5]
    assert np.abs(found.clean[seen] - truth).max() < 8
    assert np.abs(found.random[seen] - truth).max(axis=(1, 2)).min() > 8


def test_the_worst_is_that_of_the_largest_loss(scene) -> None:
    found = predict_pasted([scene], 6, draws=4)
    places = candidates(scene.slots, scene.batch.row, 4, scene.augmentation.ranges, 0, 0, MEASURE)
    losses = torch.stack([scene.judge(places[:, :, k]).mean(1) for k in range(4)])
    for person, k in enumerate(losses.argmax(0).tolist()):
        xy, _ = decode(scene.predict(scene.render(places[:, :, k])))
        np.testing.assert_allclose(found.worst[scene.batch.row[person]], 2 * xy[person] + torch.tensor([10, 20]))


def test_the_worst_of_one_is_the_random_one(scene) -> None:
    found = predict_pasted([scene], 6, draws=1)
    np.testing.assert_array_equal(found.random, found.worst)


def test_wrong_arguments_are_named(scene) -> None:
    with pytest.raises(ValueError, match="draws: expected at least 1, got 0"):
        predict_pasted([scene], 6, draws=0)
    with pytest.raises(ValueError, match="scenes: no batch came"):
        predict_pasted([], 6)
