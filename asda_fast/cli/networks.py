"""asda-fast networks: every network, its size and cost beside the published figures; reports on and exports a
checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

from asda_fast.cli import entry
from asda_fast.core.errors import UserError
from asda_fast.core.files import check_target
from asda_fast.core.options import CROP, Size, check

if TYPE_CHECKING:
    from rich.table import Table


def table() -> Table:
    import torch
    from rich.table import Table

    from asda_fast.models import NETWORKS, Generator, build
    from asda_fast.models.count import multiply_adds, parameters

    shown = Table(title="Networks: parameters in 10^6, multiply-adds in 10^9 (printed ones: as those tables count)")
    for name in ("network", "input", "params", "published", "entries", "mult-adds", "as printed", "published"):
        shown.add_column(name, justify="left" if name in ("network", "input") else "right", no_wrap=True)
    for name in NETWORKS:
        with torch.device("meta"):
            model = build(name, joints=17)
        printed = NETWORKS.load(name).published
        sizes = [(p.size, p) for p in printed] if printed else [((256, 256), None)]
        for i, (size, paper) in enumerate(sizes):
            cost = multiply_adds(model, size)
            shown.add_row(
                name if i == 0 else "",
                f"{size[0]}x{size[1]}",
                f"{parameters(model) / 1e6:.3f}" if i == 0 else "",
                f"{paper.parameters:.1f}" if paper and i == 0 else "",
                str(len(model.state_dict())) if i == 0 else "",
                f"{cost.true / 1e9:.2f}",
                f"{cost.giga(paper.counted):.2f}" if paper else "",
                f"{paper.gflops:.5g}" if paper else "",
            )
    with torch.device("meta"):
        generator = Generator()
    made = multiply_adds(generator, (256, 256)).true
    entries = str(len(generator.state_dict()))
    shown.add_row("generator", "256x256", f"{parameters(generator) / 1e6:.3f}", "", entries, f"{made / 1e9:.2f}")
    return shown


@dataclass(frozen=True)
class Networks:
    """List the networks, or say what a checkpoint holds and export it."""

    checkpoint: str | None = None
    """a file of ours or a published one: print what it is"""
    onnx: str | None = None
    """export --checkpoint to this file: input "image" [B, 3, H, W], output "heatmaps" [B, J, H/4, W/4], or
    [B, J, 2 W + 2 H] of a SimCC head: the bins of x, then of y"""
    input: Annotated[Size | None, CROP] = None
    """crop as HxW for --onnx [the checkpoint's, else 256x192]"""

    def __post_init__(self) -> None:
        check(self)
        if self.onnx is not None and self.checkpoint is None:
            raise UserError("onnx: needs `checkpoint`, the network to export")
        if self.input is not None and self.onnx is None:
            raise UserError("input: needs `onnx`, a file to export to")


def networks(options: Networks) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if options.onnx is not None:
        check_target("onnx", options.onnx)
    if options.checkpoint is not None:
        from asda_fast.evaluate.network import card_size
        from asda_fast.models import export_onnx, load
        from asda_fast.models.count import parameters

        model = load(options.checkpoint)
        card = cast(dict[str, Any], model.config)
        console.print(f"{options.checkpoint}: {card}, {parameters(model) / 1e6:.3f} M parameters", soft_wrap=True)
        if options.onnx is not None:
            size = options.input or card_size(card) or (256, 192)
            console.print(f"{export_onnx(options.onnx, model, size)}: written for {size[0]}x{size[1]}", soft_wrap=True)
        return
    Console(highlight=False, width=max(console.width, 110)).print(table())
    console.print(
        "hourglass_8: 14.3 is the cost of Newell's first code, without the residual after each hourglass (23.7 M); "
        "25.1 M is the final code, which ASDA's and ours follow, without its stem. No network has both.\n"
        "Also timm:NAME, any backbone of timm's with SimpleBaseline's head (pip install timm; weights by --init only).",
        soft_wrap=True,
    )


def main(prog: str = "python -m asda_fast.models") -> None:
    entry.command(Networks, prog, networks)
