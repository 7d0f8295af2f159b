"""Augmentations by name: `build("sda", pool=pool, parts=2)`.

A new one is one file, here or anywhere: a subclass of `Augmentation` (base.py) that is called with a batch and an epoch
and returns `Augmented`; a line in `AUGMENTATIONS` gives it a name, and without one it is `my.module:TheClass`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asda_fast.core import lazy
from asda_fast.core.registry import Registry

if TYPE_CHECKING:
    from asda_fast.augment.base import Augmentation, Augmented
    from asda_fast.augment.sampling import Ranges, Rules, Slots
    from asda_fast.parts.pool import PartPool

__all__ = ["AUGMENTATIONS", "Augmentation", "Augmented", "Ranges", "Rules", "Slots", "build", "names"]

AUGMENTATIONS = Registry(
    "augment",
    {
        "none": "asda_fast.augment.none:Plain",
        "cutout": "asda_fast.augment.cutout:Cutout",
        "ror": "asda_fast.augment.ror:Masking",
        "objects": "asda_fast.augment.objects:Objects",
        "sda": "asda_fast.augment.sda:Semantic",
        "asda": "asda_fast.augment.asda:Adversarial",
    },
)

__getattr__, __dir__ = lazy.exports(
    __name__,
    {
        **{name: f"asda_fast.augment.base:{name}" for name in ("Augmentation", "Augmented")},
        **{name: f"asda_fast.augment.sampling:{name}" for name in ("Ranges", "Rules", "Slots")},
        **{name: f"asda_fast.augment.{name}:" for name in ("placement", "sampling")},
    },
)


def names() -> tuple[str, ...]:
    """The built-in augmentations."""
    return tuple(sorted(AUGMENTATIONS))


def build(name: str, pool: PartPool | None = None, **options: Any) -> Augmentation:
    """The augmentation `name`, or `my.module:TheClass`. All take `parts`, `seed`, `mode`, `objects` and ignore those
    that mean nothing to them; each file documents its further options. Raises UserError (a ValueError) for an unknown
    name, TypeError for an unknown option.
    """
    result: Augmentation = AUGMENTATIONS.load(name)(pool=pool, **options)
    return result
