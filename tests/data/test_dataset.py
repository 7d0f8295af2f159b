"""Datasets by name and from outside; the table of skeletons; JSON files and atomic writes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asda_fast.core.errors import UserError
from asda_fast.core.files import read_json, replacing, write_atomic
from asda_fast.core.skeletons import AIC, AP10K, COCO, CROWDPOSE, HALPE26, LSP, MPII, SKELETONS, canonical, pairs_of
from asda_fast.data import DATASETS, Dataset, GlobalAug, People, Preset, dataset, demo_root, load


def test_presets_are_the_papers() -> None:
    got = {name: dataset(name).preset for name in DATASETS}
    aug = GlobalAug(flip=0.5, rotation=30.0, scale=0.25)
    assert got["lsp"] == got["mpii"] == Preset("hrnet_w32", (256, 256), 210, 32, aug)
    assert got["coco"] == Preset("hrnet_w32", (256, 192), 210, 32, GlobalAug(0.5, 40.0, 0.3, half_body=0.3))
    assert got["demo"] == Preset("hrnet_tiny", (128, 128), 12, 16, aug)
    assert [dataset(name).protocol for name in ("demo", "lsp", "mpii", "coco")] == ["oks", "pck", "pckh", "oks"]
    assert [dataset(name).name for name in DATASETS] == list(DATASETS)


SOURCE = """
from asda_fast.core.errors import UserError
from asda_fast.data import Dataset, Preset, load
def read(root, split):
    if not (root / "annotations").is_dir():
        raise UserError(f"{root}: no annotations here")
    return load("demo", root, split)
SET = Dataset("mine", read, Preset(size=(64, 64)))
THREE = 3
"""


def test_a_dataset_of_ones_own_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_dataset_file.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    try:
        people = load("my_dataset_file:SET", demo_root(), "val")
        assert people.name == "mine val"
        assert len(people) == len(load("demo", split="val"))
        assert dataset("my_dataset_file:SET").preset.size == (64, 64)
        assert load("my_dataset_file:read", demo_root()).name == "my_dataset_file:read train"
        assert len(load(dataset("my_dataset_file:SET"), demo_root())) == len(load("demo"))
        with pytest.raises(UserError, match="no annotations here"):
            load("my_dataset_file:SET", tmp_path)
        with pytest.raises(UserError, match="root: dataset mine needs"):
            load("my_dataset_file:SET")
        with pytest.raises(UserError, match="expected a Dataset or a function"):
            load("my_dataset_file:THREE", tmp_path)
        with pytest.raises(UserError, match="has no SETT; did you mean SET"):
            load("my_dataset_file:SETT", tmp_path)
    finally:
        sys.modules.pop("my_dataset_file", None)


def test_a_reader_that_gives_something_else_is_named(tmp_path: Path) -> None:
    wrong = Dataset("wrong", lambda root, split: None)  # type: ignore[arg-type,return-value]
    with pytest.raises(UserError, match="dataset wrong: its reader gave NoneType, not People"):
        load(wrong, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is no folder"):
        load("coco", tmp_path / "file")


def test_data_needs_no_torch() -> None:
    code = "import sys, asda_fast.data as d; d.dataset('coco'); d.load('demo'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("name", [name for name, s in SKELETONS.items() if len(s.joints) < 100 and name != "hand21"])
def test_every_body_mirrors_and_scores(name: str) -> None:
    skeleton = SKELETONS[name]
    names, count = skeleton.joints, len(skeleton.joints)
    assert len({canonical(joint) for joint in names}) == count
    sides = {j for j, joint in enumerate(names) if "left" in joint or "right" in joint}
    assert {j for pair in skeleton.pairs for j in pair} == sides
    assert all(names[a].replace("left", "right") == names[b] for a, b in skeleton.pairs)
    indices = [j for edge in skeleton.edges for j in edge] + [j for g in skeleton.groups.values() for j in g]
    assert set(indices) | set(skeleton.upper) <= set(range(count))
    assert {j for edge in skeleton.edges for j in edge} == set(range(count))  # everything is drawn
    assert skeleton.torso == (names.index("left_shoulder"), names.index("right_hip"))
    assert skeleton.sigmas is None or len(skeleton.sigmas) == count
    for part, joints in skeleton.groups.items():
        if part not in ("Head", "Foot"):
            assert {names[j] for j in joints} == {
                f"{side}_{part.lower().replace(' ', '_')}" for side in ("left", "right")
            }


def test_the_numbers_of_the_official_scorers() -> None:
    from pycocotools.cocoeval import Params

    np.testing.assert_array_equal(COCO.sigmas, Params("keypoints").kpt_oks_sigmas)
    crowd = [0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89, 0.79, 0.79]
    np.testing.assert_array_equal(CROWDPOSE.sigmas, np.array(crowd) / 10)
    assert (LSP.torso, MPII.torso, COCO.torso) == ((9, 2), (13, 2), (5, 12))


def test_names_of_published_files(shared_data: Path) -> None:
    """The table's order is that of the files that people have."""
    places = {
        "crowdpose": "mmpose_crowdpose/test_crowdpose.json",
        "posetrack18": "mmpose_posetrack18/annotations/test_posetrack18_val.json",
        "jhmdb": "mmpose_jhmdb/test_jhmdb_sub1.json",
        "aic": "mmpose_aic/test_aic.json",
        "ap10k": "mmpose_ap10k/test_ap10k.json",
        "coco": "mmpose_coco/test_coco.json",
    }
    for name, place in places.items():
        given = read_json(shared_data / place)["categories"][0]["keypoints"]
        assert [canonical(joint) for joint in given] == list(SKELETONS[name].joints)


@pytest.mark.parametrize(
    ("names", "want"),
    [
        ("L_Eye R_Eye Nose", ((0, 1),)),
        ("nose eye_r eye_l", ((2, 1),)),
        ("LeftEye rightEye", ((0, 1),)),
        ("lefteye righteye", ((0, 1),)),
        ("Left-Eye Right-Eye", ((0, 1),)),
        ("LEye REye", ((0, 1),)),
        ("front_left_paw front_right_paw", ((0, 1),)),
        ("left_eye nose tail", ()),
        ("lip rip", ()),  # a word that begins with the letter has no side
        ("l r", ()),
    ],
)
def test_pairs_by_name(names: str, want: tuple[tuple[int, int], ...]) -> None:
    assert pairs_of(names.split()) == want


def test_names_with_spaces() -> None:
    given = ["Right Shoulder", "Right Elbow", "Right Wrist", "Left Shoulder", "Left Elbow", "Left Wrist"]
    assert pairs_of(given) == ((3, 0), (4, 1), (5, 2))
    assert AIC.pairs[0] == (3, 0)
    assert (HALPE26.swap[20], HALPE26.swap[17], AP10K.swap[7]) == (21, 17, 10)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with pytest.raises(TypeError), replacing(path) as file:
        file.write(3)  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    write_atomic(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" + b"9" * 5000 + b"]", "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_a_broken_json_is_one_line(tmp_path: Path, text: bytes, words: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(UserError, match=words) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"no such file \(truth\)"):
        read_json(tmp_path / "b.json", "truth")
    with pytest.raises(UserError, match="directory"):
        read_json(tmp_path)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json") == [1]


def test_a_name_that_load_gives(tmp_path: Path) -> None:
    demo = dataset("demo")
    assert load(replace(demo, name="other")).name == "other train"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("joints", np.nan, "row 0: joints: expected finite"),
        ("scale", 0.0, "row 0: scale: expected a finite number > 0, got 0.0"),
        ("file", 80, "row 0: file: expected a place in files, got 80"),
        ("visible", 7, "row 0: visible: expected 0, 1 or 2"),
        ("box", -1.0, "row 0: box"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(tmp_path: Path, name: str, value: float, words: str) -> None:
    def read(root: Path, split: str) -> People:
        people = load("demo", split="val")
        return replace(people, **{name: np.full_like(getattr(people, name), value)})

    with pytest.raises(UserError, match=words) as caught:
        load(Dataset("mine", read), tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_reader_of_ones_own_need_not_know_the_types() -> None:
    people = load("demo", split="val")
    loose = {name: getattr(people, name).astype(np.float64) for name in ("joints", "box", "scale", "centre", "visible")}
    again = replace(people, **loose, file=people.file.tolist())
    for name in (*loose, "file"):
        assert getattr(again, name).dtype == getattr(people, name).dtype
        assert np.array_equal(getattr(again, name), getattr(people, name))
