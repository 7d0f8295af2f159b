"""What a network is to this package: how it is made, what its authors published, how their files are read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from asda_fast.core.errors import short

State = dict[str, Tensor]


@dataclass(frozen=True)
class Published:
    """What a paper prints: millions of parameters, "GFLOPs" at an input, and where."""

    parameters: float
    gflops: float
    size: tuple[int, int]
    source: str
    counted: Literal["hrnet", "layers"] = "hrnet"  # how (count.py)


@dataclass(frozen=True)
class Training:
    """How its authors trained a network: what options that are left out are. By default as in the ASDA paper."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    layer_decay: float = 1.0  # of the learning rate, from a layer to the one below it
    warmup: str = "0"  # steps, or epochs as "2e"
    clip_gradient: float | None = None  # to this length


@dataclass(frozen=True)
class Foreign:
    """Somebody else's file under this project's names."""

    format: str  # what it is, for people
    state: State
    build: dict[str, Any] | None = None  # the network it is: {"model": name, "joints": J}; None where no head tells


@dataclass(frozen=True)
class Adapter:
    """How the published files of a family of networks are told and renamed."""

    marker: str  # regular expression of one key that each such file has; what stands before it is some wrapper's prefix
    read: Callable[[State], Foreign]  # of the tensors under that prefix


@dataclass(frozen=True)
class Network:
    """An entry of `NETWORKS`.

    `make(joints=J, **options)` gives a module: image [B, 3, H, W] normalised -> heatmaps [B, J, H/s, W/s] at any whole
    stride s, or a list of such, the last of which is the answer (a stacked hourglass while it trains). Attributes of
    the module that are read where it has them: `heads`, the submodules that depend on the number of joints;
    `optional`, those that a file to start from may lack (an ImageNet body has no upsampling); `target`, what its
    answers are (coding.py); `layer_of()`, the depth of each parameter, for a learning rate by layer;
    `no_weight_decay()`, the names of those that weight decay spares beside biases, norms and positions.
    """

    make: Callable[..., nn.Module]
    options: dict[str, Any] = field(default_factory=dict)
    published: tuple[Published, ...] = ()
    adapt: Adapter | None = None  # of files by others; our own name their network and need none
    training: Training = Training()


def from_mmpose(state: State) -> tuple[State, str]:
    """The tensors of an mmpose file under the plain names, and "mmpose, "; any other file as it is, and ""."""
    if not any(key.startswith("backbone.") for key in state):
        return state, ""
    renamed = {}
    for key, value in state.items():
        for part in ("backbone.", "head.", "keypoint_head."):
            if key.startswith(part):
                key = key.removeprefix(part)
                break
        if key.startswith("final_layer.0."):
            key = "final_layer." + key.removeprefix("final_layer.0.")
        renamed[key] = value
    return renamed, "mmpose, "


def shorten(names: Iterable[str], most: int = 3) -> str:
    """The first names of many, for a message of one line."""
    first = list(itertools.islice(names, most + 1))
    shown = [name if name.isprintable() and len(name) < 120 else short(name) for name in first[:most]]
    return ", ".join(shown) + (", .." if len(first) > most else "")


def joints_of(state: State, head: str) -> int | None:
    """The number of heatmaps that the convolution `head` makes, None where there is no such."""
    weight = state.get(head)
    return int(weight.shape[0]) if weight is not None and weight.ndim == 4 else None
