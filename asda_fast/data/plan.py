"""Plan: every random decision of an epoch, drawn before any pixel is touched.

Randomness is counter-based. Row r of the table reads the numbers r * 8 .. r * 8 + 7 of the Philox stream with key
(seed, epoch); the shuffle reads a second stream. So what happens to a person depends on (seed, epoch, row) only: not on
the pipeline, the number of workers or ranks, the batch size, or where a run was resumed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from asda_fast.core.random import uniforms
from asda_fast.data import crop
from asda_fast.data.people import People

DRAWS = 8  # uniforms per row: flip, scale (2), rotation (2), rotate at all, half body, which half
AUGMENT, SHUFFLE = 0, 1  # Philox streams
HALF_BODY_MIN_JOINTS = 8  # HRNet: half bodies only of people with more labelled joints than this
HALF_BODY_PAD = 1.5
HALF_BODY_UPPER = 0.6915  # HRNet: a standard normal draw below 0.5 asks for the upper half


@dataclass(frozen=True)
class GlobalAug:
    """Global augmentation of the whole crop (paper, section 4.1; half body and `hrnet` as in HRNet).

    `uniform`: rotation ~ U(-rotation, rotation) degrees, size ~ U(1 - scale, 1 + scale).
    `hrnet`: rotation ~ N(0, rotation) clipped at twice that, size ~ 1 + N(0, scale) clipped at 1 +- scale.
    A larger size shows more of the photo: the person gets smaller.
    """

    flip: float = 0.5  # probability
    rotation: float = 30.0  # degrees
    scale: float = 0.25
    half_body: float = 0.0  # probability
    distribution: str = "uniform"
    rotation_p: float = 1.0  # probability of rotating at all (HRNet: 0.6)

    def __post_init__(self) -> None:
        if self.distribution not in ("uniform", "hrnet"):
            raise ValueError(f"GlobalAug.distribution: expected 'uniform' or 'hrnet', got {self.distribution!r}")
        if not 0 <= self.scale < 1:
            raise ValueError(f"GlobalAug.scale: expected 0 <= scale < 1, got {self.scale}")
        if not 0 <= self.rotation <= 180:
            raise ValueError(f"GlobalAug.rotation: expected 0 to 180 degrees, got {self.rotation}")
        for name in ("flip", "half_body", "rotation_p"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"GlobalAug.{name}: expected a probability, got {getattr(self, name)}")


@dataclass(frozen=True)
class Plan:
    """One rank's samples of one epoch, in order: S samples, `batch_size` to a step (the last step may hold fewer)."""

    row: np.ndarray  # [S] int64, row of the Person table
    matrix: np.ndarray  # [S, 2, 3] float32, crop pixel -> photo pixel
    flip: np.ndarray  # [S] bool
    half: np.ndarray  # [S] bool
    joints: np.ndarray  # [S, J, 2] float32 crop pixels, pairs already swapped on a flip
    visible: np.ndarray  # [S, J] uint8
    box: np.ndarray  # [S, 4] float32 centre x, centre y, width, height of the person's own box in crop pixels
    batch_size: int

    def __len__(self) -> int:
        """Number of steps."""
        return -(-len(self.row) // self.batch_size)

    def step(self, index: int) -> slice:
        """The samples of step `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"step {index} of {len(self)}")
        return slice(index * self.batch_size, min((index + 1) * self.batch_size, len(self.row)))


def order(rows: int, *, epoch: int, seed: int, shuffle: bool) -> np.ndarray:
    """The order in which an epoch visits the table, over all ranks: [rows] int64."""
    if not shuffle:
        return np.arange(rows)
    return np.argsort(uniforms(rows, seed=seed, epoch=epoch, stream=SHUFFLE, per_row=1)[:, 0], kind="stable")


def draw(
    people: People,
    size: tuple[int, int],
    *,
    epoch: int,
    seed: int,
    train: bool,
    aug: GlobalAug | None,
    rank: int = 0,
    world: int = 1,
    batch_size: int,
    drop_last: bool,
) -> Plan:
    """The plan of one epoch of one rank, to crops of `size` (height, width). Without `train`: table order and no
    augmentation."""
    if not 0 <= rank < world:
        raise ValueError(f"rank: expected 0 <= rank < world = {world}, got {rank}")
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    visit = order(len(people), epoch=epoch, seed=seed, shuffle=train)
    rows = people.shard(visit, rank=rank, world=world, batch_size=batch_size, drop_last=drop_last)
    return place(people, rows, size, epoch=epoch, seed=seed, aug=aug if train else None, batch_size=batch_size)


def place(
    people: People,
    rows: np.ndarray,
    size: tuple[int, int],
    *,
    epoch: int,
    seed: int,
    aug: GlobalAug | None,
    batch_size: int = 1,
) -> Plan:
    """The plan of exactly these rows. `aug` None: the plain crop."""
    rows = np.asarray(rows, dtype=np.int64)
    u = uniforms(len(people), seed=seed, epoch=epoch, stream=AUGMENT, per_row=DRAWS)[rows]  # [S, 8]
    centre = people.centre[rows].astype(np.float64)
    width = crop.fit_aspect(crop.region(people, rows), size)
    flip = half = np.zeros(len(rows), dtype=bool)
    rotation = np.zeros(len(rows))
    if aug is not None:
        wanted = np.flatnonzero(u[:, 6] < aug.half_body)
        possible, half_centre, half_width = _half_body(people, rows[wanted], size, u[wanted, 7] < HALF_BODY_UPPER)
        wanted = wanted[possible]
        half = half.copy()
        half[wanted], centre[wanted], width[wanted] = True, half_centre[possible], half_width[possible]
        width = width * _resize(aug, u)
        rotation = np.deg2rad(_rotate(aug, u))
        flip = u[:, 0] < aug.flip
    matrix = crop.crop_matrices(centre, width, rotation, flip, size)
    joints, visible = _joints(people, rows, matrix, flip)
    return Plan(
        row=rows,
        matrix=matrix.astype(np.float32),
        flip=flip,
        half=half,
        joints=joints,
        visible=visible,
        box=_box(people, rows, matrix, width / size[1]),
        batch_size=batch_size,
    )


def clamp(people: People, plan: Plan, size: tuple[int, int]) -> tuple[Plan, dict[str, int]]:
    """Make a fresh plan one that the people's source can serve, and count what it did not hold, by what is done.

    A crop that must shrink does so about its centre ("narrowed"), by a factor of two at most; what needs more than that
    becomes the plain crop ("plain"), which every source holds. Joints and boxes follow.
    """
    paths = [people.files[file] for file in people.file[plan.row]]
    factor, counts = people.source.zoom(plan.row, paths, plan.matrix, size)
    at = np.flatnonzero(factor < 1)
    plain = int((factor < 0.5).sum())
    counts = {**counts, "narrowed": len(at) - plain, "plain": plain}
    return (_narrow(people, plan, at, factor[at], size) if len(at) else plan), counts


def _narrow(people: People, plan: Plan, at: np.ndarray, factor: np.ndarray, size: tuple[int, int]) -> Plan:
    plain = factor < 0.5
    factor = np.where(plain, 1.0, factor)
    middle = np.array([size[1] / 2, size[0] / 2])
    new = {name: getattr(plan, name).copy() for name in ("matrix", "flip", "half", "joints", "visible", "box")}
    matrix = new["matrix"][at].astype(np.float64)
    moved = matrix[:, :, :2] @ middle + matrix[:, :, 2]
    matrix[:, :, :2] *= factor[:, None, None]
    matrix[:, :, 2] = moved - matrix[:, :, :2] @ middle  # the centre stays where it was
    known = new["visible"][at][..., None] > 0
    new["matrix"][at] = matrix
    new["joints"][at] = np.where(known, middle + (new["joints"][at] - middle) / factor[:, None, None], 0.0)
    box = new["box"][at].astype(np.float64)
    box[:, :2] = middle + (box[:, :2] - middle) / factor[:, None]
    box[:, 2:] /= factor[:, None]
    new["box"][at] = box
    if plain.any():
        simple = place(people, plan.row[at[plain]], size, epoch=0, seed=0, aug=None)
        for name, values in new.items():
            values[at[plain]] = getattr(simple, name)
    return replace(plan, **new)


def _normal(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.sqrt(-2 * np.log1p(-u)) * np.cos(2 * np.pi * v)  # Box-Muller


def _resize(aug: GlobalAug, u: np.ndarray) -> np.ndarray:
    if aug.distribution == "uniform":
        return 1 + aug.scale * (2 * u[:, 1] - 1)
    return 1 + np.clip(aug.scale * _normal(u[:, 1], u[:, 2]), -aug.scale, aug.scale)


def _rotate(aug: GlobalAug, u: np.ndarray) -> np.ndarray:
    if aug.distribution == "uniform":
        degrees = aug.rotation * (2 * u[:, 3] - 1)
    else:
        degrees = np.clip(aug.rotation * _normal(u[:, 3], u[:, 4]), -2 * aug.rotation, 2 * aug.rotation)
    return np.where(u[:, 5] < aug.rotation_p, degrees, 0.0)


def _half_body(
    people: People, rows: np.ndarray, size: tuple[int, int], upper_first: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HRNet's half body of these rows: (is possible [n], centre [n, 2], crop width [n]) round the upper joints, or the
    lower ones."""
    joints, known = people.joints[rows].astype(np.float64), people.visible[rows] > 0
    upper = np.zeros(known.shape[1], dtype=bool)
    upper[list(people.skeleton.upper)] = True
    above, below = known & upper, known & ~upper
    use_upper = np.where(upper_first, above.sum(1) > 2, below.sum(1) <= 2)
    chosen = np.where(use_upper[:, None], above, below)
    possible = (known.sum(1) > HALF_BODY_MIN_JOINTS) & (chosen.sum(1) >= 2) & upper.any()  # which half is which?
    pick = np.where(possible[:, None], chosen, True)[..., None]  # others: any finite value will do
    centre = (joints * pick).sum(1) / pick.sum(1)
    sides = np.where(pick, joints, -np.inf).max(1) - np.where(pick, joints, np.inf).min(1)
    return possible, centre, crop.fit_aspect(np.maximum(sides, 1.0), size) * HALF_BODY_PAD


def _joints(people: People, rows: np.ndarray, matrix: np.ndarray, flip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    joints = crop.apply(crop.invert(matrix), people.joints[rows].astype(np.float64))
    visible = people.visible[rows]
    swap = list(people.skeleton.swap)
    joints = joints.astype(np.float32)
    joints[flip] = joints[flip][:, swap]
    visible[flip] = visible[flip][:, swap]
    joints[visible == 0] = 0
    return joints, visible


def _box(people: People, rows: np.ndarray, matrix: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    box = people.box[rows].astype(np.float64)
    middle = crop.apply(crop.invert(matrix), (box[:, :2] + box[:, 2:] / 2)[:, None])[:, 0]
    return np.concatenate([middle, box[:, 2:] / ratio[:, None]], axis=1).astype(np.float32)
