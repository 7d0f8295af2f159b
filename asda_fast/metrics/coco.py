"""Scores of COCO and CrowdPose keypoint results: an annotation JSON and a results JSON in, one `Result` out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.metrics import oks, pck
from asda_fast.metrics.protocols import PLAIN, Options, Result

GROUPS: dict[int, pck.Groups] = {
    17: pck.COCO_GROUPS,
    14: {
        "Head": (12, 13), "Shoulder": (0, 1), "Elbow": (2, 3), "Wrist": (4, 5), "Hip": (6, 7), "Knee": (8, 9),
        "Ankle": (10, 11),
    },
}  # fmt: skip


def coco(
    annotations: str | Path | dict[str, Any], predictions: str | Path | list[Any], options: Options = PLAIN
) -> Result:
    """The ten numbers of pycocotools, or for 14 joints the nine of CrowdPose, and both on invisible joints only.

    annotations: a COCO annotation file, or its content.
    predictions: a results JSON, or its content: records of image_id, category_id, keypoints (17 or 14 times x, y,
    score), score and perhaps bbox. Coordinates are 0-based pixel indices unless `one_based`.
    """
    given = annotations if isinstance(annotations, dict) else _load(Path(annotations))
    annotations = "annotations" if isinstance(annotations, dict) else Path(annotations)
    for name in ("images", "annotations"):
        if not isinstance(given, dict) or not isinstance(given.get(name), list):
            raise UserError(f"{annotations}: expected a COCO annotation file with a list '{name}'")
    where = str(predictions) if isinstance(predictions, (str, Path)) else "predictions"
    records = _records(where, _load(Path(predictions)) if isinstance(predictions, (str, Path)) else predictions)
    for kind in ("images", "annotations"):
        key = "id" if kind == "images" else "image_id"
        for row, record in enumerate(given[kind]):
            if not (isinstance(record, dict) and isinstance(record.get(key), int)):
                raise UserError(f"{annotations}: {kind}[{row}]: expected an object with a number as '{key}'")
    ids = sorted({image["id"] for image in given["images"]})
    index = {number: i for i, number in enumerate(ids)}
    everybody = [a for a in given["annotations"] if "keypoints" in a]
    persons = [a for a in everybody if a["image_id"] in index]
    if not persons:
        raise UserError(f"{annotations}: no annotation with keypoints")
    first = persons[0]["keypoints"]
    number = len(first) // 3 if isinstance(first, list) else 0
    if number not in GROUPS:
        raise UserError(f"{annotations}: expected 17 joints (COCO) or 14 (CrowdPose), got {number}")
    crowd_pose = number == 14
    truth = _truth(annotations, persons, index, number, crowd_pose)
    found = _found(where, records, index, number, bool(options.one_based))
    notes = [f"{len(records)} predicted people of {number} joints; first pixel is {int(bool(options.one_based))}"]
    if len(everybody) > len(persons):
        notes.append(f"{len(everybody) - len(persons)} annotated people left out: their images are not listed")
    categories = {a.get("category_id", 1) for a in persons}
    strangers = sum(r.get("category_id", 1) not in categories for r in records)
    if strangers:
        keep = np.array([r.get("category_id", 1) in categories for r in records])
        found = oks.Found(found.image[keep], found.keypoints[keep], found.score[keep], found.area[keep])
        notes.append(f"{strangers} predictions of another category left out")
    if any(a.get("id") == 0 for a in persons):
        notes.append("an annotation has id 0: as in pycocotools, whoever is matched with it counts as wrong")
    difficulty = {int(image["id"]): float(image.get("crowdIndex", np.nan)) for image in given["images"]}
    hard = np.array([difficulty[i] for i in ids])
    sigmas = oks.CROWDPOSE_SIGMAS if crowd_pose else oks.COCO_SIGMAS

    def block(wanted: oks.Truth) -> tuple[dict[str, Any], oks.Matches]:
        matches = oks.match(wanted, found, sigmas)
        stats = oks.crowd_summary(matches, hard) if crowd_pose else oks.summary(matches)
        joints = oks.joint_similarity(wanted, found, sigmas)
        groups = {n: float(np.nanmean(joints[list(m)])) if np.isfinite(joints[list(m)]).any() else float("nan")
                  for n, m in GROUPS[number].items()}  # fmt: skip
        return {**stats, "stats": list(stats.values()), "per_joint": groups}, matches

    whole, matches = block(truth)
    names = oks.CROWD_STATS if crowd_pose else oks.STATS
    numbers: dict[str, Any] = {
        "dataset": "crowdpose" if crowd_pose else "coco", "protocol": "OKS", "images": len(ids), **whole
    }  # fmt: skip
    table = [("all joints", {n: whole[n] for n in names})]
    hidden = truth.hidden_only()
    if not hidden.ignore.all():
        numbers["invisible"], _ = block(hidden)
        table.append(("invisible joints only", {n: numbers["invisible"][n] for n in names}))
    if options.bootstrap:
        numbers["interval"] = oks.interval(matches, draws=options.bootstrap)
    best, value = oks.best_of_image(truth, found, sigmas)
    files = {int(image["id"]): str(image.get("file_name", "")) for image in given["images"]}
    shown = np.flatnonzero(~truth.ignore)
    predicted = np.full((len(shown), number, 2), np.nan)
    matched = best[shown] >= 0
    predicted[matched] = found.keypoints[best[shown][matched], :, :2] + 0.5
    return Result(
        title=f"{'CrowdPose' if crowd_pose else 'COCO'} keypoints, {len(ids)} images, {len(shown)} people",
        rows=table,
        numbers=numbers,
        notes=notes,
        truth=truth.keypoints[shown, :, :2] + 0.5,
        labelled=truth.keypoints[shown, :, 2].astype(np.int64),
        predicted=predicted,
        quality=value[shown],
        photos=[files[ids[truth.image[row]]] for row in shown],
    )


def _load(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not JSON ({error})") from None


def _records(where: str, content: Any) -> list[dict[str, Any]]:
    """The list of results, also where it is wrapped in an object."""
    if isinstance(content, dict):
        content = next((content[k] for k in ("annotations", "predictions", "results") if k in content), content)
    if not isinstance(content, list):
        raise UserError(f"{where}: expected a list of COCO keypoint results, got {type(content).__name__}")
    for row, record in enumerate(content):
        if not isinstance(record, dict):
            raise UserError(f"{where}: record {row}: expected an object, got {type(record).__name__}")
        for name in ("image_id", "keypoints", "score"):
            if name not in record:
                raise UserError(f"{where}: record {row}: no key '{name}', it has {', '.join(record) or 'none'}")
    return content


def _truth(
    path: str | Path, persons: list[dict[str, Any]], index: dict[int, int], number: int, crowd_pose: bool
) -> oks.Truth:
    keypoints = _numbers(path, "annotation", persons, "keypoints", 3 * number).reshape(-1, number, 3)
    box = _numbers(path, "annotation", persons, "bbox", 4)
    area = box[:, 2] * box[:, 3] * oks.CROWD_AREA
    if not crowd_pose:
        area = _numbers(path, "annotation", persons, "area", 1)[:, 0]
    crowd = np.array([bool(a.get("iscrowd", 0)) for a in persons])
    labelled = (keypoints[..., 2] > 0).sum(1)
    counted = labelled
    if any("num_keypoints" in a for a in persons):
        filled = [{"num_keypoints": n, **a} for a, n in zip(persons, labelled.tolist(), strict=True)]
        counted = _numbers(path, "annotation", filled, "num_keypoints", 1)[:, 0]
    image = np.array([index[int(a["image_id"])] for a in persons])
    void = np.array([a.get("id") == 0 for a in persons])
    return oks.Truth(image, keypoints, box, area, crowd | (counted == 0), crowd, len(index), void)


def _found(where: str, records: list[dict[str, Any]], index: dict[int, int], number: int, one_based: bool) -> oks.Found:
    for row, record in enumerate(records):
        if not isinstance(record["image_id"], int) or record["image_id"] not in index:
            raise UserError(f"{where}: record {row}: image_id {record['image_id']!r} is not in the annotations")
        count = len(record["keypoints"]) if isinstance(record["keypoints"], list) else 0
        if count != 3 * number:
            raise UserError(
                f"{where}: record {row}: wrong number of joints: expected {number} x (x, y, score), got {count} numbers"
            )
    keypoints = _numbers(where, "record", records, "keypoints", 3 * number).reshape(-1, number, 3)
    score = _numbers(where, "record", records, "score", 1)[:, 0]
    keypoints[..., :2] -= float(one_based)
    if records and records[0].get("bbox"):  # pycocotools goes by the first record
        box = _numbers(where, "record", records, "bbox", 4)
        area = box[:, 2] * box[:, 3]
    else:
        spread = np.ptp(keypoints[..., :2], axis=1) if records else np.zeros((0, 2))
        area = spread[:, 0] * spread[:, 1]
    return oks.Found(np.array([index[r["image_id"]] for r in records], np.int64), keypoints, score, area)


def _numbers(where: str | Path, kind: str, records: list[dict[str, Any]], name: str, width: int) -> np.ndarray:
    """One field of all records, [N, width] float64. UserError at the first that is not so many finite numbers."""
    try:
        values = np.array([record[name] for record in records], np.float64).reshape(len(records), width)
        if np.isfinite(values).all():
            return values
    except (KeyError, TypeError, ValueError):
        pass
    for row, record in enumerate(records):
        try:
            value = np.array(record.get(name), np.float64)
        except (TypeError, ValueError):
            value = np.array(np.nan)
        if value.size != width or value.ndim > 1 or not np.isfinite(value).all():
            which = f"{kind} {record['id']}" if "id" in record else f"{kind} {row}"
            came = repr(record.get(name))
            raise UserError(
                f"{where}: {which}: {name}: expected {width} finite number{'s' * (width > 1)}, got "
                f"{came if len(came) < 60 else came[:60] + ' ..'}"
            )
    raise AssertionError("unreachable: one of the records is at fault")
