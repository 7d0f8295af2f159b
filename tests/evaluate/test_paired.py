from __future__ import annotations

import numpy as np
import pytest

from asda_fast.evaluate.paired import difference, percentage


def test_percentages_by_hand() -> None:
    assert percentage(np.array([[1, 2, 3], [0, 0, 0]]), np.array([4, 4, 4])).tolist() == [50, 0]


def test_a_constant_gain_has_no_interval_but_a_mean() -> None:
    b = np.array([[1, 2, 3, 4], [2, 2, 2, 2]])
    found = difference(b + 1, b, np.full(4, 10))
    assert (found.mean, found.low, found.high) == pytest.approx((10, 10, 10))


def test_pairing_takes_out_what_people_share() -> None:
    """People differ by far more than the arms do; unpaired, the gain would drown."""
    rng = np.random.default_rng(0)
    b = rng.integers(0, 100, (1, 400)).repeat(3, 0)
    a = b + rng.integers(0, 3, (3, 400))  # + 1 on average
    found = difference(a, b, np.full(400, 100))
    assert found.mean == pytest.approx(1, abs=0.1) and 0.8 < found.low < found.mean < found.high < 1.2


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        gain = rng.normal(2, 3, (1, 60))
        found = difference(gain, np.zeros((1, 60)), np.full(60, 10), draws=400)
        covered += found.low <= 20 <= found.high
    assert 0.88 < covered / 200 < 0.99


def test_seeds_that_disagree_widen_it() -> None:
    a = np.array([[0] * 50, [1] * 50, [2] * 50])
    found = difference(a, np.zeros_like(a), np.full(50, 4))
    assert found.mean == pytest.approx(25) and found.low < 10 and found.high > 40


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"expected hits \[S, P\] twice"):
        difference(np.zeros((2, 3)), np.zeros((3, 3)), np.zeros(3))


def test_two_seeds_say_less_than_they_seem() -> None:
    """docs/limits.md: a bootstrap of two seeds holds a true difference of 0 far less often than 95 times in 100."""
    rng, counted, held = np.random.default_rng(0), np.full(400, 16), 0
    for _ in range(60):
        luck = rng.normal(0, 0.03, (2, 2, 1))  # of each seed of each arm, for all people alike
        a, b = rng.binomial(16, np.clip(0.6 + luck, 0, 1), (2, 2, 400))
        found = difference(a, b, counted, draws=300)
        held += found.low <= 0 <= found.high
    assert held < 60 * 0.85
