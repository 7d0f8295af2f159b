"""Generated files of any joints, scored by the official scorers and here: every number must be equal to 1e-6.

    python -m tools.score_cases [--count 1000] [--seed 0]

OKS of 1 to 40 joints and odd files (tools/odd_coco.py): pycocotools with the sigmas given to it. COCO-WholeBody's six
parts and CrowdPose: xtcocotools where it can be imported (it wants numpy below 2: `pip install xtcocotools 'numpy<2'`
in an environment of its own), else pycocotools after the definition. PCK, AUC and EPE: mmpose's definition in loops.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import tempfile
from pathlib import Path

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import CROWDPOSE, SKELETONS, WHOLEBODY, Skeleton, from_names
from asda_fast.core.wholebody import FIELDS, PARTS, split_parts
from asda_fast.metrics import pck
from asda_fast.metrics.coco import coco
from asda_fast.metrics.pck_tables import keypoint_pck
from asda_fast.metrics.result import Options
from tools import odd_coco
from tools.odd_coco import Table

try:
    import xtcocotools
except ImportError:
    xtcocotools = None

Numbers = dict[str, np.ndarray]


def any_joints(seed: int) -> tuple[Numbers, Numbers, set[str]]:
    """OKS of made joints or of a known skeleton, with its sigmas or with given ones."""
    rng = np.random.default_rng(seed)
    if rng.random() < 0.5:
        joints = [f"j{n}" for n in range(rng.integers(1, 41))]
    else:
        known = [s for s in SKELETONS.values() if s.sigmas is not None and s not in (CROWDPOSE, WHOLEBODY)]
        skeleton = known[rng.integers(len(known))]
        joints = list(skeleton.joints)
    given = joints[0] == "j0" or rng.random() < 0.5
    sigmas = rng.uniform(0.005, 0.2, len(joints)).tolist() if given else list(skeleton.sigmas or ())
    table, results, categories, odd = odd_coco.make(seed, joints, sigmas)
    options = Options(sigmas=tuple(table["sigmas"])) if given else Options()
    expected = odd_coco.pycocotools(table, results, categories)
    odd |= {"given sigmas"} if given else set()
    return {"ten numbers": np.array(coco(table, results, options).numbers["stats"])}, {"ten numbers": expected}, odd


def make(seed: int, skeleton: Skeleton) -> tuple[Table, list[Table], set[str]]:
    """People whom parts, joints or area are missing, crowds, and predictions of them, some far, some scoreless."""
    rng, count = np.random.default_rng(seed), len(skeleton.joints)
    kinds = (
        "no predictions",
        "crowds",
        "zero area",
        "parts missing",
        "part scores",
        "scoreless parts",
        "predicted boxes",
    )
    odd = {kind for kind in kinds if rng.random() < (0.05 if kind == "no predictions" else 0.4)}
    annotations: list[Table] = []
    results: list[Table] = []
    images = [{"id": 3 * i, "file_name": f"{i}.jpg", "crowdIndex": round(rng.random(), 2)} for i in range(6)]
    whole = skeleton.name == WHOLEBODY.name
    for image in images:
        for _ in range(rng.integers(0, 4)):
            x, y, w, h = rng.uniform([0, 0, 20, 20], [99, 99, 150, 250]).tolist()
            flags = rng.choice([0, 1, 2], count, p=[0.3, 0.2, 0.5]) * (rng.random() > 0.1)
            if whole and "parts missing" in odd:
                for part in list(PARTS.values())[:5]:
                    flags[part] *= rng.random() > 0.4
            points = np.stack([x + w * rng.random(count), y + h * rng.random(count), flags], -1)
            points[flags == 0] = 0
            record = {
                "id": 50 + len(annotations), "image_id": image["id"], "category_id": 1, "bbox": [x, y, w, h],
                "iscrowd": int("crowds" in odd and rng.random() < 0.2), "keypoints": points.ravel().tolist(),
                "num_keypoints": int((flags == 2).sum()),
            }  # fmt: skip
            if whole:
                record["area"] = 0.0 if "zero area" in odd and rng.random() < 0.3 else 0.6 * w * h
            annotations.append(record)
            for _ in range(rng.integers(0, 3)):
                found = points + rng.normal(0, rng.choice([0.002, 0.01, 0.04, 0.2]) * w, (count, 3))
                found[:, 2] = rng.random(count) + 0.01
                if whole and "scoreless parts" in odd:
                    for part in list(PARTS.values())[:5]:
                        found[part, 2] *= rng.random() > 0.3
                made = {"image_id": image["id"], "category_id": 1, "keypoints": found.ravel().tolist()}
                made["score"] = rng.random()
                if "predicted boxes" in odd:
                    made["bbox"] = [x, y, w * 1.1, h * 0.9]
                if whole and "part scores" in odd:
                    made |= {f"{part}_score": rng.random() for part in list(PARTS)[1:]}
                results.append(made)
    if "no predictions" in odd:
        results = []
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.joints)}
    return {"images": images, "annotations": annotations, "categories": [category]}, results, odd


def whole_body(seed: int) -> tuple[Numbers, Numbers, set[str]]:
    table, results, odd = make(seed, WHOLEBODY)
    table["annotations"] = [split_parts(a) for a in table["annotations"]]
    table["categories"][0]["keypoints"] = list(WHOLEBODY.joints[:17])  # as in the published files
    results = [split_parts(r) for r in results]
    parts = coco(table, results).numbers["parts"]
    found = {part: np.array(parts[part]["stats"]) for part in PARTS}
    return found, {part: official(table, results, part) for part in PARTS}, odd


def crowd_pose(seed: int) -> tuple[Numbers, Numbers, set[str]]:
    table, results, odd = make(seed, CROWDPOSE)
    found = np.array(coco(table, results).numbers["stats"])
    return {"nine numbers": found}, {"nine numbers": official(table, results, "crowd")}, odd


def official(table: Table, results: list[Table], kind: str) -> np.ndarray:
    """xtcocotools' numbers of one of COCO-WholeBody's parts, or of CrowdPose (`crowd`)."""
    if xtcocotools is None or not results:  # it has no answer for none at all
        return by_definition(table, results, kind)
    from xtcocotools.coco import COCO
    from xtcocotools.cocoeval import COCOeval

    sigmas = np.array(CROWDPOSE.sigmas if kind == "crowd" else (WHOLEBODY.sigmas or ())[PARTS[kind]])
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        path = Path(folder) / "truth.json"
        path.write_text(json.dumps(table))
        truth = COCO(str(path))
        found = truth.loadRes(copy.deepcopy(results))
        evaluation = COCOeval(truth, found, f"keypoints_{kind}", sigmas, use_area=kind != "crowd")
        evaluation.params.useSegm = None
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.array(evaluation.stats)


def by_definition(table: Table, results: list[Table], kind: str) -> np.ndarray:
    """The same by pycocotools: the part's joints as the keypoints, or CrowdPose's areas and images by difficulty."""
    table, results = copy.deepcopy(table), copy.deepcopy(results)
    if kind == "crowd":
        for annotation in table["annotations"]:
            annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3] * 0.53
        table["sigmas"] = list(CROWDPOSE.sigmas or ())
        stats = odd_coco.pycocotools(table, results, [1])[[0, 1, 2, 5, 6, 7]].tolist()
        for low, high in ((-1, 0.2), (0.2, 0.8), (0.8, 2)):
            images = [i for i in table["images"] if low <= i["crowdIndex"] < high]
            ids = {i["id"] for i in images}
            some = {**table, "images": images, "annotations": [a for a in table["annotations"] if a["image_id"] in ids]}
            chosen = [r for r in results if r["image_id"] in ids]
            stats.append(round(odd_coco.pycocotools(some, chosen, [1])[0], 4) if images else -1.0)
        return np.array(stats)
    names = list(FIELDS) if kind == "wholebody" else [list(FIELDS)[list(PARTS).index(kind)]]
    table["sigmas"] = list((WHOLEBODY.sigmas or ())[PARTS[kind]])
    for record in (*table["annotations"], *results):
        if "score" in record:  # its area is the body's, whatever the part
            xy = np.array(record["keypoints"]).reshape(-1, 3)
            spread = np.ptp(xy[:, :2], axis=0).tolist()
            record.setdefault("bbox", [*xy[:, :2].min(0).tolist(), *spread])
            record["score"] = record.get(f"{kind}_score", record["score"]) if kind != "body" else record["score"]
        record["keypoints"] = [value for name in names for value in record[name]]
        record["num_keypoints"] = int((np.array(record["keypoints"][2::3]) > 0).sum())
    results = [r for r in results if r["num_keypoints"]]
    return odd_coco.pycocotools(table, results, [1])


def correct_joints(seed: int) -> tuple[Numbers, Numbers, set[str]]:
    """PCK by a size, its parts, AUC and EPE."""
    rng = np.random.default_rng(seed)
    people, count, threshold = rng.integers(1, 30), rng.integers(1, 40), rng.choice([0.05, 0.1, 0.2, 0.5])
    skeleton = from_names("made", [f"j{n}" for n in range(count)])
    truth = rng.uniform(0, 300, (people, count, 2))
    predicted = truth + rng.normal(0, rng.choice([0.5, 5, 30]), truth.shape)
    visible = rng.choice([0, 1, 2], (people, count), p=[0.3, 0.2, 0.5]) * (rng.random(count) > 0.1)
    size = np.where(rng.random(people) < 0.15, 0.0, rng.uniform(5, 300, people))
    odd = {"zero sizes"} if (size == 0).any() else set()
    if rng.random() < 0.3:  # exactly at the threshold is not closer than it
        odd.add("at the threshold")
        size = np.where(size > 0, 2.0 ** rng.integers(2, 8, people), 0.0)
        threshold = 0.125
        predicted[:, 0] = truth[:, 0] = np.round(truth[:, 0])
        predicted[:, 0, 0] += size / 8
    pixels = pck.distances(predicted, truth, np.ones(people))
    numbers, _ = keypoint_pck(pixels, size, visible, skeleton, "box", float(threshold))
    found = [numbers["total"], numbers["auc"], numbers["epe"]]
    expected = [mean_pck(predicted, truth, visible, size, threshold)]
    pixel = np.full(people, 30.0)
    expected.append(sum(mean_pck(predicted, truth, visible, pixel, i / 20) for i in range(20)) / 20)
    far = [np.linalg.norm(predicted[p, j] - truth[p, j]) for p in range(people) for j in range(count) if visible[p, j]]
    expected.append(float(np.mean(far)) if far else np.nan)
    names = ("PCK", "AUC", "EPE")
    return {n: np.array(v) for n, v in zip(names, found)}, {n: np.array(v) for n, v in zip(names, expected)}, odd


def mean_pck(
    predicted: np.ndarray, truth: np.ndarray, visible: np.ndarray, size: np.ndarray, threshold: float
) -> float:
    """mmpose's keypoint_pck_accuracy, a percentage: the mean over joints of the share of people strictly closer than
    `threshold` sizes, of those who have the joint labelled and a size; joints that nobody has are left out."""
    shares = []
    for joint in range(truth.shape[1]):
        near = [
            np.linalg.norm((predicted[p, joint] - truth[p, joint]) / size[p]) < threshold
            for p in range(len(truth))
            if visible[p, joint] and size[p] > 0
        ]
        if near:
            shares.append(100 * sum(near) / len(near))
    return float(np.mean(shares)) if shares else float("nan")


KINDS = (any_joints, whole_body, crowd_pose, correct_joints)


def compare(seed: int) -> tuple[str, set[str]]:
    """("" or what differs, what is odd about the case)."""
    kind = KINDS[seed % len(KINDS)]
    try:
        with np.errstate(all="ignore"):
            found, expected, odd = kind(seed)
    except UserError as error:
        if "no annotation" in str(error) or "no prediction of category" in str(error):
            return "", {"refused"}
        return f"refused: {error}", {kind.__name__}
    for name, value in expected.items():
        if not np.allclose(found[name], value, rtol=0, atol=1e-6, equal_nan=True):
            return f"{name}: here {found[name].tolist()}, officially {value.tolist()}", {kind.__name__, *odd}
    return "", {kind.__name__, *odd}


if __name__ == "__main__":
    scorer = "pycocotools, by the definition" if xtcocotools is None else "xtcocotools"
    odd_coco.run(compare, __doc__, f"cases (whole body and CrowdPose by {scorer})")
