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
        decode: "quarter", "dark" (both HRNet's coordinates) or "udp".
        progress: called with the number of people of each finished batch.
        amp: autocast the network to this type; what follows it is float32.
        record: cuda_graph.record makes the network's forward one CUDA graph where it holds; None: it is called.
        say: hears why there is no graph, once.
    """
    one = not isinstance(loaders, (list, tuple)) or (bool(loaders) and isinstance(loaders[0], Batch))
    several: list[Any] = [loaders] if one else list(loaders)

    def forward(image: Tensor) -> Tensor:
        return heatmaps(model, image, pairs, flip_test, decode != "udp", amp)

    look = GraphedForward(forward, record, say) if record is not None else forward
    was_training = model.training
    model.eval()
    xy: np.ndarray | None = None
    score: np.ndarray | None = None
    try:
        for batches in zip(*several, strict=True):
            first: Batch = batches[0]
            total = look(first.image)
            for other in batches[1:]:
                if not torch.equal(other.row, first.row):
                    raise ValueError("loaders: expected the same people in the same order at every scale")
                maps = look(other.image)
                total = total + bring(maps, other.matrix, first.matrix, stride_of(first, maps), decode == "udp")
            points, peaks = targets.decode(total / len(batches), decode, stride_of(first, total))
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


def stride_of(batch: Batch, maps: Tensor) -> int:
    """Crop pixels per heatmap pixel."""
    return batch.image.shape[1] // maps.shape[2]


def heatmaps(
    model: nn.Module,
    image: Tensor,
    pairs: tuple[tuple[int, int], ...],
    flip_test: bool,
    shift: bool = True,
    amp: torch.dtype | None = None,
) -> Tensor:
    """[B, H, W, 3] uint8 -> heatmaps [B, J, h, w] float32, averaged with the mirrored crop's where asked."""
    x = normalise(image)  # [B, 3, H, W], channels last as the crops are
    with torch.autocast(image.device.type, amp) if amp is not None else nullcontext():
        maps = _last(model(x)).float()
        mirrored = _last(model(x.flip(-1))).float() if flip_test else maps
    if flip_test:
        maps = 0.5 * (maps + targets.flip_heatmaps(mirrored, pairs, shift))
    return maps


def bring(maps: Tensor, source: Tensor, target: Tensor, stride: int = 4, udp: bool = False) -> Tensor:
    """Heatmaps [B, J, h, w] of crops with `source` matrices, resampled (bilinear) onto crops with `target` matrices.

    Both matrices [B, 2, 3] map crop pixel -> photo pixel; heatmap index m stands for crop pixel stride * m + offset.
    """
    b, _, h, w = maps.shape
    offset = 0.5 * stride if udp else 0.5
    there = torch.linalg.inv(_square(source.double())) @ _square(target.double())  # crop -> crop, [B, 3, 3]
    x = torch.arange(w, device=maps.device, dtype=torch.float64) * stride + offset
    y = torch.arange(h, device=maps.device, dtype=torch.float64) * stride + offset
    grid = torch.stack((*torch.meshgrid(x, y, indexing="xy"), torch.ones(h, w, device=maps.device).double()), -1)
    points = grid.view(1, h * w, 3) @ there[:, :2].mT  # [B, h * w, 2] crop pixels at the source's scale
    index = (points - offset) / stride
    size = torch.tensor((w, h), device=maps.device, dtype=torch.float64)
    normal = ((index + 0.5) / size * 2 - 1).view(b, h, w, 2).to(maps.dtype)
    return F.grid_sample(maps, normal, mode="bilinear", padding_mode="zeros", align_corners=False)


def _square(matrix: Tensor) -> Tensor:
    bottom = matrix.new_tensor((0.0, 0.0, 1.0)).expand(len(matrix), 1, 3)
    return torch.cat((matrix, bottom), 1)


def _last(output: Tensor | list[Tensor]) -> Tensor:
    return output[-1] if isinstance(output, (list, tuple)) else output
