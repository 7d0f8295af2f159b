"""What scoring costs: OKS of a COCO-sized validation set, and PCKh of MPII's 2,958 people, from data in memory.

    python -m benchmarks.metrics [--json benchmarks/results/metrics-CPU.json] [--quick]

The people are made up, at the real numbers: 5,000 images, 11,000 people, 50,000 predictions. Ours also scores the
occluded joints alone and every joint by itself, which the others do not. Each contestant's ten numbers must be equal.
"""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import numpy as np
import torch

from asda_fast.metrics import coco, pck
from asda_fast.metrics.pck_tables import head_pck
from benchmarks.common import Report, interleave, parser

Table = dict[str, Any]


def made_up(images: int, seed: int = 0) -> tuple[Table, list[Table]]:
    """A COCO annotation file and keypoint results, at COCO's proportions: people in half of the images."""
    rng = np.random.default_rng(seed)
    annotations: list[Table] = []
    results: list[Table] = []
    for image in range(images):
        people = int(rng.integers(1, 8)) if rng.random() < 0.54 else 0
        for _ in range(people):
            x, y, w, h = rng.uniform([0, 0, 15, 20], [400, 200, 250, 400])
            v = rng.choice([0, 1, 2], 17, p=[0.35, 0.1, 0.55]) * (rng.random() > 0.42)
            points = np.stack([x + w * rng.random(17), y + h * rng.random(17), v], -1) * (v > 0)[:, None]
            common = {"image_id": image, "category_id": 1}
            annotations.append(
                {
                    **common, "id": len(annotations) + 1, "bbox": [x, y, w, h], "area": 0.55 * w * h,
                    "iscrowd": int(rng.random() < 0.02), "keypoints": points.ravel().tolist(),
                    "num_keypoints": int((v > 0).sum()),
                }
            )  # fmt: skip
            for _ in range(int(rng.integers(2, 8))):
                found = points + rng.normal(0, rng.choice([0.01, 0.05, 0.3]) * w, (17, 3))
                found[:, 2] = rng.random(17)
                results.append({**common, "keypoints": found.ravel().tolist(), "score": float(rng.random())})
    table = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in range(images)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    return table, results


def pycocotools(table: Table, results: list[Table]) -> np.ndarray:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = table
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.array(evaluation.stats)


def faster_coco_eval(table: Table, results: list[Table]) -> np.ndarray:
    from faster_coco_eval import COCO, COCOeval_faster

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(table)
        evaluation = COCOeval_faster(truth, truth.loadRes(results), "keypoints", print_function=lambda *_: None)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.array(evaluation.stats)


def main() -> None:
    args = parser(__doc__).parse_args()
    torch.set_num_threads(args.threads or torch.get_num_threads())
    report = Report(threads=args.threads)
    table, results = made_up(500 if args.quick else 5000)
    params = {
        "images": len(table["images"]), "people": len(table["annotations"]), "predictions": len(results)
    }  # fmt: skip
    contestants = {
        "OKS asda_fast": lambda: np.array(coco(table, results).numbers["stats"]),
        # pycocotools writes into what it is given: hand it copies, outside the clock
        "OKS pycocotools": lambda: pycocotools(*copies.pop()),
    }
    rounds = 3
    copies = [(copy.deepcopy(table), copy.deepcopy(results)) for _ in range(2 * (rounds + 1))]
    try:
        import faster_coco_eval as peer

        contestants["OKS faster-coco-eval"] = lambda: faster_coco_eval(*copies.pop())
        params["faster-coco-eval"] = peer.__version__
    except ImportError:
        print("faster-coco-eval is not installed: left out")
    numbers = {name: contestant() for name, contestant in contestants.items()}
    for name, found in numbers.items():
        np.testing.assert_allclose(found, numbers["OKS pycocotools"], rtol=0, atol=1e-9, err_msg=name)
    timings = interleave(contestants, seconds=1e9, rounds=rounds, warmup=0)

    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 1000, (2958, 16, 2))
    predicted, head = truth + rng.normal(0, 20, truth.shape), rng.uniform(30, 150, 2958)
    labelled, hidden = rng.random((2958, 16)) < 0.95, rng.random((2958, 16)) < 0.2

    def mpii() -> Any:
        return head_pck(pck.distances(predicted, truth, head), labelled, labelled & hidden)

    timings |= interleave({"PCKh asda_fast": mpii}, seconds=2, rounds=50)
    for name, timing in timings.items():
        report.add(name, params if name.startswith("OKS") else {"people": 2958}, "ms", timing)
        print(f"{name:24} {timing.median:9.1f} ms (iqr {timing.iqr:.1f})")
    if args.json:
        report.save(args.json)


if __name__ == "__main__":
    main()
