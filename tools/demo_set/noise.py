"""Smooth random textures by lookup: one periodic fractal tile, sampled at any coordinates."""

from __future__ import annotations

import functools

import cv2
import numpy as np

TILE = 512


@functools.lru_cache(maxsize=8)
def _tile(kind: int) -> np.ndarray:
    """[TILE, TILE] float32 in about -1..1, periodic; the same for every picture (offsets make the variety)."""
    random = np.random.Generator(np.random.Philox(key=[7, kind]))
    total = np.zeros((TILE, TILE), np.float32)
    for octave in range(2, 8):
        n = 1 << octave
        grid = random.standard_normal((n, n)).astype(np.float32)
        grid = np.pad(grid, 2, mode="wrap")
        step = TILE // n
        big = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += big[2 * step : -2 * step, 2 * step : -2 * step] * 0.62**octave
    return np.ascontiguousarray(total / (2.2 * total.std()))


def fractal(x: np.ndarray, y: np.ndarray, kind: int = 0) -> np.ndarray:
    """Fractal noise, about -1..1, period 1 in both coordinates (features from 1/4 down to 1/128)."""
    shape = np.broadcast(x, y).shape
    x = np.broadcast_to(np.asarray(x, np.float32) % 1.0, shape)
    y = np.broadcast_to(np.asarray(y, np.float32) % 1.0, shape)
    flat = [np.ascontiguousarray(v.reshape(1, -1) if v.ndim != 2 else v) * (TILE - 1) for v in (x, y)]
    if flat[0].shape[1] > 30000:  # remap's limit on one row
        n = flat[0].shape[1]
        pad = -n % 1024
        flat = [np.pad(v, ((0, 0), (0, pad))).reshape(-1, 1024) for v in flat]
        return cv2.remap(_tile(kind), flat[0], flat[1], cv2.INTER_LINEAR).reshape(-1)[:n].reshape(shape)
    return cv2.remap(_tile(kind), flat[0], flat[1], cv2.INTER_LINEAR).reshape(shape)


def cell(*coordinates: np.ndarray, seed: int = 0) -> np.ndarray:
    """A uniform random number in 0..1 per integer cell (bricks, windows, planks)."""
    h = np.full(np.broadcast(*coordinates).shape, 0x9E3779B9 ^ seed, np.uint64)
    for c in coordinates:
        h = (h ^ (np.floor(c).astype(np.int64).astype(np.uint64) & np.uint64(0xFFFFFFFF))) * np.uint64(
            0xD6E8FEB86659FD93
        )
        h ^= h >> np.uint64(32)
    return ((h >> np.uint64(16)) & np.uint64(0xFFFFFF)).astype(np.float32) / float(1 << 24)


def smooth(edge0: float, edge1: float, x: np.ndarray) -> np.ndarray:
    """Smoothstep."""
    t = np.clip((x - edge0) / (edge1 - edge0), 0, 1)
    return t * t * (3 - 2 * t)
