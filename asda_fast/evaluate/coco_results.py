"""COCO at test time: given detections as people to crop, and a network's joints as COCO results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.core.files import read_json
from asda_fast.data.coco import PAD
from asda_fast.data.people import PIXEL_STD, People
from asda_fast.data.sources import PHOTOS
from asda_fast.evaluate.inference import Predictions
from asda_fast.metrics import oks

VISIBLE = 0.2  # keypoint scores above it make up a person's score (HRNet)
NMS = 0.9


def from_detections(path: str | Path, people: People, annotations: Path) -> tuple[People, np.ndarray]:
    """The boxes of a detections file (COCO_val2017_detections_AP_H_56_person.json) as people to crop, and their scores.

    people: of the same split, for its photos' folder and skeleton. Boxes of category 1 with a positive area are used,
    whatever their score, as HRNet does by default.
    """
    path = Path(path)
    records = read_json(path)
    if not isinstance(records, list) or not records:
        raise UserError(f"{path}: expected a list of detections")
    table = read_json(annotations)
    images = {int(i["id"]): i for i in table["images"]}
    kept: list[tuple[int, list[float], float]] = []
    for row, record in enumerate(records):
        try:
            x, y, w, h = (float(v) for v in record["bbox"])
            image, score, category = int(record["image_id"]), float(record["score"]), record.get("category_id", 1)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: record {row}: expected image_id, bbox and score ({error!r})") from None
        if image not in images:
            raise UserError(f"{path}: record {row}: image_id {image} is not in {annotations}")
        if category == 1 and w > 0 and h > 0:
            kept.append((image, [x, y, w, h], score))
    if not kept:
        raise UserError(f"{path}: no person of category 1 among {len(records)} detections")
    folder = Path(people.files[0]).parent
    used = sorted({image for image, _, _ in kept})
    number = {image: i for i, image in enumerate(used)}
    box = np.array([b for _, b, _ in kept], np.float32)
    image_id = np.array([image for image, _, _ in kept], np.int64)
    count, joints = len(kept), len(people.skeleton.joints)
    found = replace(
        people,
        source=PHOTOS,  # not a store: photos are cropped anew
        files=[str(folder / images[image]["file_name"]) for image in used],
        file=np.array([number[image] for image in image_id.tolist()], np.int32),
        box=box,
        centre=box[:, :2] + box[:, 2:] / 2,
        scale=(box[:, 2:].max(1) * (PAD / PIXEL_STD)).astype(np.float32),
        joints=np.zeros((count, joints, 2), np.float32),
        visible=np.zeros((count, joints), np.uint8),
        head=np.full(count, np.nan, np.float32),
        id=np.arange(count, dtype=np.int64),
        image_id=image_id,
        image_size=np.array([(images[i]["height"], images[i]["width"]) for i in used], np.int32),
    )
    return found, np.array([score for _, _, score in kept])


def results(
    found: Predictions, people: People, box_score: np.ndarray | None, crop_area: np.ndarray, nms: bool = True
) -> list[dict[str, Any]]:
    """COCO keypoint results by HRNet's protocol: box score (1 for annotated boxes) times the mean of the keypoint
    scores above 0.2, then OKS-NMS at 0.9 within each photo, areas being the crops'."""
    sigmas = oks.COCO_SIGMAS if people.skeleton.sigmas is None else np.array(people.skeleton.sigmas)
    rows = np.flatnonzero(np.isfinite(found.xy).all((1, 2)))
    scores = oks.rescore(np.ones(len(people)) if box_score is None else box_score, found.score, VISIBLE)
    keypoints = np.concatenate([found.xy - 0.5, found.score[..., None]], -1).astype(np.float64)
    kept: list[int] = []
    rows = rows[np.argsort(people.image_id[rows], kind="stable")]
    for mine in np.split(rows, np.flatnonzero(np.diff(people.image_id[rows])) + 1):
        chosen = oks.nms(keypoints[mine], scores[mine], crop_area[mine], sigmas, NMS) if nms else slice(None)
        kept += mine[chosen].tolist()
    return [
        {
            "image_id": int(people.image_id[row]),
            "category_id": 1,
            "keypoints": [round(v, 3) for v in keypoints[row].ravel().tolist()],
            "score": float(scores[row]),
        }
        for row in kept
    ]
