"""Odd files score as in pycocotools, or are refused in one line."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import AP10K, COCO, CROWDPOSE
from asda_fast.metrics import oks
from asda_fast.metrics.coco import check, coco
from asda_fast.metrics.result import Options, Result
from tools.odd_coco import compare, make, pycocotools


def test_odd_files_score_as_in_pycocotools() -> None:
    """`python -m tools.odd_coco --count 1000` compares more."""
    seen: set[str] = set()
    scored = 0
    for seed in range(60):
        said, odd = compare(seed)
        assert said == "", f"seed {seed}: {said}, {sorted(odd)}"
        seen |= odd
        scored += odd != {"refused"}
    assert scored > 54
    assert len(seen) > 25


def person(number: int, image: Any, **changes: Any) -> dict[str, Any]:
    points = np.stack([np.arange(17.0) * 5, np.arange(17.0) * 5 + number, np.full(17, 2)], -1)
    record = {
        "id": number, "image_id": image, "category_id": 1, "bbox": [0, 0, 90, 90], "area": 4000.0, "iscrowd": 0,
        "keypoints": points.ravel().tolist(), "num_keypoints": 17,
    }  # fmt: skip
    return {**record, **changes}


def found(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {k: record[k] for k in ("image_id", "category_id", "keypoints")} | {"score": 0.5} | changes


def table(*people: dict[str, Any], **category: Any) -> dict[str, Any]:
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in dict.fromkeys(p["image_id"] for p in people)]
    return {"images": images, "annotations": list(people), "categories": [{"id": 1, "name": "person", **category}]}


def test_of_one_id_the_last_counts_and_it_is_said() -> None:
    people = [person(7, 0), person(7, 1), person(8, 1)]
    result = coco(table(*people), [found(people[0]), found(people[1])])
    assert result.numbers["stats"] == pytest.approx(pycocotools(odd(people), [found(p) for p in people[:2]], [1]))
    assert "2 annotations share 1 ids (e.g. 7): of each the last counts" in " ".join(result.notes)


def odd(people: list[dict[str, Any]]) -> dict[str, Any]:
    return {**table(*people), "sigmas": list(COCO.sigmas or ())}


def test_without_area_half_the_box_stands_in_and_it_is_said_beforehand() -> None:
    people = [person(1, 0), person(2, 1)]
    del people[1]["area"]
    notes = check(table(*people)).notes
    assert any(note.startswith("1 annotations without area: 0.53 of the box's stands in") for note in notes)
    whole = copy.deepcopy(people)
    whole[1]["area"] = 90 * 90 * oks.CROWD_AREA
    results = [found(p, keypoints=[v + 3 for v in p["keypoints"]]) for p in people]
    assert coco(table(*people), results).numbers["stats"] == coco(table(*whole), results).numbers["stats"]


def test_categories_are_known_by_name() -> None:
    dog, human = person(1, 0, category_id=1), person(2, 0, category_id=2)
    both = table(dog, human)
    both["categories"] = [{"id": 1, "name": "dog"}, {"id": 2, "name": "person"}]
    result = coco(both, [found(human), found(dog)])
    assert result.numbers["AP"] == pytest.approx(1)
    assert "1 annotations of category 'dog' left out" in result.notes
    assert "1 predictions of another category left out" in result.notes
    with pytest.raises(UserError, match="no prediction of category 2, which annotations has; theirs is 1"):
        coco(both, [found(dog)])
    assert coco(both, []).numbers["AP"] == 0


def test_joints_are_known_by_name() -> None:
    people = [person(1, 0)]
    results = [found(people[0], keypoints=[v + 6 for v in people[0]["keypoints"]])]
    shuffled = list(COCO.joints)[::-1]
    for names, sigmas, dataset in (
        (list(AP10K.joints), AP10K.sigmas, "ap10k"),
        (shuffled, COCO.sigmas[::-1], "coco"),
        ([name.title().replace("_", " ") for name in COCO.joints], COCO.sigmas, "coco"),
    ):
        numbers = coco(table(*people, keypoints=names), results).numbers
        expected = pycocotools({**table(*people), "sigmas": list(sigmas or ())}, results, [1])
        assert numbers["stats"] == pytest.approx(expected)
        assert numbers["dataset"] == dataset
    with pytest.raises(UserError, match=r"annotation 1: keypoints: expected 42 finite numbers"):
        coco(table(*people, keypoints=list(CROWDPOSE.joints)), results)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda t: t["images"].append({"id": "one"}), "some images have numbers as 'id', some words"),
        (lambda t: t["annotations"][0].update(id=[7]), r"annotation 0: id: expected a number or a word, got \[7\]"),
        (lambda t: t["annotations"][0].update(image_id=float("nan")), r"annotations\[0\]: expected an object"),
        (lambda t: t["annotations"][0].update(area="big"), "annotation 1: area: expected 1 finite number, got 'big'"),
        (lambda t: t["annotations"][0].update(area=10**400), "annotation 1: area: expected 1 finite number"),
        (
            lambda t: t["annotations"][0].update(iscrowd="no"),
            "annotation 1: iscrowd: expected 1 finite number, got 'no'",
        ),
        (lambda t: t["annotations"][0].pop("bbox"), "annotation 1: bbox: expected 4 finite numbers, got None"),
        (lambda t: t["annotations"][0].update(category_id=5), "no annotation of category 'person'"),
        (lambda t: t["annotations"][0].pop("keypoints"), r"no annotation with keypoints \(1 annotations without"),
    ],
)
def test_what_has_no_answer_is_one_line(tmp_path: Path, change: Any, line: str) -> None:
    content = table(person(1, 0))
    change(content)
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    for call in (check, lambda p: coco(p, [])):
        with pytest.raises(UserError, match=rf"^{path}: .*{line}") as caught:
            call(path)
        assert "\n" not in str(caught.value)


def test_several_categories_have_one_interval() -> None:
    seed = next(s for s in range(300) if len(make(s)[2]) > 1 and len(make(s)[1]) > 9 and make(s)[2][0] != 1)
    content, results, categories, _ = make(seed)
    result = coco(content, results, Options(bootstrap=20))
    low, high = result.numbers["interval"]
    assert low <= high
    assert "2 categories scored apart and averaged, as in pycocotools" in result.notes
    assert result.numbers["AP"] == pytest.approx(pycocotools(content, results, categories)[0])


def test_crowdpose_equals_its_own_scorer() -> None:
    """Recorded from xtcocotools 1.14 (`keypoints_crowd`, no areas); the easy, medium and hard numbers it rounds."""
    recorded = json.loads((Path(__file__).parent / "crowdpose.json").read_text())
    for case in recorded:
        numbers = coco(case["annotations"], case["results"]).numbers
        assert numbers["dataset"] == "crowdpose"
        np.testing.assert_allclose([numbers[n] for n in oks.CROWD_STATS], case["stats"], rtol=0, atol=1e-9)


def test_predictions_in_another_unit_are_refused_or_said() -> None:
    people = [person(7, 0), person(8, 1)]

    def score(scale: float, off: float = 0) -> Result:
        moved = np.array([p["keypoints"] for p in people]).reshape(2, 17, 3) * [scale, scale, 1] + [off, off, 0]
        return coco(table(*people), [found(p, keypoints=k.ravel().tolist()) for p, k in zip(people, moved)])

    assert "AP is 0" not in " ".join(score(1).notes)
    with pytest.raises(UserError, match="keypoints: expected pixels of the photo, but all lie within -1"):
        score(1 / 100)
    for other in (score(1, 5000), score(1 / 8)):
        assert other.numbers["AP"] == 0
        assert "AP is 0: no prediction resembles an annotated person" in " ".join(other.notes)
