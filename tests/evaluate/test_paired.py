from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from asda_fast.evaluate.paired import difference, percentage


def test_percentages_by_hand() -> None:
    assert percentage(np.array([[1, 2, 3], [0, 0, 0]]), np.array([4, 4, 4])).tolist() == [50, 0]


def test_a_constant_gain_has_no_interval_but_a_mean() -> None:
    b = np.array([[1, 2, 3, 4], [2, 2, 2, 2]])
    found = difference(b + 1, b, np.full(4, 10))
    assert (found.mean, found.low, found.high) == pytest.approx((10, 10, 10))


def test_by_hand() -> None:
    """Two seeds, three people of 10 joints. Percent: seeds' means 20 and 40, people's 20, 30, 40, all of it 30; what is
    left of a person and seed is 0, 5, -5 and its negative. So squares of seeds 600, of people 200, of the rest 50."""
    more = np.array([[1, 2.5, 2.5], [3, 3.5, 5.5]])
    found = difference(more, np.zeros((2, 3)), np.full(3, 10))
    squares = 600 + (200 - 50)
    assert found.mean == pytest.approx(30)
    reach = stats.t.ppf(0.975, (squares / 600) ** 2) * (squares / 6) ** 0.5
    assert (found.low, found.high) == pytest.approx((30 - reach, 30 + reach))


def test_one_seed_is_a_test_over_people() -> None:
    gain = np.random.default_rng(0).normal(2, 3, (1, 60))
    found = difference(gain, np.zeros((1, 60)), np.full(60, 10))
    expected = stats.ttest_1samp(10 * gain[0], 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_where_people_agree_it_is_a_test_over_seeds() -> None:
    gain = np.array([1.0, 2.0, 4.0])
    found = difference(gain[:, None].repeat(50, 1), np.zeros((3, 50)), np.full(50, 10))
    expected = stats.ttest_1samp(10 * gain, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_people_count_by_their_joints() -> None:
    """A percentage is a ratio of sums: who gains the same share of few joints or many does not widen it."""
    counted = np.array([2, 4, 6, 8, 0])
    found = difference(np.stack([counted / 2] * 2), np.zeros((2, 5)), counted)
    assert (found.mean, found.low, found.high) == pytest.approx((50, 50, 50))


def test_pairing_takes_out_what_people_share() -> None:
    """People differ by far more than the arms do; unpaired, the gain would drown."""
    rng = np.random.default_rng(0)
    b = rng.integers(0, 100, (1, 400)).repeat(3, 0)
    a = b + rng.integers(0, 3, (3, 400))  # + 1 on average
    found = difference(a, b, np.full(400, 100))
    assert found.mean == pytest.approx(1, abs=0.1) and 0.8 < found.low < found.mean < found.high < 1.2


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(
    ("luck", "person", "rest"), [(0, 0, 4), (0, 4, 1), (1, 0, 4), (1, 4, 4)], ids=["none", "people", "seeds", "both"]
)
def test_it_holds_the_truth_as_often_as_it_says(seeds: int, luck: float, person: float, rest: float) -> None:
    """Also of two seeds that disagree, where a bootstrap over people and seeds is too narrow."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(600):
        gain = 2 + rng.normal(0, 1, (seeds, 1)) * luck + rng.normal(0, 1, (1, 80)) * person
        gain = gain + rng.normal(0, 1, (seeds, 80)) * rest
        found = difference(gain, np.zeros((seeds, 80)), np.full(80, 10))
        held += found.low <= 20 <= found.high
    assert (0.9 if seeds == 2 else 0.92) < held / 600 < 0.998


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        gain = rng.normal(2, 3, (1, 60))
        found = difference(gain, np.zeros((1, 60)), np.full(60, 10))
        covered += found.low <= 20 <= found.high
    assert 0.88 < covered / 200 < 0.99


def test_seeds_that_agree_by_luck_do_not_narrow_it() -> None:
    """Two or three seeds can have nearly one mean by chance: then it is that of other people alone."""
    for seeds, luck in ((2, 0.0), (2, 0.01), (3, 0.01)):
        gain = np.random.default_rng(2).normal(2, 3, (seeds, 100))
        gain = gain - gain.mean(1, keepdims=True) + 2 + luck * np.arange(seeds)[:, None]
        found = difference(gain, np.zeros((seeds, 100)), np.full(100, 10))
        expected = stats.ttest_1samp(10 * gain.mean(0), 0).confidence_interval()
        assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_who_has_nothing_to_count_is_nobody() -> None:
    gain = np.random.default_rng(3).normal(2, 3, (3, 40))
    alone = difference(gain, np.zeros((3, 40)), np.full(40, 10))
    beside = difference(np.pad(gain, ((0, 0), (0, 60))), np.zeros((3, 100)), np.repeat([10, 0], [40, 60]))
    assert (beside.mean, beside.low, beside.high) == pytest.approx((alone.mean, alone.low, alone.high))


def test_bad_input_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"expected hits \[S, P\] twice"):
        difference(np.zeros((2, 3)), np.zeros((3, 3)), np.zeros(3))
    with pytest.raises(ValueError, match="at least 2 people with joints that count, got 1"):
        difference(np.zeros((2, 3)), np.zeros((2, 3)), np.array([0, 7, 0]))
