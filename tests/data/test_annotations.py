"""Annotation files as people have them: read as what they say they are, or refused in one line; never guessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import AIC, AP10K, COCO, POSETRACK18
from asda_fast.data import People, load
from asda_fast.data.coco import read_file

Table = dict[str, Any]
WIDTH, HEIGHT = 640, 480


def table(people: int = 12, skeleton: Any = COCO) -> Table:
    """People with their joints in their boxes, two to a photo."""
    rng = np.random.default_rng(0)
    count = len(skeleton.joints)
    records = []
    for number in range(people):
        box = [*rng.integers(100, 340, 2).tolist(), *rng.integers(60, 140, 2).tolist()]
        xy = np.array(box[:2]) + rng.uniform(0.1, 0.9, (count, 2)) * box[2:]
        keypoints = np.concatenate([xy.round(1), np.full((count, 1), 2)], 1).ravel().tolist()
        records.append(
            {"id": number + 1, "image_id": number // 2 + 70, "category_id": 1, "iscrowd": 0, "bbox": box,
             "area": box[2] * box[3], "keypoints": keypoints}
        )  # fmt: skip
    images = [
        {"id": n + 70, "file_name": f"{n:03}.jpg", "height": HEIGHT, "width": WIDTH} for n in range((people + 1) // 2)
    ]
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.joints), "skeleton": []}
    return {"images": images, "annotations": records, "categories": [category]}


def write(root: Path, content: Table, photos: str = "images") -> Path:
    """A root of COCO's layout with (empty) photos in `photos`."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "annotations" / "person_keypoints_train2017.json").write_text(json.dumps(content))
    for image in content["images"]:
        path = root / photos / image["file_name"].split("/")[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def refused(root: Path, words: str, name: str = "coco") -> str:
    with pytest.raises(UserError, match=words) as caught:
        load(name, root)
    assert "\n" not in str(caught.value)
    assert str(root) in str(caught.value)
    return str(caught.value)


def same(one: People, two: People) -> bool:
    return all(np.array_equal(getattr(one, n), getattr(two, n)) for n in ("joints", "visible", "box", "file"))


# Whose joints


@pytest.mark.parametrize("skeleton", [AP10K, POSETRACK18])
def test_17_joints_are_not_coco_s_by_their_number(tmp_path: Path, skeleton: Any) -> None:
    message = refused(write(tmp_path, table(skeleton=skeleton)), "has not the 17 joints of COCO")
    strange = next(joint for joint in skeleton.joints if joint not in COCO.joints)
    assert repr(strange) in message
    assert "COCO's left_" in message


def test_joints_in_another_order_or_spelling_are_put_right(tmp_path: Path) -> None:
    want = load("coco", write(tmp_path / "a", table()))
    content = table()
    order = np.random.default_rng(1).permutation(17)
    content["categories"][0]["keypoints"] = [COCO.joints[j] for j in order]
    for annotation in content["annotations"]:
        annotation["keypoints"] = np.array(annotation["keypoints"]).reshape(17, 3)[order].ravel().tolist()
    got = load("coco", write(tmp_path / "b", content))
    assert same(want, got)
    assert "COCO's order by their names" in got.notes[0]
    content = table()
    content["categories"][0]["keypoints"] = [j.replace("left_", "L-").replace("right_", "R-") for j in COCO.joints]
    got = load("coco", write(tmp_path / "c", content))
    assert same(want, got)
    assert got.notes == ()


def test_a_file_that_names_no_joints_says_so(tmp_path: Path) -> None:
    content = table()
    content["categories"][0]["keypoints"] = []
    people = load("coco", write(tmp_path / "a", content))
    assert people.notes == (
        "person_keypoints_train2017.json: category 'person' names no joints: the 17 joints are taken for COCO's",
    )
    content = table(skeleton=AIC)
    content["categories"][0]["keypoints"] = []
    refused(write(tmp_path / "b", content), "names no joints and its people have 14: expected the 17 of COCO")


def test_any_skeleton_as_its_file_says(tmp_path: Path) -> None:
    for skeleton in (AP10K, POSETRACK18, AIC):
        root = write(tmp_path / skeleton.name, table(skeleton=skeleton))
        people = read_file(root / "annotations" / "person_keypoints_train2017.json", [root / "images"], "any")
        assert people.skeleton is skeleton
    content = table(skeleton=AP10K)
    names = ["snout", *(f"Whisker_{side}{n}_{s}" for side in "ab" for n in range(4) for s in "LR")]
    content["categories"][0] |= {"keypoints": names, "skeleton": [[1, 2], [1, 17], [1, 18]], "name": "cat"}
    root = write(tmp_path / "cat", content)
    people = read_file(root / "annotations" / "person_keypoints_train2017.json", [root / "images"], "any")
    assert people.skeleton.name == "cat"
    assert people.skeleton.pairs == tuple((n, n + 1) for n in range(1, 17, 2))
    assert people.skeleton.edges == ((0, 1), (0, 16))


def test_published_files(shared_data: Path) -> None:
    for place, skeleton, count in (
        ("mmpose_ap10k/test_ap10k.json", "ap10k", 2),
        ("mmpose_posetrack18/annotations/test_posetrack18_val.json", "posetrack18", 14),
        ("mmpose_crowdpose/test_crowdpose.json", "crowdpose", 4),
        ("mmpose_aic/test_aic.json", "aic", 9),
        ("mmpose_ochuman/test_ochuman.json", "coco", 5),
        ("mmpose_jhmdb/test_jhmdb_sub1.json", "jhmdb", 3),
        ("mmpose_onehand10k/test_onehand10k.json", "hand21", 4),
    ):
        people = read_file(shared_data / place, [shared_data / place.split("/")[0]], "any")
        assert (people.skeleton.name, len(people)) == (skeleton, count)
        assert all(Path(name).is_file() for name in people.files)


# Which category


def test_a_person_is_known_by_the_name(tmp_path: Path) -> None:
    content = table()
    content["categories"] = [
        {**content["categories"][0], "id": n, "name": name} for n, name in ((1, "dog"), (2, "Person"))
    ]
    for number, annotation in enumerate(content["annotations"]):
        annotation["category_id"] = 1 if number % 3 == 0 else 2
    people = load("coco", write(tmp_path / "a", content))
    assert people.id.tolist() == [2, 3, 5, 6, 8, 9, 11, 12]
    assert people.notes == ("person_keypoints_train2017.json: left out: 4 of category 'dog'",)
    for annotation in content["annotations"]:
        annotation["category_id"] = 1
    refused(
        write(tmp_path / "b", content), r"no annotation of category 'Person' \(id 2, 17 joints\); there are 12 of 'dog'"
    )


def test_categories_that_share_their_joints_are_one_set(tmp_path: Path) -> None:
    content = table()
    content["categories"] = [
        {**content["categories"][0], "id": n, "name": name} for n, name in ((5, "man"), (9, "woman"))
    ]
    for number, annotation in enumerate(content["annotations"]):
        annotation["category_id"] = (5, 9)[number % 2]
    assert len(load("coco", write(tmp_path / "a", content))) == 12
    content["categories"][1]["keypoints"] = list(AP10K.joints)
    message = refused(write(tmp_path / "b", content), "which category")
    assert "'man' (id 5, 17 joints), 'woman' (id 9, 17 joints)" in message


def test_a_file_without_categories_is_taken_for_coco_s(tmp_path: Path) -> None:
    content = table()
    del content["categories"]
    for annotation in content["annotations"][:3]:
        annotation["category_id"] = 18
    people = load("coco", write(tmp_path / "a", content))
    assert len(people) == 9
    assert "left out: 3 of category 18, which has no name" in people.notes[0]
    assert "there are no categories: the 17 joints are taken for COCO's" in people.notes[1]
    for number, annotation in enumerate(content["annotations"]):
        annotation["category_id"] = 3 + number % 2
    refused(write(tmp_path / "b", content), "no 'categories', and annotations of several: 3, 4")


# Ids


@pytest.mark.parametrize("change", [lambda i: f"im{i}", lambda i: 2**70 + i, lambda i: i + 0.5, lambda i: f"{i}"])
def test_image_ids_that_are_no_numbers(tmp_path: Path, change: Callable[[int], Any]) -> None:
    want = load("coco", write(tmp_path / "a", table()))
    content = table()
    for record, key in [(i, "id") for i in content["images"]] + [(a, "image_id") for a in content["annotations"]]:
        record[key] = change(record[key])
    got = load("coco", write(tmp_path / "b", content))
    assert same(want, got)
    assert got.image_id.tolist() == [n // 2 for n in range(12)]
    assert "photos are not all whole numbers" in got.notes[0]


def test_whole_floats_are_numbers_and_double_ids_are_said(tmp_path: Path) -> None:
    content = table()
    for annotation in content["annotations"]:
        annotation["image_id"] = float(annotation["image_id"])
        annotation["id"] = 7 if annotation["id"] < 4 else annotation["id"]
    people = load("coco", write(tmp_path / "a", content))
    assert people.image_id.tolist() == [70 + n // 2 for n in range(12)]
    assert people.notes == ("person_keypoints_train2017.json: 3 annotations have the id of another",)
    for annotation in content["annotations"]:
        annotation["id"] = None
    people = load("coco", write(tmp_path / "b", content))
    assert people.id.tolist() == list(range(1, 13))


@pytest.mark.parametrize("identity", [None, True, [1], {}, float("nan")])
def test_ids_that_are_none_are_one_line(tmp_path: Path, identity: Any) -> None:
    content = table()
    content["images"][2]["id"] = identity
    refused(write(tmp_path / "a", content), r"images\[2\]: id: expected")
    content = table()
    content["annotations"][4]["image_id"] = identity
    refused(write(tmp_path / "b", content), r"annotations\[4\] \(id 5\): image_id")


def test_a_word_that_looks_like_a_number_is_named(tmp_path: Path) -> None:
    content = table()
    content["annotations"][0]["image_id"] = "70"
    refused(write(tmp_path, content), r"image_id '70' is not among the images \(there 70 is a int\)")


def test_two_photos_of_one_id(tmp_path: Path) -> None:
    content = table()
    content["images"].append(dict(content["images"][0]))  # the same record twice, as in some copies of COCO's
    assert len(load("coco", write(tmp_path / "a", content))) == 12
    content["images"][-1]["file_name"] = "other.jpg"
    refused(write(tmp_path / "b", content), r"images\[6\]: id 70 is also images\[0\]'s")


# What is left out, and photos


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    content = table()
    for place, change in (
        (0, {"iscrowd": 1}),
        (1, {"keypoints": [0] * 51}),
        (2, {"bbox": [700, 10, 30, 30]}),
        (3, {"area": 0}),
        (4, {"keypoints": None}),
        (5, {"bbox": [10, 10, 0, 50]}),
        (6, {"bbox": [600, 10, 80, 50]}),  # cut at the edge
    ):
        content["annotations"][place] |= change
    people = load("coco", write(tmp_path / "a", content))
    assert people.id.tolist() == [7, 8, 9, 10, 11, 12]
    assert people.notes == (
        "person_keypoints_train2017.json: left out: 2 with an empty box, or one outside the photo, 1 crowds, "
        "1 of no area, 1 without keypoints, 1 without a labelled joint",
        "person_keypoints_train2017.json: 1 boxes cut at the edge of their photo",
    )
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    refused(
        write(tmp_path / "b", content), r"no person with a labelled joint among 12 annotations \(left out: 12 crowds\)"
    )


def test_without_area_or_declared_size(tmp_path: Path) -> None:
    want, content = load("coco", write(tmp_path / "a", table())), table()
    for annotation in content["annotations"]:
        del annotation["area"]
    assert same(want, load("coco", write(tmp_path / "b", content)))
    for image in content["images"]:
        del image["width"]
    people = load("coco", write(tmp_path / "c", content))
    assert same(want, people)
    assert (people.image_size == 0).all()
    assert "12 people in photos of no declared size" in people.notes[0]


def test_where_photos_lie(tmp_path: Path) -> None:
    content = table()
    for image in content["images"]:
        image["file_name"] = "images/" + image["file_name"]
    people = load("coco", write(tmp_path / "a", content))
    assert Path(people.files[0]) == tmp_path / "a" / "images" / "000.jpg"
    (tmp_path / "a" / "images" / "000.jpg").unlink()  # the first may be missing: the loader will name it
    assert load("coco", tmp_path / "a").files == people.files
    message = refused(write(tmp_path / "b", table(), photos="photos/set1"), "its first photo 000.jpg is in none of")
    assert f"there is {tmp_path / 'b' / 'photos' / 'set1' / '000.jpg'}" in message
    root = write(tmp_path / "c", table(), photos="elsewhere")
    (root / "images").symlink_to("elsewhere")
    assert load("coco", root).files[0] == str(root / "images" / "000.jpg")


# Units


SIZE = np.array([WIDTH, HEIGHT, 1.0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda k, b: (k / SIZE, b), r"keypoints: .* all lie in 0\.\.1"),
        (lambda k, b: (k / SIZE * [100, 100, 1], b), "per cent of the photo's size"),
        (lambda k, b: (k - [*b[:2], 0], b), "pixels from the box's corner"),
        (lambda k, b: ((k - [*b[:2], 0]) / [*b[2:], 1] * [100, 100, 1], b), "nearly all lie outside their boxes"),
        (lambda k, b: (k / [4, 4, 1], b), "nearly all lie outside their boxes"),
        (lambda k, b: (k, b / [WIDTH, HEIGHT, WIDTH, HEIGHT]), r"boxes: expected pixels; all lie in 0\.\.1"),
        (lambda k, b: (k, [b[0], b[1], b[0] + b[2], b[1] + b[3]]), r"corners x1, y1, x2, y2\?"),
    ],
)
def test_values_in_another_unit_are_refused(tmp_path: Path, change: Any, words: str) -> None:
    content = table()
    for annotation in content["annotations"]:
        keypoints, box = np.array(annotation["keypoints"], float).reshape(17, 3), np.array(annotation["bbox"], float)
        keypoints, box = change(keypoints, box)
        annotation |= {"keypoints": keypoints.ravel().tolist(), "bbox": [float(v) for v in box]}
    refused(write(tmp_path, content), words)


def test_a_person_or_two_out_of_place_are_no_reason(tmp_path: Path) -> None:
    content = table()
    for annotation in content["annotations"][:5]:
        annotation["keypoints"] = [3.0, 3.0, 2] * 17
    people = load("coco", write(tmp_path, content))
    assert len(people) == 12
    assert any("5 people most of whose labelled joints lie outside their box" in note for note in people.notes)


@pytest.mark.parametrize(
    ("every", "change", "words"),
    [
        (2, lambda k, b: (k / SIZE, b), "6 of 12 .* if keypoints were shares of the photo's size, 0..1"),
        (2, lambda k, b: (k / SIZE * [100, 100, 1], b), "6 of 12 .* if keypoints were per cent of the photo's size"),
        (1, lambda k, b: (k / [2, 2, 1], b), "if keypoints were of a photo of half the size"),
        (1, lambda k, b: (k, b / 2), "if keypoints were of a photo of twice the size"),
        (1, lambda k, b: (k[:, [1, 0, 2]], b), "if keypoints were y before x"),
        (3, lambda k, b: (k - [*b[:2], 0], b), "4 of 12 .* if keypoints were pixels from the box's corner"),
        (1, lambda k, b: (k, [*(b[:2] + b[2:] / 2), *b[2:]]), "if boxes were centre x, centre y, width, height"),
        (1, lambda k, b: (k / 2, [*b[:2] / 2, *(b[:2] + b[2:]) / 2]), "the joints tell that they are corners"),
    ],
)
def test_values_that_nearly_fit_are_refused(tmp_path: Path, every: int, change: Any, words: str) -> None:
    content = table()
    for annotation in content["annotations"][::every]:
        keypoints, box = np.array(annotation["keypoints"], float).reshape(17, 3), np.array(annotation["bbox"], float)
        keypoints, box = change(keypoints, box)
        annotation |= {"keypoints": keypoints.ravel().tolist(), "bbox": [float(v) for v in box]}
    refused(write(tmp_path, content), words)


def test_joints_of_the_head_alone_do_not_make_corners(tmp_path: Path) -> None:
    """They lie in the upper left of a body's box near the photo's corner, and in that of its numbers as corners."""
    content = table()
    for number, annotation in enumerate(content["annotations"]):
        keypoints = np.zeros((17, 3))
        keypoints[:3] = [(40 + number % 5, 30, 2), (50, 40, 2), (30, 20, 2)]
        annotation |= {"keypoints": keypoints.ravel().tolist(), "bbox": [20, 10, 60, 50]}
    assert len(load("coco", write(tmp_path, content))) == 12


def test_a_box_of_zeros_is_none(tmp_path: Path) -> None:
    content = table()
    for annotation in content["annotations"]:
        annotation["bbox"] = [0, 0, 0, 0]
    people = load("coco", write(tmp_path, content))
    assert len(people) == 12 and any("12 people have no bbox" in note for note in people.notes)
    first = content["annotations"][0]
    first["keypoints"] = [*first["keypoints"][:3], *[0] * 48]  # one joint has no box round it
    people = load("coco", write(tmp_path / "one", content))
    assert len(people) == 11 and any("11 people have no bbox" in note for note in people.notes)
    assert any("left out: 1 with an empty box" in note for note in people.notes)


def test_people_of_any_kind_are_not_taken_for_another_unit(tmp_path: Path) -> None:
    """Few joints, boxes of the whole photo, people at the photo's corner, boxes larger than the joints."""
    for number, change in enumerate(
        (
            lambda k, b: (k * (np.arange(17) < 2)[:, None], b),
            lambda k, b: (k, [0, 0, WIDTH, HEIGHT]),
            lambda k, b: (k - [*b[:2], 0] + [1, 1, 0], [1, 1, *b[2:]]),
            lambda k, b: (k, [b[0] - 60, b[1] - 60, b[2] + 120, b[3] + 120]),
        )
    ):
        content = table()
        for annotation in content["annotations"]:
            keypoints, box = np.array(annotation["keypoints"]).reshape(17, 3), np.array(annotation["bbox"], float)
            keypoints, box = change(keypoints, box)
            annotation |= {"keypoints": keypoints.ravel().tolist(), "bbox": [float(v) for v in box]}
        assert "outside" not in " ".join(load("coco", write(tmp_path / str(number), content)).notes)


# LSP and MPII


def lspet(root: Path, joints: np.ndarray, stored: np.ndarray) -> Path:
    (root / "images").mkdir(parents=True)
    for number in range(joints.shape[2]):
        (root / "images" / f"im{number + 1:05}.jpg").touch()
    savemat(root / "joints.mat", {"joints": stored})
    return root


def test_lsp_extended_in_another_layout(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    joints = np.concatenate([rng.uniform(2, 150, (14, 2, 20)), np.ones((14, 1, 20))], 1)
    missing = rng.random((14, 20)) < 0.12
    joints[:, 2][missing] = 0
    joints[:, 0][missing], joints[:, 1][missing] = 0, -3
    want = load("lsp", lspet(tmp_path / "as published", joints, joints))
    assert want.notes == ()
    assert (want.visible == np.where(missing.T, 0, 2)).all()
    for axes in ((1, 0, 2), (2, 0, 1), (2, 1, 0), (0, 2, 1), (1, 2, 0)):
        stored = joints.transpose(axes)
        got = load("lsp", lspet(tmp_path / "".join(map(str, axes)), joints, stored))
        assert (got.visible == want.visible).all()
        assert (got.joints == want.joints).all()
        assert "the third row read as LSP-extended's (1 labelled)" in got.notes[0]
    with pytest.raises(UserError, match=r"joints: expected pixels; all lie in 0\.\.1"):
        load("lsp", lspet(tmp_path / "shares", joints, joints / np.array([200, 200, 1])[None, :, None]))
    joints[3, 2, 5] = 2
    with pytest.raises(UserError, match="record 5: third row: expected flags 0 or 1"):
        load("lsp", lspet(tmp_path / "flags", joints, joints))


def test_lsp_in_lsp_extended_s_layout(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    joints = np.concatenate([rng.uniform(2, 150, (14, 2, 20)), rng.random((14, 1, 20)) < 0.08], 1)
    people = load("lsp", lspet(tmp_path, joints, joints))
    assert (people.visible == np.where(joints[:, 2].T > 0, 1, 2)).all()
    assert "the third row read as LSP's (1 occluded)" in people.notes[0]


def test_lsp_photos_go_by_their_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    joints = np.concatenate([rng.uniform(2, 150, (2, 14, 12)), np.zeros((1, 14, 12))])
    root = lspet(tmp_path, joints[:, 0][None].repeat(14, 0), joints)
    photos = root / "images"
    for number in range(1, 13):
        (photos / f"im{number:05}.jpg").rename(photos / f"im{number}.jpg")
    people = load("lsp", root)
    assert [Path(people.files[n]).name for n in people.file] == [f"im{n}.jpg" for n in range(1, 13)]
    (photos / "im5.jpg").rename(photos / "im13.jpg")
    refused(root, "photo number 5 is missing", "lsp")
    (photos / "im13.jpg").rename(photos / "im007.jpg")
    refused(root, "photo number 5 is missing", "lsp")
    (photos / "im12.jpg").rename(photos / "im5.jpg")
    refused(root, "photo number 7 comes twice", "lsp")
    (photos / "im007.jpg").rename(photos / "im12 copy.jpg")
    refused(root, "expected photos numbered from 1, got 'im12 copy.jpg'", "lsp")


def mpii(root: Path, names: dict[str, int]) -> Path:
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "images" / "a.jpg").touch()
    for name, count in names.items():
        records = [
            {"image": "a.jpg", "joints": rng.uniform(60, 140, (16, 2)).tolist(), "joints_vis": [1] * 16,
             "center": [100.0, 100.0], "scale": 1.0}
            for _ in range(count)
        ]  # fmt: skip
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(json.dumps(records))
    return root


def test_one_mpii_file_for_both_splits_is_said(tmp_path: Path) -> None:
    root = mpii(tmp_path / "a", {"trainval.json": 3})
    for split in ("train", "val"):
        assert load("mpii", root, split).notes == (
            "trainval.json: the only annotation file: train and val are the same people",
        )
    root = mpii(tmp_path / "b", {"annot/valid.json": 3})
    assert load("mpii", root, "val").notes == ()
    with pytest.raises(UserError, match=r"train\.json: no such file \(split train\); there is valid\.json alone"):
        load("mpii", root)
    with pytest.raises(UserError, match=r"there are a\.json, b\.json"):
        load("mpii", mpii(tmp_path / "c", {"a.json": 1, "b.json": 1}))


def test_mpii_in_another_unit(tmp_path: Path) -> None:
    root = mpii(tmp_path, {"annot/train.json": 4})
    path = root / "annot" / "train.json"
    records = json.loads(path.read_text())
    path.write_text(json.dumps([{**r, "joints": (np.array(r["joints"]) / 200).tolist()} for r in records]))
    refused(root, "keypoints: expected pixels of the photo", "mpii")
    path.write_text(json.dumps({"images": [], "annotations": []}))
    refused(root, "expected a list of records.*dataset coco", "mpii")
