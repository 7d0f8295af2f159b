"""Skeleton: which joints a dataset has, how they hang together, what their names tell. Known ones: skeletons.py."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from asda_fast.core.errors import UserError, named

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
    head: tuple[int, int] | None = None  # top and bottom of the head: their distance is PCKh's unit

    @property
    def swap(self) -> tuple[int, ...]:
        """`swap[j]` is the joint that joint j becomes in the mirrored photo."""
        order = list(range(len(self.joints)))
        for a, b in self.pairs:
            order[a], order[b] = b, a
        return tuple(order)

    def to_dict(self) -> dict[str, Any]:
        """As files keep it: lists, numbers and words."""
        plain = asdict(self)
        plain["groups"] = {name: list(members) for name, members in self.groups.items()}
        return {
            key: [list(v) if isinstance(v, tuple) else v for v in value] if isinstance(value, tuple) else value
            for key, value in plain.items()
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Skeleton:
        """What `to_dict` gave, also of an older version. ValueError (or KeyError, TypeError) where it is none."""
        joints = tuple(saved["joints"])
        if not joints or len(set(joints)) < len(joints) or not all(isinstance(joint, str) for joint in joints):
            raise ValueError("expected names of joints")
        torso, head, sigmas = saved.get("torso"), saved.get("head"), saved.get("sigmas")
        made = cls(
            name=str(saved["name"]),
            joints=joints,
            pairs=tuple((int(a), int(b)) for a, b in saved["pairs"]),
            edges=tuple((int(a), int(b)) for a, b in saved["edges"]),
            upper=tuple(int(joint) for joint in saved["upper"]),
            groups={name: tuple(map(int, members)) for name, members in saved.get("groups", {}).items()},
            torso=(int(torso[0]), int(torso[1])) if torso else None,
            sigmas=tuple(float(sigma) for sigma in sigmas) if sigmas else None,
            head=(int(head[0]), int(head[1])) if head else None,
        )
        if wrong := made.problem():
            raise ValueError(wrong)
        return made

    def problem(self) -> str | None:
        """What is wrong with it; None where nothing is."""
        count = len(self.joints)
        ends = (*self.pairs, *self.edges, *self.groups.values(), self.torso or (), self.head or (), self.upper)
        if not all(0 <= joint < count for some in ends for joint in some):
            return f"expected joint numbers below {count}"
        if self.sigmas and (len(self.sigmas) != count or not all(0 < sigma < 10 for sigma in self.sigmas)):
            return f"expected {count} sigmas above 0"
        if len({joint for pair in self.pairs for joint in pair}) < 2 * len(self.pairs):
            return "a joint is in two pairs, or paired with itself"
        return None


def described(skeleton: Skeleton) -> list[str]:
    """What a user should see before a network learns it: the joints, and which of them a mirrored photo swaps."""
    names = list(map(named, skeleton.joints))
    lines = [f"{len(names)} joints ({named(skeleton.name)}): {', '.join(names)}"]
    if skeleton.pairs:
        listed = ", ".join(f"{names[a]} - {names[b]}" for a, b in skeleton.pairs)
        lines.append(f"{len(skeleton.pairs)} left-right pairs: {listed}")
    else:
        lines.append("no left-right pairs: a mirrored photo swaps no joints (a skeleton file can name pairs)")
    paired = {joint for pair in skeleton.pairs for joint in pair}
    sided = [n for j, n in enumerate(names) if j not in paired and canonical(n).startswith(("left_", "right_"))]
    if sided:
        lines.append(f"named left or right, but of no pair: {', '.join(sided)}")
    return lines


@functools.lru_cache(4096)
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


def order_of(names: Sequence[str], skeleton: Skeleton) -> list[int] | None:
    """Where in `names` each joint of the skeleton stands, whatever the spelling; None where they are other joints."""
    place = {canonical(name): number for number, name in enumerate(names)}
    wanted = [canonical(joint) for joint in skeleton.joints]
    if len(names) != len(wanted) or set(place) != set(wanted):
        return None
    return [place[joint] for joint in wanted]


def other_joints(names: Sequence[str], skeleton: Skeleton) -> str:
    """Why `names` are not the skeleton's joints, for a message: a joint on either side that the other lacks."""
    given, wanted = ({canonical(name): name for name in some} for some in (names, skeleton.joints))
    strange = [name for key, name in given.items() if key not in wanted]
    missing = [name for key, name in wanted.items() if key not in given]
    label = skeleton.name.upper()
    said = [f"its joint {strange[0]!r} is none of {label}'s"] if strange else []
    said += [f"{label}'s {missing[0]} is not among its joints"] if missing else []
    return ", and ".join(said) or "a joint is named twice"


def check_joints(path: object, saved: object, skeleton: Skeleton) -> None:
    """UserError where the joints' names `saved` in a file are others than the skeleton's; an older file has none."""
    if not isinstance(saved, (list, tuple)) or not saved:
        return
    if len(saved) != len(skeleton.joints):
        raise UserError(f"{path}: has {len(saved)} joints, {skeleton.name} {len(skeleton.joints)}: another skeleton")
    for number, (there, here) in enumerate(zip(saved, skeleton.joints)):
        if there != here:
            raise UserError(f"{path}: its joint {number} is {there!r}, {skeleton.name}'s is {here!r}: another skeleton")
