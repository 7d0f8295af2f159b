"""Parts from outlines and joints alone: a drawn person whose limbs are known, real photos, and the command."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from asda_fast.cli.parts import main
from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import COCO
from asda_fast.parts.instances import Joint, Person
from asda_fast.parts.limbs import HEAD, LIMBS, OTHER, TORSO, limb_map
from asda_fast.parts.pool import PartPool
from asda_fast.parts.read import read_map
from tools.limb_agreement import agreement, pose_of

HEIGHT, WIDTH = 240, 160
# Seen from the front: the person's left is on the right of the picture.
POSE = {
    "nose": (80, 30), "left_eye": (84, 26), "right_eye": (76, 26),
    "left_shoulder": (100, 60), "right_shoulder": (60, 60), "left_elbow": (130, 90), "right_elbow": (30, 90),
    "left_wrist": (140, 120), "right_wrist": (20, 120), "left_hip": (92, 130), "right_hip": (68, 130),
    "left_knee": (98, 175), "right_knee": (62, 175), "left_ankle": (100, 215), "right_ankle": (60, 215),
}  # fmt: skip
JOINTS: dict[str, Joint] = {name: (float(x), float(y), 2) for name, (x, y) in POSE.items()}


def drawn() -> np.ndarray:
    """[H, W] what limb each pixel of the drawn person belongs to."""
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(label, [np.array([(60, 55), (100, 55), (94, 135), (66, 135)])], TORSO)
    cv2.line(label, (80, 40), (80, 60), TORSO, 14)
    cv2.circle(label, (80, 30), 18, HEAD, -1)
    for limb, names in LIMBS.items():
        for a, b in itertools.pairwise(names):
            cv2.line(label, POSE[a], POSE[b], limb, 12 if limb < 5 else 18)
    return label


def person(**changed: Joint | None) -> Person:
    joints = {name: joint for name, joint in {**JOINTS, **changed}.items() if joint is not None}
    return Person("annotation 1", None, [[0, 0, 1, 1, 2, 0]], joints)


def test_limbs_of_a_drawn_person() -> None:
    truth = drawn()
    made, without = limb_map((person(),), (truth > 0).astype(np.uint8))
    assert without == [] and (made[truth == 0] == 0).all()
    for limb in (*LIMBS, TORSO, HEAD):
        both, either = ((made == limb) & (truth == limb)).sum(), ((made == limb) | (truth == limb)).sum()
        assert both / either > 0.65, (limb, both / either)


def test_a_mirror_swaps_the_sides_and_nothing_else() -> None:
    mask = (drawn() > 0).astype(np.uint8)
    other = {"left": "right", "right": "left"}
    flipped = {
        "_".join(other.get(word, word) for word in name.split("_")): (WIDTH - x, y, v)
        for name, (x, y, v) in JOINTS.items()
    }
    made, _ = limb_map((person(),), mask)
    mirrored, _ = limb_map((Person("m", None, [1], flipped),), np.ascontiguousarray(mask[:, ::-1]))
    swap = np.array([0, 1, 2, 4, 3, 6, 5, 7], np.uint8)
    assert (swap[mirrored[:, ::-1]] == made).mean() > 0.999  # ties of distance aside


@pytest.mark.parametrize("wrist", [(140.0, 120.0, 1), (150.0, 60.0, 2), (-30.0, -30.0, 2), (900.0, -3.5, 2)])
def test_a_limb_with_a_hidden_joint_or_one_off_the_person_is_left_out(wrist: Joint) -> None:
    truth = drawn()
    made, _ = limb_map((person(left_wrist=wrist),), (truth > 0).astype(np.uint8))
    assert not (made == 3).any() and (made == 4).any()
    assert (made[truth == 3] == OTHER).any()


def test_of_somebody_without_a_trunk_nothing_is_cut_and_neighbours_keep_their_pixels() -> None:
    mask = (drawn() > 0).astype(np.uint8)
    mask[:, :50] *= 2  # the right forearm is another person's
    alone = Person("annotation 2", None, [1], {"nose": (10.0, 10.0, 2)})
    made, without = limb_map((person(), alone), mask)
    assert without == ["annotation 2"]
    assert not made[mask == 2].any() and not (made == 4).any() and (made == 3).any()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT * 2, WIDTH * 2, 3), dtype=np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(noise).save(tmp_path / "images" / "a.png")
    mask = cv2.resize(drawn(), (WIDTH * 2, HEIGHT * 2), interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours((mask > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = [v for name in COCO.joints for v in ((*(2 * c for c in POSE[name]), 2) if name in POSE else (0, 0, 0))]
    annotation = {"id": 1, "image_id": 5, "category_id": 1, "iscrowd": 0, "bbox": [20, 20, 280, 430],
                  "keypoints": points, "segmentation": [outline.ravel().tolist() for outline in outlines]}  # fmt: skip
    write(tmp_path, annotation)
    return tmp_path


def write(folder: Path, *annotations: dict) -> None:
    category = {"id": 1, "name": "person", "keypoints": list(COCO.joints)}
    images = [{"id": 5, "file_name": "a.png", "width": WIDTH * 2, "height": HEIGHT * 2}]
    table = {"images": images, "annotations": list(annotations), "categories": [category]}
    (folder / "coco.json").write_text(json.dumps(table))


def build(folder: Path, *more: str) -> None:
    command = ["build", "--images", str(folder / "images"), "--coco", str(folder / "coco.json"), "--workers", "1"]
    main([*command, "--out", str(folder / "pool.safetensors"), *more])


@pytest.mark.parametrize("triples", [False, True])
def test_build_from_a_coco_file(folder: Path, triples: bool) -> None:
    """Keypoints as COCO's flat list, or in triples with nulls where nothing is labelled."""
    if triples:
        annotation = json.loads((folder / "coco.json").read_text())["annotations"][0]
        joints = [annotation["keypoints"][i : i + 3] for i in range(0, 51, 3)]
        write(folder, {**annotation, "keypoints": [joint if joint[2] else [None] * 3 for joint in joints]})
    build(folder)
    pool = PartPool.load(folder / "pool.safetensors")
    kinds = sorted(pool.types[i] for i in pool.type.tolist())
    assert kinds == [
        "All", "Head", "Left-arm", "Left-leg-with-shoe", "Lower-body", "Right-arm", "Right-leg-with-shoe", "Upper-body",
        "Upper-body-with-head",
    ]  # fmt: skip
    assert set(pool.source) == {"a"}


@pytest.mark.parametrize("outline", [[[]], [[20, 20, 300, 450]], "mask", {"size": [9, 9], "counts": [81]}])
def test_nothing_is_cut_out_of_a_box(folder: Path, capsys: pytest.CaptureFixture[str], outline: Any) -> None:
    """Whose outline cannot be drawn is not cut, since a box has the background in it, and takes no pixel of others."""
    one = json.loads((folder / "coco.json").read_text())["annotations"][0]
    other = {**one, "id": 2, "bbox": [100, 100, 100, 100], "segmentation": outline}
    build(folder)
    alone = PartPool.load(folder / "pool.safetensors")
    capsys.readouterr()
    write(folder, one, other)
    build(folder)
    assert torch.equal(PartPool.load(folder / "pool.safetensors").texels, alone.texels)
    assert "people whose outline cannot be drawn, not cut (" in capsys.readouterr().out
    write(folder, other)
    with pytest.raises(UserError, match=r"nothing to write.*1 people whose outline cannot be drawn"):
        build(folder)


def test_a_photo_gets_no_other_photos_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of two photos of one name nobody can tell whose people the file's are, nor of two in the file."""
    table = json.loads((folder / "coco.json").read_text())
    (folder / "images" / "one").mkdir()
    (folder / "images" / "two").mkdir()
    for place in ("one/b.png", "two/b.png"):
        shutil.copy(folder / "images" / "a.png", folder / "images" / place)
    both = [{**table["annotations"][0], "id": 2, "image_id": 6}, *table["annotations"]]
    images = [*table["images"], {**table["images"][0], "id": 6, "file_name": "b.png"}]
    (folder / "coco.json").write_text(json.dumps({**table, "images": images, "annotations": both}))
    build(folder)
    assert set(PartPool.load(folder / "pool.safetensors").source) == {"a"}
    assert "skipped, may be another photo of this name: 2; the first:" in capsys.readouterr().out
    for names, words in (
        (("b.png", "b.png"), "--coco .*: has several photos of the name 'one/b'"),
        (("a.png", "a.jpg"), "has several photos 'a', of one name but for its suffix"),
    ):
        named = [{**image, "file_name": name} for image, name in zip(images, names)]
        (folder / "coco.json").write_text(json.dumps({**table, "images": named, "annotations": both}))
        with pytest.raises(UserError, match=words):
            build(folder)


def test_what_cannot_be_built_is_one_line(folder: Path) -> None:
    annotation = json.loads((folder / "coco.json").read_text())["annotations"][0]
    shares = [v / 500 if i % 3 < 2 else v for i, v in enumerate(annotation["keypoints"])]
    hidden = [min(v, 1) if i % 3 == 2 else v for i, v in enumerate(annotation["keypoints"])]
    off = [v - 5000 if i % 3 < 2 else v for i, v in enumerate(annotation["keypoints"])]
    for changed, words in (
        (
            {"segmentation": []},
            "expected people with outlines .segmentation. and named keypoints, found none: of 1 peo",
        ),
        ({"iscrowd": "0"}, "annotation 1: iscrowd: expected 0 or 1, got '0'"),
        ({"keypoints": hidden}, "1 people without a limb, trunk or head all of whose joints are visible, not cut"),
        ({"keypoints": off}, "people without a limb, trunk or head all of whose joints"),
        ({"keypoints": [1, 2, 2]}, r"annotation 1: keypoints: expected 51 numbers x, y, v, got \[1, 2, 2\]"),
        ({"keypoints": shares}, "expected pixels"),
        ({"keypoints": [10, 10, 3, *annotation["keypoints"][3:]]}, "flag 0, 1 or 2 of 'nose', got .10, 10, 3"),
        ({"keypoints": [None, 10, 2, *annotation["keypoints"][3:]]}, "expected pixels x, y and a flag"),
    ):
        write(folder, {**annotation, **changed})
        with pytest.raises(UserError, match=words):
            build(folder)
    write(folder, annotation)
    with pytest.raises(UserError, match="--labels: expected none beside coco"):
        build(folder, "--labels", str(folder))
    for name in ("pool.safetensors", "rest.safetensors"):  # else the report would take its place
        with pytest.raises(UserError, match=r"--report .*: expected a file of its own to write, not that of a pool"):
            build(folder, "--report", str(folder / name), "--dropped", str(folder / "rest.safetensors"))
    with pytest.raises(UserError, match="--apart: expected none beside coco"):
        build(folder, "--apart")
    maps = ["--labels", str(folder / "images"), "--scheme", "lip", "--people", str(folder / "coco.json"), "--apart"]
    with pytest.raises(UserError, match=r"instances, people, apart: expected one of them .*, got people"):
        main(["build", "--images", str(folder / "images"), *maps])
    with pytest.raises(UserError, match="expected both"):
        main(["build", "--images", str(folder / "images"), "--out", str(folder / "p.safetensors")])


def test_joints_agree_with_label_maps_of_real_photos(shared_data: Path) -> None:
    folder, seen = shared_data / "viton_hd", 0
    for path in sorted((folder / "image-parse").glob("*.png")):
        pose = pose_of(folder / "openpose-json" / f"{path.stem}_keypoints.json")
        for name, (pixels, same, other) in agreement(read_map(path), pose, "lip").items():
            assert other == 0 and same > (0.75 if name == "Head" else 0.85) * pixels, (path.name, name)
            seen += 1
    assert seen >= 8
