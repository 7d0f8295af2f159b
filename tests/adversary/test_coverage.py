from __future__ import annotations

import numpy as np
import pytest
import torch

from asda_fast.adversary.coverage import coverage, middles, opacity
from asda_fast.augment import build
from asda_fast.augment.sampling import Slots
from asda_fast.core.batch import MEAN, STD
from asda_fast.parts.pool import PartPool

from .conftest import EDGES, JOINTS, SIDE, WhereWhite


def test_opacity_by_hand() -> None:
    patch = np.zeros((2, 3, 4), np.uint8)
    patch[..., 3] = [[255, 0, 51], [0, 102, 255]]
    pool = PartPool.from_patches([np.full((1, 1, 4), 255, np.uint8), patch])
    outside = [[-0.1, 0.5], [3.0, 0.5], [1.0, 2.0], [1e9, -1e9], [0, np.nan]]
    at = torch.tensor([[0.1, 0.9], [2.5, 0.5], [1.2, 1.9], *outside])
    found = opacity(pool, torch.tensor([[1, 0, -1]]), at.expand(1, 3, 8, 2))
    expected = torch.tensor([1.0, 0.2, 0.4, 0, 0, 0, 0, 0])
    torch.testing.assert_close(found[0, 0], expected)
    torch.testing.assert_close(found[0, 1], torch.tensor([1.0, *[0.0] * 7]))
    assert found[0, 2].abs().max() == 0


def test_a_joint_is_hidden_where_the_pasted_image_is_white(make_scene) -> None:
    """The paste itself as the judge, at joints in the middles of pixels; patches turned and resized."""
    scene = make_scene(WhereWhite(), count=300, parts=2, s=(1.0, 3.0), r=(-1.5, 1.5))
    scene.batch.joints = scene.batch.joints.floor() + 0.5
    image = scene.render(scene.slots.theta)
    white = image * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    x, y = scene.batch.joints.long().unbind(-1)
    seen = white[torch.arange(300)[:, None], 0, y, x]  # [B, J]
    hidden = coverage(scene, scene.slots.theta[:, :, None], EDGES).joint.amax((1, 2))
    clear = (seen < 0.02) | (seen > 0.98)  # at a patch's edge the paste is between
    assert clear.float().mean() > 0.8 and (seen > 0.98).sum() > 50
    assert torch.equal(hidden[clear] > 0.5, seen[clear] > 0.5)


def test_the_frame_of_the_patch_by_hand(make_scene) -> None:
    scene = make_scene(WhereWhite(), count=1)
    scene.batch.joints[0, :2] = torch.tensor([[32.0, 32.0], [40.0, 28.0]])
    scene.slots = Slots(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[False]]), torch.zeros(1, 1, 4))
    theta = torch.tensor([[[[2.0, 0, 0, 0], [2.0, 0, -0.25, 0]]]])  # 8 pixels shown as 16; then 8 pixels to the right
    found = coverage(scene, theta, EDGES)
    torch.testing.assert_close(found.patch[0, 0, :, :2], torch.tensor([[[0, 0], [1, -0.5]], [[-1.0, 0], [0, -0.5]]]))
    torch.testing.assert_close(found.crop[0, 0, 0, :2], torch.tensor([[0, 0], [8 / SIDE, -4 / SIDE]]))
    torch.testing.assert_close(found.extent[0, 0, 0], torch.tensor([16 / SIDE, 16 / SIDE]))
    assert found.joint[0, 0, 1, 1] == 1 and found.far[0, 0, 0, 0] == 1  # 7 / 96 of 64 pixels: within 8


def test_limbs(make_scene) -> None:
    joints = torch.tensor([[[0.0, 0], [2, 4], [4, 8], [6, 6], [0, 0]]])
    assert middles(joints, EDGES).tolist() == [[[1, 2], [3, 6], [5, 7]]]
    scene = make_scene(WhereWhite(), count=1)
    scene.batch.joints[0] = torch.tensor([[4.0, 4], [60, 60], [4, 60], [60, 4], [10, 10]])
    theta = torch.tensor([[[[1.0, 0, 0, 0]]]])
    limbs = coverage(scene, theta, EDGES).limbs[0, 0, 0]
    assert limbs.tolist() == [1, 0.5, 0.5, 1, 0]  # 0-1 and 2-3 cross in the middle, 1-2 runs along the lower edge
    assert coverage(scene, theta, ()).limbs.shape == (1, 1, 1, JOINTS)


def test_a_mirrored_patch_hides_the_other_side(make_scene) -> None:
    patch = np.zeros((8, 8, 4), np.uint8)
    patch[:, 4:, 3] = 255
    scene = make_scene(WhereWhite(), count=2)
    pool = PartPool.from_patches([patch], person=[[30.0, 40.0]])
    scene.augmentation = build("asda", pool)
    zero = torch.zeros(2, 1, dtype=torch.int64)
    scene.slots = Slots(zero, zero, torch.tensor([[False], [True]]), torch.tensor([[[1.0, 0, 0, 0]]] * 2))
    scene.batch.joints[:, :2] = torch.tensor([[30.0, 32.0], [34.0, 32.0]])
    hidden = coverage(scene, scene.slots.theta[:, :, None], EDGES).joint[:, 0, 0, :2]
    assert hidden.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("parts", [1, 3])
def test_an_empty_slot_hides_nothing(make_scene, parts) -> None:
    scene = make_scene(WhereWhite(), parts=parts)
    scene.slots.part[:, -1] = -1
    found = coverage(scene, scene.slots.theta[:, :, None], EDGES)
    assert found.far[:, -1].abs().max() == 0 and found.limbs[:, -1].abs().max() == 0
