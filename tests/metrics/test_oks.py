"""OKS against pycocotools, to the last digit, and against the recorded pairs."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from asda_fast.core.errors import UserError
from asda_fast.metrics import oks
from asda_fast.metrics.coco import coco
from asda_fast.metrics.result import Options


def made_up(images: int, seed: int, boxes: bool = False) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """People of all sizes, crowds, people without joints, near and far and double predictions, equal scores."""
    rng = np.random.default_rng(seed)
    annotations, results = [], []
    for image in range(images):
        for _ in range(rng.integers(0, 4)):
            x, y, w, h = rng.uniform([0, 0, 8, 8], [300, 300, 250, 300])
            v = rng.choice([0, 1, 2], 17, p=[0.3, 0.2, 0.5]) * (rng.random() > 0.15)
            points = np.stack([x + w * rng.random(17), y + h * rng.random(17), v], -1)
            points[v == 0] = 0
            annotations.append(
                {
                    "id": 100 + len(annotations), "image_id": image * 7, "category_id": 1, "bbox": [x, y, w, h],
                    "area": 0.6 * w * h, "iscrowd": int(rng.random() < 0.1), "keypoints": points.ravel().tolist(),
                    "num_keypoints": int((v > 0).sum()),
                }
            )  # fmt: skip
            for _ in range(rng.integers(0, 4)):
                noise = rng.choice([0.01, 0.05, 0.3]) * w
                found = np.stack([x + w * rng.random(17), y + h * rng.random(17), rng.random(17)], -1)
                found[v > 0, :2] = points[v > 0, :2] + rng.normal(0, noise, (int((v > 0).sum()), 2))
                record = {"image_id": image * 7, "category_id": 1, "keypoints": found.ravel().tolist()}
                record["score"] = round(float(rng.random()), 1)
                if boxes:
                    record["bbox"] = [x, y, w * 1.1, h * 0.9]
                results.append(record)
        if rng.random() < 0.1:  # more than twenty in one image
            results += [{**r, "score": float(rng.random())} for r in results[-1:] * 25]
    table = {
        "images": [{"id": 7 * i, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in range(images)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    return table, [r for r in results if r["image_id"] < 7 * images]


def reference(table: dict[str, Any], results: list[dict[str, Any]]) -> np.ndarray:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(table)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.array(evaluation.stats)


def score(tmp_path: Path, table: dict[str, Any], results: Any, **options: Any) -> dict[str, Any]:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(table))
    return coco(path, results, Options(**options)).numbers


@pytest.mark.parametrize("seed", range(6))
def test_made_up_people_score_as_in_pycocotools(tmp_path: Path, seed: int) -> None:
    table, results = made_up(30, seed, boxes=seed % 2 == 1)
    found = score(tmp_path, table, results)
    np.testing.assert_allclose(found["stats"], reference(table, results), rtol=0, atol=1e-12)
    hidden = copy.deepcopy(table)
    for annotation in hidden["annotations"]:
        v = np.array(annotation["keypoints"]).reshape(-1, 3)
        v[v[:, 2] != 1, 2] = 0
        annotation["keypoints"] = v.ravel().tolist()
        annotation["num_keypoints"] = int((v[:, 2] > 0).sum()) if annotation["num_keypoints"] else 0
    np.testing.assert_allclose(found["invisible"]["stats"], reference(hidden, results), rtol=0, atol=1e-12)


def test_an_annotation_of_id_zero_is_never_matched(tmp_path: Path) -> None:
    """pycocotools writes 0 for "not matched", and so for "matched with annotation 0": published scores have it so."""
    table, results = made_up(12, 1, boxes=True)
    plain, changed = score(tmp_path, table, results)["stats"], 0
    for zero in range(8):
        renumbered = copy.deepcopy(table)
        for annotation in renumbered["annotations"]:
            annotation["id"] -= 100 + zero
        found = score(tmp_path, renumbered, results)["stats"]
        np.testing.assert_allclose(found, reference(renumbered, results), rtol=0, atol=1e-12)
        changed += found != plain
    assert changed > 2


def test_real_annotations_score_as_in_pycocotools(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "coco_ann_only" / "person_keypoints_val2017_538img.json"
    table = json.loads(path.read_text())
    rng = np.random.default_rng(0)
    results = []
    for annotation in table["annotations"]:
        points = np.array(annotation["keypoints"], float).reshape(-1, 3)
        points[:, :2] += rng.normal(0, 0.04 * np.sqrt(annotation["area"]), (17, 2))
        results.append(
            {
                "image_id": annotation["image_id"], "category_id": 1, "keypoints": points.ravel().tolist(),
                "score": float(rng.random()),
            }
        )  # fmt: skip
    found = coco(path, results).numbers
    expected = reference(table, results)
    assert 0.2 < expected[0] < 0.9
    np.testing.assert_allclose(found["stats"], expected, rtol=0, atol=1e-12)


def test_recorded_pairs(shared_data: Path) -> None:
    folder = shared_data / "coco_eval"
    ten, nine = json.loads((folder / "reference.json").read_text()).values()
    found = coco(folder / "fce_keypoints_gt_dataset.json", folder / "fce_keypoints_dt_dataset.json").numbers
    np.testing.assert_allclose(found["stats"], ten, rtol=0, atol=1e-12)
    assert [found[n] for n in oks.STATS] == found["stats"]
    found = coco(folder / "example_crowdpose_val.json", folder / "example_crowdpose_preds.json").numbers
    np.testing.assert_allclose(found["stats"], list(nine.values()), rtol=0, atol=1e-12)
    assert found["AP"] == pytest.approx(0.7877, abs=1e-4)


def test_nobody_predicted_and_nobody_to_find(tmp_path: Path) -> None:
    table, results = made_up(5, 0)
    empty = score(tmp_path, table, [])
    assert empty["AP"] == 0
    assert empty["AR"] == 0
    for annotation in table["annotations"]:
        annotation["num_keypoints"] = 0
        annotation["keypoints"] = [0] * 51
    assert score(tmp_path, table, results)["AP"] == -1


def test_interval(tmp_path: Path) -> None:
    table, results = made_up(60, 1)
    found = score(tmp_path, table, results, bootstrap=50)
    low, high = found["interval"]
    assert low < found["AP"] < high
    whole = oks.Matches(np.array([0, 0]), np.ones((1, 10, 2), bool), np.zeros((1, 10, 2), bool), np.array([[2]]))
    twice, _ = oks.precision_recall(whole, np.array([2]))
    assert (twice == 1).all()


def test_crowd_index_decides_where_an_image_counts() -> None:
    """CrowdPose: easy below .2, medium below .8; four images with one person each, of which the second and the last
    are found."""
    image, right = np.arange(4), np.tile([False, True, False, True], (1, 10, 1))
    matches = oks.Matches(image, right, ~right, np.ones((1, 4), np.int64))
    found = oks.crowd_summary(matches, np.array([0.1, 0.2, 0.7, 0.8]))
    assert (found["AP_easy"], found["AP_hard"]) == (0, 1)
    assert found["AP_medium"] == pytest.approx(51 / 101, abs=5e-5)  # one of two, found first: recall up to .5


def test_interval_s_ends_are_the_percentiles_asked_for() -> None:
    """The AP of one person an image, wrong ones last, is the share of images found: a binomial's percentiles."""
    right = np.arange(400)[None, None].repeat(10, 1) < 200
    matches = oks.Matches(np.arange(400), right, ~right, np.ones((1, 400), np.int64))
    for level, times in ((0.95, 1.96), (0.5, 0.674)):
        low, high = oks.interval([matches], draws=2000, level=level)
        assert [low, high] == pytest.approx([0.5 - times * 0.025, 0.5 + times * 0.025], abs=0.008)


def similarity(a: np.ndarray, b: np.ndarray, area: float, above: float | None) -> float:
    both = np.ones(17, bool) if above is None else (a[:, 2] > above) & (b[:, 2] > above)
    e = ((a[:, :2] - b[:, :2]) ** 2).sum(-1) / (2 * oks.COCO_SIGMAS) ** 2 / (area + np.spacing(1)) / 2
    return float(np.exp(-e[both]).mean()) if both.any() else 0.0


@pytest.mark.parametrize("above", [None, 0.3])
def test_nms_equals_the_loop(above: float | None) -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0, 100, (6, 17, 2))
    points = np.concatenate([base[rng.integers(0, 6, 40)] + rng.normal(0, 2, (40, 17, 2)), rng.random((40, 17, 1))], -1)
    scores, areas = rng.random(40), rng.uniform(2000, 9000, 40)
    order, kept = list(np.argsort(-scores)), []
    while order:
        best = order.pop(0)
        kept.append(best)
        order = [o for o in order if similarity(points[best], points[o], (areas[best] + areas[o]) / 2, above) <= 0.7]
    found = oks.nms(points, scores, areas, threshold=0.7, visible_above=above)
    assert found.tolist() == kept
    assert 1 < len(kept) < 40


def test_people_who_show_no_joint_in_common_are_two() -> None:
    points = np.zeros((2, 17, 3))
    points[0, :8, 2] = points[1, 8:, 2] = 1
    assert oks.nms(points, np.array([0.5, 0.6]), np.full(2, 100.0), visible_above=0.3).tolist() == [1, 0]
    assert oks.nms(points, np.array([0.5, 0.6]), np.full(2, 100.0)).tolist() == [1]


def test_rescoring_by_hand() -> None:
    keypoints = np.array([[0.1, 0.3, 0.5], [0.1, 0.2, 0.0], [0.9, 0.9, 0.9]])
    assert oks.rescore(np.array([0.5, 1.0, 1.0]), keypoints) == pytest.approx([0.2, 0.0, 0.9])


def test_joint_similarity_by_hand() -> None:
    person = np.zeros((1, 17, 3))
    person[0, :2, 2] = 2
    predicted = np.zeros((1, 17, 3))
    predicted[0, 1, 0] = 3.0
    box, no = np.array([[0, 0, 10, 10.0]]), np.zeros(1, bool)
    truth = oks.GroundTruth(np.zeros(1, int), person, box, np.array([100.0]), no, no, 1)
    found = oks.Predictions(np.zeros(1, int), predicted, np.ones(1), np.ones(1))
    similar = oks.joint_similarity(truth, found, oks.COCO_SIGMAS)
    twice = oks.GroundTruth(
        np.array([0, 1, 2]), person.repeat(3, 0), box.repeat(3, 0), np.full(3, 100.0), *[no.repeat(3)] * 2, 3
    )
    there = oks.Predictions(np.array([1, 0]), np.concatenate([predicted, person]), np.ones(2), np.ones(2))
    each = oks.joint_similarity(twice, there, oks.COCO_SIGMAS)
    assert each[:2] == pytest.approx([2 / 3, (1 + similar[1]) / 3])  # exact in photo 0, as above in 1, nobody in 2
    assert similar[0] == 1
    assert similar[1] == pytest.approx(np.exp(-9 / (2 * 100 * (2 * 0.025) ** 2)))
    assert np.isnan(similar[2:]).all()


def one_person() -> tuple[oks.GroundTruth, oks.Predictions]:
    """Found exactly."""
    keypoints, zero = np.full((1, 17, 3), 2.0), np.zeros(1, int)
    box, no = np.array([[0, 0, 10, 10.0]]), np.zeros(1, bool)
    truth = oks.GroundTruth(zero, keypoints, box, np.array([100.0]), no, no, 1)
    return truth, oks.Predictions(zero, keypoints, np.ones(1), np.array([100.0]))


def test_a_joint_that_is_predicted_nowhere_is_far() -> None:
    """pycocotools' comparison lets a person of NaN pass at every threshold."""
    truth, found = one_person()
    assert oks.summary(oks.match(truth, found, oks.COCO_SIGMAS))["AP"] == pytest.approx(1)
    lost = dataclasses.replace(found, keypoints=np.full((1, 17, 3), np.nan))
    assert oks.summary(oks.match(truth, lost, oks.COCO_SIGMAS))["AP"] == 0
    assert not oks.joint_similarity(truth, lost, oks.COCO_SIGMAS).any()
    half = dataclasses.replace(found, keypoints=found.keypoints.copy())
    half.keypoints[0, :9] = np.nan  # 8 of 17 are right: less than .5
    assert oks.summary(oks.match(truth, half, oks.COCO_SIGMAS))["AP"] == 0
    half.keypoints[0, :7] = 2.0  # 15 of 17 are: .88, which passes .5 to .85
    assert oks.summary(oks.match(truth, half, oks.COCO_SIGMAS))["AP"] == pytest.approx(0.8)


@pytest.mark.parametrize("judge", [oks.match, oks.best_of_image])
def test_tables_that_do_not_agree_are_named(judge: Any) -> None:
    """The compiled loops would read past the end."""
    truth, found = one_person()
    for image in (-1, 1, 10**9):
        with pytest.raises(ValueError, match=rf"^truth.image: expected 0..0, got {image}..{image}"):
            judge(dataclasses.replace(truth, image=np.array([image])), found, oks.COCO_SIGMAS)
        with pytest.raises(ValueError, match=rf"^found.image: expected 0..0, got {image}..{image}"):
            judge(truth, dataclasses.replace(found, image=np.array([image])), oks.COCO_SIGMAS)
    with pytest.raises(ValueError, match=r"^truth.area: expected 1 rows, as truth.keypoints has, got 2"):
        judge(dataclasses.replace(truth, area=np.ones(2)), found, oks.COCO_SIGMAS)


def test_results_of_a_loop_s_own_arrays(tmp_path: Path) -> None:
    table, results = made_up(5, 0, boxes=True)
    arrays = [
        {"image_id": np.int64(r["image_id"]), "category_id": np.int32(1), "score": np.float64(r["score"])}
        | {"keypoints": np.array(r["keypoints"]), "bbox": tuple(r["bbox"])}
        for r in results
    ]
    assert score(tmp_path, table, arrays)["stats"] == score(tmp_path, table, results)["stats"]


def test_options_that_mean_nothing_are_named() -> None:
    for wrong, name in (({"bootstrap": -1}, "bootstrap"), ({"threshold": float("nan")}, "threshold")):
        with pytest.raises(UserError, match=f"^{name}: expected "):
            Options(**wrong)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda r: r.pop("score"), "predictions: record 1: no key 'score'"),
        (lambda r: r.update(image_id=5), "predictions: record 1: image_id 5 is not in the annotations"),
        (lambda r: r.update(keypoints=[0] * 42), "record 1: wrong number of joints: expected 17 x .* got 42 numbers"),
        (lambda r: r.update(score="high"), "predictions: record 1: score: expected 1 finite number, got 'high'"),
        (lambda r: r.update(score=float("nan")), "predictions: record 1: score: expected 1 finite number, got nan"),
        (lambda r: r["keypoints"].__setitem__(0, None), "predictions: record 1: keypoints: expected 51 finite numbers"),
        (lambda r: r.update(image_id="0"), "predictions: record 1: image_id '0' is not in the annotations"),
    ],
)
def test_wrong_results_are_one_line(tmp_path: Path, change: Any, line: str) -> None:
    table, results = made_up(5, 0)
    change(results[1])
    with pytest.raises(UserError, match=line):
        score(tmp_path, table, results)


def test_wrong_files_are_one_line(tmp_path: Path) -> None:
    table, results = made_up(5, 0)
    with pytest.raises(UserError, match="expected a list of COCO keypoint results, got dict"):
        score(tmp_path, table, {"a": 1})
    with pytest.raises(UserError, match="expected a COCO annotation file with a list 'annotations'"):
        score(tmp_path, {"images": []}, results)
    with pytest.raises(UserError, match=r"b\.json: no such file"):
        coco(tmp_path / "b.json", results)
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(UserError, match=r"b\.json: not JSON"):
        coco(tmp_path / "b.json", results)
    for annotation in table["annotations"]:
        annotation["keypoints"] = [0] * 9
    with pytest.raises(UserError, match=r"expected 17 joints \(COCO\) or 14 \(CrowdPose\), got 3"):
        score(tmp_path, table, results)


def test_wrapped_and_one_based_results(tmp_path: Path) -> None:
    table, results = made_up(8, 3)
    plain = score(tmp_path, table, results)["AP"]
    shifted = copy.deepcopy(results)
    for record in shifted:
        record["keypoints"] = [v + (i % 3 < 2) for i, v in enumerate(record["keypoints"])]
    assert score(tmp_path, table, {"annotations": shifted}, one_based=True)["AP"] == pytest.approx(plain)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda t: t["annotations"][1].update(area=None), "annotation 101: area: expected 1 finite number, got None"),
        (lambda t: t["annotations"][1]["keypoints"].__setitem__(0, None), "annotation 101: keypoints: expected 51"),
        (
            lambda t: t["annotations"][1].update(bbox=[1, 2]),
            r"annotation 101: bbox: expected 4 finite .* \[1, 2",
        ),
        (lambda t: t["annotations"][1].update(num_keypoints=None), "annotation 101: num_keypoints: expected 1 finite"),
        (
            lambda t: t["annotations"].__setitem__(1, 5),
            r"annotations\[1\]: expected an object with .* 'image_id'",
        ),
        (lambda t: t["images"].__setitem__(1, {}), r"images\[1\]: expected an object with a number as 'id'"),
    ],
)
def test_wrong_annotations_are_one_line(tmp_path: Path, change: Any, line: str) -> None:
    table, results = made_up(5, 0)
    change(table)
    with pytest.raises(UserError, match=line) as caught:
        score(tmp_path, table, results)
    assert "\n" not in str(caught.value)


def test_joints_and_sigmas_must_agree() -> None:
    """The compiled loops would read past the end."""
    with pytest.raises(ValueError, match=r"^keypoints: expected \[N, 17, 3\], got \(2, 133, 3\)"):
        oks.nms(np.zeros((2, 133, 3)), np.ones(2), np.ones(2))
