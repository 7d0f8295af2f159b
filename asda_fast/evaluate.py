"""python -m asda_fast.evaluate: the literature's table for a network or for a file of predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from torch import nn

from asda_fast.batch import Batch
from asda_fast.data.people import People
from asda_fast.data.skeletons import Skeleton
from asda_fast.metrics import pck
from asda_fast.predict import Predictions, predict

GROUPS = {"lsp": pck.LSP_GROUPS, "mpii": pck.MPII_GROUPS, "coco": pck.COCO_GROUPS}


def run(
    model: nn.Module,
    loader: Iterable[Batch] | Sequence[Iterable[Batch]],
    skeleton: Skeleton,
    people: People,
    flip_test: bool = True,
    decode: str = "quarter",
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Predict everybody and score: `score_people` of what the network says. The trainer calls this after an epoch."""
    found = predict(model, loader, len(people), skeleton.pairs, flip_test=flip_test, decode=decode, progress=progress)
    return score_people(found, people)


def score_people(found: Predictions, people: People) -> dict[str, Any]:
    """Percentages of correct joints of a Person table: {"pck", "per_joint", "protocol", "invisible", "counted"}.

    MPII: PCKh@0.5, HRNet's weighted mean. Others: PCK@0.2 of the torso (left shoulder to right hip); where a COCO
    person's torso is not labelled, a quarter of the longer side of his box stands for it.
    """
    kind = people.skeleton.name
    rows = np.isfinite(found.xy).all((1, 2))  # a photo that could not be read leaves its people out
    truth = people.joints.astype(np.float64)
    leave_out: tuple[int, ...] = ()
    size, threshold, protocol = torso_size(people), 0.2, "PCK@0.2"
    if kind == "mpii":
        size, threshold, leave_out, protocol = people.head, 0.5, pck.MPII_LEFT_OUT, "PCKh@0.5"
    distance = pck.distances(found.xy, truth, size.astype(np.float64))[rows]
    labelled = (people.visible > 0)[rows]
    groups = GROUPS.get(kind, {})
    whole = pck.score(distance, labelled, threshold, groups, leave_out)
    hidden = pck.score(distance, (people.visible == 1)[rows], threshold, groups, leave_out)
    return {
        "pck": whole.total,
        "per_joint": whole.groups,
        "protocol": protocol,
        "invisible": {"pck": hidden.total, "per_joint": hidden.groups, "counted": hidden.counted},
        "counted": whole.counted,
    }


def torso_size(people: People) -> np.ndarray:
    """[P] torso length in photo pixels (see `score_people`)."""
    kind = people.skeleton.name
    ends = pck.TORSO[kind]
    size = pck.torso(people.joints.astype(np.float64), kind)
    size = np.where((people.visible[:, ends] > 0).all(1), size, np.nan)
    if kind == "coco":
        size = np.where(size > 0, size, 0.25 * people.box[:, 2:].max(1))
    return size
