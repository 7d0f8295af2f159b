from __future__ import annotations

import copy

import pytest
import torch

from asda_fast.adversary import Cover, Generated, Scene, Search
from asda_fast.adversary.candidates import CANDIDATES, candidates
from asda_fast.adversary.coverage import coverage
from asda_fast.models import Generator

from .conftest import EDGES, JOINTS, Small, WhereWhite


class Peaks(torch.nn.Module):
    """A D that finds joint `best` wherever it is, and no other: set by the test."""

    def __init__(self, target: torch.Tensor, best: int) -> None:
        super().__init__()
        self.maps = target * (torch.arange(JOINTS) == best)[:, None, None]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.maps


@pytest.mark.parametrize("parts", [1, 2])
def test_search_takes_the_hardest_of_its_placements(make_scene, parts) -> None:
    torch.manual_seed(0)
    scene = make_scene(Small().eval(), parts=parts)
    chosen = Search(verify=5, reduced=False, seed=9).choose(scene, explore=True).theta
    places = candidates(scene.slots, scene.batch.row, 5, scene.augmentation.ranges, 9, 0, CANDIDATES)
    losses = torch.stack([scene.judge(places[:, :, k]).mean(1) for k in range(5)])  # [5, B]
    for person, k in enumerate(losses.argmax(0).tolist()):
        assert torch.equal(chosen[person], places[person, :, k])


def test_cover_hides_the_joint_that_d_sees(make_scene) -> None:
    scene = make_scene(WhereWhite(), count=40)
    scene.pose = Peaks(scene.target, 1)
    chosen = Cover(EDGES, clean=True, candidates=64).choose(scene, explore=True).theta
    hidden = coverage(scene, chosen[:, :, None], EDGES).joint[:, 0, 0].mean(0)
    drawn = coverage(scene, scene.slots.theta[:, :, None], EDGES).joint[:, 0, 0].mean(0)
    assert hidden[1] > 0.7 > 0.2 > drawn[1] and hidden[0] < 0.3
    blind = Cover(EDGES, candidates=64).choose(scene, explore=True).theta
    hidden = coverage(scene, blind[:, :, None], EDGES).joint[:, 0, 0]
    assert hidden.sum(1).mean() > 2 * drawn.sum()


def test_verified_proposals_are_the_best_of_each_group(make_scene) -> None:
    torch.manual_seed(0)
    scene = make_scene(Small().eval())
    cover = Cover(EDGES, candidates=8, verify=2, reduced=False)
    places = candidates(scene.slots, scene.batch.row, 8, scene.augmentation.ranges, 0, 0, CANDIDATES)
    score = cover.score(scene, coverage(scene, places, EDGES), None)[:, 0]
    judged = [scene.judge(places[:, :, k]).mean(1) for k in range(8)]
    chosen = cover.choose(scene, explore=False).theta
    for person in range(6):
        first, second = score[person, :4].argmax().item(), 4 + score[person, 4:].argmax().item()
        hardest = first if judged[first][person] >= judged[second][person] else second
        assert torch.equal(chosen[person, 0], places[person, 0, hardest])


class Told(Scene):
    """Its network is a table of losses: row k for the k-th time that it is asked, the same for everybody."""

    def judge(self, theta, reduced=False, slots=None):
        return self.pose.pop(0) * (self.weight > 0)


@pytest.mark.parametrize(("weight", "hardest"), [(0.0, 0), (0.2, 0), (0.6, 1), (1.0, 2), (10.0, 3)])
def test_solvable_takes_what_is_hard_for_d_and_not_for_its_teacher(make_scene, weight: float, hardest: int) -> None:
    """By hand: 5 4 3 0 less 0.6 of 4 2 0.5 0 is 2.6 2.8 2.7 0; less all of it 1 2 2.5 0."""
    scene, teacher = Told(**vars(make_scene(WhereWhite()))), [4.0, 2.0, 0.5, 0.0]
    scene.pose, scene.teacher = [5.0, 4.0, 3.0, 0.0], list(teacher)
    choice = Search(verify=4, solvable=weight).choose(scene, explore=True)
    places = candidates(scene.slots, scene.batch.row, 4, scene.augmentation.ranges, 0, 0, CANDIDATES)
    assert torch.equal(choice.theta, places[:, :, hardest])
    assert choice.memory.losses[1, :, 0].tolist() == [5.0, 4.0, 3.0, 0.0]  # what a critic learns from: D's alone
    assert scene.teacher == ([] if weight else teacher)  # it is not asked for nothing


def test_each_person_has_a_teacher_of_its_own_proposals(make_scene) -> None:
    torch.manual_seed(0)
    scene = make_scene(Small().eval(), count=20)
    scene.teacher = Small().eval()
    options = {"candidates": 8, "verify": 4, "reduced": False}
    plain, solvable = (Cover(EDGES, **options, solvable=w).choose(scene, explore=False) for w in (0.0, 0.5))
    losses = []
    for pose in (scene.pose, scene.teacher):
        scene.pose = pose
        losses.append(Cover(EDGES, **options).choose(scene, explore=False).memory.losses.mean(2))
    assert torch.equal(solvable.memory.losses.mean(2), losses[0])
    chosen = (losses[0] - 0.5 * losses[1]).argmax(1)
    scene.pose = scene.teacher
    differs = chosen != losses[0].argmax(1)
    assert differs.any() and torch.equal((plain.theta != solvable.theta).any(-1)[:, 0], differs)


@pytest.mark.parametrize("target", [0.0, 0.5])
def test_a_target_between_the_mean_and_the_best(make_scene, target) -> None:
    scene = make_scene(WhereWhite(), count=50)
    cover = Cover(EDGES, candidates=64, target=target)
    places = candidates(scene.slots, scene.batch.row, 64, scene.augmentation.ranges, 0, 0, CANDIDATES)
    score = cover.score(scene, coverage(scene, places, EDGES), None)[:, 0]
    theta = cover.choose(scene, explore=False).theta
    found = cover.score(scene, coverage(scene, theta[:, :, None], EDGES), None)[:, 0, 0]
    way = (found.mean() - score.mean()) / (score.amax(1).mean() - score.mean())
    assert way.item() == pytest.approx(target, abs=0.1)


def test_only_the_promising_are_judged(make_scene) -> None:
    """Half of the people: those whose best place hides most more than a place hides on average."""
    torch.manual_seed(0)
    scene = make_scene(Small().eval(), count=20)
    options = {"candidates": 8, "reduced": False}
    alone, all_judged, half = (
        Cover(EDGES, **options, **more).choose(scene, explore=False)
        for more in ({}, {"verify": 4}, {"verify": 4, "share": 0.5})
    )
    places = candidates(scene.slots, scene.batch.row, 8, scene.augmentation.ranges, 0, 0, CANDIDATES)
    score = Cover(EDGES, **options).score(scene, coverage(scene, places, EDGES), None)[:, 0]
    promise = score.amax(1) - score.mean(1)
    assert sorted(half.memory.scene.batch.row.tolist()) == sorted(promise.topk(10).indices.tolist())
    assert half.memory.losses.shape == (10, 4, JOINTS)
    for person in range(20):
        expected = all_judged if person in half.memory.scene.batch.row else alone
        assert torch.equal(half.theta[person], expected.theta[person])
    assert not torch.equal(alone.theta, half.theta)


@pytest.mark.parametrize("parts", [1, 3])
def test_few_people_are_judged_at_all_their_places_in_one_pass(make_scene, parts) -> None:
    """As many images a pass as the batch has people at most; the losses are those of passes apart."""
    scene = make_scene(Small().eval(), count=20)
    seen: list[int] = []
    scene.pose.register_forward_pre_hook(lambda module, images: seen.append(len(images[0])))
    for share, sizes in ((0.25, [20]), (0.2, [16]), (0.4, [16, 16]), (0.6, [12] * 4), (1.0, [20] * 4)):
        seen.clear()
        choice = Cover(EDGES, candidates=16, verify=4, share=share, parts=parts).choose(scene, explore=False)
        assert seen == sizes, share
        judged = choice.memory
        chosen = {int(row): i for i, row in enumerate(scene.batch.row)}
        few = torch.tensor([chosen[int(row)] for row in judged.scene.batch.row])
        slots = choice.slots and type(choice.slots)(**{n: v[few] for n, v in vars(choice.slots).items()})
        again = judged.scene.judge(choice.theta[few], slots=slots).mean(1)
        assert torch.allclose(again, judged.losses.mean(2).amax(1), rtol=1e-5), share


def test_a_share_of_the_proposals_is_random_while_exploring(make_scene) -> None:
    scene = make_scene(WhereWhite(), count=2000)
    scene.pose = torch.nn.Identity()
    cover = Cover(EDGES, candidates=16, explore=0.4)
    best, explored = (cover.choose(scene, explore=e).theta for e in (False, True))
    first = candidates(scene.slots, scene.batch.row, 16, scene.augmentation.ranges, 0, 0, CANDIDATES)[:, :, 0]
    same, random = (best == explored).all(-1), (first == explored).all(-1)
    assert (same | random).all()
    lucky = (best == first).all(-1).float().mean().item()
    assert 1 - same.float().mean().item() == pytest.approx(0.4 * (1 - lucky), abs=0.04)


def test_the_choice_does_not_depend_on_the_batch(make_scene) -> None:
    cover = Cover(EDGES, candidates=16, explore=0.4)
    whole = cover.choose(make_scene(WhereWhite(), count=6), explore=True).theta
    part = make_scene(WhereWhite(), count=6)
    for name in vars(part.batch):
        setattr(part.batch, name, getattr(part.batch, name)[2:4])
    part.slots = part.augmentation.draw(part.batch, 0)
    part.target, part.weight = part.target[2:4], part.weight[2:4]
    assert torch.equal(cover.choose(part, explore=True).theta, whole[2:4])


def test_the_generators_placement_is_that_of_each_slots_type(make_scene) -> None:
    scene = make_scene(WhereWhite(), parts=2)
    generator = Generator(types=4, width=4).train()
    before = copy.deepcopy(generator.state_dict())
    with torch.no_grad():
        generator.fc_locs[2].bias.copy_(torch.arange(12) / 10)
    chosen = Generated(generator).choose(scene, explore=True).theta
    u = (torch.arange(12).view(4, 3) / 10).sigmoid() - 0.5
    expected = u[scene.slots.type] * torch.tensor([torch.pi, 2.4, 2.4])
    torch.testing.assert_close(chosen[..., 1:], expected)
    assert torch.equal(chosen[..., 0], scene.slots.scale)
    assert generator.training and torch.equal(before["bn1.running_mean"], generator.bn1.running_mean)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Search(verify=0), "verify: expected at least 2 placements to search among, got 0"),
        (lambda: Cover(candidates=0), "candidates: expected at least 1, got 0"),
        (lambda: Cover(verify=0), "verify: expected at least 1, got 0"),
        (lambda: Cover(candidates=32, verify=5), r"verify: expected a divisor of candidates \(32\), got 5"),
        (lambda: Cover(parts=0), "parts: expected at least 1, got 0"),
        (lambda: Search(verify=4, parts=5), r"parts: expected at most candidates \(4\), got 5"),
        (lambda: Cover(share=0.0), "share: expected more than 0, at most 1, got 0.0"),
        (lambda: Cover(target=1.5), "target: expected 0 to 1, got 1.5"),
        (lambda: Cover(solvable=1.0), "solvable: expected at least 0, and 0 where verify is 1, got 1.0"),
        (lambda: Search(solvable=-1.0), "solvable: expected at least 0, .* got -1.0"),
        (lambda: Cover(verify=2, solvable=float("nan")), "solvable: expected at least 0, .* got nan"),
        (lambda: Cover(explore=1.0), "explore: expected 0 up to, not including, 1, got 1.0"),
        (lambda: Cover().load_state_dict({"rise": 1}), "adversary: expected no state, got rise"),
    ],
)
def test_wrong_options_are_named(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
