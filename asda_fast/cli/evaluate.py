"""python -m asda_fast.evaluate: the literature's table for a network or for a file of predictions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from torch import nn

from asda_fast.core.batch import Batch
from asda_fast.core.errors import UserError, parse_cli
from asda_fast.core.skeletons import Skeleton
from asda_fast.data.people import People
from asda_fast.evaluate import predict
from asda_fast.evaluate.network import NetworkOptions, score_network
from asda_fast.evaluate.score import score_people
from asda_fast.metrics import protocols
from asda_fast.metrics.protocols import Result
from asda_fast.train.config import Flag, OptionalText

DATASETS = ("demo", "lsp", "mpii", "coco", "crowdpose")


@dataclass(frozen=True)
class EvaluateConfig(NetworkOptions):
    """Score a network (--checkpoint) or a file of predictions (--annotations, --predictions) as the literature does.

    LSP: PCK@0.2 of the torso. MPII: PCKh@0.5 (Mean: HRNet's, by joint count; Plain mean: pytorch-pose's). COCO and
    CrowdPose: OKS AP and AR. Each also on occluded joints only, where the annotations tell them.
    """

    predictions: OptionalText = None
    """.npy .npz .mat .h5 .json in any order of axes; for coco and crowdpose a results JSON"""
    key: OptionalText = None
    """name of the array in --predictions [found by its shape and name]"""
    one_based: Flag = False
    """the first pixel of --predictions is 1 [of .mat and .h5 files it is, of others 0]"""
    zero_based: Flag = False
    """the first pixel of --predictions is 0"""
    visibility: OptionalText = None
    """mpii: Hourglass's valid.h5, which tells invisible joints [where it lies beside the annotations]"""
    json: OptionalText = None
    """write the numbers here: "per_joint" and "total" (PCK), "mean" (PCKh) or "AP" and its kin (OKS)"""
    sheet: OptionalText = None
    """write a picture of the worst and the best people here"""
    images: OptionalText = None
    """with --predictions: folder of the photos, for --sheet"""


def run(
    model: nn.Module,
    loader: Iterable[Batch] | Sequence[Iterable[Batch]],
    skeleton: Skeleton,
    people: People,
    flip_test: bool = True,
    decode: str = "quarter",
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Predict everybody and score: the numbers of `score_people`. The trainer calls this after an epoch.

    Joints that nobody has are left out of "per_joint", so that all of it is plain JSON.
    """
    found = predict(model, loader, len(people), skeleton.pairs, flip_test=flip_test, decode=decode, progress=progress)
    numbers = score_people(found, people).numbers
    return {**numbers, "per_joint": {k: v for k, v in numbers["per_joint"].items() if math.isfinite(v)}}


def score_file(config: EvaluateConfig) -> Result:
    """The table of a file of predictions."""
    if config.annotations is None or config.predictions is None:
        missing = "annotations" if config.annotations is None else "predictions"
        raise UserError(f"--{missing}: needed to score a file (--checkpoint runs a network instead)")
    if config.one_based and config.zero_based:
        raise UserError("--one-based and --zero-based: expected at most one of them")
    if config.bootstrap < 0:
        raise UserError(f"--bootstrap: expected 0 or more, got {config.bootstrap}")
    one_based = True if config.one_based else False if config.zero_based else None
    options = protocols.Options(config.key, one_based, config.bootstrap, config.visibility)
    if config.dataset == "lsp":
        result = protocols.lsp(config.annotations, config.predictions, options)
    elif config.dataset == "mpii":
        result = protocols.mpii(config.annotations, config.predictions, options)
    elif config.dataset in ("coco", "crowdpose", "demo"):
        from asda_fast.metrics.coco import coco

        if config.key is not None:
            raise UserError("--key: a COCO results file is a list of records, it has no named arrays")
        result = coco(config.annotations, config.predictions, options)
    else:
        raise UserError(f"--dataset: expected one of {', '.join(DATASETS)}, got {config.dataset!r}")
    folder = Path(config.images) if config.images else None
    if folder is not None and not folder.is_dir():
        raise UserError(f"--images {folder}: no such folder")
    result.photos = [str(folder / name) for name in result.photos or []] if folder else None
    return result


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


def write_json(path: str, numbers: dict[str, Any]) -> None:
    """Write the numbers; what is not a number (a joint that never occurs) becomes null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(plain(numbers), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--json {path}: {error.strerror}") from None


def write_sheet(path: str, result: Result, skeleton: Skeleton) -> None:
    """Pictures of the worst and best people."""
    from asda_fast.viz import worst_best as sheet

    if result.truth is None or result.predicted is None or result.labelled is None or result.quality is None:
        raise ValueError("result: has nothing to draw")
    photos: list[str | None] = list(result.photos) if result.photos else [None] * len(result.truth)
    title = f"{result.title}: worst and best"
    sheet.write(
        path, skeleton, result.truth, result.labelled, result.predicted, result.quality, photos, title
    )  # fmt: skip


def skeleton_of(dataset: str) -> Skeleton:
    """For pictures of a scored file."""
    from asda_fast.core import skeletons

    known = {"lsp": skeletons.LSP, "mpii": skeletons.MPII, "coco": skeletons.COCO, "demo": skeletons.COCO}
    if dataset not in known:
        raise UserError(f"--sheet: no skeleton to draw for {dataset}")
    return known[dataset]


def main() -> None:
    config = parse_cli(lambda: tyro.cli(EvaluateConfig, prog="python -m asda_fast.evaluate"))
    if config.checkpoint is not None and config.predictions is not None:
        raise UserError("--checkpoint and --predictions: expected one of them")
    if config.checkpoint is None:
        result = score_file(config)
        skeleton = skeleton_of(result.numbers["dataset"]) if config.sheet else None
    else:
        result, skeleton = score_network(config)
    show(result)
    if config.json:
        write_json(config.json, result.numbers)
    if config.sheet and skeleton is not None:
        write_sheet(config.sheet, result, skeleton)
