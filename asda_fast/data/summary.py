"""What was understood of a set of people, in a few lines, and whether its left-right pairs mirror."""

from __future__ import annotations

import numpy as np

from asda_fast.core.skeleton import described
from asda_fast.data.people import People

ENOUGH = 20  # people who show both joints of a pair, below whom nothing is told from it
APART = 0.04  # of a box's width: joints nearer than this have no left and right
AGAINST = 0.5  # so much more often against the other pairs than with them: swapped
LEVEL = 0.12  # of a box's height: joints that mirror each other lie as high on average


def summary(people: People) -> list[str]:
    """Joints, pairs and sizes; a line each."""
    skeleton, known = people.skeleton, np.greater(people.visible, 0)
    lines = described(skeleton)
    each = known.sum(axis=1)
    lines.append(f"labelled: {each.mean():.3g} joints of a person on average, {100 * known.mean():.3g} % of all")
    never = [name for name, some in zip(skeleton.joints, known.any(axis=0)) if not some]
    if never:
        lines.append(f"never labelled: {', '.join(never)}")
    lines.append(f"boxes: {_spread(people.box[:, 2])} wide, {_spread(people.box[:, 3])} high, in pixels")
    used = np.unique(people.file)
    size = people.image_size[used]
    size = size[size.min(axis=1) > 0]
    if len(size):
        lines.append(f"photos: {_spread(size[:, 1])} wide, {_spread(size[:, 0])} high, as the annotations say")
    return lines


def _spread(values: np.ndarray) -> str:
    low, middle, high = np.percentile(values, (5, 50, 95))
    return f"{middle:.0f}" if low == high else f"{middle:.0f} ({low:.0f} to {high:.0f})"


def mirror_problems(people: People) -> list[str]:
    """Pairs that do not mirror, by how the people have them: the two names of a pair swapped, or two joints that are
    no pair. Nothing is said where fewer than ENOUGH people tell."""
    pairs = np.array(people.skeleton.pairs, dtype=np.int64).reshape(-1, 2)
    names = [f"{people.skeleton.joints[a]} - {people.skeleton.joints[b]}" for a, b in pairs]
    known = np.greater(people.visible, 0)[:, pairs].all(axis=2)  # [P, pairs]
    box = np.maximum(people.box[:, 2:], 1)
    apart = (people.joints[:, pairs[:, 0]] - people.joints[:, pairs[:, 1]]) / box[:, None]  # [P, pairs, 2]
    found = []
    for pair, name in enumerate(names):
        rows = known[:, pair]
        if rows.sum() < ENOUGH:
            continue
        high = apart[rows, pair, 1]
        error = high.std() / np.sqrt(len(high))
        if abs(high.mean()) > max(LEVEL, 5 * error):
            found.append(
                f"pair {name}: one lies {100 * abs(high.mean()):.0f} % of the box higher than the other, on average of "
                f"{len(high)} people: do they mirror each other?"
            )
    side = np.where(known & (np.abs(apart[..., 0]) > APART), np.sign(apart[..., 0]), 0)  # [P, pairs]
    for pair, name in enumerate(names):
        others = np.sign(side.sum(axis=1) - side[:, pair])
        both = (others != 0) & (side[:, pair] != 0)
        if both.sum() < ENOUGH or len(pairs) < 3:
            continue
        agree = float((side[both, pair] * others[both]).mean())
        if agree < -AGAINST:
            found.append(
                f"pair {name}: the other way round than the other pairs in {50 * (1 - agree):.0f} % of {both.sum()} "
                "people: left and right swapped?"
            )
    return found
