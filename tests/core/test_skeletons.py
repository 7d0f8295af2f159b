"""Skeletons: sound tables, names in any spelling, and the way to files and back."""

from __future__ import annotations

import json

import pytest

from asda_fast.core.skeletons import SKELETONS, Skeleton, canonical, from_names, pairs_of


@pytest.mark.parametrize("name", SKELETONS)
def test_a_known_skeleton_is_sound_and_survives_a_file(name: str) -> None:
    skeleton = SKELETONS[name]
    assert skeleton.problem() is None
    assert set(map(frozenset, pairs_of(skeleton.joints))) <= set(map(frozenset, skeleton.pairs))
    assert [skeleton.swap[other] for other in skeleton.swap] == list(range(len(skeleton.joints)))
    assert Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict()))) == skeleton


@pytest.mark.parametrize(
    ("left", "right"),
    [("left_eye", "right_eye"), ("L_Eye", "R_Eye"), ("eye_l", "eye_r"), ("leftEye", "rightEye"), ("LEye", "REye"),
     ("EYE-LEFT", "EYE-RIGHT"), ("Eye L", "Eye R"), ("eyeL", "eyeR"), ("upper_left_lid", "upper_right_lid")],
)  # fmt: skip
def test_pairs_are_found_by_name(left: str, right: str) -> None:
    assert pairs_of(["nose", right, left]) == ((2, 1),), (canonical(left), canonical(right))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pairs": [[0, 2]]}, "below 2"),
        ({"pairs": [[0, 1], [1, 0]]}, "two pairs"),
        ({"sigmas": [0.1]}, "2 sigmas"),
        ({"joints": ["a", "a"]}, "names"),
    ],
)
def test_a_damaged_record_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Skeleton.from_dict({**from_names("mine", ["a", "b"]).to_dict(), **change})
