"""Scores of LSP predictions: PCK@0.2 of the torso."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.core.lsp_layout import JOINTS, read_joints
from asda_fast.core.skeletons import LSP
from asda_fast.metrics import pck
from asda_fast.metrics import prediction_files as files
from asda_fast.metrics.pck_tables import quality, torso_pck
from asda_fast.metrics.readings import other_reading
from asda_fast.metrics.result import PLAIN, Options, Result

TEST = 1000  # of the 2,000 LSP photos the last 1,000 are the test set


def lsp(annotations: str | Path, predictions: str | Path, options: Options = PLAIN) -> Result:
    """PCK@0.2 of the torso and its area under the curve. Annotations: joints.mat of LSP, (3, 14, 2000) whose third row
    marks occluded joints, or of LSP-extended, (14, 3, N) whose third row marks labelled ones, read as for training.

    Every joint of LSP counts, the occluded ones too. With 2,000 annotated people the last 1,000 are the test set.
    """
    annotations, predictions = Path(annotations), Path(predictions)
    xy, visible, said = _lsp_truth(annotations)
    people = len(xy)
    rows = np.arange(people)
    if people == 2 * TEST:
        rows = rows[TEST:]
    accepted = list(dict.fromkeys((len(rows), people)))
    found = files.joints(predictions, accepted, [JOINTS], options.key)
    shift, why = files.base_of(predictions, options.one_based)
    predicted = found.xy[-len(rows) :] + shift
    xy, visible = xy[rows], visible[rows]
    labelled = visible > 0
    size = pck.torso(xy, labelled, LSP)
    distance = pck.distances(predicted, xy, size)
    other = other_reading(predicted, xy, labelled, size, LSP.joints, 0.2)
    numbers, table = torso_pck(distance, visible, LSP.groups, LSP.joints, options.bootstrap)
    return Result(
        title=f"LSP PCK@0.2, {len(rows)} people",
        rows=table,
        numbers={"dataset": "lsp", "people": len(rows), **numbers},
        notes=[
            f"{predictions.name}: {found.how}; {why}",
            *(f"{annotations}: {note}" for note in said),
            *([f"{predictions.name}: {other}"] if other else []),
        ],
        truth=xy - 0.5,
        labelled=visible,
        predicted=predicted - 0.5,
        quality=quality(distance, labelled, 0.2),
        skeleton=LSP,
        photos=[f"im{row + 1:0{4 if people == 2 * TEST else 5}d}.jpg" for row in rows],
    )


def _lsp_truth(path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """joints [N, 14, 2] as in the file (1-based), visible [N, 14] (0 none, 1 occluded, 2 visible), and notes."""
    found = files.arrays(path)
    name = "joints" if "joints" in found else next((n for n, a in found.items() if a.ndim == 3), None)
    if name is None:
        raise UserError(f"{path}: expected an array 'joints' of LSP, found {', '.join(found) or 'none'}")
    table = np.asarray(found[name])
    if table.ndim == 3 and table.shape[:2] == (2, JOINTS):  # no third row
        xy = table.transpose(2, 1, 0).astype(np.float64)
        return xy, np.full(xy.shape[:2], 2), []
    return read_joints(str(path), table)
