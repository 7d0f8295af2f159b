"""Skeleton files: the three forms that users have, and each mistake in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from asda_fast.core.errors import UserError
from asda_fast.core.skeleton_file import read
from asda_fast.core.skeletons import COCO

JOINTS = ("nose", "ear_a", "ear_b", "paw_l", "paw_r", "tail")
OURS = """
names: [nose, ear_a, ear_b, paw_l, paw_r, tail]
pairs: [[ear_a, 2], [paw_l, paw_r]]
edges: [[nose, ear_a], [nose, ear_b], [0, tail]]
sigmas: [0.1, 0.1, 0.1, 0.2, 0.2, 0.3]
head: [nose, 1]
torso: [ear_a, tail]
lower: [paw_l, paw_r, tail]
"""
MMPOSE = """
channels = 3
dataset_info = dict(
    dataset_name='cat',
    keypoint_info={
        0: dict(name='nose', id=0, color=[1, 2, 3], type='upper', swap=''),
        1: dict(name='ear_a', id=1, color=[1, 2, 3], type='upper', swap='ear_b'),
        2: dict(name='ear_b', id=2, color=[1, 2, 3], type='upper', swap='ear_a'),
        3: dict(name='tail', id=3, color=[1, 2, 3], type='lower', swap=''),
    },
    skeleton_info={0: dict(link=('nose', 'ear_a'), id=0, color=[0, 255, 0])},
    joint_weights=[1.] * 4,
    sigmas=[0.1] * 4)
"""


def file(folder: Path, text: Any, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return path


def test_our_own_keys(tmp_path: Path) -> None:
    made = read(file(tmp_path, OURS)).skeleton(JOINTS)
    assert (made.name, made.joints) == ("mine", JOINTS)
    assert read(file(tmp_path, OURS + "name: cat\n", "other.yaml")).skeleton(JOINTS).name == "cat"
    assert made.pairs == ((1, 2), (3, 4))
    assert made.edges == ((0, 1), (0, 2), (0, 5))
    assert made.sigmas == (0.1, 0.1, 0.1, 0.2, 0.2, 0.3)
    assert (made.head, made.torso, made.upper) == ((0, 1), (1, 5), (0, 1, 2))
    assert made.problem() is None


def test_the_file_in_the_docs(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "howto" / "keypoints.md").read_text(encoding="utf-8")
    found = re.search(r"```yaml\n(names: .*?)```", text, re.DOTALL)
    assert found
    made = read(file(tmp_path, found[1])).skeleton(())
    assert made.pairs == ((1, 2),)
    assert (made.head, made.upper) == ((0, 3), (0, 1, 2))


def test_what_it_does_not_say_comes_from_the_annotations(tmp_path: Path) -> None:
    made = read(file(tmp_path, {"sigmas": [0.1] * 6}, "s.json")).skeleton(JOINTS, ((0, 5),), "cat")
    assert made.joints == JOINTS
    assert made.pairs == ((3, 4),)
    assert made.edges == ((0, 5),)


def test_a_known_set_s_joints_keep_their_order_and_the_file_s_numbers_mean_its_own(tmp_path: Path) -> None:
    names = list(reversed(COCO.joints))
    made = read(file(tmp_path, {"names": names, "head": [0, 16], "sigmas": [0.1 + i for i in range(9)] + [9.5] * 8},
                     "s.json")).skeleton(names)  # fmt: skip
    assert made.joints == COCO.joints
    assert made.head == (16, 0)
    assert made.sigmas is not None
    assert made.sigmas[16] == 0.1
    assert made.name == "s"  # no longer COCO: its protocol is not this one's
    assert read(file(tmp_path, {"names": names}, "t.json")).skeleton(names) == COCO


def test_mmpose_s_dataset_info_as_python_is_read_and_not_executed(tmp_path: Path) -> None:
    made = read(file(tmp_path, MMPOSE, "cat.py")).skeleton(("nose", "ear_a", "ear_b", "tail"))
    assert made.pairs == ((1, 2),)
    assert made.edges == ((0, 1),)
    assert made.upper == (0, 1, 2)
    assert made.sigmas == (0.1,) * 4
    swaps = {name: {"name": name, "id": n, "swap": COCO.joints[COCO.swap[n]]} for n, name in enumerate(COCO.joints)}
    swaps["nose"]["swap"] = ""
    known = read(file(tmp_path, {"keypoint_info": dict(reversed(swaps.items()))}, "c.json")).skeleton(COCO.joints)
    assert known is COCO
    with pytest.raises(UserError, match="nothing is executed"):
        read(file(tmp_path, "import os\ndataset_info = dict(keypoint_info=os.listdir())", "x.py"))


def test_mmpose_s_joints_have_the_number_of_their_key(tmp_path: Path) -> None:
    """As MMPose counts them: deepfashion_full.py, for one, has every id of its lower half a second time."""
    info = {number: {"name": name, "id": number % 2} for number, name in enumerate(("a", "b", "c", "d"))}
    for keys in (info, {str(key): record for key, record in reversed(info.items())}):
        assert read(file(tmp_path, {"keypoint_info": keys}, "a.json")).joints == ("a", "b", "c", "d")
    by_id = [{"name": "b", "id": 1}, {"name": "a", "id": 0}]
    assert read(file(tmp_path, {"keypoint_info": by_id}, "a.json")).joints == ("a", "b")
    assert read(file(tmp_path, {"keypoint_info": [{"name": "b"}, {"name": "a"}]}, "a.json")).joints == ("b", "a")


def test_sums_of_lists_are_literals(tmp_path: Path) -> None:
    """As halpe26.py has them."""
    text = MMPOSE.replace("sigmas=[0.1] * 4", "sigmas=[0.1, 0.2] + [0.3] + [0.4] * 1")
    assert read(file(tmp_path, text, "cat.py")).skeleton(()).sigmas == (0.1, 0.2, 0.3, 0.4)
    with pytest.raises(UserError, match="nothing is executed"):
        read(file(tmp_path, "dataset_info = dict(sigmas=[1] + 'x')", "x.py"))


def test_ultralytics_data_file(tmp_path: Path) -> None:
    text = {"path": "x", "train": "images/train", "names": {0: "cat"}, "kpt_shape": [4, 3], "flip_idx": [0, 2, 1, 3]}
    made = read(file(tmp_path, text)).skeleton(("nose", "a", "b", "tail"))
    assert made.pairs == ((1, 2),)
    assert read(file(tmp_path, text)).skeleton(()).joints == ("joint_0", "joint_1", "joint_2", "joint_3")
    named = {**text, "kpt_names": {0: ["nose", "a", "b", "tail"]}}
    assert read(file(tmp_path, named)).skeleton(()).joints == ("nose", "a", "b", "tail")
    assert read(file(tmp_path, {"kpt_shape": [17, 3], "flip_idx": list(COCO.swap)})).skeleton(()) == COCO


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"pair": []}, "got 'pair'; did you mean pairs"),
        ({"pairs": [["nose", "nose"]]}, "nose and nose do not mirror"),
        ({"pairs": [["ear_a", "ear_b"], ["ear_a", "tail"]]}, "ear_a is in two"),
        ({"pairs": [["ear_a", "ear_c"]]}, "'ear_c' is none of its 6 joints; did you mean ear_"),
        ({"pairs": [["paw_l", "nose"], [3, 9]]}, "joint numbers 0 to 5, got 9"),
        ({"edges": [[1, 2, 3]]}, "edges: expected 2 joints"),
        ({"sigmas": [0.1]}, "sigmas: expected 6 numbers"),
        ({"sigmas": [0, 1, 1, 1, 1, 1]}, "sigmas: expected 6 numbers above 0"),
        ({"names": ["a", "A"]}, "are one name"),
        ({"upper": ["nose"], "lower": ["tail"]}, "every joint in one of them; ear_a is not"),
        ({"kpt_shape": [6, 4]}, "kpt_shape: expected"),
        ({"kpt_shape": [6, 3], "flip_idx": [1, 2, 0, 3, 4, 5]}, "joint 0 mirrors to 1, but 1 to 2"),
        ({"kpt_shape": [6, 3], "flip_idx": [0, 1, 2, 3, 4, 6]}, "joint numbers 0 to 5, got 6"),
        ({"kpt_shape": [5, 3]}, "of 5 joints; the annotations have 6"),
        ({"keypoint_info": {"0": {"name": "a", "swap": "b"}, "1": {"name": "b", "swap": ""}}}, "but 'b' has none"),
        ({"keypoint_info": [{"name": "a", "id": 0}, {"name": "b", "id": 0}]}, "number as its key .or id., got 0 twice"),
        ({"keypoint_info": [{"name": "a", "id": 0}, {"name": "b"}]}, "number as its key .or id., got None"),
        ({"keypoint_info": {"x": {"name": "a", "id": 1.5}}}, "number as its key .or id., got 1.5"),
        ({"keypoint_info": [{"name": "a", "swap": "b"}, {"name": "b", "swap": "x" * 5000}]}, "'b' has 'xxx.*[.]{3}"),
        ({}, "expected a skeleton"),
        ("pairs: [[", "not YAML"),
        ("!!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(tmp_path: Path, content: Any, words: str) -> None:
    path = file(tmp_path, content)
    with pytest.raises(UserError, match=words) as caught:
        read(path).skeleton(JOINTS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
