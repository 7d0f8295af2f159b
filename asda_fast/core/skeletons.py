"""The one table of known skeletons: joint names, left-right pairs, edges for drawing, body parts, torso, OKS sigmas.

A skeleton that is not here is made of its joints' names alone (`from_names`), or by a file (skeleton_file.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from asda_fast.core.skeleton import Edges, Skeleton, canonical, from_names, order_of, other_joints, pairs_of

__all__ = [
    "AIC", "AP10K", "COCO", "CROWDPOSE", "FAR", "HALPE26", "HALPE136", "HAND21", "JHMDB", "LSP", "MPII", "POSETRACK18",
    "SKELETONS", "WHOLEBODY", "Skeleton", "canonical", "from_names", "order_of", "other_joints", "pairs_of",
]  # fmt: skip

FAR = 1e6  # pixels: a joint or a box beyond it is a damaged annotation


def _table(
    name: str,
    joints: str,
    edges: Edges,
    upper: Sequence[int],
    groups: dict[str, tuple[int, ...]],
    sigmas: Sequence[float] | None = None,
    head: tuple[int, int] | None = None,
) -> Skeleton:
    plain = from_names(name, joints.split(), edges)
    values = None if sigmas is None else tuple(sigmas)
    return replace(plain, upper=tuple(upper), groups=groups, sigmas=values, head=head)


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
    head=(9, 8),
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
    head=(13, 12),
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
    head=(12, 13),
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
    head=(2, 1),
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
    head=(12, 13),
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
    head=(17, 18),
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

FACE_PAIRS = (  # of the 68 points of a face (iBUG 300-W), which start at the person's right ear
    *((16 - i, i) for i in range(8)), *((43 - i, i) for i in range(17, 22)), (35, 31), (34, 32), (45, 36), (44, 37),
    (43, 38), (42, 39), (47, 40), (46, 41), (54, 48), (53, 49), (52, 50), (55, 59), (56, 58), (64, 60), (63, 61),
    (65, 67),
)  # fmt: skip
FINGERS = ["thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger"]
FINGER_JOINTS = tuple(f"{finger}{number}" for finger in FINGERS for number in range(1, 5))
HAND_EDGES: Edges = tuple(
    (0 if joint % 4 == 0 else joint, joint + 1)  # from the wrist, along each finger
    for joint in range(20)
)
HAND_SIGMAS = (
    0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024, 0.022, 0.026, 0.017, 0.021, 0.021,
    0.032, 0.02, 0.019, 0.022, 0.031,
)  # fmt: skip

HAND21 = _table(  # sigmas: COCO-WholeBody's of a hand
    "hand21",
    " ".join(("wrist", *FINGER_JOINTS)),
    HAND_EDGES,
    upper=(),
    groups={finger.split("_")[0].title(): tuple(range(4 * n + 1, 4 * n + 5)) for n, finger in enumerate(FINGERS)},
    sigmas=HAND_SIGMAS,
)


def _with_face_and_hands(
    name: str, body: Skeleton, feet: tuple[int, ...], face_sigmas: Sequence[float], hand_sigmas: Sequence[float]
) -> Skeleton:
    """A body's joints, then 68 of the face, 21 of the left and 21 of the right hand."""
    face = len(body.joints)
    left, right = face + 68, face + 89
    hands = [f"{side}_{joint}" for side in ("left", "right") for joint in ("hand_root", *FINGER_JOINTS)]
    joints = (*body.joints, *(f"face-{number}" for number in range(68)), *hands)
    made = from_names(name, joints, body.edges)
    wrists = ((body.joints.index("left_wrist"), left), (body.joints.index("right_wrist"), right))
    fingers = tuple((a + hand, b + hand) for hand in (left, right) for a, b in HAND_EDGES)
    return replace(
        made,
        pairs=(*made.pairs, *((a + face, b + face) for a, b in FACE_PAIRS)),
        edges=(*body.edges, *wrists, *fingers),
        upper=(*body.upper, *range(face, len(joints))),
        groups={
            **body.groups, "Foot": feet, "Face": tuple(range(face, left)),
            "Hand": tuple(range(left, len(joints))),
        },
        sigmas=(*(body.sigmas or ()), *face_sigmas, *hand_sigmas, *hand_sigmas),
        head=body.head,
    )  # fmt: skip


_FEET = "left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel"
_BODY23 = replace(
    from_names("body23", (*COCO.joints, *_FEET.split())),
    edges=(*COCO.edges, (15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22)),
    upper=COCO.upper,
    groups=COCO.groups,
    sigmas=(*(COCO.sigmas or ()), 0.068, 0.066, 0.066, 0.092, 0.094, 0.094),
)

WHOLEBODY = _with_face_and_hands(  # sigmas: COCO-WholeBody's evaluation
    "wholebody",
    _BODY23,
    feet=(17, 18, 19, 20, 21, 22),
    face_sigmas=(
        0.042, 0.043, 0.044, 0.043, 0.040, 0.035, 0.031, 0.025, 0.020, 0.023, 0.029, 0.032, 0.037, 0.038, 0.043, 0.041,
        0.045, 0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011, 0.011, 0.013, 0.015, 0.009, 0.007, 0.007, 0.007, 0.012,
        0.009, 0.008, 0.016, 0.010, 0.017, 0.011, 0.009, 0.011, 0.009, 0.007, 0.013, 0.008, 0.011, 0.012, 0.010, 0.034,
        0.008, 0.008, 0.009, 0.008, 0.008, 0.007, 0.010, 0.008, 0.009, 0.009, 0.009, 0.007, 0.007, 0.008, 0.011, 0.008,
        0.008, 0.008, 0.01, 0.008,
    ),
    hand_sigmas=HAND_SIGMAS,
)  # fmt: skip

HALPE136 = _with_face_and_hands(  # sigmas: halpecocotools
    "halpe136",
    replace(HALPE26, sigmas=(*(COCO.sigmas or ()), 0.08, 0.08, 0.08, *[0.089] * 6)),
    feet=HALPE26.groups["Foot"],
    face_sigmas=[0.015] * 68,
    hand_sigmas=[0.015] * 21,
)

SKELETONS = {
    s.name: s
    for s in (
        COCO, MPII, LSP, CROWDPOSE, POSETRACK18, JHMDB, AIC, HALPE26, AP10K, HAND21, WHOLEBODY, HALPE136,
    )
}  # fmt: skip
