"""The part chosen with its place: never a larger one than chance drew, of those the one that the adversary wants."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asda_fast.adversary import Choice, Cover, Critic, Scene, Search, measure
from asda_fast.adversary.candidates import CANDIDATES, PARTS, candidates, spread
from asda_fast.adversary.coverage import coverage
from asda_fast.adversary.part_choices import part_choices
from asda_fast.augment import build
from asda_fast.augment.sampling import Slots
from asda_fast.parts.pool import PartPool

from .conftest import EDGES, JOINTS, Small, WhereWhite

SIDES = torch.tensor([8.0, 9, 10, 11])  # of conftest's white squares, whose people are as large as those in the crops


class ByType(Scene):
    """D minds only of what type the part is: the smaller the part, the worse."""

    def judge(self, theta, reduced=False, slots=None):
        slots = slots or self.slots
        hurt = torch.where(slots.part >= 0, 4.0 - slots.type, 0.0).sum(1, keepdim=True)
        return (1 + hurt * (theta is not None)) * (self.weight > 0)


def by_type(scene: Scene) -> ByType:
    return ByType(**vars(scene))


def test_the_first_is_the_slots_own_and_none_is_larger(make_scene) -> None:
    scene = make_scene(WhereWhite(), count=300, parts=2)
    scene.slots.part[0, 1], scene.slots.type[0, 1] = -1, 0  # an empty slot
    found = part_choices(scene, 4, seed=7)
    further = scene.augmentation.alternatives(scene.batch, scene.slots, 3, 7, 0, PARTS)
    assert torch.equal(found.part[..., 0], scene.slots.part)
    for person in range(300):
        for slot in range(2):
            own = int(scene.slots.part[person, slot])
            drawn = further.part[person, slot].tolist()
            assert found.part[person, slot, 1:].tolist() == [other if other <= own else own for other in drawn]
    assert (found.part[0, 1] == -1).all() and int((found.part < 0).sum()) == 4
    assert torch.equal(found.type, found.part.clamp(min=0)) and len(found.part.unique()) == 5
    assert (further.part[1:] > scene.slots.part[1:, :, None]).float().mean() == pytest.approx(6 / 16, abs=0.05)


def test_size_and_person_count_in_the_budget(make_scene) -> None:
    """The same squares at sizes of 0.5 to 2: it is the area in the crop that may not be larger."""
    scene = make_scene(WhereWhite(), count=200, s=(0.5, 2.0))
    found = part_choices(scene, 6, seed=1)
    area = (SIDES[found.part] * found.scale) ** 2
    assert (area <= area[..., :1]).all()
    larger = (found.part > found.part[..., :1]).float().mean()
    assert larger > 0.05  # of a larger patch at a smaller size


@pytest.mark.parametrize("mode", ["paper", "reference"])
def test_the_area_is_what_a_paste_covers(make_scene, mode: str) -> None:
    scene = make_scene(WhereWhite(), count=40, s=(1.5, 2.5), r=(-1.0, 1.0), tx=(-0.2, 0.2), ty=(-0.2, 0.2))
    half = np.full((10, 10, 4), 255, np.uint8)
    half[:, :5, 3] = 0
    patches = [half, *(np.full((n, n, 4), 255, np.uint8) for n in (8, 12))]
    pool = PartPool.from_patches(patches, person=[[30.0, 40.0], [60.0, 80.0], [30.0, 40.0]])
    assert pool.opaque.tolist() == [50.0, 64.0, 144.0]
    scene.augmentation = build("asda", pool, seed=3, mode=mode, ranges=scene.augmentation.ranges)
    scene.slots = scene.augmentation.draw(scene.batch, 0)
    image = scene.render(scene.slots.theta)
    black, white = image.amin(), image.amax()
    covered = ((image[:, 0] - black) / (white - black)).sum((1, 2))
    area = scene.augmentation.areas(scene.batch, scene.slots)[:, 0]
    torch.testing.assert_close(area, covered, rtol=0.1, atol=2.0)
    assert area.max() > 3 * area.min()


@pytest.mark.parametrize(
    ("groups", "which"), [(1, [0, 1, 2, 0, 1, 2, 0, 1]), (2, [0, 1, 2, 0, 1, 2, 0, 1]), (4, [0, 1, 1, 2, 2, 0, 0, 1]),
                          (8, [0, 1, 2, 0, 1, 2, 0, 1])],
)  # fmt: skip
def test_candidates_are_spread_over_the_parts(make_scene, groups: int, which: list[int]) -> None:
    choices = part_choices(make_scene(WhereWhite(), s=(0.5, 2.0)), 3, seed=0)
    theta = torch.rand(6, 1, 8, 4)
    found = spread(theta, choices, groups)
    assert torch.equal(found.parts.part, choices.part[:, :, which]) and torch.equal(found.theta, found.parts.theta)
    assert torch.equal(found.theta[..., 0], choices.scale[:, :, which])
    assert torch.equal(found.theta[..., 1:], theta[..., 1:])


def test_search_tries_each_part_in_turn(make_scene) -> None:
    torch.manual_seed(0)
    scene = make_scene(Small().eval(), count=12, parts=2)
    choice = Search(verify=6, parts=3, reduced=False, seed=9).choose(scene, explore=True)
    choices = part_choices(scene, 3, seed=9)
    places = candidates(scene.slots, scene.batch.row, 6, scene.augmentation.ranges, 9, 0, CANDIDATES)
    tried = []
    for k in range(6):
        parts = Slots(**{name: value[:, :, k % 3] for name, value in vars(choices).items()})
        theta = torch.cat((parts.theta[..., :1], places[:, :, k, 1:]), -1)
        tried.append((scene.judge(theta, slots=parts).mean(1), theta, parts.part))
    assert choice.slots is not None
    for person in range(12):
        k = max(range(6), key=lambda k: tried[k][0][person].item())
        assert torch.equal(choice.theta[person], tried[k][1][person])
        assert torch.equal(choice.slots.part[person], tried[k][2][person])


def test_cover_takes_the_part_and_place_that_hide_most(make_scene) -> None:
    scene = make_scene(WhereWhite(), count=60)
    cover = Cover(EDGES, candidates=12, parts=4)
    choice = cover.choose(scene, explore=False)
    choices = part_choices(scene, 4, 0)
    places = candidates(scene.slots, scene.batch.row, 12, scene.augmentation.ranges, 0, 0, CANDIDATES)
    best = torch.full((60,), -1.0)
    for m in range(4):
        alone = Slots(**{name: value[:, :, m] for name, value in vars(choices).items()})
        other = Scene(**{**vars(scene), "slots": alone})
        score = cover.score(other, coverage(other, places[:, :, m::4], EDGES), None)[:, 0].amax(1)
        best = torch.maximum(best, score)
    chosen = Scene(**{**vars(scene), "slots": choice.slots})
    assert torch.equal(cover.score(chosen, coverage(chosen, choice.theta[:, :, None], EDGES), None)[:, 0, 0], best)
    area = scene.augmentation.areas(scene.batch, choice.slots), scene.augmentation.areas(scene.batch, scene.slots)
    assert (area[0] <= area[1]).all() and (area[0] < area[1]).any()
    assert torch.equal(choice.theta[..., 0], choice.slots.scale)


def test_the_choice_depends_on_the_person_alone(make_scene) -> None:
    cover = Cover(EDGES, candidates=16, parts=4, explore=0.4)
    whole = cover.choose(make_scene(WhereWhite(), count=6), explore=True)
    part = make_scene(WhereWhite(), count=6).of_people(torch.tensor([4, 2]))
    few = cover.choose(part, explore=True)
    assert torch.equal(few.theta, whole.theta[[4, 2]]) and torch.equal(few.slots.part, whole.slots.part[[4, 2]])


def test_those_who_are_not_judged_get_the_best_part_unjudged(make_scene) -> None:
    torch.manual_seed(0)
    scene = make_scene(Small().eval(), count=20)
    options = {"candidates": 8, "parts": 4, "reduced": False}
    everybody, some = (Cover(EDGES, **options, verify=4, share=share) for share in (1.0, 0.5))
    all_judged, half = (cover.choose(scene, explore=False) for cover in (everybody, some))
    drawn = everybody.draw(scene)
    score = everybody.score(scene, coverage(scene, drawn.theta, EDGES, drawn.parts), None)
    theta, parts = drawn.at(score.argmax(2, keepdim=True)).one(0)
    alone = Choice(theta, slots=parts)
    judged = half.memory.scene.batch.row.tolist()
    assert len(judged) == 10 and half.memory.coverage.type.shape == (10, 1, 4)
    for person in range(20):
        expected = all_judged if person in judged else alone
        assert torch.equal(half.theta[person], expected.theta[person])
        for name, value in vars(half.slots).items():
            assert torch.equal(value[person], vars(expected.slots)[name][person])
    assert not torch.equal(alone.slots.part, half.slots.part)


@pytest.mark.parametrize("options", [{}, {"people": 320}, {"verify": 4}])
def test_the_critic_learns_which_part_hurts(make_scene, options) -> None:
    critic = Critic(4, JOINTS, EDGES, candidates=16, parts=4, lessons=64, **options)
    pose = Small().eval()
    for step in range(40):
        scene = by_type(make_scene(pose, count=32, row=(step * 32) % 320))
        choice = critic.choose(scene, explore=True)
        critic.learn(scene, choice, scene.judge(choice.theta, slots=choice.slots))
    scene = by_type(make_scene(pose, count=200, row=400))
    smallest = part_choices(scene, 4, 0).part.amin(-1)
    chosen = critic.choose(scene, explore=False).slots.part
    assert (chosen == smallest).float().mean() > 0.95 and (scene.slots.part == smallest).float().mean() < 0.7


def test_hardness_is_measured_by_the_same_chance(make_scene) -> None:
    """By hand: losses are 5, 4, 3 and 2 of the four types, wherever a part lies."""
    scene = by_type(make_scene(Small().eval(), count=100))
    scene.weight = torch.ones_like(scene.weight)
    one, four = (measure([scene], Search(verify=4, parts=parts, seed=2)) for parts in (1, 4))
    assert (one.random, one.best_of_32, one.centre) == (four.random, four.best_of_32, four.centre)
    assert four.random == pytest.approx((5.0 - scene.slots.type.float()).mean().item())
    smallest = part_choices(scene, 4, 2).type.amin(-1).float()
    assert four.chosen == pytest.approx((5.0 - smallest).mean().item()) and one.chosen == one.random
