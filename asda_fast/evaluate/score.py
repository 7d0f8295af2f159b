"""The score of a network's predictions of a Person table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from asda_fast.core.batch import Batch
from asda_fast.core.cuda_graph import Record
from asda_fast.data.people import People
from asda_fast.evaluate.inference import Predictions, predict
from asda_fast.metrics import pck, pck_tables, readings
from asda_fast.metrics.result import Result


def score_people(found: Predictions, people: People, bootstrap: int = 0) -> Result:
    """Percentages of correct joints of a Person table. The numbers have "pck" whatever the protocol.

    MPII: PCKh@0.5, HRNet's weighted mean. Others: PCK@0.2 of the torso (left shoulder to right hip); where that is not
    labelled, or a skeleton has none, a quarter of the longer side of the person's box stands for it (not in LSP).
    """
    kind = people.skeleton.name
    there = np.isfinite(found.xy).all((1, 2))  # a photo that could not be read leaves its people out
    size = np.where(there, people.head if kind == "mpii" else torso_size(people), np.nan).astype(np.float64)
    distance = pck.distances(found.xy, people.joints.astype(np.float64), size)
    labelled, hidden = people.visible > 0, people.visible == 1
    if kind == "mpii":
        numbers, rows = pck_tables.head_pck(distance, labelled, hidden, bootstrap)
        counted, threshold = labelled.copy(), 0.5
        counted[:, list(pck.MPII_LEFT_OUT)] = False
    else:
        numbers, rows = pck_tables.torso_pck(
            distance, people.visible, people.skeleton.groups, people.skeleton.joints, bootstrap
        )
        counted, threshold = labelled, 0.2
    numbers = {"dataset": kind, "people": int(there.sum()), "pck": numbers.get("mean", numbers.get("total")), **numbers}
    return Result(
        title=f"{people.name}: {numbers['protocol']}, {numbers['people']} people",
        rows=rows,
        numbers=numbers,
        notes=[] if there.all() else [f"{(~there).sum()} people left out: their photos could not be read"],
        truth=people.joints,
        labelled=people.visible,
        predicted=found.xy,
        quality=pck_tables.quality(distance, counted, threshold),
        photos=[people.files[f] for f in people.file],
    )


def evaluate_network(
    model: nn.Module,
    loader: Iterable[Batch] | Sequence[Iterable[Batch]],
    people: People,
    flip_test: bool = True,
    decode: str = "quarter",
    progress: Callable[[int], None] | None = None,
    amp: torch.dtype | None = None,
    record: Record | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Predict everybody and score: the numbers of `score_people`. The trainer calls this after an epoch.

    Joints that nobody has are left out of "per_joint", so that all of it is plain JSON.
    """
    pairs = people.skeleton.pairs
    found = predict(
        model, loader, len(people), pairs, flip_test=flip_test, decode=decode, progress=progress, amp=amp,
        record=record, say=say,
    )  # fmt: skip
    numbers = score_people(found, people).numbers
    return {**numbers, "per_joint": {k: v for k, v in numbers["per_joint"].items() if math.isfinite(v)}}


def torso_size(people: People) -> np.ndarray:
    """[P] torso length in photo pixels (see `score_people`)."""
    size = pck.torso(people.joints.astype(np.float64), people.visible, people.skeleton)
    if people.skeleton.name != "lsp":
        size = np.where(size > 0, size, 0.25 * people.box[:, 2:].max(1))
    return size


def other_reading(xy: np.ndarray, people: People) -> str | None:
    """Joints [P, J, 2] in photo pixels -> what a network's answers seem to be instead: another skeleton's joints, for
    one, by the same number of them. None where they are as they should be or merely poor."""
    _, counted = joint_hits(people.joints, people)
    head = people.skeleton.name == "mpii"
    size = (people.head if head else torso_size(people)).astype(np.float64)
    truth, names = people.joints.astype(np.float64), people.skeleton.joints
    return readings.other_reading(xy, truth, counted, size, names, 0.5 if head else 0.2)


def joint_hits(xy: np.ndarray, people: People) -> tuple[np.ndarray, np.ndarray]:
    """Joints [P, J, 2] in photo pixels -> correct [P, J] and counted [P, J], by the rule of `score_people`."""
    head = people.skeleton.name == "mpii"
    size = (people.head if head else torso_size(people)).astype(np.float64)
    distance = pck.distances(xy, people.joints.astype(np.float64), size)
    counted = (people.visible > 0) & np.isfinite(size)[:, None] & (size > 0)[:, None]
    if head:
        counted[:, list(pck.MPII_LEFT_OUT)] = False
    return (distance <= (0.5 if head else 0.2)) & counted, counted
