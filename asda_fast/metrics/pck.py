"""Percentage of correct keypoints: PCK (LSP), PCKh (MPII), and their invisible-joints-only forms.

A joint is correct where its distance to the truth is at most `threshold` times the person's size: the torso for PCK
(Yang & Ramanan; LSP: left shoulder to right hip), the head for PCKh (Andriluka et al.: 0.6 times the head box's
diagonal). Everything is numpy and vectorised over people. Values are percentages; nan where nothing was counted.

Means of PCKh, which the literature mixes up:

- `mean`: HRNet's, every joint weighted by how often it is labelled, pelvis and thorax left out;
- `plain_mean`: pytorch-pose's, the unweighted mean over the same joints, strictly closer than the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from asda_fast.core.skeletons import Skeleton, canonical

Groups = Mapping[str, tuple[int, ...]]

CROP_SHARE = (
    0.05  # of the crop's longer side: within it a joint counts as found while a network trains (HRNet's measure)
)
MPII_LEFT_OUT = (6, 7)  # pelvis and thorax
LEGACY = 0.11  # HRNet's "Mean@0.1" reads the twelfth of the thresholds 0, 0.01, ..: 0.11


def groups_of(skeleton: Skeleton) -> Groups:
    """The body parts of a skeleton; where it names none, each pair of joints and each joint that has no other side."""
    if skeleton.groups:
        return skeleton.groups
    found: dict[str, tuple[int, ...]] = {}
    for number, name in enumerate(skeleton.joints):
        key = canonical(name)
        part = key.removeprefix("left_").removeprefix("right_")
        found[part] = (*found.get(part, ()), number)
    return found


def distances(predicted: np.ndarray, truth: np.ndarray, size: np.ndarray) -> np.ndarray:
    """[P, J, 2] twice and the persons' sizes [P] -> [P, J] distances in sizes. A size of 0 or nan gives nan: the
    person is not counted. A prediction that is not a number is infinitely far: it counts as wrong."""
    predicted, truth, size = (_floats(value) for value in (predicted, truth, size))
    if truth.ndim != 3 or predicted.shape != truth.shape or size.shape != truth.shape[:1]:
        raise ValueError(
            f"expected predicted and truth [P, J, 2] and size [P], got {predicted.shape}, {truth.shape}, {size.shape}"
        )
    scale = np.where(size > 0, size, np.nan)
    difference = np.where(np.isfinite(predicted), predicted - truth, np.inf)
    return np.hypot(difference[..., 0], difference[..., 1]) / scale[:, None]


def _floats(value: Any) -> np.ndarray:
    """Whole numbers as floats: unsigned ones wrap in a difference."""
    array = np.asarray(value)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def torso(truth: np.ndarray, labelled: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Left shoulder to right hip, [P, J, 2] and [P, J] -> [P]; nan where either is not labelled."""
    if skeleton.torso is None:
        return np.full(len(truth), np.nan)
    return length(truth, labelled, skeleton.torso)


def length(truth: np.ndarray, labelled: np.ndarray, ends: tuple[int, int]) -> np.ndarray:
    """The distance of two joints, [P, J, 2] and [P, J] -> [P]; nan where either is not labelled."""
    a, b = ends
    return np.where((labelled[:, [a, b]] > 0).all(1), np.linalg.norm(truth[:, a] - truth[:, b], axis=-1), np.nan)


def rates(distance: np.ndarray, counted: np.ndarray, threshold: float, strict: bool = False) -> np.ndarray:
    """The percentage of each joint's counted people within the threshold: [P, J] twice -> [J]."""
    hit, number = _hits(distance, counted, threshold, strict)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 100.0 * hit / number


def _hits(
    distance: np.ndarray, counted: np.ndarray, threshold: float, strict: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    if counted.shape != distance.shape or distance.ndim != 2:
        raise ValueError(f"expected distance and counted [P, J], got {distance.shape}, {counted.shape}")
    within = distance < threshold if strict else distance <= threshold
    counted = (counted > 0) & ~np.isnan(distance)
    return (within & counted).sum(0), counted.sum(0)


@dataclass(frozen=True)
class Score:
    """What one table row says: percentages per group of joints and per joint, and their total."""

    groups: dict[str, float]
    joints: np.ndarray  # [J]
    total: float
    counted: int  # joints


def score(
    distance: np.ndarray,
    counted: np.ndarray,
    threshold: float,
    groups: Groups,
    leave_out: tuple[int, ...] = (),
    strict: bool = False,
) -> Score:
    """Rates of joints, groups (mean of their joints) and the total, in which each counted joint weighs the same."""
    hit, number = _hits(distance, counted, threshold, strict)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = 100.0 * hit / number
    kept = [j for j in range(distance.shape[1]) if j not in leave_out]
    total = 100.0 * hit[kept].sum() / number[kept].sum() if number[kept].sum() else float("nan")
    return Score(
        groups={name: _mean(rate[list(members)]) for name, members in groups.items()},
        joints=rate,
        total=float(total),
        counted=int(number[kept].sum()),
    )


def plain_mean(distance: np.ndarray, counted: np.ndarray, threshold: float, leave_out: tuple[int, ...] = ()) -> float:
    """pytorch-pose's mean: joints weigh the same whatever their count, and a hit is strictly closer."""
    rate = rates(distance, counted, threshold, strict=True)
    return _mean(rate[[j for j in range(len(rate)) if j not in leave_out]])


def pixel_auc(pixels: np.ndarray, counted: np.ndarray, top: float = 30.0, steps: int = 20) -> float:
    """mmpose's AUC, a percentage: the mean of `plain_mean` at 0, top / steps, .. top - top / steps pixels."""
    return float(np.mean([plain_mean(pixels / top, counted, step / steps) for step in range(steps)]))


def epe(pixels: np.ndarray, counted: np.ndarray) -> float:
    """mmpose's end-point error: the mean distance in pixels of the counted joints."""
    values = pixels[(counted > 0) & ~np.isnan(pixels)]
    return float(values.mean()) if len(values) else float("nan")


def auc(distance: np.ndarray, counted: np.ndarray, top: float, step: float = 0.01) -> float:
    """Area under the rate over thresholds 0 .. top by the trapezoid rule, each counted joint weighing the same, as a
    percentage of the whole (LSP's AUC: top 0.2, step 0.01)."""
    counted = (counted > 0) & ~np.isnan(distance)
    values = np.sort(distance[counted])
    if not len(values):
        return float("nan")
    thresholds = np.arange(round(top / step) + 1) * step
    rate = 100.0 * np.searchsorted(values, thresholds, side="right") / len(values)
    return float((rate.sum() - (rate[0] + rate[-1]) / 2) / (len(rate) - 1))


def interval(
    distance: np.ndarray,
    counted: np.ndarray,
    threshold: float,
    leave_out: tuple[int, ...] = (),
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    plain: bool = False,
) -> tuple[float, float]:
    """Bootstrap confidence interval of `total` (plain: of `plain_mean`) over people: how far another sample of people
    could move it."""
    kept = [j for j in range(distance.shape[1]) if j not in leave_out]
    counted = (counted[:, kept] > 0) & ~np.isnan(distance[:, kept])
    if not counted.any():
        return float("nan"), float("nan")
    near = distance[:, kept] < threshold if plain else distance[:, kept] <= threshold
    number, hit = counted.astype(np.float64), (near & counted).astype(np.float64)  # [P, J]
    if not plain:
        number, hit = number.sum(1, keepdims=True), hit.sum(1, keepdims=True)
    rng = np.random.Generator(np.random.Philox(seed))
    weight = rng.multinomial(len(hit), np.full(len(hit), 1 / len(hit)), size=draws)  # [draws, P]
    drawn = weight @ number
    rate = np.where(drawn > 0, weight @ hit / np.maximum(drawn, 1), np.nan if plain else 0.0)
    totals = 100.0 * np.nanmean(rate, axis=1)
    tail = 50 * (1 - level)
    low, high = np.percentile(totals, [tail, 100 - tail])
    return float(low), float(high)


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")
