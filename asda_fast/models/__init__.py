"""Networks by name. A new one is one file and one line in `NETWORKS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..errors import UserError
from .generator import Generator
from .hrnet import HRNet
from .simple_baseline import SimpleBaseline

__all__ = ["NETWORKS", "Generator", "Network", "build"]


@dataclass(frozen=True)
class Network:
    """How to make a network, and what its authors published about it."""

    make: Callable[..., nn.Module]
    options: dict[str, Any]
    published: str = ""  # parameters, GFLOPs and input as printed, with the source


NETWORKS: dict[str, Network] = {
    "hrnet_tiny": Network(HRNet, dict(width=16, modules=(1, 1, 1), blocks=1, stem=16, layer1=1)),
    "hrnet_w32": Network(HRNet, dict(width=32)),
    "hrnet_w48": Network(HRNet, dict(width=48)),
    "hrnet_w48_s7": Network(HRNet, dict(width=48, modules=(1, 4, 3, 3, 3, 3))),
    "simple_r50": Network(SimpleBaseline, dict(depth=50)),
    "simple_r101": Network(SimpleBaseline, dict(depth=101)),
    "simple_r152": Network(SimpleBaseline, dict(depth=152)),
}


def build(name: str, joints: int = 17, **options: Any) -> nn.Module:
    """The pose network `name`, freshly initialised: image [B, 3, H, W] normalised -> heatmaps [B, joints, H/4, W/4].

    An hourglass returns the list of its stacks' heatmaps while training. Further options go to the network.
    """
    if name not in NETWORKS:
        raise UserError(f"model: expected one of {', '.join(NETWORKS)}, got {name!r}")
    network = NETWORKS[name]
    return network.make(joints=joints, **{**network.options, **options})
