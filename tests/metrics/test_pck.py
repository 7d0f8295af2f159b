"""PCK and PCKh by hand, against the recorded scores of published predictions, and their confidence intervals."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import COCO
from asda_fast.metrics import Options, lsp, mpii, pck


def test_by_hand() -> None:
    truth = np.zeros((3, 2, 2))
    predicted = np.array([[[3.0, 4.0], [0, 0]], [[0, 1.0], [6.0, 8.0]], [[0, 0], [1.0, 0]]])
    distance = pck.distances(predicted, truth, np.array([10.0, 10.0, 0.0]))
    np.testing.assert_array_equal(distance[:2], [[0.5, 0], [0.1, 1.0]])
    assert np.isnan(distance[2]).all()  # no size: not counted
    counted = np.array([[1, 1], [1, 0], [1, 1]])
    assert pck.rates(distance, counted, 0.5).tolist() == [100.0, 100.0]
    assert pck.rates(distance, counted, 0.5, strict=True).tolist() == [50.0, 100.0]
    score = pck.score(distance, counted, 0.2, {"A": (0,), "B": (0, 1)})
    assert score.groups == {"A": 50.0, "B": 75.0}
    assert score.total == pytest.approx(200 / 3)
    assert score.counted == 3
    assert pck.score(distance, counted, 0.2, {}, leave_out=(0,)).total == 100.0


def test_a_prediction_that_is_not_a_number_is_wrong_not_left_out() -> None:
    predicted = np.array([[[np.nan, 0.0], [0.0, 0.0]]])
    distance = pck.distances(predicted, np.zeros((1, 2, 2)), np.ones(1))
    assert pck.score(distance, np.ones((1, 2)), 0.5, {}).total == 50.0


def test_area_under_the_curve_by_hand() -> None:
    distance = np.array([[0.0, 0.05], [0.15, 0.5]])
    # thresholds 0, 0.1, 0.2: rates 25, 50, 75 %; trapezoids of width 1/2
    assert pck.auc(distance, np.ones((2, 2)), 0.2, 0.1) == pytest.approx((25 / 2 + 50 + 75 / 2) / 2)
    assert np.isnan(pck.auc(distance, np.zeros((2, 2)), 0.2))
    assert np.isnan(pck.interval(distance, np.zeros((2, 2)), 0.2)).all()


def test_nothing_counted_is_nan() -> None:
    score = pck.score(np.zeros((2, 1)), np.zeros((2, 1)), 0.5, {"A": (0,)})
    assert np.isnan(score.total)
    assert np.isnan(score.groups["A"])


def test_interval_holds_the_truth_and_narrows() -> None:
    rng = np.random.default_rng(0)
    small, large = (rng.uniform(0, 1, (n, 4)) for n in (50, 5000))
    a, b = pck.interval(small, np.ones((50, 4)), 0.3), pck.interval(large, np.ones((5000, 4)), 0.3)
    assert b[0] < 100 * (large <= 0.3).mean() < b[1]
    assert a[0] < 100 * (small <= 0.3).mean() < a[1]
    assert b[1] - b[0] < 0.25 * (a[1] - a[0])
    assert b[1] - b[0] == pytest.approx(2 * 1.96 * 100 * np.sqrt(0.3 * 0.7 / 20000), rel=0.15)
    assert a == pck.interval(small, np.ones((50, 4)), 0.3)  # the same every time


def test_interval_s_ends_are_the_percentiles_asked_for() -> None:
    """Of 400 people with one joint each, half of them right: a binomial's percentiles."""
    distance = np.arange(400)[:, None] % 2
    deviation = 100 * 0.5 / np.sqrt(400)
    for level, times in ((0.95, 1.96), (0.5, 0.674)):
        low, high = pck.interval(distance, np.ones((400, 1)), 0.5, draws=20000, level=level)
        assert [low, high] == pytest.approx([50 - times * deviation, 50 + times * deviation], abs=0.3)


def test_interval_counts_as_the_score_does() -> None:
    """A joint at the threshold is right, for `plain_mean` it is wrong; there, one that a draw has nobody of is left
    out; joints left out and people not counted do not matter."""
    at = np.full((2, 1), 0.5)
    assert pck.interval(at, np.ones((2, 1)), 0.5) == (100, 100)
    assert pck.interval(at, np.ones((2, 1)), 0.5, plain=True) == (0, 0)
    near, some = np.zeros((2, 2)), np.array([[1, 1], [0, 1]])
    assert pck.interval(near, some, 0.5, plain=True) == (100, 100)
    assert pck.interval(np.array([[0.0, 1.0]]), np.ones((1, 2)), 0.5, leave_out=(1,)) == (100, 100)
    assert pck.interval(np.array([[0.0, 1.0]]), np.array([[1, 0]]), 0.5) == (100, 100)


def test_distances_of_other_shapes_are_refused() -> None:
    for shapes in (((2, 3, 2), (2, 4, 2), (2,)), ((2, 3, 2), (2, 3, 2), (3,)), ((3, 2), (3, 2), (3,))):
        with pytest.raises(ValueError, match="expected predicted and truth"):
            pck.distances(*(np.ones(shape) for shape in shapes))
    for counted in (np.ones(3), np.ones((2, 1))):
        with pytest.raises(ValueError, match=r"expected distance and counted \[P, J\], got \(2, 3\)"):
            pck.rates(np.ones((2, 3)), counted, 0.5)


def test_distances_of_whole_numbers() -> None:
    """Unsigned ones wrap: a pixel to the left would be 65,535 to the right."""
    predicted, truth = np.array([[[4, 7]]], np.uint16), np.array([[[5, 7]]], np.uint16)
    assert pck.distances(predicted, truth, np.array([2], np.uint8)) == 0.5


def test_a_skeleton_without_a_torso_has_no_size() -> None:
    size = pck.torso(np.ones((3, 17, 2)), np.ones((3, 17)), dataclasses.replace(COCO, torso=None))
    assert size.shape == (3,)
    assert np.isnan(size).all()


def recorded(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "reference.json").read_text())


@pytest.mark.parametrize(
    ("file", "name", "short"),
    [
        ("preds/hg_valid-ours.h5", "hourglass valid-ours.h5", "hg_valid-ours"),
        ("preds/tompson2015_pred.mat", "tompson2015 (pos_pred_src of detections_our_format.mat)", "tompson2015"),
        ("detections_our_format.mat", "tompson2015 (pos_pred_src of detections_our_format.mat)", "tompson2015"),
        ("tompson_detections.mat", "tompson2015 (pos_pred_src of detections_our_format.mat)", "tompson2015"),
    ],
)
def test_published_mpii_predictions(shared_data: Path, file: str, name: str, short: str) -> None:
    folder = shared_data / "mpii_eval"
    found = mpii(folder / "annot" / "gt_valid.mat", folder / file).numbers
    expected = recorded(folder)
    hrnet = expected["all_keypoints__HRNet_lib_dataset_mpii_evaluate"][name]
    for joint, value in found["per_joint"].items():
        assert value == pytest.approx(hrnet[joint], abs=1e-9)
    assert found["mean"] == pytest.approx(hrnet["Mean"], abs=1e-9)
    assert found["mean@0.1_legacy"] == pytest.approx(hrnet["Mean@0.1"], abs=1e-9)
    hidden = expected["invisible_only (labelled & visible==0 in valid.h5, own reimplementation)"][short]
    for joint, value in hidden.items():
        own = found["invisible"]["mean"] if joint == "Mean_weighted_14" else found["invisible"]["per_joint"][joint]
        assert own == pytest.approx(value, abs=1e-9)
    if short == "hg_valid-ours":
        assert round(found["mean@0.1"], 2) == 28.65
        assert round(found["plain_mean"], 2) == 87.56


@pytest.mark.parametrize(
    ("truth", "file", "name"),
    [
        ("PC", "LSP_prediction_model_LSP_6s.mat", "CPM LSP_prediction_model_LSP_6s.mat"),
        ("PC", "pred_keypoints_lsp_pc.mat", "yang2016 pred_keypoints_lsp_pc.mat"),
        ("OC", "pred_keypoints_lsp_oc.mat", "yang2016 pred_keypoints_lsp_oc.mat vs OC GT"),
    ],
)
def test_published_lsp_predictions(shared_data: Path, truth: str, file: str, name: str) -> None:
    folder = shared_data / "lsp_eval"
    found = lsp(folder / f"lsp-joints-{truth}.mat", folder / file).numbers
    for joint, value in recorded(folder)[name].items():
        own = {"Total": found["total"], "AUC": found["auc"]}.get(joint, found["per_joint"].get(joint))
        assert own == pytest.approx(value, abs=0.0051), joint  # recorded with two decimals
    assert found["people"] == 1000
    assert found["invisible"]["counted"] < 0.1 * found["counted"]


def test_hourglass_annotations_and_bases(shared_data: Path, tmp_path: Path) -> None:
    """valid.h5 as annotations; the same predictions 0-based give the same score once that is said or understood."""
    folder = shared_data / "mpii_eval"
    truth, predictions = folder / "annot" / "gt_valid.mat", folder / "preds" / "hg_valid-ours.h5"
    one = mpii(truth, predictions)
    assert round(mpii(folder / "valid.h5", predictions).numbers["mean"], 1) == 88.0  # 13 joints differ
    import h5py

    with h5py.File(predictions) as file:
        xy = file["preds"][()]
    np.save(tmp_path / "zero.npy", xy - 1)
    np.save(tmp_path / "one.npy", xy.astype(np.float32).transpose(2, 1, 0))
    (tmp_path / "flat.json").write_text(json.dumps((xy - 1).reshape(len(xy), -1).tolist()))
    mean = one.numbers["mean"]
    assert mpii(truth, tmp_path / "zero.npy").numbers["mean"] == mean
    assert mpii(truth, tmp_path / "one.npy", Options(one_based=True)).numbers["mean"] == mean
    assert mpii(truth, tmp_path / "flat.json").numbers["mean"] == mean
    assert mpii(truth, predictions, Options(one_based=False)).numbers["mean"] != mean


def test_annotations_of_another_kind_are_one_line(shared_data: Path) -> None:
    lsp_truth = shared_data / "lsp_eval" / "lsp-joints-PC.mat"
    with pytest.raises(UserError, match=r"lsp-joints-PC\.mat: expected pos_gt_src"):
        mpii(lsp_truth, lsp_truth)
    mpii_truth = shared_data / "mpii_eval" / "annot" / "gt_valid.mat"
    with pytest.raises(UserError, match=r"expected \(3, 14, N\) of LSP"):
        lsp(mpii_truth, mpii_truth)


def test_lsp_truth_means_what_it_means_in_training(tmp_path: Path) -> None:
    """LSP-extended's flags in LSP's shape: joints without a label are not counted, and the notes say what was read."""
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    truth = np.concatenate([rng.uniform(20, 200, (14, 2, 20)), np.ones((14, 1, 20))], axis=1)
    truth[4:6, :, :5] = 0  # not labelled, in five people
    savemat(tmp_path / "published.mat", {"joints": truth})
    savemat(tmp_path / "passed_on.mat", {"joints": truth.transpose(1, 0, 2)})
    np.save(tmp_path / "p.npy", truth[:, :2].transpose(2, 0, 1) + rng.normal(0, 6, (20, 14, 2)) - 1)
    published, passed_on = (lsp(tmp_path / f"{name}.mat", tmp_path / "p.npy") for name in ("published", "passed_on"))
    assert published.numbers["counted"] == passed_on.numbers["counted"] == 20 * 14 - 10
    assert published.numbers["total"] == passed_on.numbers["total"]
    assert len(published.notes) == 1
    assert "joints of shape (3, 14, N), the third row read as LSP-extended's (1 labelled)" in passed_on.notes[1]
    truth[2, 2, 7] = 3
    savemat(tmp_path / "published.mat", {"joints": truth})
    with pytest.raises(UserError, match="record 7: third row: expected flags 0 or 1"):
        lsp(tmp_path / "published.mat", tmp_path / "p.npy")
