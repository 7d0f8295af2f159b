"""Readers: real annotations against independent readings, and every kind of mistake in one clear line."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asda_fast.core.errors import UserError
from asda_fast.data import demo_root, load


@pytest.mark.parametrize("split", ["train", "val"])
def test_coco_against_pycocotools(shared_data: Path, split: str) -> None:
    from pycocotools.coco import COCO

    root = shared_data / "coco_mini"
    api = COCO(str(root / "annotations" / f"person_keypoints_{split}2017.json"))
    people = load("coco", root, split)
    wanted = {a["id"]: a for a in api.loadAnns(api.getAnnIds(iscrowd=False)) if a["num_keypoints"] > 0}
    assert set(people.id.tolist()) == set(wanted)
    for row, identity in enumerate(people.id.tolist()):
        annotation = wanted[identity]
        keypoints = np.array(annotation["keypoints"]).reshape(-1, 3)
        known = keypoints[:, 2] > 0
        assert (people.visible[row] == keypoints[:, 2]).all()
        assert (people.joints[row][known] == keypoints[known, :2] + 0.5).all()
        assert (people.joints[row][~known] == 0).all()
        np.testing.assert_allclose(people.box[row], annotation["bbox"], atol=1e-3)
        assert Path(people.files[people.file[row]]).name == api.loadImgs(annotation["image_id"])[0]["file_name"]
    assert all(Path(name).is_file() for name in people.files)


def test_mpii(shared_data: Path) -> None:
    people = load("mpii", shared_data / "mmpose_mpii")
    records = json.loads((shared_data / "mmpose_mpii" / "test_mpii.json").read_text())
    assert len(people) == len(records) == 3
    first = records[0]
    np.testing.assert_allclose(people.joints[0][0], np.array(first["joints"][0]) - 0.5)
    assert people.scale[0] == pytest.approx(first["scale"] * 1.25)
    np.testing.assert_allclose(
        people.centre[0], [first["center"][0] - 0.5, first["center"][1] - 0.5 + 15 * first["scale"]]
    )
    assert people.fit == "square"


def test_mpii_head_sizes(shared_data: Path, tmp_path: Path) -> None:
    """With the evaluation's head boxes they are its own; without, the stand-in is close for nearly everyone."""
    source = shared_data / "mpii_eval" / "annot"
    root = tmp_path / "mpii"
    (root / "annot").mkdir(parents=True)
    (root / "images").mkdir()
    records = json.loads((source / "valid.json").read_text())
    (root / "images" / records[0]["image"]).touch()
    (root / "annot" / "valid.json").write_text(json.dumps(records))
    guessed = load("mpii", root, "val").head
    (root / "annot" / "gt_valid.mat").symlink_to(source / "gt_valid.mat")
    exact = load("mpii", root, "val").head
    assert not np.isnan(exact).any()
    off = np.abs(guessed / exact - 1)
    assert np.nanquantile(off, 0.97) < 0.02


def test_lsp_extended(shared_data: Path) -> None:
    root = shared_data / "lspet"
    train, val = load("lsp", root), load("lsp", root, "val")
    assert (len(train), len(val)) == (3500, 500)
    assert not set(train.files) & set(val.files)
    assert sorted(Path(name).name for name in val.files) == sorted((root / "val.txt").read_text().split())


def lsp_folder(root: Path, joints: np.ndarray, names: list[str]) -> Path:
    from scipy.io import savemat

    (root / "images").mkdir(parents=True)
    savemat(root / "joints.mat", {"joints": joints})
    for name in names:
        (root / "images" / name).touch()
    return root


def test_original_lsp_and_both_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lsp = rng.uniform(1, 200, (3, 14, 2000))
    lsp[2] = rng.random((14, 2000)) < 0.1  # occluded
    extended = rng.uniform(1, 200, (14, 3, 30))
    extended[:, 2] = rng.random((14, 30)) < 0.9  # labelled
    lsp_folder(tmp_path / "a", lsp, [f"im{i:04d}.jpg" for i in range(1, 2001)])
    lsp_folder(tmp_path / "b", extended, [f"im{i:05d}.jpg" for i in range(1, 31)])
    alone, both, val = load("lsp", tmp_path / "a"), load("lsp", tmp_path), load("lsp", tmp_path, "val")
    assert (len(alone), len(both), len(val)) == (1000, 1030, 1000)
    assert Path(val.files[val.file[0]]).name == "im1001.jpg"
    assert (val.visible[0] == np.where(lsp[2, :, 1000] > 0, 1, 2)).all()
    np.testing.assert_allclose(val.joints[0], lsp[:2, :, 1000].T - 0.5, rtol=1e-6)
    assert both.files[both.file[1005]].endswith("b/images/im00006.jpg")
    assert (both.visible[1005] == np.where(extended[:, 2, 5] > 0, 2, 0)).all()
    with pytest.raises(UserError, match=r"val\.txt"):
        load("lsp", tmp_path / "b", "val")


def test_demo() -> None:
    if not demo_root().is_dir():
        pytest.fail(f"the embedded demo set is missing: {demo_root()}")
    for split in ("train", "val"):
        people = load("demo", split=split)
        assert all(Path(name).is_file() for name in people.files)


def coco_folder(root: Path, table: Any) -> Path:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "train2017").mkdir(exist_ok=True)
    (root / "train2017" / "a.jpg").touch()
    text = table if isinstance(table, str) else json.dumps(table)
    (root / "annotations" / "person_keypoints_train2017.json").write_text(text)
    return root


PERSON = {"id": 7, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [1, 2, 30, 40], "keypoints": [5, 6, 2] * 17}
TABLE = {"images": [{"id": 1, "file_name": "a.jpg", "height": 50, "width": 60}], "annotations": [PERSON]}


def test_coco_leaves_out_what_hrnet_leaves_out(tmp_path: Path) -> None:
    table = copy.deepcopy(TABLE)
    for change in (
        {"iscrowd": 1},
        {"keypoints": [0] * 51},
        {"bbox": [70, 2, 30, 40]},  # outside the photo
        {"area": 0},
        {"category_id": 2},
    ):
        table["annotations"].append({**PERSON, **change})
    people = load("coco", coco_folder(tmp_path, table))
    assert people.id.tolist() == [7]
    table["annotations"].append({**PERSON, "id": 8, "bbox": [-10, 40, 30, 40]})
    people = load("coco", coco_folder(tmp_path, table))
    assert people.box[1].tolist() == [0, 40, 20, 10]


def wrong(change: dict[str, Any]) -> dict[str, Any]:
    return {**TABLE, "annotations": [PERSON, {**PERSON, "id": 9, **change}]}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("{", "not JSON"),
        ("[1]", "'images'"),
        ({"images": [{"id": 1}], "annotations": []}, r"images\[0\]"),
        ({**TABLE, "annotations": []}, "no person"),
        (wrong({"keypoints": [1, 2, 3]}), r"annotations\[1\] \(id 9\).*51"),
        (wrong({"keypoints": [5, 6, 3] * 17}), r"annotations\[1\] \(id 9\).*flags"),
        (wrong({"keypoints": "abc"}), r"annotations\[1\] \(id 9\)"),
        (wrong({"bbox": [1, 2, 3]}), r"annotations\[1\] \(id 9\)"),
        (wrong({"bbox": [1, 2, float("nan"), 4]}), r"annotations\[1\] \(id 9\).*finite"),
        (wrong({"image_id": 5}), r"annotations\[1\] \(id 9\).*image_id 5"),
        ({**TABLE, "annotations": [3]}, r"annotations\[0\]"),
        ({**TABLE, "images": [{**TABLE["images"][0], "file_name": "b.jpg"}]}, "b.jpg"),
    ],
)
def test_broken_coco_names_file_and_record(tmp_path: Path, table: Any, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        load("coco", coco_folder(tmp_path, table))
    assert "person_keypoints_train2017.json" in str(caught.value)
    assert "\n" not in str(caught.value)


RECORD = {"image": "a.jpg", "joints": [[5, 6]] * 16, "joints_vis": [1] * 16, "center": [5, 6], "scale": 1.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"joints": [[1, 2]] * 15}, r"record 1 \(a.jpg\).*joints"),
        ({"scale": 0}, r"record 1 \(a.jpg\).*scale"),
        ({"center": None}, r"record 1 \(a.jpg\).*center"),
        ({"image": 3}, "record 1"),
    ],
)
def test_broken_mpii(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").touch()
    (tmp_path / "all.json").write_text(json.dumps([RECORD, {**RECORD, **change}]))
    with pytest.raises(UserError, match=words) as caught:
        load("mpii", tmp_path)
    assert "all.json" in str(caught.value)


def test_broken_lsp(tmp_path: Path) -> None:
    joints = np.ones((14, 3, 4))
    root = lsp_folder(tmp_path / "few", joints, ["im00001.jpg"])
    with pytest.raises(UserError, match="expected 4 photos"):
        load("lsp", root)
    (root / "joints.mat").write_bytes(b"MATLAB 5.0 MAT-file, not really")
    with pytest.raises(UserError, match=r"joints\.mat"):
        load("lsp", root)
    root = lsp_folder(tmp_path / "shape", np.ones((5, 3, 4)), [f"im{i:05d}.jpg" for i in range(4)])
    with pytest.raises(UserError, match="expected"):
        load("lsp", root)
    joints[3, 0, 2] = np.nan
    root = lsp_folder(tmp_path / "nan", joints, [f"im{i:05d}.jpg" for i in range(4)])
    with pytest.raises(UserError, match="record 2"):
        load("lsp", root)


def test_wrong_names_and_folders(tmp_path: Path) -> None:
    for name, root in (("coco", tmp_path), ("mpii", tmp_path), ("lsp", tmp_path)):
        with pytest.raises(UserError, match=str(tmp_path)):
            load(name, root)
    with pytest.raises(UserError, match="no such folder"):
        load("coco", tmp_path / "nowhere")
    with pytest.raises(UserError, match="root: "):
        load("mpii")
    with pytest.raises(UserError, match="expected one of"):
        load("lip", tmp_path)
    with pytest.raises(UserError, match="split"):
        load("demo", split="test")
