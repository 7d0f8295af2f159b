"""Networks by name. A new one is one file and one line in `NETWORKS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from asda_fast.core.errors import UserError
from asda_fast.models.checkpoints import Report, describe, load_into, read, save
from asda_fast.models.generator import Generator
from asda_fast.models.hourglass import StackedHourglass
from asda_fast.models.hrnet import HRNet
from asda_fast.models.onnx import export_onnx
from asda_fast.models.simple_baseline import SimpleBaseline

__all__ = ["NETWORKS", "Generator", "Network", "Report", "build", "export_onnx", "load", "load_into", "save"]


@dataclass(frozen=True)
class Network:
    """How to make a network, and what its authors published about it."""

    make: Callable[..., nn.Module]
    options: dict[str, Any]


NETWORKS: dict[str, Network] = {
    "hrnet_tiny": Network(HRNet, {"width": 16, "modules": (1, 1, 1), "blocks": 1, "stem": 16, "layer1": 1}),
    "hrnet_w32": Network(HRNet, {"width": 32}),
    "hrnet_w48": Network(HRNet, {"width": 48}),
    "hrnet_w48_s7": Network(HRNet, {"width": 48, "modules": (1, 4, 3, 3, 3, 3)}),
    "simple_r50": Network(SimpleBaseline, {"depth": 50}),
    "simple_r101": Network(SimpleBaseline, {"depth": 101}),
    "simple_r152": Network(SimpleBaseline, {"depth": 152}),
    "hourglass_2": Network(StackedHourglass, {"stacks": 2}),
    "hourglass_8": Network(StackedHourglass, {"stacks": 8}),
}


def build(name: str, joints: int = 17, init: str | Path | None = None, **options: Any) -> nn.Module:
    """The pose network `name`: image [B, 3, H, W] normalised -> heatmaps [B, joints, H/4, W/4].

    An hourglass returns the list of its stacks' heatmaps while training.

    Args:
        name: a key of `NETWORKS`; UserError for another one.
        joints: heatmaps to predict.
        init: a checkpoint to start from (ImageNet's, or a pose network's; see `checkpoints`), else random.
        options: of the network's class, over the registry's.
    """
    if name not in NETWORKS:
        raise UserError(f"--model: expected one of {', '.join(NETWORKS)}, got {name!r}")
    if joints < 1:
        raise UserError(f"joints: expected at least 1, got {joints}")
    network = NETWORKS[name]
    model = network.make(joints=joints, **{**network.options, **options})
    if init is not None:
        load_into(model, init)
    return model


def load(path: str | Path) -> nn.Module:
    """A ready pose network, in evaluation mode, from our file or a published checkpoint with a heatmap head.

    Its `config` attribute says what it is: "model", "joints" and whatever was saved with it. UserError where the file
    is not a complete pose network.
    """
    checkpoint = read(path)
    config = checkpoint.config or describe(checkpoint.state)
    if config is None:
        raise UserError(
            f"{path} ({checkpoint.format}): has no heatmap head; it can start a training (--init), not be evaluated"
        )
    with torch.device("meta"):  # nothing to initialise: every tensor comes from the file
        model = build(config["model"], joints=config["joints"], **config.get("options", {}))
    model.to_empty(device="cpu")
    for name, tensor in model.named_buffers():
        if name.endswith("num_batches_tracked"):  # old files lack these
            tensor.zero_()
    load_into(model, checkpoint, complete=True)
    model.config = config  # type: ignore[assignment]
    return model.eval()
