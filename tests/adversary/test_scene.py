from __future__ import annotations

import copy

import pytest
import torch

from asda_fast.adversary import Scene
from asda_fast.adversary.candidates import candidates, centre
from asda_fast.adversary.scene import evaluating, reduced_size

from .conftest import JOINTS, Small, WhereWhite


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((256, 192), (128, 96)),
        ((384, 288), (192, 160)),
        ((96, 96), (64, 64)),
        ((64, 64), (64, 64)),
        ((48, 128), (48, 64)),
    ],
)
def test_reduced_sizes(size, expected) -> None:
    assert reduced_size(size) == expected


def test_a_look_leaves_the_network_as_it_was(make_scene) -> None:
    pose = Small().train()
    pose[1].eval()  # somebody froze it
    before = copy.deepcopy(pose.state_dict())
    scene = make_scene(pose)
    losses = scene.judge(scene.slots.theta)
    assert pose.training and not pose[1].training
    assert all(torch.equal(a, b) for a, b in zip(before.values(), pose.state_dict().values()))
    assert not losses.requires_grad and losses.shape == (6, JOINTS) and losses[0, -1] == 0
    with pytest.raises(RuntimeError), evaluating(pose):
        raise RuntimeError
    assert pose.training and not pose[1].training


def test_of_an_answer_with_earlier_stacks_the_last_counts(make_scene) -> None:
    class Stacks(WhereWhite):
        def forward(self, image):
            return [torch.zeros(1), super().forward(image)]

    alone, stacks = make_scene(WhereWhite()), make_scene(Stacks())
    assert torch.equal(stacks.judge(stacks.slots.theta), alone.judge(alone.slots.theta))


def test_a_reduced_look_sees_the_same_place(make_scene) -> None:
    scene = make_scene(WhereWhite())
    scene.batch.image = torch.zeros(6, 128, 128, 3, dtype=torch.uint8)
    scene = Scene.of(scene.batch, scene.augmentation, scene.pose)
    whole, *_ = scene.look(scene.slots.theta, reduced=False)
    half, target, weight = scene.look(scene.slots.theta, reduced=True)
    torch.testing.assert_close(whole[..., 0, 0], half[..., 0, 0], atol=2e-3, rtol=0)
    assert target.shape == (6, JOINTS, 16, 16)
    assert torch.equal(weight, scene.weight)


def test_candidates_depend_on_the_person_alone(make_scene) -> None:
    scene = make_scene(WhereWhite(), parts=2)
    slots, ranges = scene.slots, scene.augmentation.ranges
    everyone = candidates(slots, scene.batch.row, 8, ranges, 0, 1, 16)
    few = make_scene(WhereWhite(), count=2, parts=2, row=3)
    assert torch.equal(candidates(few.slots, few.batch.row, 8, ranges, 0, 1, 16), everyone[3:5])
    assert not torch.equal(candidates(slots, scene.batch.row, 8, ranges, 0, 1, 17), everyone)
    assert everyone.shape == (6, 2, 8, 4)
    assert torch.equal(everyone[..., 0], slots.scale[..., None].expand(-1, -1, 8))
    assert everyone[..., 2].min() >= -0.6 and everyone[..., 2].max() < 0.6 and everyone[..., 2].std() > 0.2
    assert centre(slots)[..., 1:].abs().max() == 0 and torch.equal(centre(slots)[..., 0], slots.scale)
