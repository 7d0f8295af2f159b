"""Predictions that mean something else than they are read as are told, whatever it is; poor ones are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from asda_fast.core.skeletons import LSP
from asda_fast.metrics.readings import other_reading

P, J = 40, 14
RNG = np.random.default_rng(0)
TRUTH = RNG.uniform(0, 300, (P, 1, 2)) + RNG.uniform(0, 120, (1, J, 2)) + RNG.normal(0, 15, (P, J, 2))
GOOD = TRUTH + RNG.normal(0, 2, TRUTH.shape)
COUNTED = RNG.random((P, J)) < 0.9


def said(predicted: np.ndarray) -> str | None:
    return other_reading(predicted, TRUTH, COUNTED, np.full(P, 40.0), LSP.joints, 0.2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda xy: xy[..., ::-1], "100 % would be if y came before x"),
        (lambda xy: xy / 2, "photos of half the size"),
        (lambda xy: xy * 2, "photos of twice the size"),
        (lambda xy: xy / 400, "shares of its size"),
        (lambda xy: xy.transpose(0, 2, 1).reshape(P, J, 2), "all x came before all y"),
        (lambda xy: np.roll(xy, 1, axis=1), "another order (right_ankle is given as joint 1)"),
        (lambda xy: np.roll(xy, 3, axis=0), "the people came in another order (person 0 is given as 3)"),
    ],
)
def test_another_reading_is_named(change: Any, words: str) -> None:
    assert words in (said(change(GOOD)) or "")


def test_sound_and_poor_predictions_are_left_alone() -> None:
    nan = np.full(TRUTH.shape, np.nan)
    noise = RNG.uniform(0, 400, TRUTH.shape)
    for predicted in (GOOD, noise, nan, np.zeros(TRUTH.shape), np.broadcast_to(TRUTH.mean((0, 1)), TRUTH.shape)):
        assert said(np.array(predicted)) is None
    assert said(np.where(np.arange(J)[:, None] < 9, GOOD, noise)) is None  # two thirds are right
