"""sda: semantic data augmentation (paper, section 3.2). Parts of other people, placed at random."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from asda_fast.augment import placement
from asda_fast.augment.base import Augmentation, Augmented
from asda_fast.augment.jitter import jittered, lengths
from asda_fast.augment.sampling import Index, Ranges, Rules, Slots, alternatives, index, sample
from asda_fast.core.batch import Batch
from asda_fast.ops import PasteFormat
from asda_fast.parts.pool import PartPool


class Semantic(Augmentation):
    """SDA. Further options: `ranges` and `rules` (sampling.py), `jitter` (0 .. 1: brightness, contrast and tint of each
    pasted patch change by up to this fraction; 0 = off).

    Three steps, also to be called one by one: `draw` the slots, make `matrices`, `render`.
    """

    needs_pool = True

    def __init__(
        self,
        pool: PartPool | None = None,
        *,
        ranges: Ranges = Ranges(),  # noqa: B008 - frozen
        rules: Rules = Rules(),  # noqa: B008
        jitter: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(pool, **options)
        if pool is None:
            raise ValueError("pool: this augmentation pastes body parts and needs a PartPool, got None")
        if self.mode not in placement.MODES:
            raise ValueError(f"mode: expected one of {placement.MODES}, got {self.mode!r}")
        if not isinstance(ranges, Ranges):
            raise TypeError(f"ranges: expected asda_fast.augment.Ranges, got {type(ranges).__name__}")
        if not 0 <= jitter < 1:
            raise ValueError(f"jitter: expected 0 <= jitter < 1, got {jitter}")
        if self.mode == "reference":  # the released code shrinks with a plain bilinear resize
            self.paste_format = replace(self.paste_format, mips=False)
        self.ranges, self.rules, self.jitter = ranges, rules, jitter
        self._longest = int(lengths(pool).max()) if jitter > 0 and len(pool) else 1
        self._where = index(pool, rules.types)
        self._index: dict[torch.device, Index] = {}
        self._opaque: dict[torch.device, Tensor] = {}

    def draw(self, batch: Batch, epoch: int | Tensor) -> Slots:
        """The slots of a batch, on its device: a function of (seed, epoch, row) only."""
        return self.draw_from(batch, self.seed, epoch)

    def draw_from(self, batch: Batch, seed: int, epoch: int | Tensor) -> Slots:
        """`draw` with another seed."""
        return sample(
            self.pool_on(batch.row.device),
            batch,
            self.parts,
            seed=seed,
            epoch=epoch,
            ranges=self.ranges,
            rules=self.rules,
            where=self._index_on(batch.row.device),
        )

    def alternatives(
        self, batch: Batch, slots: Slots, count: int, seed: int, epoch: int | Tensor, stream: int
    ) -> Slots:
        """[B, N, count] what else each of `slots` could hold, drawn as they were (sampling.alternatives)."""
        where = self._index_on(batch.row.device)
        key = (seed, epoch, stream)
        return alternatives(slots, batch.row, count, *key, ranges=self.ranges, rules=self.rules, where=where)

    def areas(self, batch: Batch, slots: Slots) -> Tensor:
        """[B, N] crop pixels that the opaque part of each patch covers at its size, wherever it lies (also outside)."""
        device = slots.part.device
        if device not in self._opaque:
            assert self.pool is not None
            self._opaque[device] = self.pool.opaque.to(device)
        upright = torch.cat((slots.theta[..., :1], torch.zeros_like(slots.theta[..., 1:])), -1)
        (a, b), (c, d) = (line.unbind(-1) for line in self.matrices(batch, slots, upright)[..., :2].unbind(-2))
        return self._opaque[device][slots.part.clamp(min=0)] / (a * d - b * c).abs()

    def matrices(self, batch: Batch, slots: Slots, theta: Tensor) -> Tensor:
        """theta [B, N, 4] -> [B, N, 2, 3] crop pixel -> patch pixel, differentiable in r, tx, ty."""
        return matrices_for(
            self.pool_on(batch.image.device), slots, theta, batch, self.mode, self._index_on(batch.image.device)
        )

    def render(
        self,
        batch: Batch,
        slots: Slots,
        theta: Tensor,
        epoch: int | Tensor = 0,
        image: Tensor | None = None,
        paste_format: PasteFormat | None = None,
    ) -> Augmented:
        """Paste `slots` at `theta` [B, N, 4]; gradients flow from the image to theta's r, tx, ty.

        image: [B, 3, H, W] float, already normalised with mean and std, to paste on instead of batch.image.
        paste_format: for this call, instead of the constructor's.
        """
        matrix = self.matrices(batch, slots, theta)
        pool = self.pool_on(batch.image.device)
        if self.jitter > 0:
            longest = None if slots.part.device.type == "cpu" else self._longest
            own, part = jittered(pool, slots.part, batch.row, self.jitter, seed=self.seed, epoch=epoch, longest=longest)
            slots = Slots(part, slots.type, slots.mirror, slots.theta)
            pool = own
        return self._paste(batch if image is None else image, pool, slots, theta, matrix, paste_format)

    def __call__(self, batch: Batch, epoch: int | Tensor = 0) -> Augmented:
        slots = self.draw(batch, epoch)
        return self.render(batch, slots, slots.theta, epoch)

    def _index_on(self, device: torch.device) -> Index:
        if device not in self._index:
            self._index[device] = self._where.to(device)
        return self._index[device]


def matrices_for(
    pool: PartPool, slots: Slots, theta: Tensor, batch: Batch, mode: str = "paper", where: Index | None = None
) -> Tensor:
    """Placement of `slots` at `theta` on `batch`: [B, N, 2, 3]; empty slots get some finite matrix."""
    share = (index(pool).share.to(slots.part.device) if where is None else where.share)[slots.type]
    row = slots.part.clamp(min=0)
    size = (batch.image.shape[1], batch.image.shape[2])
    return placement.matrices(
        theta, pool.size[row], pool.person[row], batch.box, size, mode, share=share, mirror=slots.mirror
    )
