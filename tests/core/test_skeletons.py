"""Skeletons: sound tables, names in any spelling, and the way to files and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from pycocotools.cocoeval import Params

from asda_fast.core.errors import UserError
from asda_fast.core.skeleton import check_joints, described
from asda_fast.core.skeletons import (
    COCO,
    SKELETONS,
    Skeleton,
    canonical,
    from_names,
    order_of,
    other_joints,
    pairs_of,
)  # fmt: skip


@pytest.mark.parametrize("name", SKELETONS)
def test_a_known_skeleton_is_sound_and_survives_a_file(name: str) -> None:
    skeleton = SKELETONS[name]
    assert skeleton.problem() is None
    assert set(map(frozenset, pairs_of(skeleton.joints))) <= set(map(frozenset, skeleton.pairs))
    assert [skeleton.swap[other] for other in skeleton.swap] == list(range(len(skeleton.joints)))
    assert Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict()))) == skeleton


def mirrored(skeleton: Skeleton, joints: Iterable[int]) -> set[int]:
    return {skeleton.swap[joint] for joint in joints}


@pytest.mark.parametrize("name", SKELETONS)
def test_a_known_skeleton_is_its_own_mirror(name: str) -> None:
    skeleton = SKELETONS[name]
    edges = {frozenset(edge) for edge in skeleton.edges}
    assert {frozenset(mirrored(skeleton, edge)) for edge in edges} == edges
    assert len(edges) == len(skeleton.edges)
    assert all(len(edge) == 2 for edge in edges)
    halves = {frozenset(mirrored(skeleton, members)) for members in skeleton.groups.values()}
    if name != "hand21":
        assert mirrored(skeleton, skeleton.upper) == set(skeleton.upper)
        assert halves == {frozenset(members) for members in skeleton.groups.values()}
    members = [joint for group in skeleton.groups.values() for joint in group]
    assert len(members) == len(set(members))  # no joint counts in two groups


LOWER = re.compile(r"pelvis|hip|knee|ankle|toe|heel|tail|back_paw")
GROUPS = ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Front paw", "Back paw")


@pytest.mark.parametrize("name", SKELETONS)
def test_tables_say_what_the_joints_names_say(name: str) -> None:
    skeleton = SKELETONS[name]
    assert skeleton.name == name
    named = {joint: number for number, joint in enumerate(skeleton.joints)}
    if name != "hand21":
        assert set(skeleton.upper) == {number for joint, number in named.items() if not LOWER.search(joint)}
    for group in GROUPS:
        joint = group.lower().replace(" ", "_")
        sides = {named[f"{side}_{joint}"] for side in ("left", "right") if f"{side}_{joint}" in named}
        assert set(skeleton.groups.get(group, ())) == sides, group
    feet = {number for joint, number in named.items() if "toe" in joint or "heel" in joint}
    assert set(skeleton.groups.get("Foot", ())) == feet
    if skeleton.head is not None:
        top, bottom = (skeleton.joints[joint] for joint in skeleton.head)
        assert top in ("head", "head_top")
        assert bottom in ("neck", "upper_neck", "head_bottom")
    if "left_shoulder" in named and "right_hip" in named:
        assert skeleton.torso == (named["left_shoulder"], named["right_hip"])


@pytest.mark.parametrize("name", [name for name in SKELETONS if name not in ("hand21",)])
def test_bones_hang_together(name: str) -> None:
    """From any joint with a bone all others are reached: one body, hands on their arms."""
    edges = SKELETONS[name].edges
    reached = set(edges[0])
    for _ in edges:
        reached |= {joint for edge in edges if reached & set(edge) for joint in edge}
    assert reached == {joint for edge in edges for joint in edge}
    assert reached >= {n for n, joint in enumerate(SKELETONS[name].joints) if not joint.startswith("face-")}


def test_they_are_known_by_their_names() -> None:
    """Which commands take and checkpoints hold."""
    names = "coco mpii lsp crowdpose posetrack18 jhmdb aic halpe26 ap10k hand21 wholebody halpe136"
    assert list(SKELETONS) == names.split()


def test_fingers_start_at_the_wrist() -> None:
    for name, roots in (("hand21", ["wrist"]), ("wholebody", ["left_hand_root", "right_hand_root"])):
        skeleton = SKELETONS[name]
        edges = {(skeleton.joints[a], skeleton.joints[b]) for a, b in skeleton.edges}
        for root in roots:
            side = root.removesuffix("hand_root").removesuffix("wrist")
            for finger in ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger"):
                chain = [root, *(f"{side}{finger}{number}" for number in range(1, 5))]
                assert edges >= set(pairwise(chain))
        assert len(edges) == len(skeleton.edges)
    groups = SKELETONS["hand21"].groups
    assert groups["Middle"] == tuple(SKELETONS["hand21"].joints.index(f"middle_finger{n}") for n in range(1, 5))
    assert list(groups) == ["Thumb", "Forefinger", "Middle", "Ring", "Pinky"]


def test_face_points_in_the_middle_have_no_other_side() -> None:
    """Of iBUG's 68: chin, ridge and tip of the nose, the lips' middles."""
    for name in ("wholebody", "halpe136"):
        skeleton = SKELETONS[name]
        first = skeleton.joints.index("face-0")
        middle = {j - first for j in range(first, first + 68) if skeleton.swap[j] == j}
        assert middle == {8, 27, 28, 29, 30, 33, 51, 57, 62, 66}
        across = {skeleton.swap[first + j] - first + j for j in range(17)}
        assert across == {16}  # along the jaw
        assert skeleton.groups["Face"] == tuple(range(first, first + 68))
        assert skeleton.groups["Hand"] == tuple(range(first + 68, first + 110))


def test_sigmas_are_those_of_the_official_scorer() -> None:
    official = Params("keypoints").kpt_oks_sigmas.tolist()
    assert list(COCO.sigmas or ()) == official
    by_name = dict(zip(COCO.joints, official))
    for name in ("crowdpose", "jhmdb", "halpe26", "wholebody", "halpe136", "posetrack18"):
        skeleton = SKELETONS[name]
        for joint, sigma in zip(skeleton.joints, skeleton.sigmas or (), strict=True):
            assert sigma == by_name.get(joint, sigma), (name, joint)
    for name in ("crowdpose", "posetrack18", "jhmdb", "halpe26", "halpe136"):
        sigmas = SKELETONS[name].sigmas or ()
        assert [sigmas[j] for j in SKELETONS[name].swap] == list(sigmas)
    hand, whole = SKELETONS["hand21"].sigmas, SKELETONS["wholebody"].sigmas or ()
    assert whole[91:112] == whole[112:133] == hand


@pytest.mark.parametrize(
    ("left", "right"),
    [("left_eye", "right_eye"), ("L_Eye", "R_Eye"), ("eye_l", "eye_r"), ("leftEye", "rightEye"), ("LEye", "REye"),
     ("EYE-LEFT", "EYE-RIGHT"), ("Eye L", "Eye R"), ("eyeL", "eyeR"), ("upper_left_lid", "upper_right_lid")],
)  # fmt: skip
def test_pairs_are_found_by_name(left: str, right: str) -> None:
    assert pairs_of(["nose", right, left]) == ((2, 1),), (canonical(left), canonical(right))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("upper_left_lid", "left_upper_lid"), ("Left Upper Lid", "left_upper_lid"), ("leftupper lid", "left_upper_lid"),
     ("lid_upper_R", "right_lid_upper"), ("upper_l_lid", "upper_l_lid"), ("L", "l"), ("left", "left"), ("", "")],
)  # fmt: skip
def test_one_spelling(name: str, expected: str) -> None:
    assert canonical(name) == expected


def test_names_in_another_order() -> None:
    small = from_names("small", ["nose", "left_eye", "right_eye"])
    assert order_of(["R_Eye", "nose", "eye-left"], small) == [1, 2, 0]
    assert order_of(["nose", "left_eye"], small) is None
    assert order_of(["nose", "left_eye", "tail"], small) is None
    assert order_of(["nose", "left_eye", "L_Eye"], small) is None
    assert other_joints(["nose", "L_Eye", "tail"], small) == (
        "its joint 'tail' is none of SMALL's, and SMALL's right_eye is not among its joints"
    )
    assert other_joints(["nose", "L_Eye", "R_Eye", "left eye"], small) == "a joint is named twice"


def test_joints_of_a_file_are_compared() -> None:
    small = from_names("small", ["nose", "left_eye"])
    for known in (None, (), [], ["nose", "left_eye"], ("nose", "left_eye")):
        check_joints("a.pt", known, small)
    with pytest.raises(UserError, match=r"^a.pt: has 1 joints, small 2: another skeleton$"):
        check_joints("a.pt", ["nose"], small)
    with pytest.raises(UserError, match=r"^a.pt: its joint 1 is 'right_eye', small's is 'left_eye': another skeleton$"):
        check_joints("a.pt", ["nose", "right_eye"], small)


def test_what_is_said_of_a_skeleton() -> None:
    assert described(from_names("small", ["nose", "left_eye", "right_eye", "right_paw"])) == [
        "4 joints (small): nose, left_eye, right_eye, right_paw",
        "1 left-right pairs: left_eye - right_eye",
        "named left or right, but of no pair: right_paw",
    ]
    assert "mirrored photo swaps no joints" in described(from_names("one", ["nose"]))[1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"joints": []}, "names"),
        ({"joints": ["a", 5]}, "names"),
        ({"edges": [[-1, 0]]}, "below 2"),
        ({"upper": [2]}, "below 2"),
        ({"sigmas": [0.1, 0]}, "2 sigmas"),
        ({"sigmas": [10, 0.1]}, "2 sigmas"),
        ({"pairs": [[1, 1]]}, "itself"),
        ({"pairs": [[0, 2]]}, "below 2"),
        ({"pairs": [[0, 1], [1, 0]]}, "two pairs"),
        ({"sigmas": [0.1]}, "2 sigmas"),
        ({"joints": ["a", "a"]}, "names"),
    ],
)
def test_a_damaged_record_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Skeleton.from_dict({**from_names("mine", ["a", "b"]).to_dict(), **change})
