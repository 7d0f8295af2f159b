"""The score of a network's predictions of a Person table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from asda_fast.core.batch import Batch
from asda_fast.core.cuda_graph import Record
from asda_fast.core.errors import UserError
from asda_fast.data.people import People
from asda_fast.evaluate.inference import Predictions, predict
from asda_fast.metrics import pck, pck_tables, readings
from asda_fast.metrics.pck import groups_of
from asda_fast.metrics.result import Result

Unit = Literal["box", "torso", "head"]


def score_people(
    found: Predictions,
    people: People,
    bootstrap: int = 0,
    normalise: Unit | None = None,
    threshold: float | None = None,
) -> Result:
    """Percentages of correct joints of a Person table. The numbers have "pck" whatever the protocol.

    MPII: PCKh@0.5, HRNet's weighted mean. LSP: PCK@0.2 of the torso (left shoulder to right hip). Others with a torso:
    the same, where it is not labelled a quarter of the longer side of the person's box stands for it. Others: mmpose's
    PCK@0.2 of the box, AUC and EPE. These also where `normalise` (box: its longer side; torso, head: people without
    one do not count) or `threshold` (in those; 0.5 of the head, 0.2 of the others) is given.
    """
    kind = people.skeleton.name
    there = np.isfinite(found.xy).all((1, 2))  # a photo that could not be read leaves its people out
    usual = usual_rule(people)
    truth, labelled, hidden = people.joints.astype(np.float64), people.visible > 0, people.visible == 1
    notes = [] if there.all() else [f"{(~there).sum()} people left out: their photos could not be read"]
    published = usual != "box" and normalise in ((None, usual) if kind in ("mpii", "lsp") else (None,))
    if published and threshold is None:
        size = np.where(there, usual_size(people), np.nan)
        distance, counted = pck.distances(found.xy, truth, size), labelled.copy()
        if kind == "mpii":
            counted[:, list(pck.MPII_LEFT_OUT)] = False
            numbers, rows = pck_tables.head_pck(distance, labelled, hidden, bootstrap)
        else:
            numbers, rows = pck_tables.torso_pck(
                distance, people.visible, groups_of(people.skeleton), people.skeleton.joints, bootstrap
            )
    else:
        unit = normalise or usual
        size, threshold = unit_size(people, unit), threshold or usual_threshold(unit)
        pixels = pck.distances(found.xy, truth, np.where(there, 1.0, np.nan))
        numbers, rows = pck_tables.keypoint_pck(
            pixels, size, people.visible, people.skeleton, unit, threshold, bootstrap
        )
        distance, counted = pixels / np.where(size > 0, size, np.nan)[:, None], labelled
        if without := int((there & ~(size > 0)).sum()):
            notes.append(f"{without} people without a {unit} do not count for PCK")
    numbers = {"dataset": kind, "people": int(there.sum()), "pck": numbers.get("mean", numbers.get("total")), **numbers}
    return Result(
        title=f"{people.name}: {numbers['protocol']}, {numbers['people']} people",
        rows=rows,
        numbers=numbers,
        notes=notes,
        truth=people.joints,
        labelled=people.visible,
        predicted=found.xy,
        quality=pck_tables.quality(distance, counted, threshold or usual_threshold(usual)),
        photos=[people.files[f] for f in people.file],
    )


def usual_rule(people: People) -> Unit:
    """What a distance is measured in unless told: MPII's head, the torso where the skeleton has one, the box."""
    if people.skeleton.name == "mpii":
        return "head"
    return "box" if people.skeleton.torso is None else "torso"


def usual_threshold(unit: Unit) -> float:
    """In such units, within which a joint is found: PCKh@0.5, PCK@0.2."""
    return 0.5 if unit == "head" else 0.2


def usual_size(people: People) -> np.ndarray:
    """[P] float64 pixels by that rule; a quarter of the box's longer side stands for a torso (see `score_people`)."""
    rule = usual_rule(people)
    if rule == "head":
        return people.head.astype(np.float64)
    return torso_size(people) if rule == "torso" else unit_size(people, rule)


def unit_size(people: People, unit: Unit) -> np.ndarray:
    """[P] float64 pixels; nan (or 0) where a person has no such thing. UserError where nobody has."""
    joints, visible, skeleton = people.joints.astype(np.float64), people.visible, people.skeleton
    if unit == "box":
        return people.box[:, 2:].max(1).astype(np.float64)
    if unit == "torso":
        size = pck.torso(joints, visible, skeleton)
    elif np.isfinite(people.head).any() or skeleton.head is None:
        size = people.head.astype(np.float64)
    else:
        size = pck.length(joints, visible, skeleton.head)
    if not (size > 0).any():
        raise UserError(f"normalise: nobody of {people.name} has a {unit} that is labelled ({skeleton.name} joints)")
    return size


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
    truth, names = people.joints.astype(np.float64), people.skeleton.joints
    return readings.other_reading(xy, truth, counted, usual_size(people), names, usual_threshold(usual_rule(people)))


def joint_hits(xy: np.ndarray, people: People) -> tuple[np.ndarray, np.ndarray]:
    """Joints [P, J, 2] in photo pixels -> correct [P, J] and counted [P, J], by the usual rule of `score_people`."""
    size = usual_size(people)
    distance = pck.distances(xy, people.joints.astype(np.float64), size)
    counted = (people.visible > 0) & np.isfinite(size)[:, None] & (size > 0)[:, None]
    if people.skeleton.name == "mpii":
        counted[:, list(pck.MPII_LEFT_OUT)] = False
    return (distance <= usual_threshold(usual_rule(people))) & counted, counted
