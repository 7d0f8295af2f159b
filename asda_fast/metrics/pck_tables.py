"""The tables that papers print of PCK (LSP), PCKh (MPII) and, as mmpose has them, of any joints: all joints, invisible
joints only, their intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from asda_fast.core.skeletons import MPII, Skeleton
from asda_fast.metrics import pck


def torso_pck(
    distance: np.ndarray, visible: np.ndarray, groups: pck.Groups, names: tuple[str, ...], bootstrap: int = 0
) -> tuple[dict[str, Any], list[tuple[str, dict[str, float]]]]:
    """PCK@0.2 of distances in torsos [N, J] over all labelled joints (visible 1 or 2) and over occluded ones (1): the
    numbers for machines and the table's rows."""

    def block(counted: np.ndarray) -> tuple[dict[str, Any], dict[str, float]]:
        score = pck.score(distance, counted, 0.2, groups)
        area = pck.auc(distance, counted, 0.2)
        joints = dict(zip(names, score.joints.tolist(), strict=True))
        numbers = {"per_joint": score.groups, "total": score.total, "auc": area, "joints": joints}
        return {**numbers, "counted": score.counted}, {**score.groups, "Total": score.total, "AUC": area}

    return _both(block, visible > 0, visible == 1, {"protocol": "PCK@0.2"}, distance, bootstrap, 0.2)


def head_pck(
    distance: np.ndarray, labelled: np.ndarray, hidden: np.ndarray | None, bootstrap: int = 0
) -> tuple[dict[str, Any], list[tuple[str, dict[str, float]]]]:
    """PCKh of distances in head sizes [N, 16] over the labelled joints and, where known, over the hidden ones."""

    def block(counted: np.ndarray) -> tuple[dict[str, Any], dict[str, float]]:
        half, tenth, legacy = (
            pck.score(distance, counted, t, MPII.groups, pck.MPII_LEFT_OUT) for t in (0.5, 0.1, pck.LEGACY)
        )
        plain = pck.plain_mean(distance, counted, 0.5, pck.MPII_LEFT_OUT)
        numbers = {
            "per_joint": half.groups,
            "mean": half.total,
            "plain_mean": plain,
            "mean@0.1": tenth.total,
            "mean@0.1_legacy": legacy.total,
            "per_joint@0.1": tenth.groups,
            "joints": dict(zip(MPII.joints, half.joints.tolist(), strict=True)),
            "counted": half.counted,
        }
        means = {"Mean": half.total, "Plain mean": plain, "Mean@0.1": tenth.total, "@0.1 legacy": legacy.total}
        return numbers, {**half.groups, **means}

    return _both(block, labelled, hidden, {"protocol": "PCKh@0.5"}, distance, bootstrap, 0.5, pck.MPII_LEFT_OUT)


COLUMNS = 10  # more body parts than that are left to the numbers


def keypoint_pck(
    pixels: np.ndarray, size: np.ndarray, visible: np.ndarray, skeleton: Skeleton, unit: str, threshold: float,
    bootstrap: int = 0,
) -> tuple[dict[str, Any], list[tuple[str, dict[str, float]]]]:  # fmt: skip
    """PCK, AUC and EPE of any joints as mmpose defines them: distances in pixels [N, J], what stands for a person's
    size [N] and what that is. A joint strictly closer than `threshold` sizes is correct, and joints weigh the same."""
    distance = pixels / np.where(size > 0, size, np.nan)[:, None]
    groups = pck.groups_of(skeleton)

    def block(counted: np.ndarray) -> tuple[dict[str, Any], dict[str, float]]:
        score = pck.score(distance, counted, threshold, groups, strict=True)
        total = pck.plain_mean(distance, counted, threshold)
        area, error = pck.pixel_auc(pixels, counted), pck.epe(pixels, counted)
        joints = dict(zip(skeleton.joints, score.joints.tolist(), strict=True))
        numbers = {"per_joint": score.groups, "total": total, "auc": area, "epe": error, "joints": joints}
        shown = score.groups if len(groups) <= COLUMNS else {}
        return {**numbers, "counted": score.counted}, {**shown, "Mean": total, "AUC@30px": area, "EPE px": error}

    head = {"protocol": f"PCK@{threshold:g} of the {unit}"}
    return _both(block, visible > 0, visible == 1, head, distance, bootstrap, threshold, plain=True)


def _both(
    block: Callable[[np.ndarray], tuple[dict[str, Any], dict[str, float]]],
    labelled: np.ndarray,
    hidden: np.ndarray | None,
    head: dict[str, Any],
    distance: np.ndarray,
    bootstrap: int,
    threshold: float,
    leave_out: tuple[int, ...] = (),
    plain: bool = False,
) -> tuple[dict[str, Any], list[tuple[str, dict[str, float]]]]:
    numbers, row = block(labelled)
    numbers, table = {**head, **numbers}, [("all joints", row)]
    if hidden is not None and hidden.any():
        numbers["invisible"], row = block(hidden)
        table.append(("invisible joints only", row))
    if bootstrap:
        numbers["interval"] = pck.interval(distance, labelled, threshold, leave_out, draws=bootstrap, plain=plain)
    return numbers, table


def quality(distance: np.ndarray, counted: np.ndarray, threshold: float) -> np.ndarray:
    """[N] a person's mean of 1 - distance / (2 * threshold), clipped at 0: tells apart people with equal hit counts."""
    usable = (counted > 0) & ~np.isnan(distance)
    closeness = np.clip(1 - distance / (2 * threshold), 0, 1)
    number = usable.sum(1)
    return np.where(number > 0, np.where(usable, closeness, 0).sum(1) / np.maximum(number, 1), np.nan)
