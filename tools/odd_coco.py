"""Odd annotation and result files, scored by pycocotools and here: the ten numbers must be equal.

    python -m tools.odd_coco [--count 1000] [--seed 0]

Odd is what people's exporters write: one id for several annotations, several categories, people without area, joints or
box size, ids that are fractions, words or 0, crowds, no predictions, images listed twice.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from asda_fast.core.skeletons import COCO as SKELETON
from asda_fast.metrics.coco import coco
from asda_fast.metrics.oks import CROWD_AREA

Table = dict[str, Any]
# What may be odd about a file, and how often.
KINDS = {
    "duplicate ids": 0.3, "duplicate ids of other images": 0.15, "word image ids": 0.2, "fraction ids": 0.2,
    "id zero": 0.2, "several categories": 0.25, "category numbers": 0.3, "unlisted category": 0.1, "no area": 0.15,
    "zero area": 0.3, "tiny area": 0.2, "negative area": 0.1, "huge area": 0.1, "empty keypoints": 0.3,
    "no joint labelled": 0.3, "num_keypoints disagrees": 0.2, "crowds": 0.4, "zero boxes": 0.2, "unlisted images": 0.1,
    "images twice": 0.15, "shuffled images": 0.5, "no predictions": 0.05, "predicted boxes": 0.4, "equal scores": 0.4,
    "many in one image": 0.2, "flags above 2": 0.1, "strange predictions": 0.1, "far predictions": 0.2,
    "joints by name": 0.3, "joints in another order": 0.15,
}  # fmt: skip


def make(
    seed: int, joints: Sequence[str] = SKELETON.joints, sigmas: Sequence[float] = SKELETON.sigmas or ()
) -> tuple[Table, list[Table], list[Any], set[str]]:
    """(annotations, results, ids of the categories that count, what is odd about them)."""
    count, plain = len(joints), tuple(joints) == SKELETON.joints
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    odd = {kind for kind, share in KINDS.items() if rng.random() < share}
    images: list[Any] = rng.sample(range(40), rng.randint(1, 8))
    if "word image ids" in odd:
        images = [f"im{n}" for n in images]
    elif "fraction ids" in odd:
        images = [n + rng.choice((0, 0.0, 0.5)) for n in images]
    if "shuffled images" not in odd:
        images.sort()
    person: Any = 1
    if "category numbers" in odd:  # it cannot sort words among numbers
        person = rng.choice((2, 5, 0.5)) if "several categories" in odd else rng.choice((2, 5, 0.5, "human"))
    categories: list[Table] = [{"id": person, "name": "person"}]
    chosen = [person]
    if "several categories" in odd:
        if rng.random() < 0.5:  # of several with joints and none called person all count
            categories[0]["name"] = "cat"
            chosen.append(77)
        categories.append({"id": 77, "name": "dog"})
        rng.shuffle(categories)
    names = list(joints)
    if "joints in another order" in odd:
        rng.shuffle(names)
    if "joints by name" in odd or "joints in another order" in odd or len(chosen) > 1 or not plain:
        for record in categories:
            record["keypoints"] = [n.replace("_", " ") for n in names]
    sigma = dict(zip(joints, sigmas, strict=True))
    all_ids: list[Any] = [c["id"] for c in categories] + ([9] if "unlisted category" in odd else [])

    def some(kind: str, share: float = 0.4) -> bool:
        return kind in odd and rng.random() < share

    annotations: list[Table] = []
    results: list[Table] = []
    for image in images:
        for _ in range(rng.randint(0, 4)):
            x, y, w, h = numbers.uniform([0, 0, 8, 8], [300, 300, 250, 300]).tolist()
            flags = numbers.choice([0, 1, 2], count, p=[0.3, 0.2, 0.5]) * (not some("no joint labelled"))
            if some("flags above 2"):
                flags = flags * 3
            points = np.stack([x + w * numbers.random(count), y + h * numbers.random(count), flags], -1)
            points[flags == 0] = 0
            annotation: Table = {
                "id": 100 + len(annotations), "image_id": image, "category_id": rng.choice(all_ids),
                "bbox": [x, y, 0 if some("zero boxes") else w, h], "area": 0.6 * w * h, "iscrowd": int(some("crowds")),
                "keypoints": points.ravel().tolist(), "num_keypoints": int((flags > 0).sum()),
            }  # fmt: skip
            for kind, value in (("zero area", 0), ("tiny area", 1e-9), ("negative area", -5.0), ("huge area", 1e11)):
                if some(kind, 0.3):
                    annotation["area"] = value
            if some("empty keypoints"):
                annotation |= {"keypoints": [], "num_keypoints": rng.choice((0, 0, 3))}
            if some("num_keypoints disagrees"):
                annotation["num_keypoints"] = rng.choice((0, 1, count))
            if some("no area"):
                del annotation["area"]
            if "fraction ids" in odd:
                annotation["id"] += rng.choice((0.0, 0.25))
            if some("unlisted images"):
                annotation["image_id"] = 999
            annotations.append(annotation)
            for _ in range(rng.randint(0, 3)):
                noise = rng.choice((0.0, 0.01, 0.05, 0.3)) * w
                found = np.stack(
                    [x + w * numbers.random(count), y + h * numbers.random(count), numbers.random(count)], -1
                )
                found[flags > 0, :2] = points[flags > 0, :2] + numbers.normal(0, noise, (int((flags > 0).sum()), 2))
                if some("far predictions"):
                    found[:, :2] += 1e6
                category = 1234 if some("strange predictions") else annotation["category_id"]
                record = {"image_id": image, "category_id": category, "keypoints": found.ravel().tolist()}
                record["score"] = rng.choice((0.1, 0.5)) if "equal scores" in odd else rng.random()
                if "predicted boxes" in odd:
                    record["bbox"] = [x, y, w * 1.1, h * 0.9]
                results.append(record)
    if "many in one image" in odd and results:
        results += [{**r, "score": rng.random()} for r in [rng.choice(results)] * 25]
    if annotations:
        if "id zero" in odd:
            rng.choice(annotations)["id"] = 0
        for kind, among in (("duplicate ids", images[:1]), ("duplicate ids of other images", images)):
            same = [a for a in annotations if a["image_id"] in among]
            if kind in odd and same:
                for annotation in rng.sample(same, min(len(same), rng.randint(2, 5))):
                    annotation["id"] = 7
    listed = [{"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in images]
    if "images twice" in odd:
        listed += listed[:2]
    if "no predictions" in odd:
        results = []
    if names != list(joints):
        odd.add("sigmas in another order")
    table = {
        "images": listed,
        "annotations": annotations,
        "categories": categories,
        "sigmas": [sigma[n] for n in names],
    }
    return table, results, chosen, odd


def pycocotools(table: Table, results: list[Table], categories: list[Any]) -> np.ndarray:
    """The official ten numbers of the categories that count."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    table, results = copy.deepcopy(table), copy.deepcopy(results)
    for annotation in table["annotations"]:  # it has no answer without one
        annotation.setdefault("area", CROWD_AREA * annotation["bbox"][2] * annotation["bbox"][3])
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        truth, found = COCO(), COCO()
        truth.dataset = table
        truth.createIndex()
        if results:
            found = truth.loadRes(results)
        else:  # it has no answer for none at all; so it would score them
            found.dataset = {"images": table["images"], "annotations": [], "categories": table["categories"]}
            found.createIndex()
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.catIds = categories
        evaluation.params.kpt_oks_sigmas = np.array(table["sigmas"])
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.array(evaluation.stats)


def compare(seed: int) -> tuple[str, set[str]]:
    """("" or what differs, what is odd about the file)."""
    from asda_fast.core.errors import UserError

    table, results, categories, odd = make(seed)
    try:
        with np.errstate(all="ignore"):
            found = np.array(coco(table, results).numbers["stats"])
    except UserError as error:
        if "no annotation" in str(error) or "no prediction of category" in str(error):
            return "", {"refused"}
        return f"refused: {error}", odd
    expected = pycocotools(table, results, categories)
    if np.allclose(found, expected, rtol=0, atol=1e-6, equal_nan=True):
        return "", odd
    return f"here {found.round(6).tolist()}, pycocotools {expected.round(6).tolist()}", odd


def run(compare: Callable[[int], tuple[str, set[str]]], text: str | None, what: str) -> None:
    """A command line round `compare`: a line for each of --count seeds that differs, a sum; exit code 1 if any does."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    seen: Counter[str] = Counter()
    differ = 0
    for seed in range(args.seed, args.seed + args.count):
        said, odd = compare(seed)
        seen.update(odd)
        if said:
            differ += 1
            print(f"seed {seed}: {said} ({', '.join(sorted(odd))})")
    print(f"{args.count} {what}, {differ} differ; " + ", ".join(f"{kind} {n}" for kind, n in sorted(seen.items())))
    sys.exit(differ > 0)


if __name__ == "__main__":
    run(compare, __doc__, "files")
