"""Two arms of an experiment compared: same people, same seeds, and how far chance could move the difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Difference:
    """Of two arms' percentages of correct joints, with a 95 % interval over people and seeds."""

    mean: float
    low: float
    high: float


def percentage(hits: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """hits [S, P] correct joints of each seed and person, counted [P] joints that count -> [S] percentages."""
    return 100.0 * hits.sum(1) / max(float(counted.sum()), 1.0)


def difference(a: np.ndarray, b: np.ndarray, counted: np.ndarray) -> Difference:
    """Percentage of arm `a` less that of `b`; both [S, P] correct joints of the same seeds and people, counted [P].

    The interval answers for other people and other seeds. Every seed judges every person, as every reader reads every
    case in radiology, and it is made as there: variances of a two-way analysis with both at random, and Student's t
    with the degrees of freedom of Hillis (A comparison of denominator degrees of freedom methods for multiple observer
    ROC studies, Statistics in Medicine 2007). So it is wide with few seeds. Seeds that agree by luck do not narrow it
    below what other people alone would make of these seeds, which is all that one seed tells. Raises ValueError where
    the shapes differ, and where fewer than two people have joints that count.
    """
    from scipy.special import stdtrit

    if a.shape != b.shape or a.ndim != 2 or counted.shape != a.shape[1:]:
        raise ValueError(f"expected hits [S, P] twice and counted [P], got {a.shape}, {b.shape}, {counted.shape}")
    judged = counted > 0
    more, joints = (a - b)[:, judged].astype(np.float64), counted[judged]
    seeds, people = more.shape
    if people < 2:
        raise ValueError(f"expected at least 2 people with joints that count, got {people}: of one, nothing is certain")
    mean = more.mean() / joints.mean()
    off = (more - mean * joints) / joints.mean()  # [S, P] what a person adds to the ratio of sums, 0 on average
    by_seed, by_person = off.mean(1, keepdims=True), off.mean(0)
    of_people = seeds * by_person.var(ddof=1)
    reach = stdtrit(people - 1, 0.975) * (of_people / (seeds * people)) ** 0.5
    of_seeds = people * by_seed.var(ddof=1) if seeds > 1 else 0.0
    if of_seeds > 0:
        rest = ((off - by_seed - by_person) ** 2).sum() / ((seeds - 1) * (people - 1))
        squares = of_seeds + max(of_people - rest, 0.0)
        freedom = (seeds - 1) * (squares / of_seeds) ** 2
        reach = max(reach, stdtrit(freedom, 0.975) * (squares / (seeds * people)) ** 0.5)
    return Difference(*(100 * float(value) for value in (mean, mean - reach, mean + reach)))
