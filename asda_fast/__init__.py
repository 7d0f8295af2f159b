"""asda_fast: adversarial semantic data augmentation for human pose training (ASDA, ECCV 2020).

The public names are imported on first use, so that `import asda_fast` stays quick and pulls in neither DALI nor CuPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "paste": "asda_fast.ops.paste",
    "PartPool": "asda_fast.parts.pool",
    "make_loader": "asda_fast.pipelines.loader",
    "SemanticPaste": "asda_fast.augment.module",
    "Adversary": "asda_fast.adversary.component",
    "Batch": "asda_fast.core.batch",
    "Predictor": "asda_fast.evaluate.predictor",
}
_MODULES = ("augment", "data", "evaluate", "metrics", "models", "ops", "parts", "pipelines", "targets")
_MOVED = {"targets": "models.heatmaps"}

__all__ = ["Adversary", "Batch", "PartPool", "Predictor", "SemanticPaste", "make_loader", "paste", *_MODULES]

if TYPE_CHECKING:
    from asda_fast.adversary.component import Adversary
    from asda_fast.augment.module import SemanticPaste
    from asda_fast.core.batch import Batch
    from asda_fast.evaluate.predictor import Predictor
    from asda_fast.ops.paste import paste
    from asda_fast.parts.pool import PartPool
    from asda_fast.pipelines.loader import make_loader


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"asda_fast.{_MOVED.get(name, name)}")
    raise AttributeError(f"module 'asda_fast' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
