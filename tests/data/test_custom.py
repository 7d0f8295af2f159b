"""Keypoint files of one's own: any joints, any layout, and what is taken for what is said."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from asda_fast.cli.data import Pack
from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import COCO, HALPE26, WHOLEBODY
from asda_fast.data import load
from asda_fast.data.custom import Files, shared_photos
from asda_fast.data.people import People
from asda_fast.data.store_index import read as read_store

BUG = ["head", "feelerL", "feelerR", "legA_l", "legA_r", "tail"]


def annotation(joints: int, number: int = 1, **more: Any) -> dict[str, Any]:
    keypoints = [value for joint in range(joints) for value in (20 + 3 * joint % 50, 20 + 2 * joint % 50, 2)]
    base = {"id": number, "image_id": 1, "category_id": 1, "bbox": [10, 10, 80, 80], "keypoints": keypoints}
    return {**base, **more}


def write(path: Path, categories: list[dict[str, Any]], *people: dict[str, Any], photo: str = "a.jpg") -> str:
    images = [{"id": 1, "file_name": photo, "height": 100, "width": 100}]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": people}), encoding="utf-8")
    return str(path)


def category(joints: list[str] | tuple[str, ...], name: str = "bug", number: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "name": name, "keypoints": list(joints), **more}


def read(file: str, split: str = "val", **options: Any) -> People:
    return load("custom", split=split, files=Files(**{f"{split}_annotations": file}, **options))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.jpg").touch()
    return tmp_path


def test_a_folder_whose_files_each_number_their_photos_anew(folder: Path) -> None:
    """As annotation tools export task by task: photo 1 of the second is not photo 1 of the first."""
    (folder / "b.jpg").touch()
    for name, photo in (("first", "a.jpg"), ("second", "a.jpg")):  # one photo, twice: one numbering
        write(folder / "each" / f"{name}.json", [category(BUG)], annotation(6), photo=photo)
    assert len(read(str(folder / "each"), images=(str(folder),))) == 2
    write(folder / "each" / "second.json", [category(BUG)], annotation(6), photo="b.jpg")
    with pytest.raises(UserError, match=r"second\.json: photo 1 is 'b\.jpg', and 'a\.jpg' in first\.json: the files"):
        read(str(folder / "each"), images=(str(folder),))


def test_names_that_nobody_knows_are_used_as_they_are(folder: Path) -> None:
    people = read(write(folder / "a.json", [category(BUG, skeleton=[[1, 2], [1, 6]])], annotation(6)))
    assert people.skeleton.joints == tuple(BUG)
    assert people.skeleton.pairs == ((1, 2), (3, 4))
    assert people.skeleton.edges == ((0, 1), (0, 5))
    assert any("feelerL - feelerR, legA_l - legA_r" in note for note in people.notes)


def test_people_without_a_bbox_have_one_round_their_joints(folder: Path) -> None:
    plain = {key: value for key, value in annotation(6).items() if key != "bbox"}
    people = read(write(folder / "a.json", [category(BUG)], plain))
    assert people.box[0].tolist() == pytest.approx([19, 19, 18, 13])
    assert any("1 people have no bbox" in note for note in people.notes)


def test_edges_that_count_from_0_are_seen_by_their_0(folder: Path) -> None:
    people = read(write(folder / "a.json", [category(BUG, skeleton=[[0, 1], [4, 5], [5, 6]])], annotation(6)))
    assert people.skeleton.edges == ((0, 1), (4, 5))


def test_names_of_several_lines_are_said_in_one(folder: Path) -> None:
    people = read(write(folder / "a.json", [category(["top\nmost", *BUG[1:]], "bug\n7")], annotation(6)))
    assert any(r"'top\nmost'" in note and r"'bug\n7'" in note for note in people.notes)
    assert not any("\n" in note for note in people.notes)


def test_a_category_has_no_protocol_by_its_name(folder: Path) -> None:
    people = read(write(folder / "a.json", [category(BUG, "mpii")], annotation(6)))
    assert people.skeleton.name == "own mpii"


def test_known_joints_come_in_their_own_order(folder: Path) -> None:
    mixed = list(reversed(COCO.joints))
    people = read(write(folder / "a.json", [category(mixed, "person")], annotation(17)))
    assert people.skeleton is COCO
    assert people.joints[0, 16].tolist() == [20.5, 20.5]


def test_a_category_by_name(folder: Path) -> None:
    kinds = [category(BUG), category(["a", "b"], "worm", 2)]
    file = write(folder / "a.json", kinds, annotation(6), annotation(2, 2, category_id=2))
    assert read(file, category="Worm").skeleton.joints == ("a", "b")
    with pytest.raises(UserError, match="which category"):
        read(file)
    with pytest.raises(UserError, match="category: none is called 'wurm'; there are 'bug'"):
        read(file, category="wurm")


def test_joints_without_names_are_taken_only_when_told(folder: Path) -> None:
    file = write(folder / "a.json", [{"id": 1, "name": "person"}], annotation(17))
    with pytest.raises(UserError, match="does not name its joints: `skeleton` says whose"):
        read(file)
    people = read(file, skeleton="coco")
    assert people.skeleton is COCO
    assert any("are taken for COCO's" in note for note in people.notes)
    with pytest.raises(UserError, match="have 17: expected the 14 of LSP"):
        read(file, skeleton="lsp")
    (folder / "s.yaml").write_text("names: [" + ", ".join(reversed(COCO.joints)) + "]")
    assert read(file, skeleton=str(folder / "s.yaml")).joints[0, 16].tolist() == [20.5, 20.5]


def test_whole_bodies_lie_in_fields_of_their_own(folder: Path) -> None:
    """https://github.com/jin-s13/COCO-WholeBody: foot_kpts, face_kpts, lefthand_kpts, righthand_kpts; a confidence in
    machine labels."""
    parts: dict[str, Any] = {f"{name}_kpts": [50, 60, 0.3] * n for name, n in (("foot", 6), ("face", 68))}
    parts |= {"lefthand_kpts": [0, 0, 0] * 21, "righthand_kpts": [70, 60, 1] * 21}
    file = write(folder / "a.json", [category(COCO.joints, "person")], annotation(17, **parts))
    people = read(file, skeleton="wholebody")
    assert people.skeleton is WHOLEBODY
    assert (people.visible[0] > 0).tolist() == [True] * 91 + [False] * 21 + [True] * 21
    assert people.joints[0, 17].tolist() == [50.5, 60.5]
    assert any("skeleton wholebody reads all 133" in note for note in read(file).notes)


def test_halpe_s_body_is_the_first_26(folder: Path) -> None:
    file = write(folder / "a.json", [category([], "person")], annotation(136))
    assert read(file, skeleton="halpe26").skeleton is HALPE26


@pytest.mark.parametrize(
    ("photo", "lies"),
    [("a.jpg", "images/val"), ("a.jpg", "images"), ("sub/a.jpg", ""), ("C:\\up\\1-a.jpg", "images"), ("x/a.jpg", "q")],
)
def test_photos_are_found_where_tools_put_them(tmp_path: Path, photo: str, lies: str) -> None:
    file = write(tmp_path / "annotations" / "person_keypoints_val.json", [category(BUG)], annotation(6), photo=photo)
    name = photo if photo.startswith("sub") else photo.replace("\\", "/").rsplit("/", 1)[-1]
    place = tmp_path / lies / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    assert Path(read(file, images=(str(tmp_path / "q"),) if lies == "q" else ()).files[0]).samefile(place)


def test_a_photo_that_two_folders_hold_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", [category(BUG)], annotation(6))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").touch()
    folders = (str(tmp_path / "one"), str(tmp_path / "two"))
    with pytest.raises(UserError, match=r"a\.jpg is in .*one and in .*two: name one"):
        read(file, images=folders)
    assert read(file, images=folders, val_images=folders[1:]).files[0].startswith(folders[1])


def test_every_photo_of_two_folders_is_looked_up(tmp_path: Path) -> None:
    """Not only those that tell which folder most of them are in."""
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
    images = [{"id": n, "file_name": f"{n}.jpg", "height": 100, "width": 100} for n in range(60)]
    people = [annotation(6, n, image_id=n) for n in range(60)]
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"images": images, "categories": [category(BUG)], "annotations": people}))
    for n in range(60):
        (tmp_path / ("two" if n == 59 else "one") / f"{n}.jpg").touch()
    folders = (str(tmp_path / "one"), str(tmp_path / "two"))
    assert all(map(Path.is_file, map(Path, read(str(file), images=folders).files)))
    (tmp_path / "two" / "33.jpg").touch()
    with pytest.raises(UserError, match=r"its photo 33\.jpg is in .*one and in .*two: name one"):
        read(str(file), images=folders)


def test_photos_of_both_splits_are_said(folder: Path) -> None:
    people = read(write(folder / "a.json", [category(BUG)], annotation(6)))
    assert (
        "1 of 1 people to validate on have the very joints of people who are trained"
        in shared_photos(people, people)[0]
    )
    other = replace(people, joints=people.joints + 1)
    assert "1 of 1 photos to validate on are trained on" in shared_photos(people, other)[0]
    assert not shared_photos(people, replace(other, files=["other.jpg"]))


def test_a_photo_of_both_splits_is_known_however_it_is_spelled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(folder / "a.json", [category(BUG)], annotation(6))
    people = replace(read(file), files=["a.jpg"])
    other = replace(people, joints=people.joints + 1)
    (folder / "links").mkdir()
    (folder / "links" / "a.jpg").symlink_to("../a.jpg")
    (folder / "b").mkdir()
    shutil.copy(folder / "a.jpg", folder / "b" / "a.jpg")  # of the same name, and another
    monkeypatch.chdir(folder)
    for spelled in ("./a.jpg", "links/../a.jpg", str(folder / "a.jpg"), "links/a.jpg"):
        assert "1 of 1 photos" in shared_photos(people, replace(other, files=[spelled]))[0], spelled
    assert not shared_photos(people, replace(other, files=["b/a.jpg"]))
    gone = replace(people, files=["gone/x.jpg"])  # as a store's on another machine
    assert "1 of 1 photos" in shared_photos(gone, replace(other, files=["gone/./x.jpg"]))[0]


def test_what_is_said_of_both_splits_is_of_their_own_people(folder: Path) -> None:
    """Two selections of one table keep all of its `files`; one joint alone tells nobody from others."""
    file = write(folder / "a.json", [category(BUG)], annotation(6), annotation(6, 2))
    both = replace(read(file), files=["a.jpg", "b.jpg"], file=np.array([0, 1]), image_size=np.full((2, 2), 100))
    both.joints[1] += 1
    assert not shared_photos(both.select([0]), both.select([1]))
    alone = np.zeros_like(both.visible)
    alone[:, 2] = 2
    single = replace(both, visible=alone, joints=np.where(alone[..., None] > 0, np.full(2, 7.5), 0))
    assert not shared_photos(single.select([0]), single.select([1]))
    said = shared_photos(both, replace(both, joints=both.joints + np.array([0, 1])[:, None, None]))
    assert [line.split(" to ")[0] for line in said] == ["1 of 2 people", "2 of 2 photos"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"skeleton": "wholebod"}, "no such file, nor one of .*; did you mean wholebody"),
        ({"images": ("nowhere",)}, "images nowhere: no such folder"),
        ({"skeleton": "lsp"}, "has not the 14 joints of LSP: its joint 'head'"),
    ],
)
def test_a_mistake_is_one_line(folder: Path, options: dict[str, Any], words: str) -> None:
    file = write(folder / "a.json", [category(BUG)], annotation(6))
    with pytest.raises(UserError, match=words) as caught:
        read(file, **options)
    assert "\n" not in str(caught.value)


def test_an_option_alone_is_refused() -> None:
    with pytest.raises(UserError, match="skeleton: goes with"):
        load("demo", files=Files(skeleton="coco"))
    with pytest.raises(UserError, match="train_annotations: needed"):
        load("custom", files=Files())


def test_coco_s_scorer_gets_coco_s_form(folder: Path) -> None:
    file = write(folder / "a.json", [category(BUG)], annotation(6), {**annotation(6, 2), "bbox": None})
    people = read(file)
    table = Files(val_annotations=file).coco_form(people, "val")
    assert table is not None
    assert [a["bbox"] for a in table["annotations"]] == [[10, 10, 80, 80], people.box[1].tolist()]
    (folder / "list.json").write_text("[{}]")
    assert Files(val_annotations=str(folder / "list.json")).coco_form(people, "val") is None


def test_a_pack_that_goes_on_gives_val_the_joints_of_the_finished_train(folder: Path) -> None:
    cv2.imwrite(str(folder / "a.jpg"), np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8))
    files = Files(
        train_annotations=write(folder / "t.json", [category(BUG)], annotation(6)),
        val_annotations=write(folder / "v.json", [category(BUG[::-1])], annotation(6)),
    )
    for _ in range(2):  # the second time train is there already
        Pack(folder / "store", files=files, input=(64, 64)).run()
        packed = read_store(folder / "store", "val")
        assert packed.skeleton.joints == tuple(BUG)
        assert packed.joints[0].tolist() == read(files.val_annotations or "").joints[0, ::-1].tolist()
        shutil.rmtree(folder / "store" / "val")
