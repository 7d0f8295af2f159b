"""Random pools and placements for the tests of paste."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from asda_fast.parts.pool import PartPool


@dataclass
class Scene:
    pool: PartPool
    image: Tensor  # [B, 3, H, W]
    part: Tensor  # [B, N], some slots empty
    matrix: Tensor  # [B, N, 2, 3]


def random_pool(rng: np.random.Generator, patches: int = 6, low: int = 3, high: int = 40) -> PartPool:
    sizes = rng.integers(low, high, (patches, 2))
    colour = [rng.integers(0, 256, (h, w, 3)) for h, w in sizes]
    alpha = [rng.choice([0, 100, 255, 255], (h, w, 1)) for h, w in sizes]
    return PartPool.from_patches([np.concatenate(both, -1).astype(np.uint8) for both in zip(colour, alpha)])


@pytest.fixture
def scene() -> Callable[..., Scene]:
    """scene(B, N, H, W, ...): any rotation, centres from inside to well outside the image. scale: patch pixels per
    target pixel."""

    def make(
        batch: int = 2,
        slots: int = 3,
        height: int = 33,
        width: int = 45,
        dtype: torch.dtype = torch.float32,
        scale: tuple[float, float] = (0.5, 2.0),
        seed: int = 0,
        high: int = 40,
    ) -> Scene:
        rng = np.random.default_rng(seed)
        pool = random_pool(rng, high=high)
        part = rng.integers(-1, len(pool), (batch, slots))
        turn = rng.uniform(-math.pi, math.pi, (batch, slots))
        factor = np.exp(rng.uniform(*np.log(scale), (batch, slots)))
        linear = np.stack([np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn)], -1).reshape(batch, slots, 2, 2)
        linear = linear * factor[..., None, None]
        centre = rng.uniform(-0.2, 1.2, (batch, slots, 2)) * (width, height)
        middle = pool.size.numpy()[part.clip(0)][..., ::-1] / 2
        shift = middle - (linear @ centre[..., None])[..., 0]
        matrix = np.concatenate([linear, shift[..., None]], -1)
        image = rng.standard_normal((batch, 3, height, width))
        matrix = torch.tensor(matrix).to(torch.float64 if dtype == torch.float64 else torch.float32)
        return Scene(pool, torch.tensor(image).to(dtype), torch.tensor(part), matrix)

    return make


@pytest.fixture
def threads():
    """Restores torch's thread count."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def portable(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """portable(True) turns the AVX2 rows off for this test."""
    from asda_fast.ops import paste_cpu

    return lambda on: monkeypatch.setattr(paste_cpu, "portable", on)
