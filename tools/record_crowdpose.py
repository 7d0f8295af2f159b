"""Write tests/metrics/crowdpose.json: made-up crowds, and the nine numbers that xtcocotools gives them.

pip install xtcocotools 'numpy<2'   # in an environment of its own; nothing of this package is imported
python tools/record_crowdpose.py tests/metrics/crowdpose.json
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SIGMAS = np.array([0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89, 0.79, 0.79]) / 10
NAMES = ["shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
JOINTS = [f"{side}_{name}" for name in NAMES for side in ("left", "right")] + ["head", "neck"]


def make(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Annotations and results: crowds, people without a joint, double and far predictions, no areas."""
    rng = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    images = [{"id": 3 * i, "file_name": f"{i}.jpg", "crowdIndex": round(float(rng.random()), 2)} for i in range(6)]
    for image in images:
        for _ in range(rng.integers(0, 4)):
            x, y, w, h = rng.uniform([0, 0, 20, 20], [99, 99, 150, 150]).round(1).tolist()
            flags = rng.choice([0, 1, 2], 14, p=[0.3, 0.2, 0.5]) * (rng.random() > 0.1)
            points = np.stack([x + w * rng.random(14), y + h * rng.random(14), flags], -1).round(1)
            points[flags == 0] = 0
            annotations.append(
                {
                    "id": 50 + len(annotations), "image_id": image["id"], "category_id": 1, "bbox": [x, y, w, h],
                    "iscrowd": int(rng.random() < 0.1), "keypoints": points.ravel().tolist(),
                    "num_keypoints": int((flags == 2).sum()),
                }
            )  # fmt: skip
            for _ in range(rng.integers(0, 3)):
                found = points + rng.normal(0, rng.choice([0.01, 0.04, 0.2]) * w, (14, 3))
                found[:, 2] = rng.random(14)
                record = {"image_id": image["id"], "category_id": 1, "keypoints": found.round(1).ravel().tolist()}
                results.append({**record, "score": round(float(rng.random()), 2)})
    category = {"id": 1, "name": "person", "keypoints": JOINTS}
    return {"images": images, "annotations": annotations, "categories": [category]}, results


def official(table: dict[str, Any], results: list[dict[str, Any]]) -> list[float]:
    from xtcocotools.coco import COCO
    from xtcocotools.cocoeval import COCOeval

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "truth.json"
        path.write_text(json.dumps(table))
        truth = COCO(str(path))
        evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), "keypoints_crowd", SIGMAS, use_area=False)
        evaluation.params.useSegm = None
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def main() -> None:
    cases: list[dict[str, Any]] = []
    for seed in range(200):
        table, results = make(seed)
        if results and len(cases) < 6 and {i["crowdIndex"] < 0.2 for i in table["images"]} == {True, False}:
            cases.append({"annotations": table, "results": results, "stats": official(table, results)})
    Path(sys.argv[1]).write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
