"""Would predictions score far better if they meant something else? A file in another unit, order of axes, of joints or
of people scores low without a word, and looks like a poor network."""

from __future__ import annotations

import numpy as np

from asda_fast.metrics.pck import distances

LOW = 50.0  # per cent of joints that are right: above, nothing is asked
BETTER, ENOUGH = 2.0, 30.0  # times as many as they are, and so many per cent, would be right in the other reading
APART = 0.5  # of the people have a prediction of their own that is the nearest: else poses are merely alike
PEOPLE, JOINTS = 8, 4  # below which nothing is told from a reading


def other_reading(
    predicted: np.ndarray, truth: np.ndarray, counted: np.ndarray, size: np.ndarray, names: tuple[str, ...],
    threshold: float,
) -> str | None:  # fmt: skip
    """What predictions [P, J, 2] seem to be instead, in a line; None where they are as they should be or merely poor.

    truth [P, J, 2], counted [P, J], size [P] as for `distances`; a joint is right within `threshold` sizes.
    """
    counted = counted & np.isfinite(size)[:, None] & (size > 0)[:, None]
    if len(truth) < PEOPLE or truth.shape[1] < JOINTS or not counted.any():
        return None

    def right(read: np.ndarray) -> float:
        return 100 * float((distances(read, truth, size) <= threshold)[counted].mean())

    own = right(predicted)
    if own >= LOW:
        return None
    if 0 < np.abs(np.where(np.isfinite(predicted), predicted, 0)).max() <= 2:
        return "all predictions lie in 0..2: expected pixels of the photo; shares of its size?"
    readings = {
        "y came before x": predicted[..., ::-1],
        "all x came before all y": predicted.reshape(len(truth), 2, -1).transpose(0, 2, 1),
        "they were of photos of half the size": 2 * predicted,
        "they were of photos of twice the size": predicted / 2,
    }
    joints = _joints(predicted, truth, counted, size, threshold)
    if joints is None:  # a wide threshold confuses neighbours
        joints = _joints(predicted, truth, counted, size, threshold / 4)
    if joints is not None:
        moved = next(i for i, j in enumerate(joints) if i != j)
        what = f"the joints came in another order ({names[moved]} is given as joint {joints[moved]})"
        readings[what] = predicted[:, joints]
    people = _people(predicted, truth, counted)
    first = next((i for i, j in enumerate(people) if i != j), None)
    if first is not None and len(set(people)) > APART * len(people):
        readings[f"the people came in another order (person {first} is given as {people[first]})"] = predicted[people]
    best, what = max((right(read), what) for what, read in readings.items())
    if best < ENOUGH or best < BETTER * own:
        return None
    return f"{own:.0f} % of the joints are right; {best:.0f} % would be if {what}"


def _joints(
    predicted: np.ndarray, truth: np.ndarray, counted: np.ndarray, size: np.ndarray, threshold: float
) -> list[int] | None:
    """The predicted joint that each joint is, where that is another order of them; None where it is none."""
    hits = np.zeros((truth.shape[1],) * 2)  # [as annotated, as predicted]
    for joint in range(truth.shape[1]):
        other = np.repeat(truth[:, joint : joint + 1], truth.shape[1], axis=1)
        hits[joint] = (distances(predicted, other, size) <= threshold)[counted[:, joint]].sum(axis=0)
    found = {joint: int(row.argmax()) for joint, row in enumerate(hits) if row.any()}
    if len(set(found.values())) < len(found):
        return None
    unused = iter(sorted(set(range(len(hits))) - set(found.values())))  # for joints that are not counted
    order = [found[joint] if joint in found else next(unused) for joint in range(len(hits))]
    return order if order != sorted(order) else None


def _people(predicted: np.ndarray, truth: np.ndarray, counted: np.ndarray) -> list[int]:
    """[P] the predicted person that lies nearest to each annotated one: the least sum of squares over the joints."""
    weight = np.repeat(counted, 2, axis=1).astype(np.float64)  # [P, 2 J]
    want = np.nan_to_num(truth.reshape(len(truth), -1)) * weight
    given = np.nan_to_num(predicted.reshape(len(truth), -1), nan=1e5, posinf=1e5, neginf=-1e5)
    square = np.square(given).T
    parts = [weight[at : at + 512] @ square - 2 * want[at : at + 512] @ given.T for at in range(0, len(truth), 512)]
    return [int(at) for part in parts for at in part.argmin(axis=1)]
