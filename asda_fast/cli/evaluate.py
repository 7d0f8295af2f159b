"""asda-fast evaluate: the literature's table for a network or for a file of predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from asda_fast.cli import entry
from asda_fast.core.errors import UserError
from asda_fast.core.files import check_suffix, check_target, write_json
from asda_fast.core.options import check, field_types
from asda_fast.data.custom import Files
from asda_fast.evaluate.options import FileOptions, NetworkOptions, TruthOptions

if TYPE_CHECKING:
    from asda_fast.metrics.result import Result


@dataclass(frozen=True)
class Evaluate:
    """Score a network (--checkpoint) or a file of predictions (--annotations, --predictions) as the literature does.

    LSP: PCK@0.2 of the torso. MPII: PCKh@0.5 (Mean: HRNet's, by joint count; Plain mean: pytorch-pose's). COCO and
    CrowdPose: OKS AP and AR. Each also on occluded joints only, where the annotations tell them.
    """

    truth: TruthOptions = field(default_factory=TruthOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    files: Files = field(default_factory=Files)
    file: FileOptions = field(default_factory=FileOptions)
    json: str | None = None
    """write the numbers here: "per_joint" and "total" (PCK), "mean" (PCKh) or "AP" and its kin (OKS)"""
    sheet: str | None = None
    """write a picture of the worst and the best people here"""

    def __post_init__(self) -> None:
        check(self)
        if self.network.checkpoint is not None and self.file.predictions is not None:
            raise UserError("`checkpoint` and `predictions`: expected one of them")
        if self.network.checkpoint is None:
            for given, plain in (
                (self.network, NetworkOptions()),
                (self.files, Files(images=self.files.images, category=self.files.category)),
            ):
                for name in field_types(type(given)):
                    if getattr(given, name) != getattr(plain, name):
                        raise UserError(f"{name}: needs `checkpoint`, a network to run")
            if len(self.files.images) > 1:
                raise UserError(f"images: expected one folder beside `predictions`, got {len(self.files.images)}")
        if self.sheet is not None:
            check_suffix(self.sheet)


def evaluate(options: Evaluate) -> None:
    from asda_fast.evaluate.files import score_file

    saved = options.network.save_predictions
    for name, path in (("json", options.json), ("sheet", options.sheet), ("save_predictions", saved)):
        if path:
            check_target(name, path)
    if options.network.checkpoint is None:
        result = score_file(options.truth, options.file, options.files.images, options.files.category)
    else:
        from asda_fast.evaluate.network import score_network

        result = score_network(options.truth, options.network, options.files)
    show(result)
    if options.json:
        write_json(Path(options.json), result.numbers, indent=2)
    if options.sheet and result.skeleton is not None:
        from asda_fast.viz.worst_best import write_result

        write_result(options.sheet, result, result.skeleton)


def show(result: Result) -> None:
    """The literature's table."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    for note in result.notes:
        console.print(f"[dim]{note}[/dim]", soft_wrap=True)
    fraction = result.numbers["protocol"] == "OKS"
    table = Table(title=result.title)
    table.add_column("")
    for name in result.rows[0][1]:
        table.add_column(name, justify="right", no_wrap=True)
    for label, columns in result.rows:
        cells = (
            "-" if math.isnan(v) or (fraction and v < 0) else f"{100 * v if fraction else v:.2f}"
            for v in columns.values()
        )
        table.add_row(label, *cells)
    width = max(console.width, 20 + 11 * len(result.rows[0][1]))
    Console(highlight=False, width=width).print(table)
    if "interval" in result.numbers:
        low, high = result.numbers["interval"]
        factor = 100 if fraction else 1
        console.print(f"95 % confidence, all joints: {factor * low:.2f} .. {factor * high:.2f}")


def main(prog: str = "python -m asda_fast.evaluate") -> None:
    entry.command(Evaluate, prog, evaluate)
