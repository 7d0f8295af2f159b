"""Where the people of somebody else's loop are: its keypoints, or points of a box that stand for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

GRID = (0.2, 0.5, 0.8)  # of a box's sides: nine points that stand for the joints where none are given


def points_of(image: Tensor, keypoints: Any, joints: int, look: bool) -> tuple[Tensor | None, Tensor]:
    """keypoints [B, J, 2 or 3] -> [B, J, 2] pixels and [B, J] labelled; (None, -) without any. look: whether they are
    pixels at all, which is a wait on a GPU. ValueError and TypeError name the argument."""
    if keypoints is None:
        if joints:
            raise ValueError(f"keypoints: expected those of {joints} joints, got none (joints=0 does without)")
        return None, image
    if not joints:
        raise ValueError("keypoints: expected joints=J in the constructor beside them, got joints=0")
    try:
        points = torch.as_tensor(keypoints).detach().to(image.device, torch.float32)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"keypoints: expected numbers x, y, got {type(keypoints).__name__}") from None
    if points.dim() != 3 or points.shape[:2] != (len(image), joints) or points.shape[2] not in (2, 3):
        wanted = f"[{len(image)}, {joints}, 2 or 3]"
        raise ValueError(f"keypoints: expected {wanted}, got {list(points.shape)}")
    labelled = points[..., 2] > 0 if points.shape[2] == 3 else torch.ones_like(points[..., 0], dtype=torch.bool)
    labelled = labelled & points[..., :2].isfinite().all(-1)
    points = torch.where(labelled[..., None], points[..., :2], 0.0)
    if look and min(image.shape[-2:]) > 8:
        most = float(points.abs().max())
        if 0 < most <= 2:
            raise ValueError(f"keypoints: expected pixels of the image, got values up to {most:.2g} (normalised?)")
    return points, labelled


def around(points: Tensor, labelled: Tensor, image: Tensor) -> Tensor:
    """The box x0, y0, x1, y1 of each person's labelled keypoints, a tenth wider; the image's where less than two are
    (one point says nothing of a person's size)."""
    height, width = image.shape[-2:]
    seen = labelled[..., None]
    low = torch.where(seen, points, torch.inf).amin(1)
    high = torch.where(seen, points, -torch.inf).amax(1)
    margin = 0.1 * (high - low).amax(1, keepdim=True) + 1
    box = torch.cat((low - margin, high + margin), 1)
    whole = torch.empty_like(box)
    for column, value in enumerate((0.1 * width, 0.1 * height, 0.9 * width, 0.9 * height)):
        whole[:, column] = value
    return torch.where(labelled.sum(1, keepdim=True) > 1, box, whole)


def grid(box: Tensor) -> tuple[Tensor, Tensor]:
    """Nine points of each box (centre x, centre y, width, height): [B, 9, 2], and that all are labelled [B, 9]."""
    x = torch.stack([box[:, 0] + (a - 0.5) * box[:, 2] for _ in GRID for a in GRID], 1)
    y = torch.stack([box[:, 1] + (a - 0.5) * box[:, 3] for a in GRID for _ in GRID], 1)
    return torch.stack((x, y), -1), torch.ones_like(x, dtype=torch.bool)
