"""What every protocol takes and gives."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import Skeleton


@dataclass
class Result:
    """What a protocol found."""

    title: str
    rows: list[tuple[str, dict[str, float]]]  # the literature's table: a label and its columns
    numbers: dict[str, Any]  # for machines; see `python -m asda_fast.evaluate --help`
    notes: list[str] = field(default_factory=list)  # what was taken as what
    truth: np.ndarray | None = None  # [N, J, 2] continuous photo pixels, for pictures
    labelled: np.ndarray | None = None  # [N, J] 0 none, 1 occluded, 2 visible
    predicted: np.ndarray | None = None  # [N, J, 2] continuous photo pixels
    quality: np.ndarray | None = None  # [N] the larger the better; nan = not counted
    photos: list[str] | None = None  # [N] names
    skeleton: Skeleton | None = None  # whose joints they are, for pictures


@dataclass(frozen=True)
class Options:
    """How to read predictions and what else to compute."""

    key: str | None = None
    one_based: bool | None = None  # None: by the kind of file
    bootstrap: int = 0
    visibility: str | None = None
    sigmas: tuple[float, ...] = ()  # OKS: of each joint in the file's order, or one for all; none: the skeleton's
    skeleton: Skeleton | None = None  # whose joints they are; None: told from their names
    normalise: Literal["box", "torso", "head"] | None = None  # what distances of any joints are measured in
    threshold: float | None = None  # how many of those a correct joint may be away
    where: str = "annotations"  # what messages call annotations that are given as content
    category: str | None = None  # the one to score, where the annotations have several; none: coco_json.choose's

    def __post_init__(self) -> None:
        if self.bootstrap < 0:
            raise UserError(f"bootstrap: expected at least 0, got {self.bootstrap}")
        if self.threshold is not None and not 0 < self.threshold < math.inf:
            raise UserError(f"threshold: expected a positive number, got {self.threshold}")


PLAIN = Options()
