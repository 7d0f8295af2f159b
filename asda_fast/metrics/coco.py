"""Scores of COCO keypoint results, of COCO's own joints and of others with published sigmas: an annotation JSON and a
results JSON in, one `Result` out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.coco_json import Id
from asda_fast.core.skeletons import CROWDPOSE
from asda_fast.metrics import oks
from asda_fast.metrics.coco_files import Annotations, Record, read_annotations, read_results
from asda_fast.metrics.result import PLAIN, Options, Result

Numbers = dict[str, Any]


def check(annotations: str | Path | Record) -> list[str]:
    """What `coco` would say of the annotations, before anybody is predicted: notes, or the same UserError."""
    return read_annotations(annotations).notes


def coco(
    annotations: str | Path | Record, predictions: str | Path | list[Any] | Record, options: Options = PLAIN
) -> Result:
    """The ten numbers of pycocotools, or for CrowdPose its nine, and both on invisible joints only.

    annotations: a COCO annotation file, or its content.
    predictions: a results JSON, or its content: records of image_id, category_id, keypoints (x, y, score of each of the
    file's joints), score and perhaps bbox. Coordinates are 0-based pixel indices unless `one_based`.

    The category called person is scored, else those with joints, each apart and then averaged. Joints are known by the
    names in the file; where it has none, 17 are COCO's and 14 CrowdPose's.
    """
    truth = read_annotations(annotations)
    found, said = read_results(predictions, truth, bool(options.one_based))
    whole, matches, best = _block(truth, truth.people, found)
    if whole["AP"] == 0 and any(len(people.score) for people in found.values()):
        said.append("AP is 0: no prediction resembles an annotated person: are they pixels of these photos?")
    crowd_pose = truth.skeleton is CROWDPOSE
    title = {"crowdpose": "CrowdPose", "coco": "COCO"}.get(truth.skeleton.name, truth.skeleton.name)
    names = oks.CROWD_STATS if crowd_pose else oks.STATS
    numbers: Numbers = {
        "dataset": truth.skeleton.name, "protocol": "OKS", "images": len(truth.images), **whole
    }  # fmt: skip
    table = [("all joints", {n: whole[n] for n in names})]
    hidden = {category: people.hidden_only() for category, people in truth.people.items()}
    if not all(people.ignore.all() for people in hidden.values()):
        numbers["invisible"], *_ = _block(truth, hidden, found)
        table.append(("invisible joints only", {n: numbers["invisible"][n] for n in names}))
    if options.bootstrap:
        numbers["interval"] = oks.interval(matches, draws=options.bootstrap)
    shown = [_shown(people, found[c], *of) for (c, people), of in zip(truth.people.items(), best, strict=True)]
    people, labelled, predicted, quality, image = (np.concatenate(column) for column in zip(*shown, strict=True))
    return Result(
        title=f"{title} keypoints, {len(truth.images)} images, {len(people)} people",
        rows=table,
        numbers=numbers,
        notes=[*said, *truth.notes],
        truth=people,
        labelled=labelled,
        predicted=predicted,
        quality=quality,
        photos=[truth.file_names[i] for i in image],
    )


Best = tuple[np.ndarray, np.ndarray]  # of each person the row of the most similar prediction, and that similarity


def _block(
    truth: Annotations, people: dict[Id, oks.GroundTruth], found: dict[Id, oks.Predictions]
) -> tuple[Numbers, list[oks.Matches], list[Best]]:
    """The numbers of one way of counting joints; categories apart, then their mean."""
    sigmas = np.array(truth.skeleton.sigmas)
    pairs = [(wanted, found[category]) for category, wanted in people.items()]
    matches = [oks.match(*pair, sigmas) for pair in pairs]
    if truth.skeleton is CROWDPOSE:
        each = [oks.crowd_summary(m, truth.difficulty) for m in matches]
    else:
        each = [oks.summary(m) for m in matches]
    stats = {name: oks.mean(np.array([s[name] for s in each])) for name in each[0]}
    best = [oks.best_of_image(*pair, sigmas) for pair in pairs]
    joints = np.stack([oks.joint_similarity(*pair, sigmas, row) for pair, (row, _) in zip(pairs, best, strict=True)])
    groups = {name: _finite_mean(joints[:, list(members)]) for name, members in truth.skeleton.groups.items()}
    return {**stats, "stats": list(stats.values()), "per_joint": groups}, matches, best


def _finite_mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _shown(
    people: oks.GroundTruth, found: oks.Predictions, best: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, ...]:
    """For pictures, of the people that count: joints, flags, the most similar prediction, its similarity, the image."""
    rows = np.flatnonzero(~people.ignore)
    keypoints = people.keypoints[rows]
    predicted = np.full((*keypoints.shape[:2], 2), np.nan)
    matched = best[rows] >= 0
    predicted[matched] = found.keypoints[best[rows][matched], :, :2] + 0.5
    return keypoints[..., :2] + 0.5, keypoints[..., 2].astype(np.int64), predicted, value[rows], people.image[rows]
