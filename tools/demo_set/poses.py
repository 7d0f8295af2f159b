"""Poses as directions of limbs: a table of templates, mixed, mirrored and jittered within joint limits.

Convention: degrees. An arm is (elevation from hanging straight down, azimuth 0 sideways / 90 forward / 180 across the
chest, elbow flexion, direction the forearm bends to as (medial, forward, up)). A leg is (forward flexion of the thigh,
abduction, knee flexion, foot point). Everything is relative to chest or pelvis.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Arm = tuple[float, float, float, tuple[float, float, float]]
Leg = tuple[float, float, float, float]

ARMS: dict[str, Arm] = {
    "down": (14, 10, 12, (0, 1, 0)),
    "relaxed": (18, 30, 28, (0.3, 1, 0)),
    "swing_front": (30, 82, 50, (0.2, 1, 0.4)),
    "swing_back": (32, -80, 35, (0.2, 1, 0)),
    "run_front": (40, 80, 95, (0.3, 0.5, 1)),
    "run_back": (58, -78, 90, (0.2, 0.6, -0.5)),
    "hip": (48, -18, 95, (1, 0.25, -0.35)),
    "crossed": (34, 62, 100, (1, 0.5, 0.1)),
    "phone": (42, 48, 138, (0.25, 0.3, 1)),
    "wave": (92, 12, 82, (-0.1, 0.2, 1)),
    "up": (162, 10, 16, (1, 0.3, 0)),
    "up_bent": (148, 20, 75, (1, 0.1, 0.3)),
    "side": (88, 4, 8, (0, 1, 0.2)),
    "side_low": (55, 5, 14, (0, 1, 0.2)),
    "front": (86, 82, 12, (0.3, 0, 1)),
    "front_low": (48, 78, 40, (0.4, 0.3, 1)),
    "carry": (22, 70, 92, (0.25, 1, 0.6)),
    "guard": (48, 66, 125, (0.3, 0.2, 1)),
    "punch": (88, 88, 6, (0.3, 0, 1)),
    "throw": (105, -25, 88, (0.1, 0.2, 1)),
    "head": (138, 15, 128, (1, -0.3, 0.2)),
    "lap": (32, 72, 58, (0.35, 1, 0.1)),
    "back": (28, -75, 62, (1, 0, -0.3)),
    "point": (75, 55, 8, (0.3, 0.4, 0.6)),
}

LEGS: dict[str, Leg] = {
    "stand": (0, 5, 3, 0),
    "wide": (2, 17, 4, 0),
    "ease": (12, 8, 22, 0),
    "step_front": (24, 4, 8, -8),
    "step_back": (-20, 4, 18, 18),
    "run_front": (62, 5, 78, 0),
    "run_back": (-24, 4, 55, 30),
    "sit": (86, 9, 84, 0),
    "sit_out": (80, 8, 50, 0),
    "squat": (100, 18, 112, -12),
    "half_squat": (52, 14, 74, -10),
    "lunge_front": (72, 6, 80, 0),
    "lunge_back": (-28, 4, 28, 25),
    "kick": (78, 8, 16, 25),
    "kick_side": (25, 62, 14, 20),
    "knee_up": (88, 5, 96, 15),
    "tree": (52, 50, 122, 20),
    "star": (3, 34, 4, 10),
    "tuck_back": (-4, 5, 88, 25),
    "cross": (10, -4, 10, 0),
}

# name: (weight, left arm, right arm, left leg, right leg, lean forward, airborne, seat)
TEMPLATES: dict[str, tuple[float, str, str, str, str, float, bool, bool]] = {
    "stand": (3, "down", "relaxed", "stand", "ease", 0, False, False),
    "hands_on_hips": (1.4, "hip", "hip", "wide", "stand", 0, False, False),
    "one_hip": (1.4, "hip", "down", "ease", "stand", 0, False, False),
    "arms_crossed": (1.2, "crossed", "crossed", "stand", "ease", 0, False, False),
    "phone": (1.4, "phone", "relaxed", "stand", "ease", 3, False, False),
    "wave": (1.4, "wave", "down", "stand", "stand", 0, False, False),
    "point": (1.0, "point", "down", "stand", "ease", 2, False, False),
    "walk": (3, "swing_front", "swing_back", "step_back", "step_front", 3, False, False),
    "run": (2.4, "run_front", "run_back", "run_back", "run_front", 14, True, False),
    "carry": (1.2, "carry", "carry", "stand", "step_front", -3, False, False),
    "arms_up": (1.4, "up", "up", "wide", "wide", 0, False, False),
    "cheer": (1.2, "up_bent", "wave", "wide", "ease", -4, False, False),
    "t_pose": (0.8, "side", "side", "wide", "wide", 0, False, False),
    "star_jump": (1.2, "up", "up", "star", "star", 0, True, False),
    "jump": (1.0, "up", "side", "tuck_back", "knee_up", 4, True, False),
    "sit": (2.4, "lap", "lap", "sit", "sit", 6, False, True),
    "sit_relaxed": (1.6, "lap", "phone", "sit_out", "sit", -8, False, True),
    "sit_arms": (1.0, "head", "lap", "sit", "sit_out", -4, False, True),
    "squat": (1.2, "front", "front", "squat", "squat", 28, False, False),
    "ready": (1.2, "carry", "carry", "half_squat", "half_squat", 26, False, False),
    "lunge": (1.3, "hip", "hip", "lunge_front", "lunge_back", 6, False, False),
    "warrior": (1.0, "side", "side", "lunge_front", "lunge_back", 0, False, False),
    "tree": (1.0, "up", "up", "stand", "tree", 0, False, False),
    "kick": (1.3, "side_low", "front_low", "kick", "stand", -12, False, False),
    "kick_side": (1.0, "guard", "side_low", "kick_side", "stand", -6, False, False),
    "box": (1.3, "punch", "guard", "step_front", "step_back", 10, False, False),
    "throw": (1.2, "front", "throw", "step_front", "step_back", -6, False, False),
    "serve": (1.1, "up", "throw", "step_front", "lunge_back", -10, False, False),
    "swing": (1.1, "front_low", "crossed", "half_squat", "wide", 18, False, False),
    "skate": (1.0, "side_low", "side", "half_squat", "tuck_back", 24, False, False),
    "head_hands": (1.0, "head", "head", "wide", "stand", -3, False, False),
    "march": (1.0, "swing_front", "swing_back", "stand", "knee_up", 0, False, False),
    "hands_back": (0.9, "back", "back", "stand", "ease", 0, False, False),
    "cross_legs": (0.8, "crossed", "phone", "cross", "stand", 0, False, False),
}


@dataclass
class Pose:
    arms: dict[str, Arm]  # "L", "R"
    legs: dict[str, Leg]
    spine: tuple[float, float, float]  # lean forward, lean to the left, twist to the left
    head: tuple[float, float, float]  # nod down, tilt, turn to the left
    airborne: bool = False
    seat: bool = False
    name: str = ""
    hands: dict[str, float] = field(default_factory=lambda: {"L": 20.0, "R": 20.0})  # finger curl


def _arm(random: np.random.Generator, name: str, spread: float, room: float) -> Arm:
    elevation, azimuth, flexion, bend = ARMS[name]
    wobble = random.normal(0, spread, 3)
    elevation = float(np.clip(elevation + wobble[0], 10 + room, 172))
    return (
        elevation,
        float(np.clip(azimuth + 1.3 * wobble[1], -95, 125)),
        float(np.clip(flexion + 1.2 * wobble[2], 2, 145)),
        tuple(np.array(bend) + random.normal(0, 0.12, 3)),
    )


def _leg(random: np.random.Generator, name: str, spread: float) -> Leg:
    flexion, abduction, knee, foot = LEGS[name]
    wobble = random.normal(0, spread, 4)
    return (
        float(np.clip(flexion + wobble[0], -32, 118)),
        float(np.clip(abduction + 0.6 * wobble[1], -6, 70)),
        float(np.clip(knee + abs(wobble[2]) * 0.8, 0, 140)),
        foot + 0.5 * float(wobble[3]),
    )


def sample(random: np.random.Generator, room: float = 0.0) -> Pose:
    """A random plausible pose; `room` (degrees) keeps hanging arms away from a wide body."""
    names = list(TEMPLATES)
    weight = np.array([TEMPLATES[n][0] for n in names])
    name = str(random.choice(names, p=weight / weight.sum()))
    _, arm_l, arm_r, leg_l, leg_r, lean, airborne, seat = TEMPLATES[name]
    if random.random() < 0.3:  # an arm from elsewhere: more combinations than rows
        arm_r = str(random.choice(list(ARMS)))
    if random.random() < 0.5:
        arm_l, arm_r, leg_l, leg_r = arm_r, arm_l, leg_r, leg_l
    spread = float(random.uniform(4, 11))
    legs = {"L": _leg(random, leg_l, spread * 0.8), "R": _leg(random, leg_r, spread * 0.8)}
    spine = tuple(np.array([lean, 0, 0]) + random.normal(0, [5, 5, 9]))
    head = tuple(np.clip(random.normal([4 - 0.4 * lean, 0, 0], [9, 6, 20]), [-35, -20, -60], [35, 20, 60]))
    arms = {"L": _arm(random, arm_l, spread, room), "R": _arm(random, arm_r, spread, room)}
    hands = {s: float(random.uniform(5, 60)) for s in "LR"}
    return Pose(arms, legs, spine, head, airborne, seat, name, hands)
