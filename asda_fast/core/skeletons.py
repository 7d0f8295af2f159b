"""The one table of skeletons: joint names, left-right pairs, edges for drawing, body parts, torso, OKS sigmas.

A skeleton that is not here is made of its joints' names alone (`from_names`): the pairs are found by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

FAR = 1e6  # pixels: a joint or a box beyond it is a damaged annotation

Edges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Skeleton:
    """Which joints a dataset has, and how they hang together. All numbers are joint indices."""

    name: str
    joints: tuple[str, ...]
    pairs: Edges  # left/right: a mirrored person swaps them
    edges: Edges  # for drawing
    upper: tuple[int, ...] = ()  # joints of the upper body (half-body augmentation); the others are the lower body
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)  # body part -> joints, for tables
    torso: tuple[int, int] | None = None  # left shoulder and right hip, or what stands for them: PCK's unit
    sigmas: tuple[float, ...] | None = None  # object keypoint similarity; None where nobody published any

    @property
    def swap(self) -> tuple[int, ...]:
        """`swap[j]` is the joint that joint j becomes in the mirrored photo."""
        order = list(range(len(self.joints)))
        for a, b in self.pairs:
            order[a], order[b] = b, a
        return tuple(order)


def canonical(name: str) -> str:
    """A joint's name in one spelling: `L_Eye`, `leftEye`, `Left Eye` and `eye-left` are all left_eye."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    words = [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]
    for at in dict.fromkeys((0, len(words) - 1)) if words else ():
        side = {"l": "left", "r": "right"}.get(words[at], words[at])
        others = words[:at] + words[at + 1 :]
        if side in ("left", "right") and others:
            return "_".join([side, *others])
        found = re.fullmatch("(left|right)(.+)", side) if at == 0 else None
        if found:
            return "_".join([found[1], found[2], *others])
    for at, word in enumerate(words):  # in the middle only whole: `upper_l_lid` may mean anything
        if word in ("left", "right"):
            return "_".join([word, *words[:at], *words[at + 1 :]])
    return "_".join(words)


def pairs_of(joints: Sequence[str]) -> Edges:
    """The left-right pairs of joints by their names."""
    place = {canonical(name): number for number, name in enumerate(joints)}
    return tuple(
        (number, place["right_" + name[5:]])
        for name, number in place.items()
        if name.startswith("left_") and "right_" + name[5:] in place
    )


def from_names(name: str, joints: Sequence[str], edges: Iterable[tuple[int, int]] = ()) -> Skeleton:
    """A skeleton of which only the names (and edges) are known."""
    place = {canonical(joint): number for number, joint in enumerate(joints)}
    torso = (place.get("left_shoulder"), place.get("right_hip"))
    return Skeleton(
        name,
        tuple(joints),
        pairs_of(joints),
        tuple(edges),
        torso=None if torso[0] is None or torso[1] is None else (torso[0], torso[1]),
    )


def _table(
    name: str,
    joints: str,
    edges: Edges,
    upper: Sequence[int],
    groups: dict[str, tuple[int, ...]],
    sigmas: Sequence[float] | None = None,
) -> Skeleton:
    plain = from_names(name, joints.split(), edges)
    values = None if sigmas is None else tuple(sigmas)
    return Skeleton(name, plain.joints, plain.pairs, edges, tuple(upper), groups, plain.torso, values)


def _tenths(*values: float) -> tuple[float, ...]:
    """As the official scorers compute them, to the last bit."""
    return tuple(value / 10 for value in values)


COCO = _table(
    "coco",
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
    edges=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
        (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    upper=range(11),
    groups={
        "Head": (0, 1, 2, 3, 4), "Shoulder": (5, 6), "Elbow": (7, 8), "Wrist": (9, 10), "Hip": (11, 12),
        "Knee": (13, 14), "Ankle": (15, 16),
    },
    sigmas=_tenths(
        0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89,
    ),
)  # fmt: skip

MPII = _table(
    "mpii",
    "right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax upper_neck head_top right_wrist "
    "right_elbow right_shoulder left_shoulder left_elbow left_wrist",
    edges=(
        (0, 1), (1, 2), (2, 6), (5, 4), (4, 3), (3, 6), (6, 7), (7, 8), (8, 9), (7, 12), (12, 11), (11, 10), (7, 13),
        (13, 14), (14, 15),
    ),
    upper=range(7, 16),
    groups={
        "Head": (9,), "Shoulder": (12, 13), "Elbow": (11, 14), "Wrist": (10, 15), "Hip": (2, 3), "Knee": (1, 4),
        "Ankle": (0, 5),
    },
)  # fmt: skip

LSP = _table(
    "lsp",
    "right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow right_shoulder "
    "left_shoulder left_elbow left_wrist neck head_top",
    edges=(
        (0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (9, 10), (10, 11), (8, 12), (9, 12), (12, 13), (2, 8),
        (3, 9),
    ),
    upper=range(6, 14),
    groups={
        "Head": (12, 13), "Shoulder": (8, 9), "Elbow": (7, 10), "Wrist": (6, 11), "Hip": (2, 3), "Knee": (1, 4),
        "Ankle": (0, 5),
    },
)  # fmt: skip

CROWDPOSE = _table(  # sigmas: crowdposetools
    "crowdpose",
    "left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip right_hip left_knee "
    "right_knee left_ankle right_ankle head neck",
    edges=(
        (10, 8), (8, 6), (11, 9), (9, 7), (6, 7), (0, 6), (1, 7), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (12, 13),
        (13, 0), (13, 1),
    ),
    upper=(0, 1, 2, 3, 4, 5, 12, 13),
    groups={
        "Head": (12, 13), "Shoulder": (0, 1), "Elbow": (2, 3), "Wrist": (4, 5), "Hip": (6, 7), "Knee": (8, 9),
        "Ankle": (10, 11),
    },
    sigmas=_tenths(0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89, 0.79, 0.79),
)  # fmt: skip

POSETRACK18 = _table(  # sigmas: mmpose's
    "posetrack18",
    "nose head_bottom head_top left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
    edges=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
        (0, 1), (0, 2), (1, 5), (1, 6), (0, 3), (0, 4),
    ),
    upper=range(11),
    groups={
        "Head": (0, 1, 2, 3, 4), "Shoulder": (5, 6), "Elbow": (7, 8), "Wrist": (9, 10), "Hip": (11, 12),
        "Knee": (13, 14), "Ankle": (15, 16),
    },
    sigmas=COCO.sigmas,
)  # fmt: skip

JHMDB = _table(  # sigmas: mmpose's, after COCO's
    "jhmdb",
    "neck belly head right_shoulder left_shoulder right_hip left_hip right_elbow left_elbow right_knee left_knee "
    "right_wrist left_wrist right_ankle left_ankle",
    edges=(
        (13, 9), (9, 5), (5, 1), (1, 6), (6, 10), (10, 14), (1, 0), (0, 2), (0, 3), (3, 7), (7, 11), (0, 4), (4, 8),
        (8, 12),
    ),
    upper=(0, 1, 2, 3, 4, 7, 8, 11, 12),
    groups={
        "Head": (2,), "Shoulder": (3, 4), "Elbow": (7, 8), "Wrist": (11, 12), "Hip": (5, 6), "Knee": (9, 10),
        "Ankle": (13, 14),
    },
    sigmas=_tenths(0.25, 1.07, 0.25, 0.79, 0.79, 1.07, 1.07, 0.72, 0.72, 0.87, 0.87, 0.62, 0.62, 0.89, 0.89),
)  # fmt: skip

AIC = _table(  # sigmas: the challenge's own, halved deltas
    "aic",
    "right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee right_ankle "
    "left_hip left_knee left_ankle head_top neck",
    edges=(
        (2, 1), (1, 0), (0, 13), (13, 3), (3, 4), (4, 5), (8, 7), (7, 6), (6, 9), (9, 10), (10, 11), (12, 13), (0, 6),
        (3, 9),
    ),
    upper=(0, 1, 2, 3, 4, 5, 12, 13),
    groups={
        "Head": (12, 13), "Shoulder": (0, 3), "Elbow": (1, 4), "Wrist": (2, 5), "Hip": (6, 9), "Knee": (7, 10),
        "Ankle": (8, 11),
    },
    sigmas=(
        0.01388152, 0.01515228, 0.01057665, 0.01417709, 0.01497891, 0.01402144, 0.03909642, 0.03686941, 0.01981803,
        0.03843971, 0.03412318, 0.02415081, 0.01291456, 0.01236173,
    ),
)  # fmt: skip

HALPE26 = _table(
    "halpe26",
    " ".join(COCO.joints) + " head neck hip left_big_toe right_big_toe left_small_toe right_small_toe left_heel "
    "right_heel",
    edges=(
        (15, 13), (13, 11), (11, 19), (16, 14), (14, 12), (12, 19), (17, 18), (18, 19), (18, 5), (5, 7), (7, 9),
        (18, 6), (6, 8), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (15, 20), (15, 22), (15, 24),
        (16, 21), (16, 23), (16, 25),
    ),
    upper=(*range(11), 17, 18),
    groups={**COCO.groups, "Foot": (20, 21, 22, 23, 24, 25)},
    sigmas=_tenths(
        0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89, 0.26,
        0.26, 0.66, 0.79, 0.79, 0.79, 0.79, 0.79, 0.79,
    ),
)  # fmt: skip

AP10K = _table(  # sigmas: mmpose's; the paper gives none
    "ap10k",
    "left_eye right_eye nose neck root_of_tail left_shoulder left_elbow left_front_paw right_shoulder right_elbow "
    "right_front_paw left_hip left_knee left_back_paw right_hip right_knee right_back_paw",
    edges=(
        (0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (5, 6), (6, 7), (3, 8), (8, 9), (9, 10), (4, 11), (11, 12),
        (12, 13), (4, 14), (14, 15), (15, 16),
    ),
    upper=(0, 1, 2, 3, 5, 6, 7, 8, 9, 10),
    groups={
        "Head": (0, 1, 2), "Shoulder": (5, 8), "Elbow": (6, 9), "Front paw": (7, 10), "Hip": (11, 14),
        "Knee": (12, 15), "Back paw": (13, 16),
    },
    sigmas=_tenths(
        0.25, 0.25, 0.26, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89,
    ),
)  # fmt: skip

SKELETONS = {s.name: s for s in (COCO, MPII, LSP, CROWDPOSE, POSETRACK18, JHMDB, AIC, HALPE26, AP10K)}


def order_of(names: Sequence[str], skeleton: Skeleton) -> list[int] | None:
    """Where in `names` each joint of the skeleton stands, whatever the spelling; None where they are other joints."""
    place = {canonical(name): number for number, name in enumerate(names)}
    if len(names) != len(skeleton.joints) or set(place) != set(skeleton.joints):
        return None
    return [place[joint] for joint in skeleton.joints]


def other_joints(names: Sequence[str], skeleton: Skeleton) -> str:
    """Why `names` are not the skeleton's joints, for a message: a joint on either side that the other lacks."""
    given = {canonical(name): name for name in names}
    strange = [name for key, name in given.items() if key not in skeleton.joints]
    missing = [joint for joint in skeleton.joints if joint not in given]
    label = skeleton.name.upper()
    said = [f"its joint {strange[0]!r} is none of {label}'s"] if strange else []
    said += [f"{label}'s {missing[0]} is not among its joints"] if missing else []
    return ", and ".join(said) or "a joint is named twice"
