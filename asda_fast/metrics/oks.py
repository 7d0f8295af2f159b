"""Object keypoint similarity: COCO's AP and AR, CrowdPose's, OKS-NMS and rescoring.

The numbers are pycocotools' (`COCOeval(.., "keypoints")`), the loops are numba's. Coordinates are the files' own (OKS
only looks at differences), areas in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from asda_fast.core.skeletons import COCO
from asda_fast.metrics.compiled import compiled

COCO_SIGMAS = np.array(COCO.sigmas)
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
AREAS = {"all": (0.0, 1e10), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
MOST = 20  # people per image that count
STATS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")  # pycocotools' order
CROWD_STATS = ("AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP_easy", "AP_medium", "AP_hard")
CROWD_AREA = 0.53  # CrowdPose has no segments: a person's area is this much of the box


@dataclass(frozen=True)
class GroundTruth:
    """Annotated persons. Images are indices into the evaluated image ids, which are sorted."""

    image: np.ndarray  # [G] int64
    keypoints: np.ndarray  # [G, K, 3] float64 x, y, v
    box: np.ndarray  # [G, 4] float64 x, y, w, h
    area: np.ndarray  # [G] float64
    ignore: np.ndarray  # [G] bool: a match with it counts neither way
    crowd: np.ndarray  # [G] bool: may be matched more than once
    images: int  # number of evaluated images
    void: np.ndarray | None = None  # [G] bool: a match with it is taken for none (pycocotools does so with id 0)

    def hidden_only(self) -> GroundTruth:
        """The same people, only their occluded joints (v = 1) counted; people without any are ignored."""
        keypoints = self.keypoints.copy()
        keypoints[keypoints[..., 2] != 1, 2] = 0
        return replace(self, keypoints=keypoints, ignore=self.ignore | ~(keypoints[..., 2] > 0).any(1))


@dataclass(frozen=True)
class Predictions:
    """Predicted persons."""

    image: np.ndarray  # [D] int64
    keypoints: np.ndarray  # [D, K, 3] float64 x, y, score
    score: np.ndarray  # [D] float64
    area: np.ndarray  # [D] float64: decides whether an unmatched person counts at a size
    parts: np.ndarray | None = None  # [D, parts] float64: the score of each of WholeBody's parts

    def select(self, rows: np.ndarray | Sequence[int]) -> Predictions:
        """These rows."""
        of = np.asarray(rows, np.int64)
        parts = None if self.parts is None else self.parts[of]
        return Predictions(self.image[of], self.keypoints[of], self.score[of], self.area[of], parts)


@dataclass(frozen=True)
class Matches:
    """Who was matched: the predictions that count, best score first over all images, and the number of people to
    find. A areas, T thresholds."""

    image: np.ndarray  # [N] int64
    right: np.ndarray  # [A, T, N] bool
    wrong: np.ndarray  # [A, T, N] bool; neither = ignored
    wanted: np.ndarray  # [A, images] int64


def match(
    truth: GroundTruth,
    found: Predictions,
    sigmas: np.ndarray,
    areas: list[tuple[float, float]] | None = None,
    most: int = MOST,
) -> Matches:
    """Greedy matching of each image, as pycocotools does it."""
    _check_both(truth, found, sigmas)
    ranges = np.array(list(AREAS.values()) if areas is None else areas, np.float64)
    by_truth = np.argsort(truth.image, kind="stable")
    by_found = np.lexsort((-found.score, found.image))  # stable: score falls within each image
    image = found.image[by_found]
    rank = np.arange(len(image)) - np.searchsorted(image, image, side="left")
    by_found = by_found[rank < most]
    image = found.image[by_found]
    steps = np.arange(truth.images + 1)
    right, used = _match(
        np.searchsorted(truth.image[by_truth], steps),
        np.searchsorted(image, steps),
        np.ascontiguousarray(truth.keypoints[by_truth]),
        truth.box[by_truth].astype(np.float64),
        truth.area[by_truth].astype(np.float64),
        truth.ignore[by_truth],
        truth.crowd[by_truth],
        (np.zeros(len(by_truth), np.bool_) if truth.void is None else truth.void)[by_truth],
        np.ascontiguousarray(found.keypoints[by_found]),
        found.area[by_found].astype(np.float64),
        (2 * np.asarray(sigmas, np.float64)) ** 2,
        THRESHOLDS,
        ranges,
    )
    order = np.argsort(-found.score[by_found], kind="stable")
    inside = (truth.area >= ranges[:, :1]) & (truth.area <= ranges[:, 1:]) & ~truth.ignore  # [A, G]
    wanted = np.stack([np.bincount(truth.image[row], minlength=truth.images) for row in inside])
    return Matches(image[order], right[..., order] & used[..., order], ~right[..., order] & used[..., order], wanted)


def precision_recall(matches: Matches, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Interpolated precision [A, T, 101] and greatest recall [A, T]; -1 where there was nobody to find.

    weight [images]: how often each image counts (bootstrap), once by default.
    """
    each = np.ones(len(matches.image)) if weight is None else weight[matches.image].astype(np.float64)
    areas, thresholds, count = matches.right.shape
    precision, recall = -np.ones((areas, thresholds, len(RECALLS))), -np.ones((areas, thresholds))
    for a in range(areas):
        people = matches.wanted[a].sum() if weight is None else matches.wanted[a] @ weight
        if people == 0:
            continue
        right = np.cumsum(matches.right[a] * each, axis=1)
        wrong = np.cumsum(matches.wrong[a] * each, axis=1)
        rc, pr = right / people, right / (right + wrong + np.spacing(1))
        pr = np.maximum.accumulate(pr[:, ::-1], axis=1)[:, ::-1]
        recall[a] = rc[:, -1] if count else 0.0
        for t in range(thresholds):
            at = np.searchsorted(rc[t], RECALLS, side="left")
            precision[a, t] = np.append(pr[t], 0.0)[at]
    return precision, recall


def summary(matches: Matches, weight: np.ndarray | None = None) -> dict[str, float]:
    """pycocotools' ten numbers (fractions; -1 where there was nobody to find) by the names in `STATS`."""
    precision, recall = precision_recall(matches, weight)
    means = []
    for values in (precision, recall):
        means += [mean(values[0]), mean(values[0, 0]), mean(values[0, 5]), mean(values[1]), mean(values[2])]
    return dict(zip(STATS, means, strict=True))


def crowd_summary(matches: Matches, difficulty: np.ndarray) -> dict[str, float]:
    """CrowdPose's nine numbers; difficulty [images] is the crowd index: below 0.2 easy, below 0.8 medium, else hard."""
    precision, recall = precision_recall(matches)
    stats = [mean(values) for p in (precision[0], recall[0]) for values in (p, p[0], p[5])]
    for chosen in (difficulty < 0.2, (difficulty >= 0.2) & (difficulty < 0.8), difficulty >= 0.8):
        stats.append(round(float(precision_recall(matches, chosen.astype(np.int64))[0][0].mean()), 4))
    return dict(zip(CROWD_STATS, stats, strict=True))


def interval(matches: Sequence[Matches], draws: int = 200, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Bootstrap confidence interval of AP over images; of several categories AP is the mean."""
    rng = np.random.Generator(np.random.Philox(seed))
    images = matches[0].wanted.shape[1]
    first = [replace(m, right=m.right[:1], wrong=m.wrong[:1], wanted=m.wanted[:1]) for m in matches]
    values = []
    for _ in range(draws):
        weight = rng.multinomial(images, np.full(images, 1 / images))
        values.append(mean(np.array([mean(precision_recall(m, weight)[0]) for m in first])))
    tail = 50 * (1 - level)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def mean(values: np.ndarray) -> float:
    """Of those that are not -1, "nobody to find"; -1 where there are none."""
    values = values[values > -1]
    return float(values.mean()) if values.size else -1.0


def best_of_image(truth: GroundTruth, found: Predictions, sigmas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each person [G] the row of the most similar prediction in the image (-1 for none) and that similarity."""
    _check_both(truth, found, sigmas)
    order = np.argsort(found.image, kind="stable")
    at = np.searchsorted(found.image[order], np.arange(truth.images + 1))
    best, value = _best(
        truth.image,
        at,
        np.ascontiguousarray(truth.keypoints),
        truth.box.astype(np.float64),
        truth.area.astype(np.float64),
        np.ascontiguousarray(found.keypoints[order]),
        (2 * np.asarray(sigmas, np.float64)) ** 2,
    )
    return np.where(best >= 0, order[best] if len(order) else -1, -1), value


def joint_similarity(
    truth: GroundTruth, found: Predictions, sigmas: np.ndarray, best: np.ndarray | None = None
) -> np.ndarray:
    """[K] per joint: the mean similarity exp(-d^2 / (2 area (2 sigma)^2)) of its labelled instances to the most similar
    prediction of the image, 0 without any; nan where it is never labelled. best [G]: as `best_of_image` gives it."""
    best = best_of_image(truth, found, sigmas)[0] if best is None else best
    counted = ~truth.ignore
    person, there = truth.keypoints[counted], best[counted] >= 0
    predicted = np.zeros_like(person) if not len(found.score) else found.keypoints[np.maximum(best[counted], 0)]
    square = ((predicted[..., :2] - person[..., :2]) ** 2).sum(-1)
    scale = (truth.area[counted][:, None] + np.spacing(1)) * (2 * np.asarray(sigmas)) ** 2 * 2
    similar = np.nan_to_num(np.exp(-square / scale)) * there[:, None]
    labelled = person[..., 2] > 0
    with np.errstate(invalid="ignore"):
        return (similar * labelled).sum(0) / labelled.sum(0)


def _check_both(truth: GroundTruth, found: Predictions, sigmas: np.ndarray) -> None:
    """ValueError where the compiled loops would read what is not there."""
    _check(sigmas, {"truth.keypoints": truth.keypoints, "found.keypoints": found.keypoints})
    for name, people, columns in (
        ("truth", truth, ("image", "box", "area", "ignore", "crowd")),
        ("found", found, ("image", "score", "area")),
    ):
        image, count = people.image, len(people.keypoints)
        for column in columns:
            if len(getattr(people, column)) != count:
                came = len(getattr(people, column))
                raise ValueError(f"{name}.{column}: expected {count} rows, as {name}.keypoints has, got {came}")
        if ((image < 0) | (image >= truth.images)).any():
            raise ValueError(f"{name}.image: expected 0..{truth.images - 1}, got {image.min()}..{image.max()}")


def _check(sigmas: np.ndarray, named: dict[str, np.ndarray]) -> None:
    """The compiled loops read as many joints of each array as the first has, wherever that leads."""
    joints = np.asarray(sigmas).shape
    for name, keypoints in named.items():
        if keypoints.ndim != 3 or keypoints.shape[1:] != (*joints, 3):
            raise ValueError(f"{name}: expected [N, {', '.join(map(str, joints))}, 3], got {keypoints.shape}")


def rescore(box_score: np.ndarray, keypoint_score: np.ndarray, threshold: float = 0.2) -> np.ndarray:
    """A person's score as HRNet gives it: box score [D] times the mean of those keypoint scores [D, K] above
    `threshold` (0 where none is)."""
    strong = keypoint_score > threshold
    mean = (keypoint_score * strong).sum(1) / np.maximum(strong.sum(1), 1)
    return box_score * mean


def nms(
    keypoints: np.ndarray,
    score: np.ndarray,
    area: np.ndarray,
    sigmas: np.ndarray = COCO_SIGMAS,
    threshold: float = 0.9,
    visible_above: float | None = None,
) -> np.ndarray:
    """Rows to keep of one image's people, best first: a person more similar than `threshold` to a better one goes.

    keypoints [N, K, 3] x, y, score; area [N]. With `visible_above` only joints that *both* people show that clearly are
    compared (HRNet's `list(a) and list(b)` looked at one of them only); without any such joint the similarity is 0.
    """
    order = np.argsort(-score, kind="stable")
    _check(sigmas, {"keypoints": keypoints})
    least = -np.inf if visible_above is None else visible_above
    kept = _nms(
        np.ascontiguousarray(keypoints[order], np.float64),
        area[order].astype(np.float64),
        (2 * np.asarray(sigmas, np.float64)) ** 2,
        threshold,
        least,
    )
    return order[kept]


@compiled
def _similarity(
    g: np.ndarray, d: np.ndarray, box: np.ndarray, area: float, variance: np.ndarray
) -> float:  # pragma: no cover
    """OKS of one prediction d [K, 3] with one person g [K, 3]; one without joints is his box, grown threefold. A joint
    that is predicted nowhere (nan) is infinitely far: pycocotools takes a person with one for a perfect match."""
    joints = g.shape[0]
    labelled = 0
    for k in range(joints):
        labelled += g[k, 2] > 0
    total = 0.0
    scale = area + 2.220446049250313e-16
    for k in range(joints):
        if labelled > 0:
            if g[k, 2] <= 0:
                continue
            dx, dy = d[k, 0] - g[k, 0], d[k, 1] - g[k, 1]
        else:
            dx = max(0.0, box[0] - box[2] - d[k, 0]) + max(0.0, d[k, 0] - (box[0] + box[2] * 2))
            dy = max(0.0, box[1] - box[3] - d[k, 1]) + max(0.0, d[k, 1] - (box[1] + box[3] * 2))
        near = np.exp(-((dx * dx + dy * dy) / variance[k] / scale / 2))
        if near == near:
            total += near
    return total / (labelled if labelled > 0 else joints)


@compiled
def _match(
    truth_at, found_at, gk, box, g_area, g_ignore, crowd, void, dk, d_area, variance, thresholds, ranges
):  # pragma: no cover
    """-> matched [A, T, D] bool, and counted [A, T, D] bool: not ignored at that size."""
    areas, steps, count = len(ranges), len(thresholds), len(dk)
    matched = np.zeros((areas, steps, count), np.bool_)
    counted = np.ones((areas, steps, count), np.bool_)
    for image in range(len(truth_at) - 1):
        g0, g1, d0, d1 = truth_at[image], truth_at[image + 1], found_at[image], found_at[image + 1]
        people = g1 - g0
        similar = np.empty((d1 - d0, people))
        for d in range(d0, d1):
            for g in range(people):
                similar[d - d0, g] = _similarity(gk[g0 + g], dk[d], box[g0 + g], g_area[g0 + g], variance)
        order, ignored = np.empty(people, np.int64), np.empty(people, np.bool_)
        for a in range(areas):
            low, high = ranges[a]
            n = 0
            for wanted in (True, False):  # people that count come first, in the annotations' order
                for g in range(people):
                    ignore = g_ignore[g0 + g] or g_area[g0 + g] < low or g_area[g0 + g] > high
                    if ignore != wanted:
                        order[n], ignored[n] = g, ignore
                        n += 1
            for t in range(steps):
                taken = np.zeros(people, np.bool_)
                for d in range(d0, d1):
                    best, m = thresholds[t], -1
                    for i in range(people):
                        g = order[i]
                        if taken[i] and not crowd[g0 + g]:
                            continue
                        if m > -1 and not ignored[m] and ignored[i]:
                            break
                        if similar[d - d0, g] < best:
                            continue
                        best, m = similar[d - d0, g], i
                    if m >= 0:
                        matched[a, t, d], counted[a, t, d] = not void[g0 + order[m]], not ignored[m]
                        taken[m] = True
                    if not matched[a, t, d] and (d_area[d] < low or d_area[d] > high):
                        counted[a, t, d] = False
    return matched, counted


@compiled
def _best(image, at, gk, box, g_area, dk, variance):  # pragma: no cover
    best, value = np.full(len(gk), -1, np.int64), np.zeros(len(gk))
    for g in range(len(gk)):
        for d in range(at[image[g]], at[image[g] + 1]):
            similar = _similarity(gk[g], dk[d], box[g], g_area[g], variance)
            if best[g] < 0 or similar > value[g]:
                best[g], value[g] = d, similar
    return best, value


@compiled
def _nms(keypoints, area, variance, threshold, least):  # pragma: no cover
    count, joints = keypoints.shape[0], keypoints.shape[1]
    alive = np.ones(count, np.bool_)
    for i in range(count):
        if not alive[i]:
            continue
        for j in range(i + 1, count):
            if not alive[j]:
                continue
            total, compared = 0.0, 0
            scale = (area[i] + area[j]) / 2 + 2.220446049250313e-16
            for k in range(joints):
                if keypoints[i, k, 2] > least and keypoints[j, k, 2] > least:
                    dx, dy = keypoints[j, k, 0] - keypoints[i, k, 0], keypoints[j, k, 1] - keypoints[i, k, 1]
                    total += np.exp(-((dx * dx + dy * dy) / variance[k] / scale / 2))
                    compared += 1
            if compared > 0 and total / compared > threshold:
                alive[j] = False
    return np.flatnonzero(alive)
