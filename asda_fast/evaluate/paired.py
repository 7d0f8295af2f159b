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


def difference(a: np.ndarray, b: np.ndarray, counted: np.ndarray, draws: int = 2000, seed: int = 0) -> Difference:
    """Percentage of arm `a` less that of `b`; both [S, P] correct joints of the same seeds and people, counted [P].

    Seeds and people are drawn anew `draws` times, each person with all of its seeds and each seed with both of its
    runs (a paired bootstrap): the interval answers for another sample of people and other seeds. With one seed it
    answers for people only. Raises ValueError where the shapes differ.
    """
    if a.shape != b.shape or a.ndim != 2 or counted.shape != a.shape[1:]:
        raise ValueError(f"expected hits [S, P] twice and counted [P], got {a.shape}, {b.shape}, {counted.shape}")
    more = (a - b).astype(np.float64)  # [S, P]
    seeds, people = more.shape
    rng = np.random.Generator(np.random.Philox(seed))
    by_person = rng.multinomial(people, np.full(people, 1 / people), size=draws).astype(np.float64)  # [draws, P]
    by_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds  # [draws, S]
    gained = ((by_person @ more.T) * by_seed).sum(1)
    drawn = 100.0 * gained / np.maximum(by_person @ counted.astype(np.float64), 1.0)
    mean = 100.0 * more.mean(0).sum() / max(float(counted.sum()), 1.0)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Difference(float(mean), float(low), float(high))
