"""Scores of COCO keypoint results, of any joints: an annotation JSON and a results JSON in, one `Result` out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.coco_json import Id
from asda_fast.core.skeletons import CROWDPOSE, WHOLEBODY
from asda_fast.core.wholebody import PARTS
from asda_fast.metrics import oks
from asda_fast.metrics.coco_files import Annotations, Record, read_annotations
from asda_fast.metrics.coco_predictions import read_records, read_results, whole
from asda_fast.metrics.pck import groups_of
from asda_fast.metrics.result import PLAIN, Options, Result

Numbers = dict[str, Any]


def check(annotations: str | Path | Record, options: Options = PLAIN) -> Annotations:
    """What `coco` would find in the annotations, before anybody is predicted; or the same UserError."""
    named = options.skeleton is not None and options.skeleton.name == WHOLEBODY.name
    return read_annotations(annotations, options, whole=named)


def coco(
    annotations: str | Path | Record, predictions: str | Path | list[Any] | Record, options: Options = PLAIN
) -> Result:
    """The ten numbers of pycocotools, or for CrowdPose its nine, and both on invisible joints only; for COCO-WholeBody
    those of each part.

    annotations: a COCO annotation file, or its content.
    predictions: a results JSON, or its content: records of image_id, category_id, keypoints (x, y, score of each of the
    file's joints), score and perhaps bbox; of COCO-WholeBody also foot_kpts and its kin, or all 133 joints as
    keypoints. Coordinates are 0-based pixel indices unless `one_based`.

    The category of `options` is scored, else the one called person, else those with joints, each apart and then
    averaged. Joints are known by the names in the file; where it has none, 17 are COCO's and 14 CrowdPose's. Their
    sigmas are those of `options`, else
    the published ones, else one for all; the notes say which.
    """
    where, records = read_records(predictions)
    truth = read_annotations(annotations, options, whole(records))
    found, said = read_results(where, records, truth, bool(options.one_based))
    name = truth.skeleton.name
    titles = {"crowdpose": "CrowdPose", "coco": "COCO", "wholebody": "COCO-WholeBody"}
    names = oks.CROWD_STATS if name == CROWDPOSE.name else oks.STATS
    parts = {"all joints": slice(None)} if name != WHOLEBODY.name else PARTS
    blocks = {part: _block(truth, *_part(truth.people, found, part, place), place) for part, place in parts.items()}
    whole_block, matches, best = list(blocks.values())[-1]
    if whole_block["AP"] == 0 and any(len(people.score) for people in found.values()):
        said.append("AP is 0: no prediction resembles an annotated person: hardly trained, or pixels of other photos?")
    numbers: Numbers = {"dataset": name, "protocol": "OKS", "images": len(truth.images), **whole_block}
    numbers["sigmas"] = truth.sigmas.tolist()
    if len(blocks) > 1:
        numbers["parts"] = {part: block for part, (block, *_) in blocks.items()}
    table = [(part, {n: block[n] for n in names}) for part, (block, *_) in blocks.items()]
    hidden = {category: people.hidden_only() for category, people in truth.people.items()}
    if not all(people.ignore.all() for people in hidden.values()):
        numbers["invisible"], *_ = _block(truth, hidden, found)
        table.append(("invisible joints only", {n: numbers["invisible"][n] for n in names}))
    if options.bootstrap:
        numbers["interval"] = oks.interval(matches, draws=options.bootstrap)
    shown = [_shown(people, found[c], *of) for (c, people), of in zip(truth.people.items(), best, strict=True)]
    people, labelled, predicted, quality, image = (np.concatenate(column) for column in zip(*shown, strict=True))
    return Result(
        title=f"{titles.get(name, name)} keypoints, {len(truth.images)} images, {len(people)} people",
        rows=table,
        numbers=numbers,
        notes=[*said, *truth.notes],
        truth=people,
        labelled=labelled,
        predicted=predicted,
        quality=quality,
        photos=[truth.file_names[i] for i in image],
        skeleton=truth.skeleton,
    )


Best = tuple[np.ndarray, np.ndarray]  # of each person the row of the most similar prediction, and that similarity
People = dict[Id, oks.GroundTruth]
Found = dict[Id, oks.Predictions]


def _part(people: People, found: Found, name: str, place: slice) -> tuple[People, Found]:
    """The people with the joints of one of COCO-WholeBody's parts only, as xtcocotools takes them: who has none of
    them labelled is ignored; predictions have the part's own score, and those that score no joint of it do not count.
    """
    if name not in PARTS:
        return people, found
    wanted, given = {}, {}
    for category, truth in people.items():
        keypoints = truth.keypoints[:, place]
        bare = ~(keypoints[..., 2] > 0).any(1)
        wanted[category] = replace(truth, keypoints=keypoints, ignore=truth.crowd | bare)
    for category, persons in found.items():
        assert persons.parts is not None
        score = persons.parts[:, list(PARTS).index(name)]
        part = replace(persons, keypoints=persons.keypoints[:, place], score=score)
        given[category] = part.select(np.flatnonzero((part.keypoints[..., 2] > 0).any(1)))
    return wanted, given


def _block(
    truth: Annotations, people: People, found: Found, place: slice = slice(None)
) -> tuple[Numbers, list[oks.Matches], list[Best]]:
    """The numbers of one way of counting joints; categories apart, then their mean."""
    sigmas = truth.sigmas[place]
    pairs = [(wanted, found[category]) for category, wanted in people.items()]
    matches = [oks.match(*pair, sigmas) for pair in pairs]
    if truth.skeleton.name == CROWDPOSE.name:
        each = [oks.crowd_summary(m, truth.difficulty) for m in matches]
    else:
        each = [oks.summary(m) for m in matches]
    stats = {name: oks.mean(np.array([s[name] for s in each])) for name in each[0]}
    best = [oks.best_of_image(*pair, sigmas) for pair in pairs]
    joints = np.stack([oks.joint_similarity(*pair, sigmas, row) for pair, (row, _) in zip(pairs, best, strict=True)])
    first = range(len(truth.sigmas))[place].start
    inside = {name: [j - first for j in members] for name, members in groups_of(truth.skeleton).items()}
    groups = {
        name: _finite_mean(joints[:, members])
        for name, members in inside.items()
        if all(0 <= j < joints.shape[1] for j in members)
    }
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
