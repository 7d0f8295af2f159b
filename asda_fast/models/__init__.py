"""Networks by name: `build("hrnet_w32", joints=17)`, `load(path)`.

A new one is one file, here or anywhere: a function `make(joints, **options)` that gives an nn.Module is a network as
`my.module:make`; a `Network` record and a line in `NETWORKS` give it a name. What is public here is imported on first
use: the names alone cost no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from asda_fast.core.registry import Registry

NETWORKS = Registry(
    "model",
    {
        "hrnet_tiny": "asda_fast.models.hrnet:TINY",
        "hrnet_w32": "asda_fast.models.hrnet:W32",
        "hrnet_w48": "asda_fast.models.hrnet:W48",
        "hrnet_w48_s7": "asda_fast.models.hrnet:W48_S7",
        "simple_r50": "asda_fast.models.simple_baseline:R50",
        "simple_r101": "asda_fast.models.simple_baseline:R101",
        "simple_r152": "asda_fast.models.simple_baseline:R152",
        "hourglass_2": "asda_fast.models.hourglass:TWO",
        "hourglass_8": "asda_fast.models.hourglass:EIGHT",
        "vitpose_s": "asda_fast.models.vitpose:S",
        "vitpose_b": "asda_fast.models.vitpose:B",
        "vitpose_l": "asda_fast.models.vitpose:L",
        "vitpose_h": "asda_fast.models.vitpose:H",
    },
    {"timm": "asda_fast.models.timm_backbone:network"},
)

_PUBLIC = {
    "Coding": "coding",
    "Generator": "generator",
    "Network": "network",
    "Report": "weights",
    "build": "factory",
    "coding_of": "coding",
    "export_onnx": "onnx",
    "load": "factory",
    "load_into": "weights",
    "save": "checkpoints",
}

__all__ = [
    "NETWORKS", "Coding", "Generator", "Network", "Report", "build", "coding_of", "export_onnx", "load", "load_into",
    "save",
]  # fmt: skip

if TYPE_CHECKING:
    from asda_fast.models.checkpoints import save
    from asda_fast.models.coding import Coding, coding_of
    from asda_fast.models.factory import build, load
    from asda_fast.models.generator import Generator
    from asda_fast.models.network import Network
    from asda_fast.models.onnx import export_onnx
    from asda_fast.models.weights import Report, load_into


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"asda_fast.models.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'asda_fast.models' has no attribute {name!r}")
