"""none: the baseline. Nothing is pasted, the crops are normalised."""

from __future__ import annotations

from torch import Tensor

from asda_fast.augment.base import Augmentation, Augmented
from asda_fast.core.batch import Batch


class Plain(Augmentation):
    """Normalise only."""

    def __call__(self, batch: Batch, epoch: int | Tensor = 0) -> Augmented:
        return Augmented(self.clean(batch))
