"""none: the baseline. Nothing is pasted, the crops are normalised."""

from __future__ import annotations

from torch import nn

from asda_fast.augment.base import Augmentation, Augmented
from asda_fast.core.batch import MEAN, STD, Batch


class Plain(Augmentation):
    """Normalise only."""

    def __call__(
        self,
        batch: Batch,
        epoch: int = 0,
        generator: nn.Module | None = None,
        mean: tuple[float, ...] = MEAN,
        std: tuple[float, ...] = STD,
    ) -> Augmented:
        return Augmented(self.clean(batch, mean, std))
