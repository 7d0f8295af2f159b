"""A network's joints as COCO results."""

from __future__ import annotations

from typing import Any

import numpy as np

from asda_fast.data.coco_terms import CocoTerms
from asda_fast.data.people import People
from asda_fast.evaluate.inference import Predictions
from asda_fast.metrics import oks
from asda_fast.metrics.coco_files import DEFAULT_SIGMA

VISIBLE = 0.2  # keypoint scores above it make up a person's score (HRNet)
NMS = 0.9


def results(
    found: Predictions, people: People, box_score: np.ndarray | None, crop_area: np.ndarray, nms: bool = True,
    terms: CocoTerms | None = None, sigmas: np.ndarray | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """COCO keypoint results by HRNet's protocol: box score (1 for annotated boxes) times the mean of the keypoint
    scores above 0.2, then OKS-NMS at 0.9 within each photo, areas being the crops'.

    terms: of the annotation file that they are scored against; None: People's ids and order, category 1. sigmas [J]:
    None: the skeleton's, else one for all."""
    if sigmas is None:
        sigmas = np.array(people.skeleton.sigmas or [DEFAULT_SIGMA] * len(people.skeleton.joints))
    rows = np.flatnonzero(np.isfinite(found.xy).all((1, 2)))
    scores = oks.rescore(np.ones(len(people)) if box_score is None else box_score, found.score, VISIBLE)
    keypoints = np.concatenate([found.xy - 0.5, found.score[..., None]], -1).astype(np.float64)
    kept: list[int] = []
    rows = rows[np.argsort(people.image_id[rows], kind="stable")]
    for mine in np.split(rows, np.flatnonzero(np.diff(people.image_id[rows])) + 1):
        chosen = oks.nms(keypoints[mine], scores[mine], crop_area[mine], sigmas, NMS) if nms else slice(None)
        kept += mine[chosen].tolist()
    records = []
    for row in kept:
        image, values = int(people.image_id[row]), [round(v, 3) for v in keypoints[row].ravel().tolist()]
        if terms is not None:
            records.append(terms.result(image, int(people.id[row]), values, float(scores[row])))
        else:
            records.append({"image_id": image, "category_id": 1, "keypoints": values, "score": float(scores[row])})
    return records
