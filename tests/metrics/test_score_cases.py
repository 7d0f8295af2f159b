"""Any joints score as the official scorers have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import CROWDPOSE, WHOLEBODY
from asda_fast.core.wholebody import PARTS, split_parts
from asda_fast.metrics import pck
from asda_fast.metrics.coco import coco
from asda_fast.metrics.keypoints import keypoints
from asda_fast.metrics.result import Options
from tools.odd_coco import Table, pycocotools
from tools.score_cases import KINDS, compare, make


@pytest.mark.parametrize("first", range(len(KINDS)), ids=[kind.__name__ for kind in KINDS])
def test_generated_cases_score_as_officially(first: int) -> None:
    """`python -m tools.score_cases` compares 1,000."""
    for seed in range(first, 24, len(KINDS)):
        assert compare(seed)[0] == "", f"seed {seed}"


def hand(*names: str) -> Table:
    """Two hands of three joints in one photo."""
    people = [
        {
            "id": n, "image_id": 1, "category_id": 1, "bbox": [0, 0, 40, 20 * n], "area": 800, "iscrowd": 0,
            "keypoints": [5, 5, 2, 10, 20 * n, 2, 30, 4, n - 1], "num_keypoints": n + 1,
        }
        for n in (1, 2)
    ]  # fmt: skip
    category = {"id": 1, "name": "hand", "keypoints": list(names)}
    return {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": people, "categories": [category]}


def test_joints_of_no_known_skeleton_are_scored_and_whose_sigmas_is_said() -> None:
    table = hand("palm", "L tip", "R tip")
    results = [
        {"image_id": 1, "category_id": 1, "score": 0.5, "keypoints": [8, 5, 1, 10, 20, 1, 30, 4, 1]},
    ]
    for options, sigmas, said in (
        (Options(), [0.05] * 3, "OKS sigmas: 0.05 of every joint, as none are known for hand"),
        (Options(sigmas=(0.2,)), [0.2] * 3, "OKS sigmas: as given"),
        (Options(sigmas=(0.3, 0.1, 0.02)), [0.3, 0.1, 0.02], "OKS sigmas: as given"),
    ):
        result = coco(table, results, options)
        np.testing.assert_allclose(result.numbers["stats"], pycocotools({**table, "sigmas": sigmas}, results, [1]))
        assert any(said in note for note in result.notes)
        assert list(result.numbers["per_joint"]) == ["palm", "tip"]
    with pytest.raises(UserError, match=r"sigmas: expected 1 or 3 numbers between 0 and 10, got \[0.1, 0.2\]"):
        coco(table, results, Options(sigmas=(0.1, 0.2)))
    with pytest.raises(UserError, match=r"expected 17 joints \(COCO\) or 14 \(CrowdPose\), got 3 .*: others need `sig"):
        coco(hand(), results)
    assert coco(hand(), results, Options(sigmas=(0.1,))).numbers["AP"] > 0


def test_whole_body_is_scored_where_the_results_have_it() -> None:
    table, results, _ = make(1, WHOLEBODY)
    flat = coco(table, results).numbers
    table["annotations"] = [split_parts(a) for a in table["annotations"]]
    table["categories"][0]["keypoints"] = list(WHOLEBODY.joints[:17])
    split = coco(table, [split_parts(r) for r in results])
    assert split.numbers["stats"] == flat["stats"] == coco(table, results).numbers["stats"]
    assert [label for label, _ in split.rows] == [*PARTS, "invisible joints only"]
    assert set(split.numbers["parts"]["foot"]["per_joint"]) == {"Foot"}
    parts = split.numbers["parts"]
    assert split.numbers["stats"] == parts["wholebody"]["stats"] != parts["body"]["stats"]
    body = coco(table, [{**r, "keypoints": r["keypoints"][:51]} for r in results]).numbers
    assert (body["dataset"], "parts" in body) == ("coco", False)
    table["annotations"][0]["face_kpts"] = [0, 0, 0]
    with pytest.raises(
        UserError, match=r"annotation 50: face_kpts: expected 68 x \(x, y, flag or score\), got \[0, 0, 0"
    ):
        coco(table, [split_parts(r) for r in results])


def test_a_part_that_nobody_has_is_not_looked_for() -> None:
    """A joint without a label has flag 0, whatever stands for its place."""
    table, results, _ = make(1, WHOLEBODY)
    for annotation in table["annotations"]:
        joints = np.array(annotation["keypoints"], float).reshape(-1, 3)
        joints[PARTS["lefthand"]] = (5, 5, 0)
        annotation["keypoints"] = joints.ravel().tolist()
    parts = coco(table, results).numbers["parts"]
    assert parts["lefthand"]["AP"] == -1
    assert parts["righthand"]["AP"] >= 0


def test_people_as_they_are_shown() -> None:
    """Pixel indices become points, half a pixel further; whom nobody resembles has none; crowds are left out."""
    table = hand("palm", "L tip", "R tip")
    table["images"].append({"id": 2, "file_name": "b.jpg"})
    first, second = table["annotations"]
    first["keypoints"][8] = second["keypoints"][8] = 0
    table["annotations"] += [{**first, "id": 3, "image_id": 2}, {**first, "id": 4, "iscrowd": 1}]
    result = coco(table, [{"image_id": 1, "category_id": 1, "score": 0.5, "keypoints": [5, 5, 1, 10, 20, 1, 7, 8, 1]}])
    assert result.truth.tolist() == [[[5.5, 5.5], [10.5, y + 0.5], [30.5, 4.5]] for y in (20, 40, 20)]
    assert result.labelled.tolist() == [[2, 2, 0]] * 3
    assert result.predicted[:2].tolist() == [[[5.5, 5.5], [10.5, 20.5], [7.5, 8.5]]] * 2
    assert np.isnan(result.predicted[2]).all()
    assert result.quality[0] == 1 > result.quality[1] > 0 == result.quality[2]
    assert result.photos == ["a.jpg", "a.jpg", "b.jpg"]
    assert result.numbers["images"] == 2
    assert result.numbers["per_joint"]["tip"] == pytest.approx(0.5 * 2 / 3, abs=0.2)  # of the tip with labels only


def test_nothing_found_is_said_also_where_one_kind_of_two_is_predicted() -> None:
    table = hand("palm", "L tip", "R tip")
    table["categories"].append({"id": 2, "name": "paw", "keypoints": ["palm", "L tip", "R tip"]})
    table["annotations"].append({**table["annotations"][0], "id": 3, "category_id": 2})
    far = [{"image_id": 1, "category_id": 1, "score": 0.5, "keypoints": [900, 900, 1] * 3}]
    assert any("AP is 0" in note for note in coco(table, far).notes)
    assert not any("AP is 0" in note for note in coco(table, []).notes)


def test_arrays_of_any_joints(tmp_path: Path) -> None:
    table, path = hand("palm", "L tip", "R tip"), tmp_path / "found.npy"
    table["annotations"].append({**table["annotations"][0], "id": 9, "iscrowd": 1})
    truth = np.array([a["keypoints"] for a in table["annotations"]], float).reshape(3, 3, 3)[..., :2]
    found = truth + np.array([[[3, 4]], [[0, 8]], [[99, 99]]])
    for array in (found, found[:2]):  # everybody, or whom a network is shown
        np.save(path, array)
        result = keypoints(table, path)
        assert result.numbers["protocol"] == "PCK@0.2 of the box"
        assert result.numbers["epe"] == pytest.approx((2 * 5 + 3 * 8) / 5)  # one joint is not labelled
        assert result.numbers["pck"] == pytest.approx(100 * (0.5 + 0.5 + 0) / 3)  # 8 is not closer than 0.2 x 40
        assert result.numbers["people"] == 2
        np.testing.assert_allclose(result.truth, truth[:2] + 0.5)
        np.testing.assert_allclose(result.predicted, found[:2] + 0.5)
        assert result.quality == pytest.approx([1 - 5 / 40 / 0.4, 1 - 8 / 40 / 0.4])
        assert not any("sigmas" in note for note in result.notes)
        assert list(result.numbers["joints"]) == ["palm", "L tip", "R tip"]
    assert keypoints(table, path, Options(threshold=0.21)).numbers["pck"] == 100
    with pytest.raises(UserError, match="normalise: expected box, got torso: hand joints name no torso"):
        keypoints(table, path, Options(normalise="torso"))
    np.save(path, found[:1])
    with pytest.raises(UserError, match="wrong number of people: expected 2 people with 3 joints"):
        keypoints(table, path)


@pytest.mark.parametrize(("change", "words"), [
    (lambda xy: xy[..., ::-1], "y came before x"), (lambda xy: xy[::-1], "the people came in another order"),
    (lambda xy: xy / 2, "photos of half the size"), (lambda xy: np.roll(xy, 2, 1), "the joints came in another order"),
])  # fmt: skip
def test_arrays_that_mean_something_else_are_told(tmp_path: Path, change: Any, words: str) -> None:
    rng, names = np.random.default_rng(0), [f"joint {n}" for n in range(8)]
    table = hand(*names)
    body = rng.uniform(0, 200, (8, 2))
    xy = rng.uniform(0, 1500, (12, 1, 2)) + body + rng.normal(0, 12, (12, 8, 2))
    first = table["annotations"][0]
    table["annotations"] = [
        {**first, "id": n + 1, "bbox": [*points.min(0).tolist(), *np.ptp(points, axis=0).tolist()],
         "keypoints": np.concatenate([points, np.full((8, 1), 2)], 1).ravel().tolist()}
        for n, points in enumerate(xy)
    ]  # fmt: skip
    np.save(tmp_path / "found.npy", xy)
    assert len(keypoints(table, tmp_path / "found.npy").notes) == 1
    np.save(tmp_path / "found.npy", change(xy))
    notes = keypoints(table, tmp_path / "found.npy").notes
    assert len(notes) == 2 and notes[1].startswith("found.npy: ") and words in notes[1]


def test_torso_and_head_as_units(tmp_path: Path) -> None:
    """A torso of 50 pixels, a head of 10; everything is predicted 4 pixels off."""
    joints = np.zeros((14, 3))
    joints[:, :2], joints[:, 2] = np.random.default_rng(0).uniform(10, 90, (14, 2)), 2
    joints[7, :2] = joints[0, :2] + [30, 40]  # right hip and left shoulder
    joints[12, :2] = joints[13, :2] + [0, 10]  # head and neck
    person = {
        "id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 99, 99], "area": 5000, "iscrowd": 0,
        "keypoints": joints.ravel().tolist(), "num_keypoints": 14,
    }  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(CROWDPOSE.joints)}
    table = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [person], "categories": [category]}
    np.save(tmp_path / "p.npy", joints[None, :, :2] + [4, 0])
    for unit, size, usual in (("torso", 50, 0.2), ("head", 10, 0.5)):
        result = keypoints(table, tmp_path / "p.npy", Options(normalise=unit))
        assert result.numbers["protocol"] == f"PCK@{usual} of the {unit}"
        assert result.numbers["pck"] == 100
        assert result.quality == pytest.approx([1 - 4 / size / (2 * usual)])
        for share, right in ((3.9, 0), (4.1, 100)):
            options = Options(normalise=unit, threshold=share / size)
            assert keypoints(table, tmp_path / "p.npy", options).numbers["pck"] == right


def test_the_interval_is_of_the_mean_it_stands_by() -> None:
    rng = np.random.default_rng(0)
    distance, counted = rng.random((60, 4)) * 0.4, rng.random((60, 4)) < [0.1, 0.9, 0.9, 0.9]
    mean = pck.plain_mean(distance, counted, 0.2)
    low, high = pck.interval(distance, counted, 0.2, plain=True, draws=300)
    assert low < mean < high
    assert high - low > np.subtract(*pck.interval(distance, counted, 0.2, draws=300)[::-1])  # few have the first joint
