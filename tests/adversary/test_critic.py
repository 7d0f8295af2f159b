"""The critic in a world where only one thing matters: whether joint 1 is hidden."""

from __future__ import annotations

import copy

import pytest
import torch

from asda_fast.adversary import Critic, Scene, Search, measure
from asda_fast.adversary.coverage import coverage
from asda_fast.adversary.replay import Replay
from asda_fast.augment.sampling import Slots

from .conftest import EDGES, JOINTS, Small

OPTIONS = {"types": 4, "joints": JOINTS, "edges": EDGES, "candidates": 16, "lessons": 64}


class Fragile(Scene):
    """D finds every joint, and loses joint 1 where it is hidden. Each person has a difficulty of its own."""

    def judge(self, theta, reduced=False, slots=None):
        difficulty = 1 + (self.batch.row % 7)[:, None].float()
        losses = difficulty.expand(-1, JOINTS) * (self.weight > 0)
        if theta is not None:
            parts = slots and Slots(**{name: value[:, :, None] for name, value in vars(slots).items()})
            hidden = coverage(self, theta[:, :, None], EDGES, parts).near.amax((1, 2))
            losses = losses + 4 * hidden * (torch.arange(JOINTS) == 1) * (self.weight > 0)
        return losses


@pytest.fixture
def fragile(make_scene):
    torch.manual_seed(0)
    pose = Small().eval()

    def make(step: int, count: int = 32, parts: int = 1, epoch: int = 0) -> Scene:
        scene = make_scene(pose, count=count, parts=parts, row=(step * count) % 320)
        fragile = Fragile(**vars(scene))
        fragile.epoch = epoch
        fragile.slots = fragile.augmentation.draw(fragile.batch, epoch)
        return fragile

    return make


def play(critic: Critic, fragile, steps: int, parts: int = 1, first: int = 0) -> None:
    for step in range(first, first + steps):
        scene = fragile(step, parts=parts, epoch=step // 10)
        choice = critic.choose(scene, explore=True)
        critic.learn(scene, choice, scene.judge(choice.theta, slots=choice.slots))


@pytest.mark.parametrize(
    "options",
    [{}, {"people": 320}, {"verify": 2}, {"clean": True}, {"clean": True, "verify": 2}, {"verify": 4, "share": 0.5}],
)
def test_it_learns_where_it_hurts(fragile, options) -> None:
    critic = Critic(**OPTIONS, **options)
    held_out = fragile(0, count=100, epoch=99)
    held_out.trained = False
    ignorant = measure([held_out], critic)
    play(critic, fragile, 60)
    found = measure([held_out], critic)
    best = measure([held_out], Search(verify=16, seed=critic.seed))  # the same candidates, all of them tried
    assert abs(ignorant.s) < 0.2 and found.s > 0.85 * best.s


def test_it_learns_with_several_parts(fragile) -> None:
    critic = Critic(**OPTIONS)
    play(critic, fragile, 60, parts=2)
    held_out = fragile(0, count=100, parts=2, epoch=99)
    assert measure([held_out], critic).s > 0.6


@pytest.mark.parametrize(
    "options", [{"people": 320}, {"verify": 2, "clean": True, "share": 0.7}, {"parts": 3}, {"parts": 3, "verify": 4}]
)
def test_a_restored_state_goes_on_with_the_same_bits(fragile, options) -> None:
    whole, half = Critic(**OPTIONS, **options, memory=200), Critic(**OPTIONS, **options, memory=200)
    play(whole, fragile, 12)
    play(half, fragile, 8)
    state = copy.deepcopy(half.state_dict())
    resumed = Critic(**OPTIONS, **options, memory=200)
    resumed.load_state_dict(state)
    play(resumed, fragile, 4, first=8)
    scene = fragile(3, epoch=5)
    assert torch.equal(whole.choose(scene, True).theta, resumed.choose(scene, True).theta)
    for a, b in zip(flat(whole.state_dict()), flat(resumed.state_dict()), strict=True):
        assert torch.equal(a, b)


def flat(state) -> list:
    if isinstance(state, dict):
        return [leaf for key in sorted(state, key=str) for leaf in flat(state[key])]
    if isinstance(state, (list, tuple)):
        return [leaf for item in state for leaf in flat(item)]
    return [torch.as_tensor(0 if state is None else state)]


def test_it_takes_no_random_number_of_the_run(fragile) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    play(Critic(**OPTIONS), fragile, 2)
    scene_free = torch.get_rng_state()
    torch.manual_seed(5)
    for step in range(2):
        fragile(step)
    assert torch.equal(scene_free, torch.get_rng_state()) and len(before)


def test_held_out_people_leave_no_history(fragile) -> None:
    critic = Critic(**OPTIONS, people=320)
    scene = fragile(0)
    scene.trained = False
    choice = critic.choose(scene, explore=True)
    critic.learn(scene, choice, scene.judge(choice.theta))
    assert critic.history.abs().max() == 0
    play(critic, fragile, 1)
    assert critic.history[:32, :-1, 1].all() and not critic.history[32:].any()


def test_the_replay_is_a_ring() -> None:
    replay = Replay(5, seed=0)
    for first in (0, 3, 6, 9):
        replay.add({"n": torch.arange(first, first + 3)})
    assert sorted(replay.ring["n"].tolist()) == [7, 8, 9, 10, 11]
    drawn = replay.draw(1000)["n"]
    assert torch.bincount(drawn)[7:].float().std() < 30 and set(drawn.tolist()) == {7, 8, 9, 10, 11}
    again = Replay(5, seed=0)
    again.load_state_dict(replay.state_dict(), torch.device("cpu"))
    assert torch.equal(again.draw(50)["n"], replay.draw(50)["n"])
    replay.add({"n": torch.arange(20, 32)})
    assert sorted(replay.ring["n"].tolist()) == [27, 28, 29, 30, 31]


def test_of_a_larger_memory_the_newest_stay() -> None:
    larger, replay = Replay(7, seed=0), Replay(4, seed=0)
    for first in (0, 5):
        larger.add({"n": torch.arange(first, first + 5)})
    replay.load_state_dict(larger.state_dict(), torch.device("cpu"))
    assert sorted(replay.ring["n"].tolist()) == [6, 7, 8, 9] and set(replay.draw(100)["n"].tolist()) == {6, 7, 8, 9}
    replay.add({"n": torch.tensor([10, 11])})
    assert sorted(replay.ring["n"].tolist()) == [8, 9, 10, 11]


def test_where_unlabelled_joints_lie_tells_the_critic_nothing(make_scene) -> None:
    """Joint 3 is the end of a limb of joint 2, and lies below the part or in the corner."""
    critic, scene = Critic(**OPTIONS), make_scene(Small().eval(), count=1)
    scene.batch.joints[0, :3] = torch.tensor([[10.0, 10], [50, 10], [32, 34]])
    scene.batch.joints[0, 4] = 60

    def seen(labelled: float, at: float) -> torch.Tensor:
        scene.weight = torch.tensor([[1.0, 1, 1, labelled, 1]])
        scene.batch.joints[0, 3] = at
        covered = coverage(scene, torch.tensor([[[[1.0, 0, 0, 0]]]]), EDGES)
        return critic.features(scene, covered, None)[..., [0, 1, 2, 4], :]

    assert torch.equal(seen(0, 0), seen(0, 32)) and not torch.equal(seen(1, 0), seen(1, 32))


def test_a_joint_below_a_small_part_is_hidden(make_scene) -> None:
    """A part of 4 pixels covers the joint, and nothing of the circle of 7 / 96 about it."""
    scene = make_scene(Small().eval(), count=1)
    scene.batch.joints[0, 1] = 32.0
    covered = coverage(scene, torch.tensor([[[[0.4, 0, 0, 0]]]]), EDGES)
    assert covered.far[0, 0, 0, 1] == 0 and covered.hidden[0, 0, 0, 1] == 1


def test_a_large_lesson_is_kept_less_often() -> None:
    replay = Replay(8192, seed=0)
    replay.add({"x": torch.zeros(2, 1024, 1024)})
    assert replay.capacity == 16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Critic(**OPTIONS, updates=0), "updates: expected at least 1, got 0"),
        (lambda: Critic(**OPTIONS, verify=16), r"verify: expected less than candidates \(16\), got 16"),
        (
            lambda: Critic(**OPTIONS).load_state_dict(Critic(**{**OPTIONS, "joints": 17}).state_dict()),
            "adversary: expected a critic of 5 joints, got one of 17",
        ),
        (
            lambda: Critic(**OPTIONS).load_state_dict(Critic(**{**OPTIONS, "types": 26}).state_dict()),
            "adversary: expected a critic of 4 types, got one of 26",
        ),
        (
            lambda: Critic(**OPTIONS).load_state_dict(Critic(**OPTIONS, people=3).state_dict()),
            "adversary: expected a critic of 0 people, got 3",
        ),
        (
            lambda: Critic(**OPTIONS).load_state_dict({}),
            "adversary: expected the state of a critic, got another adversary's",
        ),
    ],
)
def test_wrong_options_and_states_are_named(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
