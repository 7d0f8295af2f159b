"""LSP's score by hand, from a made-up file in the format of joints.mat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from asda_fast.metrics import Options, lsp

OFF = np.array([0.0, 9.9, 18.9, 30.0])  # pixels downwards, of a torso of 100; the people take them in turn
ONE = Options(one_based=True)


def people(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and predictions [N, 14, 2]."""
    truth = np.random.default_rng(0).uniform(50, 400, (count, 14, 2))
    truth[:, 2] = truth[:, 9] + [60, 80]  # right hip and left shoulder
    shift = OFF[np.arange(count) % 4]
    return truth, truth + np.stack([0 * shift, shift], -1)[:, None]


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Of 2,000 people; everybody's first joint is occluded."""
    truth, found = people(2000)
    occluded = np.zeros((1, 14, 2000))
    occluded[:, 0] = 1
    savemat(tmp_path / "joints.mat", {"joints": np.concatenate([truth.transpose(2, 1, 0), occluded])})
    np.save(tmp_path / "all.npy", found)
    np.save(tmp_path / "test.npy", found[1000:])
    return tmp_path / "joints.mat"


def test_the_last_thousand_by_hand(annotations: Path) -> None:
    result = lsp(annotations, annotations.with_name("test.npy"), ONE)
    numbers = result.numbers
    assert (numbers["people"], numbers["counted"], numbers["protocol"]) == (1000, 14000, "PCK@0.2")
    assert numbers["total"] == numbers["per_joint"]["Wrist"] == numbers["joints"]["neck"] == 75
    # thresholds 0 .. .2: ten at 25 %, nine at 50 %, two at 75 %, the ends for half
    assert numbers["auc"] == pytest.approx((250 + 450 + 150 - (25 + 75) / 2) / 20)
    assert (numbers["invisible"]["counted"], numbers["invisible"]["total"]) == (1000, 75)
    assert [label for label, _ in result.rows] == ["all joints", "invisible joints only"]
    assert result.labelled[0].tolist() == [1] + [2] * 13
    truth, found = people(2000)
    np.testing.assert_allclose(result.truth, truth[1000:] - 0.5)
    np.testing.assert_allclose(result.predicted, found[1000:] - 0.5)
    assert result.quality[:4] == pytest.approx(1 - OFF / 40)
    assert (result.photos[0], result.photos[-1]) == ("im1001.jpg", "im2000.jpg")
    np.testing.assert_array_equal(lsp(annotations, annotations.with_name("all.npy"), ONE).predicted, result.predicted)


def test_points_alone_are_all_visible(tmp_path: Path) -> None:
    truth, found = people(8)
    savemat(tmp_path / "points.mat", {"points": truth.transpose(2, 1, 0)})
    np.save(tmp_path / "p.npy", found - 1)
    result = lsp(tmp_path / "points.mat", tmp_path / "p.npy", Options(one_based=False))
    assert (result.numbers["people"], result.numbers["total"]) == (8, 75)
    assert (result.labelled == 2).all()
    assert "invisible" not in result.numbers
    assert result.photos[0] == "im00001.jpg"
