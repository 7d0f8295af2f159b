"""Everybody in the batch twice: one part at two places, from whose difference the critic learns."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from asda_fast import Adversary
from asda_fast.adversary import Critic, Scene, Search, measure
from asda_fast.adversary.coverage import coverage
from asda_fast.adversary.options import AdversaryOptions
from asda_fast.core.errors import UserError
from asda_fast.train.recipe import Recipe

from .conftest import EDGES, JOINTS, Small
from .test_component import batches, network, pool  # noqa: F401 # a fixture
from .test_critic import OPTIONS, Fragile, flat


@pytest.fixture
def twins(make_scene):
    torch.manual_seed(0)
    pose = Small().eval()

    def make(step: int, people: int = 16, parts: int = 1) -> Fragile:
        one = make_scene(pose, count=people, parts=parts, row=(step * people) % 320)
        scene = Fragile.of(one.batch.twice(), one.augmentation, pose, epoch=step // 20)
        return Fragile(**{**vars(scene), "pairs": True})

    return make


def played(critic: Critic, scene: Scene) -> torch.Tensor:
    choice = critic.choose(scene, explore=True)
    losses = scene.judge(choice.theta, slots=choice.slots)
    critic.learn(scene, choice, losses)
    return losses


def test_a_pair_has_one_part_at_two_places(twins) -> None:
    scene = twins(0, people=40, parts=2)
    theta = Critic(**OPTIONS, explore=0.0).choose(scene, explore=True).theta
    assert torch.equal(scene.slots.part[:40], scene.slots.part[40:])
    assert torch.equal(theta[:40, :, 0], theta[40:, :, 0])  # of one size
    assert (theta[:40, :, 2:] != theta[40:, :, 2:]).all()
    first = scene.of_people(torch.arange(40))
    assert torch.equal(Critic(**OPTIONS, explore=0.0).choose(first, explore=True).theta, theta[:40])


def test_the_second_of_a_pair_is_drawn_like_nobody_else(twins) -> None:
    scene = twins(0)
    assert len(set(scene.draws.tolist())) == 32 and torch.equal(scene.draws[:16], scene.batch.row[:16])
    scene.pairs = False
    assert torch.equal(scene.draws, scene.batch.row)


@pytest.mark.parametrize("options", [{}, {"verify": 4, "share": 0.25}, {"parts": 3}])
def test_a_lesson_is_the_pairs_two_places_and_their_losses(twins, options) -> None:
    critic = Critic(**OPTIONS, **options)
    scene = twins(0)
    choice = critic.choose(scene, explore=True)
    losses = torch.arange(32 * JOINTS).view(32, JOINTS).float()
    critic.learn(scene, choice, losses)
    lesson = {name: ring[:16] for name, ring in critic.replay.ring.items()}
    assert critic.replay.filled == 16 + (8 * 2 if "verify" in options else 0)  # 8 were judged, at two pairs of places
    scale = critic.scale()
    for g, half in enumerate((torch.arange(16), torch.arange(16, 32))):
        assert torch.equal(lesson["y"][:, g], losses[half] / scale)
        alone = scene.of_people(half)
        parts = choice.slots and type(choice.slots)(**{n: v[half, :, None] for n, v in vars(choice.slots).items()})
        covered = coverage(alone, choice.theta[half, :, None], EDGES, parts)
        assert torch.equal(lesson["x"][:, :, g], critic.features(alone, covered, None)[:, :, 0])
        types = lesson["type"] if lesson["type"].dim() == 2 else lesson["type"][:, :, g]
        assert torch.equal(types, covered.type.view(16, 1))


@pytest.mark.parametrize("parts", [1, 3])
def test_those_who_are_judged_are_lessons_of_two(twins, parts) -> None:
    critic = Critic(**OPTIONS, verify=4, share=0.25, parts=parts)
    choice = critic.choose(twins(0), explore=True)
    critic.learn(twins(0), choice, torch.ones(32, JOINTS))
    judged = choice.memory
    x, scale = critic.features(judged.scene, judged.coverage, None), critic.scale()
    for person in range(8):
        for pair in range(2):
            row, two = 16 + 2 * person + pair, slice(2 * pair, 2 * pair + 2)
            assert torch.equal(critic.replay.ring["y"][row], judged.losses[person, two] / scale)
            assert torch.equal(critic.replay.ring["x"][row], x[person, :, two])
            kind = judged.coverage.type[person]
            assert torch.equal(critic.replay.ring["type"][row], kind if parts == 1 else kind[:, two])
            assert torch.equal(critic.replay.ring["weight"][row], (judged.scene.weight[person] > 0).float())


@pytest.mark.parametrize("options", [{}, {"verify": 4, "share": 0.125}, {"parts": 2}])
def test_it_learns_where_it_hurts(twins, make_scene, options) -> None:
    critic = Critic(**OPTIONS, **options)
    for step in range(80):
        played(critic, twins(step))
    held_out = Fragile(**vars(make_scene(Small().eval(), count=100)))
    held_out.trained = False
    best = measure([held_out], Search(verify=16, seed=critic.seed))
    assert measure([held_out], critic).s > 0.85 * best.s


def test_it_learns_nothing_of_how_hard_a_person_is(twins) -> None:
    """What is added to both of a pair alike leaves the critic's weights as they are, but for rounding."""
    seen = []
    for more in (0.0, 0.5):
        critic = Critic(**OPTIONS)
        critic.sums += 1e9  # a mean loss that stays 1
        scene = twins(0)
        choice = critic.choose(scene, explore=True)
        losses = scene.judge(choice.theta)
        critic.learn(scene, choice, losses + more * (scene.batch.row[:, None] % 5))
        seen.append(flat(critic.rise.state_dict()))
    for a, b in zip(*seen, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"adversary": "cover"}, "pairs: expected adversary critic beside it, got cover"),
        ({"adversary": "critic", "clean_pass": True}, "pairs: expected neither clean_pass nor"),
        ({"adversary": "critic", "adversary_from": 3}, "pairs: expected neither clean_pass nor"),
    ],
)
def test_what_does_not_go_with_pairs(options, says) -> None:
    with pytest.raises(UserError, match=says):
        AdversaryOptions(**options, pairs=True)


def test_a_batch_of_pairs_is_even() -> None:
    with pytest.raises(UserError, match="batch_size: expected an even number beside pairs, got 7"):
        Recipe.from_dict({"augment": "asda", "adversary": "critic", "pairs": True, "batch_size": 7})
    recipe = Recipe.from_dict({"augment": "asda", "adversary": "critic", "pairs": True, "batch_size": 8})
    assert recipe.people_a_step == 4


@pytest.mark.parametrize("verify", [1, 3])
@pytest.mark.parametrize("rows", [True, False])
def test_in_a_loop_of_ones_own(pool, verify, rows) -> None:  # noqa: F811
    made = [Adversary(pool, joints=JOINTS, people=40, pairs=True, verify=verify, candidates=12) for _ in range(2)]
    model = network().eval()
    for step, (one, points, target) in enumerate(batches(4)):
        image, keypoints, wanted = (torch.cat((value, value)) for value in (one, points, target))

        def losses(maps: Any, wanted: torch.Tensor = wanted) -> torch.Tensor:
            return ((maps - wanted) ** 2).mean((2, 3))

        index = torch.arange(4).repeat(2) + 4 * step if rows else None
        for adversary in made if step else made[:1]:
            pasted = adversary.paste(image, model, losses, keypoints=keypoints, index=index)
            adversary.learn(losses(model(pasted)).detach())
        if not step:
            made[1].load_state_dict(copy.deepcopy(made[0].state_dict()))
        placed = (pasted[:4] != pasted[4:]).flatten(1).any(1)
        assert placed.sum() >= 3  # a part may lie outside of the crop, twice
    first, second = (each.state_dict()["placer"] for each in made)
    assert first["replay"]["filled"] == 4 * 4 + (4 * 8 if verify == 3 else 0)
    assert (first["history"][..., 1].amax(1) > 0).sum() == (16 if rows else 0)
    assert all(torch.equal(a, b) for a, b in zip(flat(first), flat(second), strict=True))


def test_what_is_no_batch_of_pairs(pool) -> None:  # noqa: F811
    with pytest.raises(ValueError, match="pairs: expected way critic beside it, got cover"):
        Adversary(pool, "cover", pairs=True)
    adversary = Adversary(pool, joints=JOINTS, people=9, pairs=True)
    image, points = torch.rand(2, 3, 48, 48).repeat(2, 1, 1, 1), (torch.rand(2, JOINTS, 2) * 40 + 4).repeat(2, 1, 1)
    with pytest.raises(ValueError, match="image: expected an even number with pairs, everybody twice, got 3"):
        adversary.paste(image[:3], keypoints=points[:3])
    with pytest.raises(ValueError, match=r"image: expected everybody twice with pairs, torch.cat\(\(image, image\)\)"):
        adversary.paste(torch.rand(4, 3, 48, 48), keypoints=points)
    with pytest.raises(ValueError, match="keypoints: expected everybody twice with pairs"):
        adversary.paste(image, keypoints=torch.cat((points[:2], points[:2] + 1)))
    with pytest.raises(ValueError, match=r"index: expected everybody twice with pairs, got \[0, 1, 2, 3\]"):
        adversary.paste(image, keypoints=points, index=torch.arange(4))
    state = adversary.state_dict()
    with pytest.raises(ValueError, match="adversary: expected a state with pairs False, got True"):
        Adversary(pool, joints=JOINTS, people=9).load_state_dict(state)
