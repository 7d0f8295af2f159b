"""Hardness of a network whose loss is a known function of the placement: half the square of the patch's x."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from asda_fast.adversary import Choice, Placer, measure
from asda_fast.adversary.candidates import MEASURE, candidates
from asda_fast.adversary.hardness import ratio

from .conftest import WhereWhite


def draws_of(scene, count: int = 32) -> torch.Tensor:
    return candidates(scene.slots, scene.batch.row, count, scene.augmentation.ranges, 3, 0, MEASURE)


def loss_of(tx: torch.Tensor) -> np.ndarray:
    """tx in half crops, to the left: the patch's middle is at 1/2 - tx/2 of the width; every joint has half its square,
    less where the target is not zero, which `flat` makes it."""
    return 0.5 * (0.5 - tx.double().numpy() / 2) ** 2


def flat(scene):
    """Every joint labelled, every target zero."""
    scene.target, scene.weight = torch.zeros_like(scene.target), torch.ones_like(scene.weight)
    return scene


class Fixed(Placer):
    def __init__(self, tx: float) -> None:
        self.tx = tx

    def choose(self, scene, explore: bool) -> Choice:
        theta = scene.slots.theta.clone()
        theta[..., 2] = self.tx
        return Choice(theta)


class Worst(Placer):
    """Takes the hardest of the very placements that hardness draws."""

    def choose(self, scene, explore: bool) -> Choice:
        places = draws_of(scene)
        best = places[..., 2].argmin(-1)[..., None, None].expand(-1, -1, 1, 4)  # leftmost tx is rightmost patch
        return Choice(places.gather(2, best)[:, :, 0])


def test_all_numbers_by_hand(make_scene) -> None:
    scenes = [flat(make_scene(WhereWhite(), count=6)), flat(make_scene(WhereWhite(), count=5, row=6))]
    found = measure(scenes, Fixed(-0.5))
    tx = torch.cat([draws_of(scene)[:, 0, :, 2] for scene in scenes])  # [11, 32]
    losses = loss_of(tx)
    random, best, chosen = losses.mean(1), losses.max(1), np.full(11, 0.5 * 0.75**2)
    assert found.clean == pytest.approx(0, abs=1e-6)
    assert found.random == pytest.approx(random.mean(), rel=1e-4)
    assert found.best_of_32 == pytest.approx(best.mean(), rel=1e-4)
    assert found.centre == pytest.approx(0.125, rel=1e-4)
    assert found.chosen == pytest.approx(chosen.mean(), rel=1e-4)
    s = (chosen - random).mean() / (best - random).mean()
    assert found.s == pytest.approx(s, rel=1e-3)
    rest = (chosen - random) - s * (best - random)
    assert found.s_se == pytest.approx(rest.std(ddof=1) / math.sqrt(11) / (best - random).mean(), rel=1e-2)
    s = (0.125 - random).mean() / (best - random).mean()
    assert found.s_centre == pytest.approx(s, rel=1e-3)
    rest = (0.125 - random) - s * (best - random)
    assert found.s_centre_se == pytest.approx(rest.std(ddof=1) / math.sqrt(11) / (best - random).mean(), rel=1e-2)
    assert (found.people, found.draws) == (11, 32)
    assert found.room == pytest.approx(best.mean() / random.mean() - 1, rel=1e-3)
    assert set(found.to_dict()) >= {"clean", "random", "centre", "best_of_32", "chosen", "s", "s_se", "people", "draws"}


def test_the_hardest_of_its_own_draws_is_one_and_chance_is_near_zero(make_scene) -> None:
    scenes = [flat(make_scene(WhereWhite(), count=200))]
    assert measure(scenes, Worst()).s == pytest.approx(1, abs=1e-6)
    chance = measure(scenes, None)
    assert abs(chance.s) < 3 * chance.s_se and 0 < chance.s_se < 0.2


def test_ratio_by_hand() -> None:
    s, error = ratio(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0]))
    assert s == 1 and error == pytest.approx(0.5)  # residuals -1, 1: std sqrt 2, over sqrt 2 people, over 2
    assert all(math.isnan(v) for v in ratio(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0])))


def test_where_nothing_costs_anything_there_is_no_room(make_scene) -> None:
    scene = flat(make_scene(WhereWhite(), count=6))
    scene.weight[:] = 0
    found = measure([scene], None)
    assert math.isnan(found.room) and math.isnan(found.to_dict()["room"]) and "room nan %" in str(found)


def test_the_standard_error_is_that_of_repeated_measurement(make_scene) -> None:
    """200 measurements of 30 people each scatter as the one standard error says."""
    found = [measure([flat(make_scene(WhereWhite(), count=30, row=30 * i))], Fixed(0.1), draws=4) for i in range(200)]
    scatter = np.std([one.s for one in found])
    assert np.mean([one.s_se for one in found]) == pytest.approx(scatter, rel=0.25)


def test_people_without_a_part_do_not_count(make_scene) -> None:
    scene = flat(make_scene(WhereWhite(), count=6))
    scene.slots.part[:2] = -1
    assert measure([scene], None).people == 4
    scene.slots.part[:4] = -1
    assert measure([scene], None, draws=2, people=2).people == 2
    with pytest.raises(ValueError, match="people: expected at least 2 who get a part, got 0"):
        measure([], None)
    scene.slots.part[:5] = -1
    with pytest.raises(ValueError, match="people: expected at least 2 who get a part, got 1"):
        measure([scene], None)


def test_it_stops_at_the_time_budget(make_scene) -> None:
    taken = []

    def scenes():
        for i in range(100):
            taken.append(i)
            yield flat(make_scene(WhereWhite(), count=4, row=4 * i))

    assert measure(scenes(), None, seconds=1e-9).people == 4
    assert taken == [0]
    assert measure(scenes(), None, people=7).people == 7 and taken == [0, 0, 1]


def test_wrong_arguments_are_named(make_scene) -> None:
    with pytest.raises(ValueError, match="draws: expected at least 2 random placements, got 1"):
        measure([], None, draws=1)
    with pytest.raises(ValueError, match="people: expected at least 2, got 1"):
        measure([], None, people=1)
    with pytest.raises(ValueError, match="seconds: expected a positive number, got 0"):
        measure([], None, seconds=0)
