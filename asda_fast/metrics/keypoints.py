"""Scores of an array of predictions of a COCO file's people, of any joints: PCK, AUC and EPE as mmpose has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.metrics import pck
from asda_fast.metrics import prediction_files as files
from asda_fast.metrics.coco_files import read_annotations
from asda_fast.metrics.pck_tables import keypoint_pck, quality
from asda_fast.metrics.readings import other_reading
from asda_fast.metrics.result import PLAIN, Options, Result


def keypoints(annotations: str | Path, predictions: str | Path, options: Options = PLAIN) -> Result:
    """PCK@0.2 of the box (or of what `options` says), AUC and EPE.

    annotations: a COCO annotation file of one category. predictions: an array [N, K, 2 or 3] of its people in its
    order, either all of them or those with a labelled joint who are no crowd; joints in the file's order.
    """
    predictions = Path(predictions)
    truth = read_annotations(annotations, options, whole=None)
    if len(truth.people) > 1:
        raise UserError(f"{predictions}: of {len(truth.people)} categories an array tells none: expected JSON")
    everybody = next(iter(truth.people.values()))
    rows = np.flatnonzero(~everybody.ignore)
    number, skeleton = len(truth.sigmas), truth.skeleton
    counts = list(dict.fromkeys((len(rows), len(everybody.image))))
    found = files.joints(predictions, counts, [number], options.key)
    shift, why = files.base_of(predictions, options.one_based)
    predicted = found.xy[:, truth.order] + shift - 1  # the file's first pixel is 0
    predicted = predicted if len(predicted) == len(rows) else predicted[rows]
    xy, visible = everybody.keypoints[rows, :, :2], everybody.keypoints[rows, :, 2].astype(np.int64)
    unit = options.normalise or "box"
    ends = skeleton.torso if unit == "torso" else skeleton.head
    if unit == "box":
        size = everybody.box[rows, 2:].max(1)
    elif ends is None:
        raise UserError(f"normalise: expected box, got {unit}: {skeleton.name} joints name no {unit}")
    else:
        size = pck.length(xy, visible, ends)
    threshold = options.threshold or (0.5 if unit == "head" else 0.2)
    pixels = pck.distances(predicted, xy, np.ones(len(rows)))
    numbers, table = keypoint_pck(pixels, size, visible, skeleton, unit, threshold, options.bootstrap)
    sized = size if unit == "box" else everybody.box[rows, 2:].max(1)
    other = other_reading(predicted, xy, visible > 0, sized, skeleton.joints, 0.2)
    notes = [f"{predictions.name}: {found.how}; {why}", *([f"{predictions.name}: {other}"] if other else [])]
    notes += [*(note for note in truth.notes if "sigmas" not in note)]
    return Result(
        title=f"{skeleton.name}: {numbers['protocol']}, {len(rows)} people",
        rows=table,
        numbers={"dataset": skeleton.name, "people": len(rows), "pck": numbers["total"], **numbers},
        notes=notes,
        truth=xy + 0.5,
        labelled=visible,
        predicted=predicted + 0.5,
        quality=quality(pixels / np.where(size > 0, size, np.nan)[:, None], visible > 0, threshold),
        photos=[truth.file_names[i] for i in everybody.image[rows]],
        skeleton=skeleton,
    )
