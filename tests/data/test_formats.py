"""Formats people have: small files by their published descriptions, through the one reader."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import AIC, COCO, MPII
from asda_fast.data import load
from asda_fast.data.custom import Files
from asda_fast.data.people import People

DEER = ("nose", "antler_l", "antler_r", "tail")
POINTS = [[30, 20, 2], [20, 10, 1], [40, 12, 2], [0, 0, 0]]


def photo(path: Path, turned: bool = False) -> Path:
    """100 wide and 80 high; turned: stored lying, with the tag that says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (80, 100) if turned else (100, 80), (90, 120, 60))
    exif = image.getexif()
    if turned:
        exif[274] = 6
    image.save(path, exif=exif)
    return path


def read(path: Path, **options: Any) -> People:
    return load("custom", split="val", files=Files(val_annotations=str(path), **options))


def is_the_deer(people: People) -> None:
    assert people.skeleton.joints == DEER
    assert people.visible.tolist() == [[2, 1, 2, 0]]
    np.testing.assert_allclose(people.joints[0, :3], np.array(POINTS)[:3, :2] + 0.5, atol=1e-3)
    np.testing.assert_allclose(people.box[0], [10, 5, 50, 40], atol=1e-3)
    assert people.image_size.tolist() == [[80, 100]]
    assert Path(people.files[0]).is_file()


# Exports in COCO's form

FLAT = [value for point in POINTS for value in point]
DEER_CATEGORY = {"id": 1, "name": "deer", "keypoints": list(DEER), "skeleton": [[1, 2], [1, 3]]}
ANNOTATION = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 5, 50, 40], "area": 2000.0, "keypoints": FLAT}
EXPORTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    # https://docs.cvat.ai/docs/dataset_management/formats/coco-keypoints: annotations/person_keypoints_SUBSET.json,
    # images/SUBSET/; ids from 1, attributes, no polygons
    "cvat": (
        "annotations/person_keypoints_default.json",
        "images/default/a.png",
        {
            "licenses": [{"name": "", "id": 0, "url": ""}],
            "categories": [{**DEER_CATEGORY, "supercategory": ""}],
            "images": [{"id": 1, "width": 100, "height": 80, "file_name": "a.png", "license": 0}],
            "annotations": [
                {**ANNOTATION, "segmentation": [], "iscrowd": 0, "num_keypoints": 3, "attributes": {"occluded": False}}
            ],
        },
    ),
    # https://roboflow.com/formats/coco-keypoint: _annotations.coco.json beside the photos; category 0 is the container
    "roboflow": (
        "train/_annotations.coco.json",
        "train/a_png.rf.21d9ecc535939df6226dbf15204e64a1.png",
        {
            "categories": [
                {"id": 0, "name": "deer", "supercategory": "none"}, {**DEER_CATEGORY, "supercategory": "deer"}
            ],
            "images": [
                {"id": 0, "license": 1, "file_name": "a_png.rf.21d9ecc535939df6226dbf15204e64a1.png", "height": 80,
                 "width": 100, "extra": {"name": "a.png"}}
            ],
            "annotations": [{**ANNOTATION, "id": 0, "image_id": 0, "segmentation": [], "iscrowd": 0}],
        },
    ),
    # https://labelstud.io/guide/export (COCO): result.json and images/; ids from 0, file names of its own
    "label studio": (
        "result.json",
        "images/3f2a-a.png",
        {
            "categories": [{**DEER_CATEGORY, "id": 0}],
            "images": [{"id": 0, "width": 100, "height": 80, "file_name": "images\\3f2a-a.png"}],
            "annotations": [{**ANNOTATION, "id": 0, "image_id": 0, "category_id": 0, "segmentation": [], "ignore": 0}],
        },
    ),
    # without what scorers want and a reader does not need
    "bare": (
        "a.json",
        "a.png",
        {
            "categories": [DEER_CATEGORY],
            "images": [{"id": 1, "width": 100, "height": 80, "file_name": "a.png"}],
            "annotations": [{key: ANNOTATION[key] for key in ("image_id", "category_id", "bbox", "keypoints")}],
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("tool", EXPORTS)
def test_exports_of_annotation_tools(tmp_path: Path, tool: str) -> None:
    place, picture, table = EXPORTS[tool]
    photo(tmp_path / picture)
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text(json.dumps(table))
    is_the_deer(read(tmp_path / place))


def test_a_folder_of_videos_is_one_set(shared_data: Path, tmp_path: Path) -> None:
    """As PoseTrack18 is released: annotations/val/VIDEO.json."""
    whole = shared_data / "mmpose_posetrack18" / "annotations" / "test_posetrack18_val.json"
    images = (str(shared_data / "mmpose_posetrack18"),)
    table = json.loads(whole.read_text())
    folder = tmp_path / "annotations" / "val"
    folder.mkdir(parents=True)
    with pytest.raises(UserError, match=r"val: no \.json in this folder"):
        read(folder, images=images)
    for number, image in enumerate(table["images"]):
        people = [a for a in table["annotations"] if a["image_id"] == image["id"]]
        (folder / f"{number}.json").write_text(json.dumps({**table, "images": [image], "annotations": people}))
    one, many = read(whole, images=images), read(folder, images=images)
    assert sorted(one.id.tolist()) == sorted(many.id.tolist())
    assert many.skeleton == one.skeleton and set(many.files) == set(one.files)
    (folder / "z.json").write_text(json.dumps({**table, "categories": [DEER_CATEGORY]}))
    with pytest.raises(UserError, match=r"z\.json: other categories than 0\.json"):
        read(folder, images=images)


def test_jhmdbs_own_files_are_told(tmp_path: Path) -> None:
    from scipy.io import savemat

    savemat(tmp_path / "joint_positions.mat", {"pos_img": np.zeros((2, 15, 40))})
    with pytest.raises(UserError, match=r"JHMDB's joints of one video: expected the JSON of all"):
        read(tmp_path / "joint_positions.mat")


# YOLO-pose


def yolo(root: Path, *, names: bool = True, flags: bool = True, turned: bool = False, **more: Any) -> Path:
    """https://docs.ultralytics.com/datasets/pose: class, box round its centre, joints; shares of the photo."""
    photo(root / "images" / "val" / "a.jpg", turned)
    photo(root / "images" / "val" / "nobody.jpg")
    values = [0, 35 / 100, 25 / 80, 50 / 100, 40 / 80]
    values += [v for x, y, flag in POINTS for v in ((x / 100, y / 80, flag) if flags else (x / 100, y / 80))]
    (root / "labels" / "val").mkdir(parents=True)
    (root / "labels" / "val" / "a.txt").write_text(" ".join(f"{v:.7g}" for v in values) + "\n")
    content = {"path": str(root), "train": "images/val", "val": "images/val", "kpt_shape": [4, 3 if flags else 2]}
    content |= {"flip_idx": [0, 2, 1, 3], "names": {0: "deer"}, **more}
    content |= {"kpt_names": {0: list(DEER)}} if names else {}
    (root / "data.yaml").write_text(json.dumps(content))
    return root / "data.yaml"


@pytest.mark.parametrize("turned", [False, True])
def test_yolo_pose(tmp_path: Path, turned: bool) -> None:
    people = read(yolo(tmp_path, turned=turned))
    is_the_deer(people)
    assert people.skeleton.pairs == ((1, 2),)
    assert any("1 of 2 photos have no labels" in note for note in people.notes)


def test_yolo_pose_without_flags_or_names(tmp_path: Path) -> None:
    path = yolo(tmp_path, names=False, flags=False)
    people = load("custom", split="train", files=Files(train_annotations=str(path)))
    assert people.skeleton.joints == ("joint_0", "joint_1", "joint_2", "joint_3")
    assert people.skeleton.pairs == ((1, 2),)
    assert people.visible.tolist() == [[2, 2, 2, 0]]
    assert len(load("custom", split="val", files=Files(train_annotations=str(path)))) == 1  # the file names both


def test_yolo_pose_where_roboflow_puts_it(tmp_path: Path) -> None:
    path = yolo(tmp_path, val="../images/val", path=None)
    assert len(read(path, category="Deer")) == 1
    with pytest.raises(UserError, match="none is called 'elk'; there are deer"):
        read(path, category="elk")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 .5 .5 .1 .1", "expected 17 numbers .* got 5"),
        ("0 .5 .5 .1 .1" + " 30 20 2" * 4, "expected shares of the photo, 0 to 1, got 30: pixels"),
        ("0 .5 .5 .1 .1" + " .3 .2 0.7" * 4, "expected flags 0, 1 or 2, got 0.7"),
        ("0 .5 .5 .1 .1" + " .3 x 2" * 4, "expected numbers"),
        ("0 .5 .5 .1 .1" + " .3 nan 2" * 4, "expected a class and finite"),
        ("1 .5 .5 .1 .1" + " .3 .2 2" * 4, "expected a class of 0 to 0, as `names` has them, got 1"),
    ],
)
def test_a_wrong_label_is_named_by_its_line(tmp_path: Path, line: str, words: str) -> None:
    path = yolo(tmp_path)
    (tmp_path / "labels" / "val" / "a.txt").write_text("\n" + line)
    with pytest.raises(UserError, match=rf"labels/val/a\.txt: line 2: {words}"):
        read(path)


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_a_photo_that_exif_turns_to_its_own_size_is_left_out_with_a_word(tmp_path: Path, orientation: int) -> None:
    """Its labels are of what their tool showed; photos are read as stored."""
    path = yolo(tmp_path)
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", (100, 80)).save(tmp_path / "images" / "val" / "b.jpg", exif=exif)
    shutil.copy(tmp_path / "labels" / "val" / "a.txt", tmp_path / "labels" / "val" / "b.txt")
    people = read(path)
    assert len(people) == 1
    assert any("1 photos left out: EXIF turns them" in note and "b.jpg" in note for note in people.notes)


def test_a_yolo_list_is_read_whole_and_once(tmp_path: Path) -> None:
    path = yolo(tmp_path, val="list.txt", path=".")
    text = "images/val/a.jpg\nimages/val/nobody.jpg\nimages/val/a.jpg\n"
    (tmp_path / "list.txt").write_text(text, encoding="utf-8-sig")
    labels = tmp_path / "labels" / "val" / "a.txt"
    labels.write_text(labels.read_text(), encoding="utf-8-sig")
    people = read(path)
    assert len(people) == 1 and any("1 photos are listed twice, and read once" in note for note in people.notes)
    (tmp_path / "list.txt").write_text("images/val/a.jpg\nimages/val/gone.jpg\n")
    with pytest.raises(UserError, match=r"list\.txt: line 2: no such photo: .*gone\.jpg"):
        read(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "path": 3}))
    with pytest.raises(UserError, match="path: expected a folder, got 3"):
        read(path)


def test_a_joint_left_of_its_photo_is_not_labelled_where_there_are_no_flags(tmp_path: Path) -> None:
    path = yolo(tmp_path, flags=False)
    (tmp_path / "labels" / "val" / "a.txt").write_text("0 .35 .3 .5 .5 .3 .2 .4 .3 .2 .4 -.1 .5")
    assert read(path).visible.tolist() == [[2, 2, 2, 0]]


def test_a_yolo_split_is_named_where_it_is_not_there(tmp_path: Path) -> None:
    for place, words in (
        ("a" * 5000, r"val: 'aaa\S*[.]{3} is in none of"),
        ("list.txt", r"list\.txt: line 2: expected a"),
    ):
        (tmp_path / "list.txt").write_text("images/val/a.jpg\n/\n")
        with pytest.raises(UserError, match=words) as caught:
            read(yolo(tmp_path, val=place, path="."))
        assert len(str(caught.value)) < 600
        for name in ("images", "labels"):
            shutil.rmtree(tmp_path / name)


def test_17_joints_with_coco_s_flips_are_coco_s(tmp_path: Path) -> None:
    path = yolo(tmp_path, names=False, kpt_shape=[17, 3], flip_idx=list(COCO.swap))
    (tmp_path / "labels" / "val" / "a.txt").write_text("0 .5 .5 .5 .5" + " .5 .5 2" * 17)
    assert read(path).skeleton is COCO


# AI Challenger's own


def test_ai_challenger_s_own_json(tmp_path: Path) -> None:
    """https://github.com/AIChallenger/AI_Challenger_2017: corners; flags 1 visible, 2 hidden, 3 not labelled."""
    photo(tmp_path / "images" / "0a1b.jpg")
    joints = [value for joint in range(14) for value in (20 + 3 * joint, 10 + 2 * joint, 1 + joint % 3)]
    record = {"image_id": "0a1b", "url": "", "human_annotations": {"human1": [10, 5, 70, 65]}}
    path = tmp_path / "keypoint_validation_annotations.json"
    path.write_text(json.dumps([{**record, "keypoint_annotations": {"human1": joints}}]))
    people = read(path)
    assert people.skeleton is AIC
    assert people.visible[0].tolist() == [2, 1, 0] * 4 + [2, 1]
    assert people.joints[0, 1].tolist() == [23.5, 12.5]
    assert people.box[0].tolist() == [10, 5, 60, 60]
    boxed = {**record, "human_annotations": {**record["human_annotations"], "human2": [1, 1, 9, 9]}}
    path.write_text(json.dumps([{**boxed, "keypoint_annotations": {"human1": joints}}]))
    assert any("left out: 1 without keypoints" in note for note in read(path).notes)
    path.write_text(json.dumps([{**record, "keypoint_annotations": {"human1": [1, 2, 1.5] * 14}}]))
    with pytest.raises(UserError, match="flags 1, 2 or 3"):
        read(path)
    path.write_text(json.dumps([{**record, "keypoint_annotations": {"human1": [1, 2, 0] * 14}}]))
    with pytest.raises(UserError, match="record 0: 'human1': expected x1, y1, x2, y2 and flags 1, 2 or 3"):
        read(path)


# MPII's release


def matlab(path: Path, people: list[Any], published: bool = True) -> Path:
    """RELEASE as the release's README describes it: annolist(i).image.name, .annorect(j); img_train(i)."""
    from scipy.io import savemat

    kind = [(name, object) for name in ("image", "annorect")]
    annolist = np.zeros(2, kind)
    annolist[0] = ({"name": "a.png"}, np.array(people, dtype=object) if len(people) > 1 else people[0])
    annolist[1] = ({"name": "b.png"}, np.zeros((0, 0)))
    savemat(path, {"RELEASE": {"annolist": annolist, "img_train": np.array([int(published), 0])}})
    return path


def person(ids: list[int]) -> dict[str, Any]:
    kind = [(name, object) for name in ("x", "y", "id", "is_visible")]
    points = np.zeros(len(ids), kind)
    for place, joint in enumerate(ids):
        points[place] = (20.0 + 3 * joint, 30.0 + joint, joint, [np.zeros((0, 0)), "0", 1][joint % 3])
    head = {"x1": 10.0, "y1": 10.0, "x2": 13.0, "y2": 14.0}
    return {**head, "scale": 0.5, "objpos": {"x": 50.0, "y": 40.0}, "annopoints": {"point": points}}


def test_mpii_s_own_release(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.png")
    path = matlab(tmp_path / "mpii_human_pose_v1_u12_1.mat", [person([0, 1, 2, 3, 9])])
    people = read(path)
    assert people.skeleton is MPII
    assert people.visible[0].tolist() == [2, 1, 2, 2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(people.joints[0, 3], [20 + 9 - 0.5, 30 + 3 - 0.5])
    assert people.head[0] == pytest.approx(0.6 * 5)
    assert people.scale[0] == pytest.approx(0.5 * 1.25)
    np.testing.assert_allclose(people.centre[0], [49.5, 39.5 + 15 * 0.5])
    record = {"image": "a.png", "joints": [[9, 9]] * 16, "joints_vis": [1] * 16, "center": [50, 40], "scale": 0.5}
    (tmp_path / "valid.json").write_text(json.dumps([record]))
    files = Files(train_annotations=str(path), val_annotations=str(tmp_path / "valid.json"))
    with pytest.raises(UserError, match="all of its 1 people are in photos to validate on"):
        load("custom", split="train", files=files)
    (tmp_path / "valid.json").write_text(json.dumps([{**record, "image": "b.png"}]))
    assert len(load("custom", split="train", files=files)) == 1
    with pytest.raises(UserError, match="nobody with published joints"):
        read(matlab(tmp_path / "test.mat", [person([0, 1])], published=False))


def test_mpii_s_flags_are_numbers_and_its_joints_whole(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.png")
    points = person([0, 1, 2, 3, 9])

    def of(field: str, *values: Any) -> People:
        for place, value in enumerate(values):
            points["annopoints"]["point"][place][field] = value
        return read(matlab(tmp_path / "a.mat", [points]))

    for hidden in (0, 0.0, "0"):
        assert of("is_visible", hidden, 1.0, "1").visible[0, :3].tolist() == [1, 2, 2]
    assert any("1 joints are given twice: the last of each is taken" in note for note in of("id", 1).notes)
    with pytest.raises(UserError, match=r"person 0 \('a\.png'\): expected joints 0 to 15, got id 2\.5"):
        of("id", 2.5)
    of("id", 0)
    with pytest.raises(UserError, match=r"person 0 \('a\.png'\): x: expected a number, got \[\]"):
        of("x", [])
    path = matlab(tmp_path / "b.mat", [person([0, 1])])
    from scipy.io import loadmat, savemat

    release = loadmat(path)["RELEASE"]
    release["img_train"][0, 0] = np.array([[1]])
    savemat(path, {"RELEASE": release})
    with pytest.raises(UserError, match="2 and 1 of them"):
        read(path)


def test_mpii_s_photos_are_called_by_text(tmp_path: Path) -> None:
    from scipy.io import loadmat, savemat

    path = matlab(tmp_path / "a.mat", [person([0, 1])])
    release = loadmat(path)["RELEASE"]
    for value, told in (([[3.0]], r"\[3\.0\]"), ([], r"\[\]")):
        release["annolist"][0, 0][0, 0]["image"][0, 0]["name"] = np.array(value)
        savemat(path, {"RELEASE": release})
        with pytest.raises(UserError, match=rf"annolist\(1\): image\.name: expected text, got {told}"):
            read(path)
