"""How weights follow their gradient, as options. Nothing here imports torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from asda_fast.core.errors import UserError
from asda_fast.core.options import AtLeast, Between, check

if TYPE_CHECKING:
    from asda_fast.models.network import Training

COLDEST = 0.001  # share of the rate that a warm-up begins with, as ViTPose's


@dataclass(frozen=True)
class OptimisationOptions:
    """How the pose network learns. What is left out is as the network's authors have it (ViTPose), else as the paper
    has it: Adam and nothing more. The generator always learns by Adam, with the same warm-up."""

    optimizer: Literal["adam", "adamw", "sgd"] | None = None
    """adam | adamw | sgd (momentum 0.9) [the network's, else adam]"""
    weight_decay: Annotated[float | None, AtLeast(0)] = None
    """pull of weights towards zero; never of biases, norms and positions [the network's, else 0]"""
    layer_decay: Annotated[float | None, Between(0.01, 1)] = None
    """learning rate of a layer as a share of that of the layer above it, for transformers [the network's, else 1]"""
    warmup: str | None = None
    """steps of the optimiser in which the learning rate rises to its full height, or epochs as 2e [the network's, else
    0]"""
    clip_gradient: Annotated[float | None, AtLeast(0)] = None
    """longest gradient of the whole network; 0: any [the network's, else 0]"""
    accumulate: Annotated[int, AtLeast(1)] = 1
    """batches to a step of the optimiser, whose gradients are averaged"""
    ema: Annotated[float | None, Between(0, 1, below=True)] = None
    """decay of a running mean of the weights, e.g. 0.9998; it is what is then evaluated, and best.safetensors [none]"""
    freeze: tuple[str, ...] = ()
    """parts of the network that do not learn, by the beginnings of their names, e.g. backbone.patch_embed"""

    def __post_init__(self) -> None:
        check(self)
        if self.warmup is not None and not re.fullmatch(r"\d+|\d+(\.\d+)?e", self.warmup):
            raise UserError(f"warmup: expected steps such as 500, or epochs such as 2e, got {self.warmup!r}")

    def resolved(self, training: Training) -> OptimisationOptions:
        """With what was left out as the network's authors have it."""

        def or_else(value: float | None, usual: float | None) -> float:
            return (usual or 0.0) if value is None else value

        return replace(
            self,
            optimizer=self.optimizer or training.optimizer,
            weight_decay=or_else(self.weight_decay, training.weight_decay),
            layer_decay=or_else(self.layer_decay, training.layer_decay),
            warmup=training.warmup if self.warmup is None else self.warmup,
            clip_gradient=or_else(self.clip_gradient, training.clip_gradient),
        )

    def warmth(self, done: int, epoch: int) -> float:
        """The share of the full learning rate after `done` steps of the optimiser, of so many in an epoch."""
        text = self.warmup or "0"
        length = float(text[:-1]) * epoch if text.endswith("e") else int(text)
        return 1.0 if done >= length else 1 - (1 - done / length) * (1 - COLDEST)
