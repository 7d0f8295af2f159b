"""View: the same people under one placement of the same parts, and what a network says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class View:
    """The same people under one placement of the same parts."""

    name: str  # clean, random, chosen
    image: np.ndarray  # [B, H, W, 3] uint8
    outlines: list[list[np.ndarray]]  # per person and part, [4, 2] crop pixels
    parts: list[list[dict[str, Any]]]  # per person: type, s, r in degrees, tx, ty
    loss: list[float] | None  # per person, HRNet's loss
    joints: np.ndarray | None  # [B, J, 2] predicted, crop pixels
    score: np.ndarray | None  # [B, J]
