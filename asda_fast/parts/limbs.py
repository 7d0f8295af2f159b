"""Label maps from what every COCO file has: a person's outline and joints. No parsing network, no label maps.

    outline (who owns a pixel)  and  capsules round the bones (which limb it belongs to)  ->  ids of schemes/limbs.json

A pixel of the person belongs to the limb whose capsule it lies deepest in, else to the torso or the head, else to
"Other". Widths come from the person's own skeleton. Left and right come from the joints, so they are as right as those.
A limb is cut only where all its joints are labelled as visible and lie on the person's own pixels; one that is not
still takes its pixels from its neighbours, and gives them to "Other".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from asda_fast.parts.instances import Person

Point = tuple[float, float]

HEAD, TORSO, OTHER = 1, 2, 7
LIMBS = {  # label: its joints from the trunk outwards
    3: ("left_shoulder", "left_elbow", "left_wrist"),
    4: ("right_shoulder", "right_elbow", "right_wrist"),
    5: ("left_hip", "left_knee", "left_ankle"),
    6: ("right_hip", "right_knee", "right_ankle"),
}
TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "head", "head_top")
# Half widths as shares of the trunk's length, with clothes: upper and lower piece, and what lies beyond the last joint.
WIDTHS = {3: (0.19, 0.17, 0.19), 4: (0.19, 0.17, 0.19), 5: (0.30, 0.23, 0.26), 6: (0.30, 0.23, 0.26)}
BEYOND = {3: 0.55, 4: 0.55, 5: 0.2, 6: 0.2}  # hand and foot, as shares of the piece before them
TRUNK_WIDTH = 0.22  # beyond the quadrangle of shoulders and hips
NEAR = 2  # pixels: an outline is as exact as that


def limb_map(people: tuple[Person, ...], numbers: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """numbers [H, W], the person (1, 2, ...) of each pixel, 0 = nobody -> label [H, W] uint8, ids of
    schemes/limbs.json, and the names of the people without a labelled shoulder and hip, of whom nothing is cut."""
    label = np.zeros(numbers.shape, np.uint8)
    left = []
    for number, person in enumerate(people, 1):
        rows, columns = np.nonzero(numbers == number)
        if not len(rows) or not (person.outline and person.joints):
            continue
        x, y = columns + 0.5, rows + 0.5
        length = trunk_length(person.joints)
        if length is None:
            left.append(person.name)
            continue
        owned = numbers == number
        label[rows, columns] = _labels(x, y, person, owned, length)
    return label, left


def trunk_length(joints: Mapping[str, tuple[float, float, int]]) -> float | None:
    """From the middle of the shoulders to that of the hips, or more where the person is seen from an end: what widths
    are measured in. None where a shoulder and a hip are not both labelled."""
    shoulders, hips = ([joints[name][:2] for name in TRUNK[i : i + 2] if name in joints] for i in (0, 2))
    if not shoulders or not hips:
        return None
    length = float(np.hypot(*(np.mean(shoulders, 0) - np.mean(hips, 0))))
    across = max(float(np.hypot(*np.ptp(pair, axis=0))) for pair in (shoulders, hips))
    pieces = [
        float(np.hypot(joints[a][0] - joints[b][0], joints[a][1] - joints[b][1]))
        for names in LIMBS.values()
        for a, b in itertools.pairwise(names)
        if a in joints and b in joints
    ]
    return max(length, 1.2 * across, *pieces) or None


def _labels(x: np.ndarray, y: np.ndarray, person: Person, owned: np.ndarray, length: float) -> np.ndarray:
    joints = person.joints
    best = np.ones(len(x))  # distance from the nearest capsule's bone over its width; beyond 1 it lies in none
    label = np.full(len(x), OTHER, np.uint8)
    for limb, names in LIMBS.items():
        whole = all(name in joints and joints[name][2] == 2 and _owns(owned, joints[name]) for name in names)
        for a, b, width in _bones(limb, joints):
            ratio = _distance(x, y, a, b) / (width * length)
            closer = ratio < best
            best[closer], label[closer] = ratio[closer], limb if whole else OTHER
            # what no capsule takes is Other as well: a limb without joints gives nothing to its neighbours
    free = best >= 1
    trunk = [joints[name][:2] for name in TRUNK if name in joints]
    if len(trunk) == 4 and all(joints[name][2] == 2 for name in TRUNK):
        corners = [trunk[0], trunk[1], trunk[3], trunk[2]]
        inside = free & (_outside(x, y, corners) < TRUNK_WIDTH * length)
        label[inside] = TORSO
        free &= ~inside
    face = [joints[name][:2] for name in FACE if name in joints and joints[name][2] == 2]
    shoulders = [joints[name][:2] for name in TRUNK[:2] if name in joints]
    if face and len(shoulders) == 2:
        middle, neck = np.mean(face, 0), np.mean(shoulders, 0)
        up, reach = middle - neck, float(np.hypot(*(middle - neck)))
        above = (x - neck[0]) * up[0] + (y - neck[1]) * up[1] > 0.35 * reach**2
        label[free & above & (np.hypot(x - middle[0], y - middle[1]) < max(1.3 * reach, 0.3 * length))] = HEAD
    return label


def _bones(limb: int, joints: Mapping[str, tuple[float, float, int]]) -> Iterator[tuple[Point, Point, float]]:
    """(a, b, half width) of each piece of a limb whose joints are labelled, and of the hand or foot beyond."""
    upper, middle, last = ((joints[name][:2] if name in joints else None) for name in LIMBS[limb])
    widths = WIDTHS[limb]
    if upper and middle:
        yield upper, middle, widths[0]
    if middle and last:
        yield middle, last, widths[1]
        share = BEYOND[limb]
        yield last, (last[0] + share * (last[0] - middle[0]), last[1] + share * (last[1] - middle[1])), widths[2]


def _owns(owned: np.ndarray, joint: tuple[float, float, int]) -> bool:
    """Whether a pixel of the person lies at the joint, or within NEAR of it."""
    column, row = int(joint[0]), int(joint[1])
    if row < -NEAR or column < -NEAR:  # off the photo: a slice would count from its other side
        return False
    window = owned[max(0, row - NEAR) : row + NEAR + 1, max(0, column - NEAR) : column + NEAR + 1]
    return bool(window.any())


def _distance(x: np.ndarray, y: np.ndarray, a: Point, b: Point) -> np.ndarray:
    """From each point to the segment a b."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    along = ((x - a[0]) * dx + (y - a[1]) * dy) / max(dx * dx + dy * dy, 1e-9)
    along = along.clip(0, 1)
    return np.asarray(np.hypot(x - a[0] - along * dx, y - a[1] - along * dy))


def _outside(x: np.ndarray, y: np.ndarray, corners: list[Point]) -> np.ndarray:
    """From each point to the quadrangle; 0 inside it, also where its sides cross (a trunk seen from the side)."""
    inside = np.zeros(len(x), bool)
    distance = np.full(len(x), np.inf)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1]):
        distance = np.minimum(distance, _distance(x, y, (ax, ay), (bx, by)))
        if ay != by:
            crosses = ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
            inside ^= crosses
    return np.where(inside, 0.0, distance)
