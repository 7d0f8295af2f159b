"""Augmentations by name: `build("sda", pool=pool, parts=2)`. Adding one is one file here, named as the augmentation.

Such a file ends in `AUGMENTATION = TheClass`, a subclass of `Augmentation` (base.py) that is called with a batch and
returns `Augmented`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from asda_fast.augment.base import Augmentation, Augmented
from asda_fast.augment.sampling import Ranges, Rules, Slots

if TYPE_CHECKING:
    from asda_fast.parts.pool import PartPool

_HELPERS = {"base", "placement", "sampling", "component", "jitter"}

__all__ = ["Augmentation", "Augmented", "Ranges", "Rules", "Slots", "build", "build_augmentation", "names"]


def names() -> tuple[str, ...]:
    """Every augmentation there is: the file names of this folder."""
    return tuple(sorted({m.name for m in pkgutil.iter_modules(__path__)} - _HELPERS))


def build(name: str, pool: PartPool | None = None, **options: Any) -> Augmentation:
    """The augmentation `name`. All take `parts`, `seed`, `mode`, `objects` and ignore those that mean nothing to them;
    each file documents its further options. Raises ValueError for an unknown name, TypeError for an unknown option.
    """
    if name not in names():
        raise ValueError(f"augment: expected one of {', '.join(names())}, got {name!r}")
    result: Augmentation = importlib.import_module(f"asda_fast.augment.{name}").AUGMENTATION(pool=pool, **options)
    return result


build_augmentation = build
