"""The committed demo set: complete, small, and its keypoints lie where its label maps say."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from asda_fast.data import demo_root

UPPER, DRESS, COAT, JUMPSUIT, SCARF, GLOVE = 5, 6, 7, 10, 11, 3
CLOTHES = {UPPER, DRESS, COAT, JUMPSUIT, SCARF, 12}
HEAD = {1, 2, 4, 13, SCARF}
FOOT_L, FOOT_R = {8, 9, JUMPSUIT, 16, 18, 6, 7, 12}, {8, 9, JUMPSUIT, 17, 19, 6, 7, 12}
KNEE_L, KNEE_R = {6, 7, 8, 9, JUMPSUIT, 12, 16, 18}, {6, 7, 8, 9, JUMPSUIT, 12, 17, 19}
ARM_L, ARM_R = {14, GLOVE, UPPER, DRESS, COAT, JUMPSUIT}, {15, GLOVE, UPPER, DRESS, COAT, JUMPSUIT}
# which labels a visible joint may lie on (within 3 pixels); a hip or shoulder may lie under any clothes
ALLOWED = {
    "nose": HEAD, "left_eye": HEAD, "right_eye": HEAD, "left_ear": HEAD, "right_ear": HEAD,
    "left_wrist": ARM_L, "right_wrist": ARM_R, "left_elbow": ARM_L, "right_elbow": ARM_R,
    "left_knee": KNEE_L, "right_knee": KNEE_R, "left_ankle": FOOT_L, "right_ankle": FOOT_R,
}  # fmt: skip


@pytest.fixture(scope="module", params=["train", "val"])
def split(request: pytest.FixtureRequest) -> tuple[str, dict]:
    text = (demo_root() / "annotations" / f"person_keypoints_{request.param}.json").read_text()
    return request.param, json.loads(text)


def maps(name: str, image: dict) -> tuple[np.ndarray, np.ndarray]:
    stem = image["file_name"].rsplit(".", 1)[0]
    found = [
        cv2.imread(str(demo_root() / kind / name / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
        for kind in ("labels", "instances")
    ]
    return found[0], found[1]


def test_at_least_400_photos_in_at_most_8_megabytes() -> None:
    count = {s: len(list((demo_root() / s).glob("*.jpg"))) for s in ("train", "val")}
    assert count["train"] >= 320
    assert count["val"] >= 80
    assert sum(f.stat().st_size for f in demo_root().rglob("*") if f.is_file()) <= 8_000_000


def test_files_sizes_and_ids_agree(split: tuple[str, dict]) -> None:
    name, table = split
    people: dict[int, list[dict]] = {}
    for record in table["annotations"]:
        people.setdefault(record["image_id"], []).append(record)
    for image in table["images"]:
        photo = cv2.imread(str(demo_root() / name / image["file_name"]))
        labels, persons = maps(name, image)
        size = (image["height"], image["width"])
        assert photo.shape == (*size, 3)
        assert labels.shape == persons.shape == size, "grey maps, not colours"
        assert labels.dtype == persons.dtype == np.uint8
        assert labels.max() <= 19
        here = people[image["id"]]
        assert 1 <= len(here) <= 3
        assert set(np.unique(persons)) == {0, *(r["instance"] for r in here)}
        assert np.array_equal(labels > 0, persons > 0), "whoever is somebody wears a label, and the reverse"
        for record in here:
            rows, columns = np.nonzero(persons == record["instance"])
            assert record["area"] == len(rows)
            x, y, w, h = record["bbox"]
            assert (x, y, x + w, y + h) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_visible_joints_lie_on_their_labels(split: tuple[str, dict]) -> None:
    name, table = split
    names = table["categories"][0]["keypoints"]
    images = {i["id"]: i for i in table["images"]}
    cache: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    good, total = dict.fromkeys(ALLOWED, 0), dict.fromkeys(ALLOWED, 0)
    own, seen = 0, 0
    for record in table["annotations"]:
        labels, persons = cache.setdefault(record["image_id"], maps(name, images[record["image_id"]]))
        points = np.array(record["keypoints"]).reshape(-1, 3)
        assert record["num_keypoints"] == (points[:, 2] > 0).sum()
        assert set(points[:, 2]) <= {0, 1, 2}
        assert (points[points[:, 2] == 0, :2] == 0).all()
        for joint, (x, y, v) in zip(names, points):
            if v == 0:
                continue
            column, row = int(x + 0.5), int(y + 0.5)
            assert 0 <= column < labels.shape[1]
            assert 0 <= row < labels.shape[0]
            if v < 2:
                continue
            window = np.s_[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4]
            mine = set(labels[window][persons[window] == record["instance"]].tolist())
            seen, own = seen + 1, own + bool(mine)
            if joint in ALLOWED:
                total[joint] += 1
                good[joint] += bool(mine & ALLOWED[joint])
    assert own == seen, "a visible joint lies on its own person"
    for joint in ALLOWED:
        assert total[joint] > 20
        assert good[joint] >= 0.96 * total[joint], joint


def test_every_label_and_each_hard_case_is_there() -> None:
    pixels, visible, several = np.zeros(20, np.int64), np.zeros(3, np.int64), 0
    for name in ("train", "val"):
        table = json.loads((demo_root() / "annotations" / f"person_keypoints_{name}.json").read_text())
        for image in table["images"]:
            labels, persons = maps(name, image)
            pixels += np.bincount(labels.ravel(), minlength=20)
            several += persons.max() > 1
        for record in table["annotations"]:
            visible += np.bincount(record["keypoints"][2::3], minlength=3)
    assert (pixels > 200).all(), f"labels that hardly occur: {np.flatnonzero(pixels <= 200)}"
    assert several >= 80, "nearby persons"
    assert 0.1 < visible[1] / visible.sum() < 0.5, "occlusion"
    assert visible[2] / visible.sum() > 0.45


def test_people_are_large_enough_to_learn_from(split: tuple[str, dict]) -> None:
    _, table = split
    high = {i["id"]: i["height"] for i in table["images"]}
    share = [r["bbox"][3] / high[r["image_id"]] for r in table["annotations"]]
    assert np.median(share) > 0.5
