"""Which parts a batch gets, and random placements for them: counter-based, a function of (seed, epoch, row) only.

Everything here is torch integer arithmetic on the batch's own device: the same bits on CPU and GPU, no host sync, and
the same draw for a person whatever the pipeline, batch composition, rank or worker count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from asda_fast.core.random import below, random_bits, uniform
from asda_fast.parts.types import SHARE, TYPES, mirrored

if TYPE_CHECKING:
    from asda_fast.core.batch import Batch
    from asda_fast.parts.pool import PartPool


@dataclass(frozen=True)
class Ranges:
    """Uniform ranges around (1, 0, 0, 0). s is the released code's; r, tx, ty of the paper's random mode were never
    published, so they default to what the generator can reach for r, and for tx and ty to centres inside the crop of a
    part that is not turned. A shift turns with its part: one centre in nine lies outside of a square crop, one in six
    outside of 256x192."""

    s: tuple[float, float] = (0.7, 1.3)
    r: tuple[float, float] = (-math.pi / 2, math.pi / 2)  # radians
    tx: tuple[float, float] = (-1.0, 1.0)  # half crop widths
    ty: tuple[float, float] = (-1.0, 1.0)  # half crop heights

    def __post_init__(self) -> None:
        for name in ("s", "r", "tx", "ty"):
            low, high = getattr(self, name)
            if not (-math.inf < low <= high < math.inf) or (name == "s" and low <= 0):
                least = "0 < low" if name == "s" else "low"
                raise ValueError(f"Ranges.{name}: expected {least} <= high, got {(low, high)}")


@dataclass(frozen=True)
class Rules:
    """Who gets a paste, and of what."""

    probability: float = 1.0  # of a person to get parts at all
    types: tuple[str, ...] | None = None  # only these part types; None: all that the pool has
    skip_half_body: bool = True  # released code: a crop narrowed to a half body gets no paste
    min_joints: int = 0  # released code, COCO: 8, people with fewer labelled joints get no paste
    patch_flip: float = 0.0  # probability to mirror a patch; a mirrored right arm counts as a left arm

    def __post_init__(self) -> None:
        for name in ("probability", "patch_flip"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Rules.{name}: expected a probability, got {getattr(self, name)}")
        if isinstance(self.types, str):
            raise ValueError(f"Rules.types: expected a tuple of names, got {self.types!r}")


@dataclass
class Slots:
    """What is pasted on a batch. Empty slots have part -1 (and type 0)."""

    part: Tensor  # [B, N] int64 row of the pool, -1 empty
    type: Tensor  # [B, N] int64 index into pool.types: which of the generator's outputs places it
    mirror: Tensor  # [B, N] bool: the patch is mirrored
    theta: Tensor  # [B, N, 4] float32: s, r, tx, ty drawn uniformly

    @property
    def scale(self) -> Tensor:
        """[B, N] the random size factor s."""
        return self.theta[..., 0]

    def each(self, change: Callable[[Tensor], Tensor]) -> Slots:
        """All four columns changed alike."""
        return Slots(change(self.part), change(self.type), change(self.mirror), change(self.theta))

    def to(self, device: torch.device | str) -> Slots:
        return self.each(lambda column: column.to(device))


@dataclass(frozen=True)
class Index:
    """The pool's patches by type, for uniform draws: type first, then patch within the type."""

    order: Tensor  # [P] int64 patches sorted by type (stable)
    start: Tensor  # [T] int64 first place of each type in `order`
    count: Tensor  # [T] int64 patches of each type
    usable: Tensor  # [U] int64 types that can be drawn
    other: Tensor  # [T] int64 the type that a mirror makes of each type
    share: Tensor  # [T] float32 labels.SHARE, 0.3 for a type of one's own

    def to(self, device: torch.device | str) -> Index:
        return Index(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def index(pool: PartPool, types: Sequence[str] | None = None) -> Index:
    """Sort `pool` by type; `types` restricts the draw. A ValueError names a type that the pool has no patch of."""
    kinds = tuple(pool.types)
    type_ = pool.type.to("cpu")
    count = torch.bincount(type_, minlength=len(kinds))
    start = torch.cumsum(count, 0) - count
    if types is None:
        usable = torch.nonzero(count).flatten()
        if len(usable) == 0:
            raise ValueError("pool: has no patches, so no part can be pasted")
    else:
        for name in types:
            if name not in kinds or count[kinds.index(name)] == 0:
                have = ", ".join(n for n, c in zip(kinds, count.tolist()) if c)
                raise ValueError(f"types: the pool has no part of type {name!r}; it has {have}")
        usable = torch.tensor(sorted({kinds.index(name) for name in types}))
        if len(usable) == 0:
            raise ValueError("types: is empty; give part types, or None for all")
    place = {name: i for i, name in enumerate(kinds)}
    other = torch.tensor([place.get(mirrored(name), i) for i, name in enumerate(kinds)])
    shares = dict(zip(TYPES, SHARE))
    share = torch.tensor([shares.get(name, 0.3) for name in kinds], dtype=torch.float32)
    return Index(torch.argsort(type_, stable=True), start, count, usable, other, share)


def sample(
    pool: PartPool,
    batch: Batch,
    parts: int | tuple[int, int],
    *,
    seed: int,
    epoch: int | Tensor,
    ranges: Ranges = Ranges(),
    rules: Rules = Rules(),
    where: Index | None = None,
) -> Slots:
    """Draw `parts` slots (a number, or an inclusive range drawn per person) for every row of `batch`.

    Type uniform with replacement among the usable types, patch uniform within the type, theta uniform in `ranges`.
    `where` is index(pool, rules.types) on the batch's device; give it when calling often.

    Left and right: a flipped crop shows a mirrored person whose joints are renamed, its left arm again at the left
    joints. A patch is not mirrored with it, so a pasted Left-arm still looks like a left arm: nothing is to be swapped.
    Only `patch_flip` mirrors a patch, and then a Left-arm slot is filled from the pool's right arms.
    """
    low, high = (parts, parts) if isinstance(parts, int) else parts
    if not 0 <= low <= high:
        raise ValueError(f"parts: expected N >= 0, or (low, high) with 0 <= low <= high, got {parts!r}")
    row, device = batch.row, batch.row.device
    where = index(pool, rules.types).to(device) if where is None else where
    draws = random_bits(row, 4 + 8 * high, seed, epoch)
    head, bits = draws[:, :4], draws[:, 4:].view(len(row), high, 8)  # slot i never depends on N

    slots = _filled(bits, where, ranges, rules)
    number = low + below(head[:, 1], high - low + 1)
    paste = uniform(head[:, 0]) < rules.probability
    if rules.skip_half_body:
        paste = paste & ~batch.half
    if rules.min_joints > 0:
        paste = paste & ((batch.visible > 0).sum(1) >= rules.min_joints)
    keep = paste[:, None] & (torch.arange(high, device=device) < number[:, None])
    return _kept(slots, keep)


def alternatives(
    slots: Slots,
    row: Tensor,
    count: int,
    seed: int,
    epoch: int | Tensor,
    stream: int,
    *,
    ranges: Ranges,
    rules: Rules,
    where: Index,
) -> Slots:
    """[B, N, count] further parts for each of `slots` [B, N], drawn as `sample` draws; none where a slot is empty.

    row: [B] of the people; stream: of core.random.random_bits, other than 0, of which `sample` draws.
    """
    people, parts = slots.part.shape
    bits = random_bits(row, 8 * parts * count, seed, epoch, stream).view(people, parts, count, 8)
    return _kept(_filled(bits, where, ranges, rules), (slots.part >= 0)[..., None])


def _filled(bits: Tensor, where: Index, ranges: Ranges, rules: Rules) -> Slots:
    """Slots [...] from the random bits [..., 8] of each."""
    type_ = where.usable[below(bits[..., 0], len(where.usable))]
    flip = (uniform(bits[..., 6]) < rules.patch_flip) & (where.count[where.other[type_]] > 0)
    source = torch.where(flip, where.other[type_], type_)
    part = where.order[where.start[source] + below(bits[..., 1], where.count[source])]
    spans = (ranges.s, ranges.r, ranges.tx, ranges.ty)
    theta = torch.stack([uniform(bits[..., 2 + i], *span) for i, span in enumerate(spans)], -1)
    return Slots(part, type_, flip, theta)


def _kept(slots: Slots, keep: Tensor) -> Slots:
    """The slots, empty where they are not to be kept."""
    return Slots(torch.where(keep, slots.part, -1), torch.where(keep, slots.type, 0), slots.mirror & keep, slots.theta)
