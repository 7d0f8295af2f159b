"""MPII's score by hand, from made-up files in the formats of gt_valid.mat and Hourglass's valid.h5."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from asda_fast.core.errors import UserError
from asda_fast.metrics import Options, mpii

OFF = np.array([3.2, 10.0, 20.0, 0.0])  # pixels to the right, of a head size of 30
PELVIS, HEAD_TOP = 6, 9


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(0).uniform(50, 400, (4, 16, 2))


@pytest.fixture
def files(tmp_path: Path, truth: np.ndarray) -> Path:
    """annot/gt_valid.mat and predictions; the third person's head top is not labelled."""
    (tmp_path / "annot").mkdir()
    missing = np.zeros((16, 4))
    missing[HEAD_TOP, 2] = 1
    boxes = np.array([[[1.0] * 4, [1.0] * 4], [[31.0] * 4, [41.0] * 4]])  # a diagonal of 50
    content = {"pos_gt_src": truth.transpose(1, 2, 0), "jnt_missing": missing, "headboxes_src": boxes}
    savemat(tmp_path / "annot" / "gt_valid.mat", content)
    found = truth + np.stack([OFF, 0 * OFF], -1)[:, None]
    found[3, PELVIS] += 100  # pelvis and thorax are in no mean
    np.save(tmp_path / "p.npy", found)
    return tmp_path


def hourglass(path: Path, truth: np.ndarray, people: int = 4) -> Path:
    """Their file: the second person is hidden, and the third's head top, which is not labelled."""
    visible = np.ones((people, 16))
    visible[1] = 0
    part = truth[:people].copy()
    if people > 2:
        visible[2, HEAD_TOP] = 0
        part[2, HEAD_TOP] = 0
    with h5py.File(path, "w") as file:
        file["part"], file["visible"], file["normalize"] = part, visible, np.full(people, 30.0)
        file["imgname"] = [f"{n}.jpg" for n in range(people)]  # of any length; theirs are of 13 bytes
    return path


ONE = Options(one_based=True)


def test_by_hand(files: Path, truth: np.ndarray) -> None:
    result = mpii(files / "annot" / "gt_valid.mat", files / "p.npy", ONE)
    numbers = result.numbers
    assert (numbers["people"], numbers["counted"], numbers["protocol"]) == (4, 55, "PCKh@0.5")
    assert numbers["mean"] == pytest.approx(100 * 42 / 55)
    assert numbers["mean@0.1"] == pytest.approx(100 * 14 / 55)
    assert numbers["mean@0.1_legacy"] == pytest.approx(100 * 28 / 55)  # 3.2 of 30 lies between .1 and .11
    assert numbers["plain_mean"] == pytest.approx((13 * 75 + 100) / 14)
    assert numbers["per_joint"]["Head"] == 100
    assert numbers["per_joint"]["Wrist"] == 75
    assert numbers["joints"]["pelvis"] == 50
    assert "invisible" not in numbers and result.photos is None
    assert [*result.labelled[2, 8:11], result.labelled[0, 0]] == [2, 0, 2, 2]
    np.testing.assert_allclose(result.truth, truth - 0.5)
    np.testing.assert_allclose(result.predicted[2], truth[2] + [19.5, -0.5])
    assert result.quality == pytest.approx(1 - OFF / 30)


def test_pixels_from_0_and_14_joints(files: Path, truth: np.ndarray) -> None:
    annotations = files / "annot" / "gt_valid.mat"
    np.save(files / "zero.npy", np.load(files / "p.npy") - 1)
    plain = mpii(annotations, files / "p.npy", ONE)
    assert mpii(annotations, files / "zero.npy", Options(one_based=False)).numbers == plain.numbers
    np.save(files / "few.npy", np.delete(np.load(files / "p.npy"), (6, 7), axis=1))
    few = mpii(annotations, files / "few.npy", ONE)
    assert few.numbers["mean"] == plain.numbers["mean"]
    assert np.isnan(few.predicted[:, 6:8]).all()
    assert any("14 joints" in note for note in few.notes)


@pytest.mark.parametrize("where", ["annot", ".", "given"])
def test_invisible_joints_need_to_be_known(files: Path, truth: np.ndarray, where: str) -> None:
    """Beside the annotations, above them, or by option; the annotations say what is labelled."""
    path = hourglass(files / ("other.h5" if where == "given" else f"{where}/valid.h5"), truth)
    options = Options(one_based=True, visibility=str(path) if where == "given" else None)
    result = mpii(files / "annot" / "gt_valid.mat", files / "p.npy", options)
    assert result.numbers["invisible"]["counted"] == 14
    assert result.numbers["invisible"]["mean"] == 100
    assert result.numbers["invisible"]["mean@0.1"] == 0
    assert result.numbers["mean"] == pytest.approx(100 * 42 / 55)
    assert [*result.labelled[:2, 0], result.labelled[2, HEAD_TOP]] == [2, 1, 0]
    assert any(note == f"visibility from {path.name}" for note in result.notes)
    assert result.photos == (None if where == "given" else ["0.jpg", "1.jpg", "2.jpg", "3.jpg"])


def test_a_file_of_other_people_is_passed_over_or_refused(files: Path, truth: np.ndarray) -> None:
    other = hourglass(files / "annot" / "valid.h5", truth, people=3)
    result = mpii(files / "annot" / "gt_valid.mat", files / "p.npy", ONE)
    assert "invisible" not in result.numbers and result.photos is None
    hourglass(files / "valid.h5", truth)  # the next place
    assert "invisible" in mpii(files / "annot" / "gt_valid.mat", files / "p.npy", ONE).numbers
    with pytest.raises(UserError, match=r"valid.h5: expected an array visible \(4, 16\)"):
        mpii(files / "annot" / "gt_valid.mat", files / "p.npy", Options(one_based=True, visibility=str(other)))


def test_hourglass_s_file_as_annotations(files: Path, truth: np.ndarray) -> None:
    path = hourglass(files / "mine.h5", truth)
    with h5py.File(path, "a") as file:
        del file["imgname"]
    numbers = mpii(path, files / "p.npy", ONE).numbers
    assert numbers["mean"] == pytest.approx(100 * 42 / 55)  # a joint at (0, 0) is not labelled
    assert numbers["invisible"]["counted"] == 14


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"headboxes_src": None}, r"expected headboxes_src, as in MPII's gt_valid.mat"),
        ({"pos_gt_src": np.zeros((14, 2, 4))}, r"expected pos_gt_src \(16, 2, N\) .* got \(14, 2, 4\)"),
        ({"headboxes_src": np.zeros((2, 2, 3))}, r"headboxes_src \(2, 2, N\), got \(16, 2, 4\) and \(2, 2, 3\)"),
    ],
)
def test_other_annotations_are_one_line(files: Path, change: dict[str, object], says: str) -> None:
    content = {"pos_gt_src": np.ones((16, 2, 4)), "jnt_missing": np.zeros((16, 4)), "headboxes_src": np.ones((2, 2, 4))}
    content = {name: value for name, value in {**content, **change}.items() if value is not None}
    savemat(files / "bad.mat", content)
    with pytest.raises(UserError, match=says):
        mpii(files / "bad.mat", files / "p.npy")
