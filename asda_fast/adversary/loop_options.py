"""The options of `Adversary`, checked; which goes with which way stands once, in GOES_WITH."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from asda_fast.adversary.options import SEARCHED, AdversaryOptions
from asda_fast.core.options import check_number

Way = Literal["random", "cover", "search", "critic", "generator"]
WAYS = ("random", "cover", "search", "critic", "generator")
CHOOSING = ("search", "cover", "critic")
# What the data is (joints, edges, people) may be said to every way; whatever else is given is heeded or refused.
GOES_WITH = {
    "verify": CHOOSING,
    "part_choices": CHOOSING,
    "candidates": ("cover", "critic"),
    "pairs": ("critic",),
    "explore": ("critic",),
    "rate": ("critic", "generator"),
}


@dataclass
class LoopOptions:
    """Fields as `Adversary` documents them. ValueError names the argument."""

    way: Way = "critic"
    joints: int = 0
    edges: Iterable[Sequence[int]] = ()
    people: int = 0
    verify: int | None = None
    candidates: int = AdversaryOptions.candidates
    part_choices: int = 1
    pairs: bool = False
    explore: float = AdversaryOptions.explore
    solvable: float = 0.0
    rate: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise ValueError(f"way: expected one of {', '.join(WAYS)}, got {self.way!r}")
        for name, least in (("joints", 0), ("people", 0), ("seed", None), ("candidates", 1), ("part_choices", 1)):
            setattr(self, name, _whole(name, getattr(self, name), least))
        self.verify = None if self.verify is None else _whole("verify", self.verify, 1)
        for name in ("explore", "solvable", "rate"):
            if getattr(self, name) is not None:
                check_number(name, float, getattr(self, name))
                setattr(self, name, float(getattr(self, name)))  # numpy's would not load with a checkpoint
        if not isinstance(self.pairs, bool):
            raise ValueError(f"pairs: expected True or False, got {self.pairs!r}")
        if not -(2**63) <= self.seed < 2**63:
            raise ValueError(f"seed: expected a number of 64 bits, got {self.seed}")
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise ValueError(f"rate: expected more than 0, got {self.rate!r}")
        if not 0 <= self.solvable < math.inf:
            raise ValueError(f"solvable: expected a number of at least 0, got {self.solvable!r}")
        self.edges = self.limbs = _limbs(self.edges, self.joints)
        for name, ways in GOES_WITH.items():
            if getattr(self, name) != getattr(LoopOptions, name) and self.way not in ways:
                wanted = " or ".join([", ".join(ways[:-1]), ways[-1]] if len(ways) > 1 else ways)
                raise ValueError(f"{name}: expected way {wanted} beside it, got {self.way}")
        if self.solvable and self.verified < 2:
            raise ValueError(f"solvable: expected way search, cover or critic with verify 2 or more, got {self.way}")
        most = self.verified if self.way == "search" else self.candidates
        if self.part_choices > most:
            raise ValueError(f"part_choices: expected at most {most} (the random places), got {self.part_choices}")

    @property
    def verified(self) -> int:
        """`verify`, also where it was left out."""
        return self.verify or (SEARCHED if self.way == "search" else 1)


def _limbs(edges: Any, joints: int) -> tuple[tuple[int, int], ...]:
    limb = edges
    try:
        found = []
        for limb in edges:
            a, b = (operator.index(joint) for joint in limb)
            if not (0 <= a < joints and 0 <= b < joints):
                raise ValueError
            found.append((a, b))
    except (TypeError, ValueError):
        raise ValueError(f"edges: expected pairs of joints below {joints}, got {limb!r}") from None
    return tuple(found)


def _whole(name: str, value: Any, least: int | None) -> int:
    """value as an int, numpy's as well."""
    try:
        if not isinstance(value, bool) and (least is None or operator.index(value) >= least):
            return operator.index(value)
    except TypeError:
        pass
    wanted = "a whole number" if least is None else f"a number of at least {least}"
    raise ValueError(f"{name}: expected {wanted}, got {value!r}")
