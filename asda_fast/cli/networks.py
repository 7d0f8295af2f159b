"""python -m asda_fast.models: every network, its size and cost beside the published figures; reports on and exports a
checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import tyro
from rich.console import Console
from rich.table import Table

from asda_fast.core.errors import UserError, parse_cli
from asda_fast.models import NETWORKS, Generator, build, export_onnx, load
from asda_fast.models.count import multiply_adds, parameters
from asda_fast.train.config import OptionalText, parse_size

GIGA_PRINTED = 2**30  # the "G" of those tables


def table() -> Table:
    shown = Table(title="Networks: parameters in 10^6, multiply-adds in 10^9 (printed ones: as those tables count)")
    for name in ("network", "input", "params", "published", "entries", "mult-adds", "as printed", "published"):
        shown.add_column(name, justify="left" if name in ("network", "input") else "right", no_wrap=True)
    for name in NETWORKS:
        with torch.device("meta"):
            model = build(name, joints=17)
        unit = multiply_adds(model, (64, 64))  # all strides divide it, so that costs are proportional to the area
        printed = NETWORKS.load(name).published
        sizes = [(p.size, p) for p in printed] if printed else [((256, 256), None)]
        for i, (size, paper) in enumerate(sizes):
            area = size[0] * size[1] / 64**2
            shown.add_row(
                name if i == 0 else "",
                f"{size[0]}x{size[1]}",
                f"{parameters(model) / 1e6:.3f}" if i == 0 else "",
                f"{paper.parameters:.1f}" if paper and i == 0 else "",
                str(len(model.state_dict())) if i == 0 else "",
                f"{unit.true * area / 1e9:.2f}",
                f"{unit.printed * area / GIGA_PRINTED:.2f}" if paper else "",
                f"{paper.gflops:.4g}" if paper else "",
            )
    with torch.device("meta"):
        generator = Generator()
    cost = multiply_adds(generator, (256, 256)).true
    entries = str(len(generator.state_dict()))
    shown.add_row("generator", "256x256", f"{parameters(generator) / 1e6:.3f}", "", entries, f"{cost / 1e9:.2f}")
    return shown


@dataclass(frozen=True)
class Options:
    """List the networks, or say what a checkpoint holds and export it."""

    checkpoint: OptionalText = None
    """a file of ours or a published one: print what it is"""
    onnx: OptionalText = None
    """export --checkpoint to this file: input "image" [B, 3, H, W], output "heatmaps" [B, J, H/4, W/4]"""
    input: OptionalText = None
    """crop as HxW for --onnx [the checkpoint's, else 256x192]"""


def main() -> None:
    options = parse_cli(lambda: tyro.cli(Options, prog="python -m asda_fast.models"))
    console = Console(highlight=False)
    if options.checkpoint is not None:
        model = load(options.checkpoint)
        card = cast(dict[str, Any], model.config)
        console.print(f"{options.checkpoint}: {card}, {parameters(model) / 1e6:.3f} M parameters", soft_wrap=True)
        if options.onnx is not None:
            size = parse_size(options.input or card.get("input") or "256x192")
            console.print(f"{export_onnx(options.onnx, model, size)}: written for {size[0]}x{size[1]}", soft_wrap=True)
        return
    if options.onnx is not None:
        raise UserError("--onnx: needs --checkpoint, the network to export")
    Console(highlight=False, width=max(console.width, 110)).print(table())
    console.print(
        "hourglass_8: 14.3 is the cost of Newell's first code, without the residual after each hourglass (23.7 M); "
        "25.1 M is the final code, which ASDA's and ours follow, without its stem. No network has both.",
        soft_wrap=True,
    )
