"""Test time: crops through a network to joints in the photo, with flip averaging and a scale pyramid, on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asda_fast.core.batch import Batch, normalise
from asda_fast.core.cuda_graph import Record
from asda_fast.evaluate.graph import GraphedForward
from asda_fast.models import heatmaps as targets
from asda_fast.models.coding import check_size, coding_by, last

PYRAMID = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3)  # paper, section 4.1: MPII and LSP


@dataclass(frozen=True)
class Predictions:
    """What a network says of a Person table, row by row."""

    xy: np.ndarray  # [P, J, 2] float32 photo pixels, continuous
    score: np.ndarray  # [P, J] float32 peak heights


@torch.inference_mode()
def predict(
    model: nn.Module,
    loaders: Iterable[Batch] | Sequence[Iterable[Batch]],
    people: int,
    pairs: tuple[tuple[int, int], ...],
    *,
    flip_test: bool = True,
    decode: str = "quarter",
    progress: Callable[[int], None] | None = None,
    amp: torch.dtype | None = None,
    record: Record | None = None,
    say: Callable[[str], None] = print,
) -> Predictions:
    """Joints of `people` persons from one loader, or from several that show the same people at different scales.

    Args:
        model: pose network; its mode is restored afterwards.
        loaders: batches with `row` and `matrix`; several of them are read in step, their heatmaps are brought into the
            first one's frame and averaged.
        pairs: left/right joints, for the flip.
        flip_test: average with the heatmaps of the mirrored crop.
        decode: "quarter", "dark" (both HRNet's coordinates), "udp", or "simcc" (which has no pyramid).
        progress: called with the number of people of each finished batch.
        amp: autocast the network to this type; what follows it is float32.
        record: cuda_graph.record makes the network's forward one CUDA graph where it holds; None: it is called.
        say: hears why there is no graph, once.
    """
    one = not isinstance(loaders, (list, tuple)) or (bool(loaders) and isinstance(loaders[0], Batch))
    several: list[Any] = [loaders] if one else list(loaders)

    def forward(image: Tensor) -> Tensor:
        return answer_to(model, image, pairs, flip_test, decode, amp)

    look = GraphedForward(forward, record, say) if record is not None else forward
    was_training = model.training
    model.eval()
    xy: np.ndarray | None = None
    score: np.ndarray | None = None
    try:
        for batches in zip(*several, strict=True):
            first: Batch = batches[0]
            size = (first.image.shape[1], first.image.shape[2])
            if xy is None:
                check_size(model, size)
            total = look(first.image)
            coding = coding_by(decode, total, size)
            for other in batches[1:]:
                if not torch.equal(other.row, first.row):
                    raise ValueError("loaders: expected the same people in the same order at every scale")
                maps = look(other.image)
                total = total + bring(maps, other.matrix, first.matrix, size[0] // maps.shape[2], coding.kind)
            points, peaks = coding.decode(total / len(batches), decode)
            photo = targets.to_photo(points, first.matrix)
            if xy is None or score is None:
                xy = np.full((people, points.shape[1], 2), np.nan, np.float32)
                score = np.zeros((people, points.shape[1]), np.float32)
            rows = first.row.cpu().numpy()
            xy[rows], score[rows] = photo.cpu().numpy(), peaks.cpu().numpy()
            if progress is not None:
                progress(len(rows))
    finally:
        model.train(was_training)
    if xy is None or score is None:
        raise ValueError("loaders: no batch came")
    return Predictions(xy, score)


def answer_to(
    model: nn.Module,
    image: Tensor,
    pairs: tuple[tuple[int, int], ...],
    flip_test: bool,
    decode: str = "quarter",
    amp: torch.dtype | None = None,
) -> Tensor:
    """[B, H, W, 3] uint8 -> the answer [B, J, ..] float32, averaged with the mirrored crop's where asked."""
    x = normalise(image)  # [B, 3, H, W], channels last as the crops are
    with torch.autocast(image.device.type, amp) if amp is not None else nullcontext():
        answer = last(model(x)).float()
        mirrored = last(model(x.flip(-1))).float() if flip_test else answer
    coding = coding_by(decode, answer, (image.shape[1], image.shape[2]))
    return 0.5 * (answer + coding.flip(mirrored, pairs)) if flip_test else answer


def bring(maps: Tensor, source: Tensor, target: Tensor, stride: int = 4, kind: str = "hrnet") -> Tensor:
    """Heatmaps [B, J, h, w] of crops with `source` matrices, resampled (bilinear) onto crops with `target` matrices.

    Both matrices [B, 2, 3] map crop pixel -> photo pixel; kind: of the heatmaps, whose pixels' places it says.
    """
    b, _, h, w = maps.shape
    across, down = (targets.cell_size(n, stride, kind) for n in (w, h))
    there = torch.linalg.inv(_square(source.double())) @ _square(target.double())  # crop -> crop, [B, 3, 3]
    x = torch.arange(w, device=maps.device, dtype=torch.float64) * across + 0.5
    y = torch.arange(h, device=maps.device, dtype=torch.float64) * down + 0.5
    grid = torch.stack((*torch.meshgrid(x, y, indexing="xy"), torch.ones(h, w, device=maps.device).double()), -1)
    points = grid.view(1, h * w, 3) @ there[:, :2].mT  # [B, h * w, 2] crop pixels at the source's scale
    index = (points - 0.5) / torch.tensor((across, down), device=maps.device, dtype=torch.float64)
    size = torch.tensor((w, h), device=maps.device, dtype=torch.float64)
    normal = ((index + 0.5) / size * 2 - 1).view(b, h, w, 2).to(maps.dtype)
    return F.grid_sample(maps, normal, mode="bilinear", padding_mode="zeros", align_corners=False)


def _square(matrix: Tensor) -> Tensor:
    bottom = matrix.new_tensor((0.0, 0.0, 1.0)).expand(len(matrix), 1, 3)
    return torch.cat((matrix, bottom), 1)
