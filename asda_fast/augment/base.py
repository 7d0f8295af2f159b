"""What every augmentation is: a function from a Batch to normalised images, and what was pasted where."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from asda_fast.augment.sampling import Slots
from asda_fast.core.batch import MEAN, STD
from asda_fast.ops import PasteFormat, paste
from asda_fast.ops.paste_arguments import statistics
from asda_fast.parts.pool import PartPool

if TYPE_CHECKING:
    from pathlib import Path

    from asda_fast.core.batch import Batch


@dataclass
class Augmented:
    """The network's input, and enough to draw or explain it (None where the augmentation pastes nothing)."""

    image: Tensor  # [B, 3, H, W] float, normalised
    slots: Slots | None = None
    theta: Tensor | None = None  # [B, N, 4] s, r, tx, ty that were used
    matrix: Tensor | None = None  # [B, N, 2, 3] crop pixel -> patch pixel
    pool: PartPool | None = None  # what `slots.part` counts in (for ror the batch's own patches)


class Augmentation:
    """Base of all. Options that all take: `parts` (slots per person, or an inclusive range), `seed` of the
    counter-based draws, `mode` of the placement, `objects` (a folder), `paste_format` (ops.PasteFormat: type and
    layout of the images), `mean` and `std` of the normalised images. An out_dtype of uint8 gives bytes, not normalised.
    """

    learned = False  # True: placed by a generator, which the caller trains
    epochs: int | None = None  # of the run, where there is one
    needs_pool = False  # True: pastes the body parts of a pool, by sampling.Ranges and Rules

    def __init__(
        self,
        pool: PartPool | None = None,
        *,
        parts: int | tuple[int, int] = 1,
        seed: int = 0,
        mode: str = "paper",
        objects: str | Path | None = None,
        paste_format: PasteFormat = PasteFormat(),  # noqa: B008 - frozen
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
    ) -> None:
        parts = _number_of(parts)
        low, high = (parts, parts) if isinstance(parts, int) else parts
        if not isinstance(paste_format, PasteFormat):
            raise TypeError(f"paste_format: expected asda_fast.ops.PasteFormat, got {type(paste_format).__name__}")
        self.pool, self.parts, self.seed, self.mode, self.objects = pool, parts, seed, mode, objects
        self.most = high  # slots per person
        self.fewest = low
        self.paste_format = paste_format
        self.mean, self.std = statistics(mean, std)
        self._moved: dict[torch.device, PartPool] = {}

    def __call__(self, batch: Batch, epoch: int | Tensor = 0) -> Augmented:
        raise NotImplementedError

    def clean(self, batch: Batch) -> Tensor:
        """The normalised crops [B, 3, H, W] without a paste: the paste op with no slots is the normaliser."""
        device, count = batch.image.device, len(batch)
        part = torch.empty((count, 0), dtype=torch.int64, device=device)
        matrix = torch.empty((count, 0, 2, 3), device=device)
        return self._composed(batch.image, self.pool_on(device), part, matrix, self.paste_format)

    def pool_on(self, device: torch.device) -> PartPool:
        """The pool on the batch's device; moved once."""
        if device not in self._moved:
            pool = self.pool
            if pool is None:  # paste wants a pool even for no slots
                pool = PartPool.from_patches([torch.zeros((1, 1, 4), dtype=torch.uint8)], mips=False)
            self._moved[device] = pool.to(device)
        return self._moved[device]

    def _paste(
        self,
        onto: Batch | Tensor,
        pool: PartPool,
        slots: Slots,
        theta: Tensor,
        matrix: Tensor,
        form: PasteFormat | None = None,
    ) -> Augmented:
        canvas = onto if isinstance(onto, Tensor) else onto.image
        image = self._composed(canvas, pool, slots.part, matrix, form or self.paste_format)
        return Augmented(image, slots, theta, matrix, pool)

    def _composed(self, image: Tensor, pool: PartPool, part: Tensor, matrix: Tensor, form: PasteFormat) -> Tensor:
        statistics = ((0.0,) * 3, (1.0,) * 3) if form.out_dtype == torch.uint8 else (self.mean, self.std)
        return paste(image, pool, part, matrix, *statistics, form.out_dtype, form.memory_format, form.mips)


def _number_of(parts: Any) -> int | tuple[int, int]:
    """N, or a range (low, high), numpy's numbers and arrays too, as Python's."""
    found: int | tuple[int, int] | None = None
    with suppress(TypeError, ValueError):
        low, high = (operator.index(n) for n in parts)
        found = (low, high)
    with suppress(TypeError):
        found = low = high = operator.index(parts)
    if found is not None and 0 <= low <= high:
        return found
    raise ValueError(f"parts: expected N >= 0, or (low, high) with 0 <= low <= high, got {parts!r}")


def translation(matrix_like: Tensor, corner: Tensor) -> Tensor:
    """[..., 2, 3] crop -> patch matrices that put a patch, unscaled, with its top-left at `corner` [..., 2] (x, y)."""
    matrix = torch.zeros((*corner.shape[:-1], 2, 3), dtype=matrix_like.dtype, device=corner.device)
    matrix[..., 0, 0] = 1
    matrix[..., 1, 1] = 1
    matrix[..., 2] = -corner
    return matrix
