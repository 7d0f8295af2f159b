"""Cloth: colours, patterns and hems, evaluated per pixel at coordinates in metres."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from tools.demo_set.noise import fractal, smooth

PATTERNS = (
    "plain",
    "plain",
    "plain",
    "stripes",
    "pinstripe",
    "bars",
    "checks",
    "tartan",
    "dots",
    "marble",
    "camo",
    "denim",
)


def colour(random: np.random.Generator, mood: str = "any") -> np.ndarray:
    """A wearable sRGB colour [3] in 0..1."""
    if mood == "denim":
        return np.array([0.16, 0.24, 0.42]) * random.uniform(0.5, 1.9) + random.uniform(0, 0.06)
    if mood == "neutral" or (mood == "any" and random.random() < 0.42):
        grey = random.choice([0.07, 0.14, 0.3, 0.5, 0.72, 0.9]) + random.normal(0, 0.03)
        warm = random.normal(0, 0.03)
        return np.clip(np.array([grey + warm, grey, grey - warm]), 0.03, 0.96)
    if mood == "leather":
        return np.array(
            [[0.09, 0.08, 0.08], [0.3, 0.18, 0.1], [0.5, 0.33, 0.2], [0.88, 0.87, 0.85]][random.integers(4)]
        )
    hue = random.random()
    rgb = colorsys.hsv_to_rgb(hue, random.uniform(0.3, 0.92), random.uniform(0.28, 0.95))
    return np.array(rgb)


@dataclass(frozen=True)
class Fabric:
    pattern: str
    first: np.ndarray  # [3] sRGB
    second: np.ndarray
    period: float  # metres
    offset: np.ndarray  # [2]
    gloss: float = 0.03
    folds: float = 0.35

    @staticmethod
    def sample(random: np.random.Generator, patterns: tuple[str, ...] = PATTERNS, mood: str = "any") -> Fabric:
        pattern = str(random.choice(patterns))
        first = colour(random, "denim" if pattern == "denim" else mood)
        second = colour(random, mood)
        if np.abs(first - second).sum() < 0.5:
            second = np.clip(1.0 - first * 0.8, 0.05, 0.95) if first.mean() < 0.5 else first * 0.35
        return Fabric(
            pattern,
            first,
            second,
            float(random.uniform(0.035, 0.11)),
            random.random(2),
            0.02,
            float(random.uniform(0.2, 0.55)),
        )

    def paint(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """sRGB [P, 3] at cloth coordinates u (around), v (along) in metres."""
        p, q = u / self.period + self.offset[0], v / self.period + self.offset[1]
        if self.pattern == "stripes":
            mix = (q % 1.0 < 0.5).astype(np.float32)
        elif self.pattern == "pinstripe":
            mix = (p * 2.2 % 1.0 < 0.22).astype(np.float32) * 0.8
        elif self.pattern == "bars":
            mix = (q * 0.35 % 1.0 < 0.3).astype(np.float32)
        elif self.pattern == "checks":
            mix = 0.5 * ((p % 1.0 < 0.5).astype(np.float32) + (q % 1.0 < 0.5))
        elif self.pattern == "tartan":
            mix = np.clip(0.5 * (p % 1 < 0.35) + 0.5 * (q % 1 < 0.35) + 0.5 * (p % 1 > 0.9) - 0.4 * (q % 1 > 0.9), 0, 1)
        elif self.pattern == "dots":
            row = np.floor(q * 1.4)
            mix = (np.hypot((p * 1.4 + 0.5 * (row % 2)) % 1 - 0.5, q * 1.4 % 1 - 0.5) < 0.27).astype(np.float32)
        elif self.pattern == "marble":
            mix = smooth(-0.5, 0.6, fractal(u * 1.7 + self.offset[0], v * 1.7 + self.offset[1], 1))
        elif self.pattern == "camo":
            mix = np.round(smooth(-0.5, 0.5, fractal(u * 1.3 + self.offset[0], v * 1.3 + self.offset[1], 1)) * 2) / 2
        else:
            mix = np.zeros_like(p)
        rgb = self.first + mix[..., None].astype(np.float32) * (self.second - self.first)
        grain = fractal(u * 6 + self.offset[1], v * 6, 2) * (0.09 if self.pattern == "denim" else 0.035)
        return np.clip(rgb * (1 + grain[..., None]), 0, 1)
