"""What data check says of a set: what was understood, and pairs that do not mirror."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from asda_fast.cli import data as command
from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import COCO, from_names
from asda_fast.data import load
from asda_fast.data.custom import Files
from asda_fast.data.demo import annotations_of, demo_root
from asda_fast.data.people import People
from asda_fast.data.summary import mirror_problems, summary


@pytest.fixture(scope="module")
def people() -> People:
    return load("demo")


def renamed(people: People, swapped: dict[str, str]) -> People:
    """The people with joints under each other's names: the table is right, its names are not."""
    other = {**swapped, **{b: a for a, b in swapped.items()}}
    names = [other.get(name, name) for name in COCO.joints]
    order = [names.index(name) for name in COCO.joints]
    return replace(people, joints=people.joints[:, order], visible=people.visible[:, order])


def test_sound_pairs_mirror(people: People) -> None:
    assert mirror_problems(people) == []


def test_a_swapped_pair_is_named(people: People) -> None:
    (said,) = mirror_problems(renamed(people, {"left_hip": "right_hip"}))
    assert said.startswith("pair left_hip - right_hip: the other way round than the other pairs in")


def test_two_joints_that_are_no_pair_are_named(people: People) -> None:
    found = mirror_problems(renamed(people, {"left_elbow": "left_ankle"}))
    assert {line.split(":")[0] for line in found} == {"pair left_elbow - right_elbow", "pair left_ankle - right_ankle"}


def test_a_few_people_tell_nothing(people: People) -> None:
    assert mirror_problems(renamed(people, {"left_hip": "right_hip"}).select(np.arange(10))) == []


def test_summary_says_joints_pairs_and_sizes(people: People) -> None:
    names = ["nose", "hoof_l", "hoof_r", "horn_l"]
    cut = replace(
        people,
        skeleton=from_names("elk", names),
        joints=people.joints[:, :4],
        visible=people.visible[:, :4] * [1, 1, 1, 0],
    )
    said = summary(cut)
    assert said[0] == "4 joints (elk): nose, hoof_l, hoof_r, horn_l"
    assert said[1] == "1 left-right pairs: hoof_l - hoof_r"
    assert said[2] == "named left or right, but of no pair: horn_l"
    assert "never labelled: horn_l" in said
    assert any(line.startswith("boxes: ") for line in said)


def test_data_check_draws_and_writes_what_it_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, photos = annotations_of(demo_root(), "val"), demo_root() / "val"
    mine = json.loads(file.read_text())
    mine["categories"][0] |= {"name": "elk", "keypoints": [f"hoof{j}" for j in range(17)]}
    (tmp_path / "elks.json").write_text(json.dumps(mine))
    files = Files(val_annotations=str(tmp_path / "elks.json"), images=(str(photos),))
    out = tmp_path / "sheet.jpg"
    command.Check(files=files, out=out, json=tmp_path / "said.json").run()
    said = capsys.readouterr().out
    assert "17 joints (elk): hoof0, " in said
    assert "no left-right pairs" in said
    assert "0 bad" in said
    assert cv2.imread(str(out)).shape[1] > 1000
    assert "val" in json.loads((tmp_path / "said.json").read_text())


def test_data_check_without_files_says_what_is_needed() -> None:
    with pytest.raises(UserError, match="train_annotations: needed"):
        command.Check().run()
