"""What is scored is what was read: other ids, categories, orders and folders give the score of the plain file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asda_fast import models
from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import COCO
from asda_fast.data import demo_root, load
from asda_fast.data.coco_terms import check_photos, read_terms
from asda_fast.data.custom import Files
from asda_fast.data.detections import from_detections, photo_folder
from asda_fast.evaluate import network
from asda_fast.evaluate.coco_results import results
from asda_fast.evaluate.inference import Predictions
from asda_fast.evaluate.options import NetworkOptions, TruthOptions
from asda_fast.metrics.coco import coco

ORDER = np.random.default_rng(0).permutation(17)


def words(table: Any) -> None:
    for record, key in [(i, "id") for i in table["images"]] + [(a, "image_id") for a in table["annotations"]]:
        record[key] = f"im{record[key]}"


def category(table: Any) -> None:
    table["categories"] = [{**table["categories"][0], "id": n, "name": name} for n, name in ((1, "dog"), (2, "person"))]
    table["annotations"] += [{**a, "id": a["id"] + 10_000} for a in table["annotations"][:20]]  # the dogs, category 1
    for annotation in table["annotations"][:-20]:
        annotation["category_id"] = 2


def order(table: Any) -> None:
    table["categories"][0]["keypoints"] = [COCO.joints[j] for j in ORDER]
    for annotation in table["annotations"]:
        annotation["keypoints"] = np.array(annotation["keypoints"]).reshape(17, 3)[ORDER].ravel().tolist()


def folders(table: Any) -> None:
    for number, image in enumerate(table["images"]):
        image["file_name"] = f"camera{number % 2}/{image['file_name']}"


def no_ids(table: Any) -> None:
    for annotation in table["annotations"]:
        del annotation["id"]


def plain(table: Any) -> None:
    pass


def root_of(folder: Path, change: Callable[[Any], None]) -> Path:
    table = json.loads((demo_root() / "annotations" / "person_keypoints_val.json").read_text())
    change(table)
    (folder / "annotations").mkdir(parents=True)
    (folder / "annotations" / "person_keypoints_val.json").write_text(json.dumps(table))
    for image in table["images"]:
        path = folder / "val" / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def noisy(root: Path) -> tuple[Any, Any]:
    """The people of a root, and predictions of them some pixels off, the same for every root."""
    people = load("demo", root, "val")
    off = np.random.default_rng(0).normal(0, 3, people.joints.shape)
    return people, Predictions(people.joints + off, np.full(people.visible.shape, 0.9, np.float32))


@pytest.mark.parametrize("change", [plain, words, category, order, folders, no_ids])
def test_every_form_of_a_file_scores_alike(tmp_path: Path, change: Callable[[Any], None]) -> None:
    want = coco(*_scored(demo_root()))
    people, found = noisy(root_of(tmp_path, change))
    path = tmp_path / "annotations" / "person_keypoints_val.json"
    terms = read_terms(path, people.skeleton)
    records = results(found, people, None, people.box[:, 2] * people.box[:, 3], nms=False, terms=terms)
    got = coco(path, records)
    assert 0 < want.numbers["AP"] < 1
    assert got.numbers["stats"] == want.numbers["stats"]
    assert terms.people.keys() == set(people.id.tolist())
    if change is not words:
        assert _official(path, records) == pytest.approx(want.numbers["stats"], abs=1e-6)


def _scored(root: Path) -> tuple[Any, Any]:
    people, found = noisy(root)
    records = results(found, people, None, people.box[:, 2] * people.box[:, 3], nms=False)
    return json.loads((root / "annotations" / "person_keypoints_val.json").read_text()), records


def _official(path: Path, records: list[dict[str, Any]]) -> list[float]:
    from pycocotools.coco import COCO as Api
    from pycocotools.cocoeval import COCOeval

    table = json.loads(path.read_text())
    for number, annotation in enumerate(table["annotations"]):
        annotation.setdefault("id", number + 1)
    api = Api()
    api.dataset = table
    with redirect_stdout(io.StringIO()):
        api.createIndex()
        judge = COCOeval(api, api.loadRes(records), "keypoints")
        judge.params.catIds = [records[0]["category_id"]]
        names = next(c for c in table["categories"] if c["name"] == "person")["keypoints"]
        judge.params.kpt_oks_sigmas = np.array(COCO.sigmas)[[COCO.joints.index(name) for name in names]]  # in its order
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return [float(value) for value in judge.stats]


def test_categories_that_share_their_joints_keep_their_own(tmp_path: Path) -> None:
    def two(table: Any) -> None:
        table["categories"] = [
            {**table["categories"][0], "id": n, "name": name} for n, name in ((3, "man"), (5, "woman"))
        ]
        for number, annotation in enumerate(table["annotations"]):
            annotation["category_id"] = 5 if number % 3 else 3

    people, found = noisy(root_of(tmp_path, two))
    path = tmp_path / "annotations" / "person_keypoints_val.json"
    records = results(found, people, None, people.box[:, 2], nms=False, terms=read_terms(path, COCO))
    by_image = {a["id"]: a["category_id"] for a in json.loads(path.read_text())["annotations"]}
    assert [r["category_id"] for r in records] == [
        by_image[i] for i in people.id[np.argsort(people.image_id, kind="stable")].tolist()
    ]
    (tmp_path / "d.json").write_text(json.dumps([{**records[0], "bbox": [1, 2, 3, 4]}]))
    with pytest.raises(UserError, match="expected one category"):
        from_detections(tmp_path / "d.json", people, path)


def test_joints_of_another_skeleton_are_not_scored(tmp_path: Path) -> None:
    def dogs(table: Any) -> None:
        table["categories"][0]["keypoints"][3] = "tail"

    root_of(tmp_path, dogs)
    with pytest.raises(UserError, match="its joint 'tail' is none of COCO's"):
        read_terms(tmp_path / "annotations" / "person_keypoints_val.json", COCO)


@pytest.mark.parametrize("change", [plain, words, category, folders])
def test_detections_of_every_form(tmp_path: Path, change: Callable[[Any], None]) -> None:
    root = root_of(tmp_path, change)
    annotations = root / "annotations" / "person_keypoints_val.json"
    table = json.loads(annotations.read_text())
    number = 2 if change is category else 1
    records = [
        {"image_id": a["image_id"], "category_id": number, "bbox": a["bbox"], "score": 0.9}
        for a in table["annotations"]
        if a["category_id"] == number
    ]
    records.append({**records[0], "category_id": 77})
    (tmp_path / "found.json").write_text(json.dumps(records))
    people = load("demo", root, "val")
    boxes, score = from_detections(tmp_path / "found.json", people, annotations)
    assert len(boxes) == len(score) == len(records) - 1
    assert boxes.notes == ("found.json: left out: 1 of category 77",)
    assert all(Path(name).is_file() for name in boxes.files)
    assert [boxes.files[f] for f in boxes.file] == [people.files[f] for f in people.file]
    assert boxes.image_id.tolist() == people.image_id.tolist()
    assert photo_folder(people, [i["file_name"] for i in table["images"]]) == root / "val"


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (3, r"record 1: expected an object"),
        ({"image_id": "x", "bbox": [1, 2, 3, 4], "score": 1}, "record 1: image_id 'x' is not in"),
        ({"image_id": [], "bbox": [1, 2, 3, 4], "score": 1}, r"record 1: image_id \[\] is not in"),
        ({"image_id": 1, "bbox": [1, 2, 3], "score": 1}, "record 1: bbox, score"),
        ({"image_id": 1, "bbox": [1, 2, float("nan"), 3], "score": 1}, "record 1: bbox, score"),
        ({"image_id": 1, "bbox": None, "score": 1}, "record 1: expected image_id, bbox and score"),
        ({"image_id": 1, "bbox": [1, 2, 3, 10**400], "score": 1}, "record 1: expected image_id, bbox and score"),
    ],
)
def test_broken_detections_name_file_and_record(tmp_path: Path, record: Any, words: str) -> None:
    people, annotations = load("demo", split="val"), demo_root() / "annotations" / "person_keypoints_val.json"
    good = {"image_id": int(people.image_id[0]), "bbox": [1, 2, 30, 40], "score": 1}
    (tmp_path / "d.json").write_text(json.dumps([good, record]))
    with pytest.raises(UserError, match=words) as caught:
        from_detections(tmp_path / "d.json", people, annotations)
    assert str(tmp_path / "d.json") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]], "corners x1, y1, x2, y2"),
        (lambda b: [v / 256 for v in b], "shares of the photo's size, 0..1"),
        (lambda b: [v / 2.56 for v in b], "would if they were per cent of the photo's size"),
        (lambda b: [b[0] + b[2] / 2, b[1] + b[3] / 2, *b[2:]], "would if they were centre x, centre y, width, height"),
        (lambda b: [b[0] + 5000, *b[1:]], "all lie outside theirs"),
    ],
)
def test_detections_in_another_unit_are_refused(tmp_path: Path, change: Callable[[Any], Any], words: str) -> None:
    people, annotations = load("demo", split="val"), demo_root() / "annotations" / "person_keypoints_val.json"
    records = [
        {"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 1}
        for a in json.loads(annotations.read_text())["annotations"]
        if a["category_id"] == 1
    ]
    path = tmp_path / "d.json"
    path.write_text(json.dumps(records))
    assert len(from_detections(path, people, annotations)[0]) == len(records)
    path.write_text(json.dumps([{**record, "bbox": change(record["bbox"])} for record in records]))
    with pytest.raises(UserError, match=words) as caught:
        from_detections(path, people, annotations)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: {"id": image["id"] + 1_000_000}, "annotations of other photos: no image has id"),
        (
            lambda image: {"file_name": f"other_{image['file_name']}"},
            "annotations of other photos: image .* is 'other_",
        ),
    ],
)
def test_annotations_of_other_photos_are_refused(tmp_path: Path, change: Callable[[Any], Any], words: str) -> None:
    people = load("demo", split="val")
    table = json.loads((demo_root() / "annotations" / "person_keypoints_val.json").read_text())
    path = tmp_path / "other.json"
    path.write_text(json.dumps(table))
    check_photos(path, read_terms(path, COCO), people)
    table["images"] = [{**image, **change(image)} for image in table["images"]]
    path.write_text(json.dumps(table))
    with pytest.raises(UserError, match=words) as caught:
        check_photos(path, read_terms(path, COCO), people)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("limit", [1, 7, None])
def test_of_a_limit_only_who_was_looked_at_is_scored(
    limit: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = models.save(tmp_path / "net.safetensors", models.build("hrnet_tiny"), {"model": "hrnet_tiny", "joints": 17})
    people = load("demo", split="val")

    def perfect(model: object, loaders: object, count: int, *args: object, **options: object) -> Predictions:
        return Predictions(people.joints[:count].copy(), np.ones((count, 17), np.float32))

    monkeypatch.setattr(network, "predict", perfect)
    options = NetworkOptions(
        checkpoint=str(path), input=None if limit == 1 else (64, 64), limit=limit, device="cpu", threads=1
    )
    result = network.score_network(TruthOptions("demo"), options)
    assert result.numbers["AP"] == pytest.approx(1)
    assert any("does not say its input" in note for note in result.notes) == (limit == 1)
    left = [f"limit: {len(people) - (limit or 0)} annotated people were not looked at and are not scored"]
    assert [note for note in result.notes if "looked at" in note] == (left if limit else [])


def two_kinds(folder: Path, table: Any) -> Files:
    bird = {"id": 2, "name": "bird", "keypoints": ["beak", "tail"]}
    table["categories"] = [bird, {**table["categories"][0], "name": "ape"}]
    table["annotations"].append({**table["annotations"][0], "id": 9_999, "category_id": 2, "keypoints": [9, 9, 2] * 2})
    return _custom(folder, table, category="ape")


def without_boxes(folder: Path, table: Any) -> Files:
    for annotation in table["annotations"]:
        del annotation["bbox"]
    return _custom(folder, table)


def yolo(folder: Path, table: Any) -> Files:
    """The people as lines of shares, a file beside each photo."""
    for image in table["images"]:
        photo, size = folder / "images" / image["file_name"], np.array([image["width"], image["height"]], np.float64)
        photo.parent.mkdir(exist_ok=True)
        photo.write_bytes((demo_root() / "val" / image["file_name"]).read_bytes())
        (folder / "labels").mkdir(exist_ok=True)
        with (folder / "labels" / f"{photo.stem}.txt").open("w") as file:
            for annotation in (a for a in table["annotations"] if a["image_id"] == image["id"]):
                x, y, width, height = annotation["bbox"]
                box = np.array([x + width / 2, y + height / 2, width, height]) / np.tile(size, 2)
                joints = np.array(annotation["keypoints"], np.float64).reshape(17, 3) / [*size, 1]
                print(0, *box.tolist(), *(f"{v:.9f}" for v in joints.ravel()), file=file)
    data = {"path": str(folder), "val": "images", "kpt_shape": [17, 3], "kpt_names": {0: list(COCO.joints)}}
    (folder / "data.yaml").write_text(json.dumps({**data, "flip_idx": list(COCO.swap), "names": ["person"]}))
    return Files(val_annotations=str(folder / "data.yaml"))


def _custom(folder: Path, table: Any, **options: Any) -> Files:
    (folder / "a.json").write_text(json.dumps(table))
    return Files(val_annotations=str(folder / "a.json"), images=(str(demo_root() / "val"),), **options)


@pytest.mark.parametrize("form", [two_kinds, without_boxes, yolo])
def test_files_of_one_s_own_have_oks(
    form: Callable[[Path, Any], Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = models.save(tmp_path / "net.safetensors", models.build("hrnet_tiny"), {"model": "hrnet_tiny", "joints": 17})
    table = json.loads((demo_root() / "annotations" / "person_keypoints_val.json").read_text())
    for annotation in table["annotations"]:
        annotation.pop("area", None)  # 0.53 of the box for everybody
    files = form(tmp_path, table)
    people = files.people("val")
    found = Predictions(people.joints + np.float32(2), np.full(people.visible.shape, 0.9, np.float32))
    monkeypatch.setattr(network, "predict", lambda *_, **__: found)
    options = NetworkOptions(str(path), input=(64, 64), device="cpu", threads=1)
    scores = [
        network.score_network(TruthOptions(sigmas=sigmas), options, files).numbers for sigmas in ((), (0.01,), (0.5,))
    ]
    assert [s["sigmas"][0] for s in scores] == pytest.approx([0.026, 0.01, 0.5])
    assert scores[1]["AP"] < scores[0]["AP"] < 1
    assert scores[0]["AP50"] == pytest.approx(1)
    assert scores[2]["AR50"] < 0.9  # OKS-NMS goes by them as well: neighbours are taken for one
