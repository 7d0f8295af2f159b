"""Scores of MPII predictions: PCKh@0.5 and @0.1."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import MPII
from asda_fast.metrics import pck
from asda_fast.metrics import prediction_files as files
from asda_fast.metrics.pck_tables import head_pck, quality
from asda_fast.metrics.readings import other_reading
from asda_fast.metrics.result import PLAIN, Options, Result

JOINTS = len(MPII.joints)


def mpii(annotations: str | Path, predictions: str | Path, options: Options = PLAIN) -> Result:
    """PCKh@0.5 and @0.1: head size 0.6 of the head box's diagonal, pelvis and thorax left out of the means.

    Annotations: gt_valid.mat (pos_gt_src, jnt_missing, headboxes_src) or Hourglass's valid.h5 (part, visible,
    normalize). Invisible joints need valid.h5: given as the annotations, by `visibility`, or lying beside them.
    """
    annotations, predictions = Path(annotations), Path(predictions)
    truth, labelled, head, visible, where = _truth(annotations, options)
    kept = [j for j in range(JOINTS) if j not in pck.MPII_LEFT_OUT]
    found = files.joints(predictions, [len(truth)], [JOINTS, len(kept)], options.key)
    shift, why = files.base_of(predictions, options.one_based)
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
    if other := other_reading(predicted, truth, counted, head, MPII.joints, 0.5):
        notes.append(f"{predictions.name}: {other}")
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
        skeleton=MPII,
        photos=_photos(annotations, len(truth)),
    )


Truth = tuple[np.ndarray, np.ndarray, np.ndarray, "np.ndarray | None", str]


def _truth(path: Path, options: Options) -> Truth:
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
    if xy.shape != (JOINTS, 2, count) or boxes.shape != (2, 2, count):
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


def _photos(path: Path, count: int) -> list[str] | None:
    for candidate in (path, path.parent / "valid.h5", path.parent.parent / "valid.h5"):
        if candidate.suffix == ".h5" and candidate.is_file():
            names = files.arrays(candidate).get("imgname")
            if names is not None and len(names) == count:
                return [n.decode() if isinstance(n, bytes) else str(n) for n in names]
    return None
