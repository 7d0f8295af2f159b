"""Scores by the protocols of LSP and MPII, of arrays and of prediction files (COCO's are in protocols_coco.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.metrics import pck
from asda_fast.metrics import prediction_files as files

LSP_TEST = 1000  # of the 2,000 LSP photos the last 1,000 are the test set
MPII_JOINTS, LSP_JOINTS = 16, 14
MPII_NAMES = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax", "upper_neck",
    "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
LSP_NAMES = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
    "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top",
)  # fmt: skip


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


@dataclass(frozen=True)
class Options:
    """How to read predictions and what else to compute."""

    key: str | None = None
    one_based: bool | None = None  # None: by the kind of file
    bootstrap: int = 0
    visibility: str | None = None


PLAIN = Options()


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
            pck.score(distance, counted, t, pck.MPII_GROUPS, pck.MPII_LEFT_OUT) for t in (0.5, 0.1, pck.LEGACY)
        )
        plain = pck.plain_mean(distance, counted, 0.5, pck.MPII_LEFT_OUT)
        numbers = {
            "per_joint": half.groups,
            "mean": half.total,
            "plain_mean": plain,
            "mean@0.1": tenth.total,
            "mean@0.1_legacy": legacy.total,
            "per_joint@0.1": tenth.groups,
            "joints": dict(zip(MPII_NAMES, half.joints.tolist(), strict=True)),
            "counted": half.counted,
        }
        means = {"Mean": half.total, "Plain mean": plain, "Mean@0.1": tenth.total, "@0.1 legacy": legacy.total}
        return numbers, {**half.groups, **means}

    return _both(block, labelled, hidden, {"protocol": "PCKh@0.5"}, distance, bootstrap, 0.5, pck.MPII_LEFT_OUT)


def _both(
    block: Callable[[np.ndarray], tuple[dict[str, Any], dict[str, float]]],
    labelled: np.ndarray,
    hidden: np.ndarray | None,
    head: dict[str, Any],
    distance: np.ndarray,
    bootstrap: int,
    threshold: float,
    leave_out: tuple[int, ...] = (),
) -> tuple[dict[str, Any], list[tuple[str, dict[str, float]]]]:
    numbers, row = block(labelled)
    numbers, table = {**head, **numbers}, [("all joints", row)]
    if hidden is not None and hidden.any():
        numbers["invisible"], row = block(hidden)
        table.append(("invisible joints only", row))
    if bootstrap:
        numbers["interval"] = pck.interval(distance, labelled, threshold, leave_out, draws=bootstrap)
    return numbers, table


def base_of(path: Path, options: Options) -> tuple[float, str]:
    """What to add to predictions to make them 1-based as LSP's and MPII's annotations are, and why."""
    one = options.one_based if options.one_based is not None else path.suffix.lower() in files.ONE_BASED
    why = "as asked" if options.one_based is not None else f"as {path.suffix} files are, if not told otherwise"
    return (0.0, f"first pixel is 1, {why}") if one else (1.0, f"first pixel is 0, {why}")


def lsp(annotations: str | Path, predictions: str | Path, options: Options = PLAIN) -> Result:
    """PCK@0.2 of the torso and its area under the curve. Annotations: joints.mat of LSP, (3, 14, 2000) whose third row
    marks occluded joints, or of LSP-extended, (14, 3, N) whose third row marks labelled ones.

    Every joint of LSP counts, the occluded ones too. With 2,000 annotated people the last 1,000 are the test set.
    """
    annotations, predictions = Path(annotations), Path(predictions)
    truth = _lsp_truth(annotations)
    xy, visible = truth
    rows = np.arange(len(xy))
    if len(xy) == 2 * LSP_TEST:
        rows = rows[LSP_TEST:]
    accepted = list(dict.fromkeys((len(rows), len(xy))))
    found = files.joints(predictions, accepted, [LSP_JOINTS], options.key)
    shift, why = base_of(predictions, options)
    predicted = found.xy[-len(rows) :] + shift
    xy, visible = xy[rows], visible[rows]
    labelled = visible > 0
    size = pck.torso(xy, "lsp")
    size = np.where(labelled[:, list(pck.TORSO["lsp"])].all(1), size, np.nan)
    distance = pck.distances(predicted, xy, size)
    numbers, table = torso_pck(distance, visible, pck.LSP_GROUPS, LSP_NAMES, options.bootstrap)
    return Result(
        title=f"LSP PCK@0.2, {len(rows)} people",
        rows=table,
        numbers={"dataset": "lsp", "people": len(rows), **numbers},
        notes=[f"{predictions.name}: {found.how}; {why}"],
        truth=xy - 0.5,
        labelled=visible,
        predicted=predicted - 0.5,
        quality=quality(distance, labelled, 0.2),
        photos=[f"im{row + 1:0{4 if len(truth[0]) == 2 * LSP_TEST else 5}d}.jpg" for row in rows],
    )


def _lsp_truth(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """joints [N, 14, 2] as in the file (1-based), visible [N, 14] (0 none, 1 occluded, 2 visible)."""
    found = files.arrays(path)
    name = "joints" if "joints" in found else next((n for n, a in found.items() if a.ndim == 3), None)
    if name is None:
        raise UserError(f"{path}: expected an array 'joints' of LSP, found {', '.join(found) or 'none'}")
    table = np.asarray(found[name], np.float64)
    if table.ndim == 3 and table.shape[:2] == (3, LSP_JOINTS):
        visible = np.where(table[2].T > 0, 1, 2)
        xy = table[:2].transpose(2, 1, 0)
    elif table.ndim == 3 and table.shape[:2] == (LSP_JOINTS, 3):
        visible = np.where(table[:, 2].T > 0, 2, 0)
        xy = table[:, :2].transpose(2, 0, 1)
    elif table.ndim == 3 and table.shape[:2] == (2, LSP_JOINTS):
        xy = table.transpose(2, 1, 0)
        visible = np.full(xy.shape[:2], 2)
    else:
        raise UserError(f"{path}: {name}: expected (3, 14, N) of LSP or (14, 3, N) of LSP-extended, got {table.shape}")
    return xy, visible


def mpii(annotations: str | Path, predictions: str | Path, options: Options = PLAIN) -> Result:
    """PCKh@0.5 and @0.1: head size 0.6 of the head box's diagonal, pelvis and thorax left out of the means.

    Annotations: gt_valid.mat (pos_gt_src, jnt_missing, headboxes_src) or Hourglass's valid.h5 (part, visible,
    normalize). Invisible joints need valid.h5: given as the annotations, by `visibility`, or lying beside them.
    """
    annotations, predictions = Path(annotations), Path(predictions)
    truth, labelled, head, visible, where = _mpii_truth(annotations, options)
    kept = [j for j in range(MPII_JOINTS) if j not in pck.MPII_LEFT_OUT]
    found = files.joints(predictions, [len(truth)], [MPII_JOINTS, len(kept)], options.key)
    shift, why = base_of(predictions, options)
    notes = [f"{predictions.name}: {found.how}; {why}"]
    predicted = np.full((*truth.shape[:2], 2), np.nan)
    if found.xy.shape[1] == len(kept):
        predicted[:, kept] = found.xy + shift
        notes.append("14 joints taken as MPII's without pelvis and thorax")
    else:
        predicted[:] = found.xy + shift
    distance = pck.distances(predicted, truth, head)

    numbers, table = head_pck(distance, labelled, None if visible is None else labelled & ~visible, options.bootstrap)
    if visible is not None:
        notes.append(f"visibility from {where}")
    else:
        notes.append("invisible joints: not scored, visibility is unknown (`visibility`: valid.h5)")
    counted = labelled.copy()
    counted[:, list(pck.MPII_LEFT_OUT)] = False
    shown = np.where(labelled, 2 if visible is None else np.where(visible, 2, 1), 0)
    return Result(
        title=f"MPII PCKh@0.5, {len(truth)} people",
        rows=table,
        numbers={"dataset": "mpii", "people": len(truth), **numbers},
        notes=notes,
        truth=truth - 0.5,
        labelled=shown,
        predicted=predicted - 0.5,
        quality=quality(distance, counted, 0.5),
        photos=_mpii_photos(annotations, len(truth)),
    )


MpiiTruth = tuple[np.ndarray, np.ndarray, np.ndarray, "np.ndarray | None", str]


def _mpii_truth(path: Path, options: Options) -> MpiiTruth:
    """xy [N, 16, 2] 1-based, labelled [N, 16] bool, head [N], visible [N, 16] bool or None, where that came from."""
    found = files.arrays(path)
    if {"part", "visible", "normalize"} <= set(found):
        xy = found["part"].astype(np.float64)
        return xy, (xy != 0).any(-1), found["normalize"].ravel(), found["visible"] > 0, path.name
    for name in ("pos_gt_src", "jnt_missing", "headboxes_src"):
        if name not in found:
            has = ", ".join(list(found)[:8]) or "nothing"
            raise UserError(f"{path}: expected {name}, as in MPII's gt_valid.mat, or part as in valid.h5; found {has}")
    xy = found["pos_gt_src"].astype(np.float64)
    boxes = found["headboxes_src"].astype(np.float64)
    count = xy.shape[-1]
    if xy.shape != (MPII_JOINTS, 2, count) or boxes.shape != (2, 2, count):
        raise UserError(
            f"{path}: expected pos_gt_src (16, 2, N) and headboxes_src (2, 2, N), got {xy.shape} and {boxes.shape}"
        )
    xy, labelled = xy.transpose(2, 0, 1), found["jnt_missing"].T == 0
    head = 0.6 * np.linalg.norm(boxes[1] - boxes[0], axis=0)
    candidates = [path.parent / "valid.h5", path.parent.parent / "valid.h5"]
    if options.visibility is not None:
        candidates = [Path(options.visibility)]
    for candidate in candidates:
        if options.visibility is None and not candidate.is_file():
            continue
        other = files.arrays(candidate)
        fits = "visible" in other and other["visible"].shape == labelled.shape
        if not fits:
            if options.visibility is None:
                continue
            raise UserError(f"{candidate}: expected an array visible {labelled.shape}, as in Hourglass's valid.h5")
        return xy, labelled, head, other["visible"] > 0, candidate.name
    return xy, labelled, head, None, ""


def _mpii_photos(path: Path, count: int) -> list[str] | None:
    for candidate in (path, path.parent / "valid.h5", path.parent.parent / "valid.h5"):
        if candidate.suffix == ".h5" and candidate.is_file():
            names = files.arrays(candidate).get("imgname")
            if names is not None and len(names) == count:
                return [n.decode() if isinstance(n, bytes) else str(n) for n in names]
    return None


def quality(distance: np.ndarray, counted: np.ndarray, threshold: float) -> np.ndarray:
    """[N] a person's mean of 1 - distance / (2 * threshold), clipped at 0: tells apart people with equal hit counts."""
    usable = (counted > 0) & ~np.isnan(distance)
    closeness = np.clip(1 - distance / (2 * threshold), 0, 1)
    number = usable.sum(1)
    return np.where(number > 0, np.where(usable, closeness, 0).sum(1) / np.maximum(number, 1), np.nan)
