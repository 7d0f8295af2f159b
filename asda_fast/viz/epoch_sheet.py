"""The contact sheet of an epoch: what the network was shown, and what it made of it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from asda_fast.adversary import Adversary, Scene
from asda_fast.adversary.scene import evaluating
from asda_fast.augment.asda import Adversarial
from asda_fast.augment.base import Augmentation, Augmented
from asda_fast.core.batch import Batch, to_uint8
from asda_fast.core.skeletons import Skeleton
from asda_fast.models.coding import Coding, Heatmaps
from asda_fast.viz import draw

SHOWN_SCORE = 0.15  # a joint whose peak is lower is not drawn: the network does not know


@torch.no_grad()
def write_sheet(
    path: Path,
    batch: Batch,
    augmentation: Augmentation,
    pose: nn.Module,
    adversary: Adversary | None,
    skeleton: Skeleton,
    epoch: int,
    title: str = "",
    coding: Coding | None = None,
    amp: torch.dtype | None = None,
) -> Path:
    """Write a PNG with a row per person: crop and annotation | pasted crop | prediction on it. Returns its path.

    amp: the type that the networks are autocast to, where `augmentation` writes it.
    """
    coding = coding or Heatmaps()
    if isinstance(augmentation, Adversarial) and adversary is not None:
        scene = Scene.of(batch, augmentation, pose, epoch, amp=amp, trained=False, coding=coding)
        augmented = scene.paste(adversary.choose(scene, explore=False).theta)
    else:
        augmented = augmentation(batch, epoch)
    with evaluating(pose), nullcontext() if amp is None else torch.autocast(batch.image.device.type, amp):
        maps = pose(augmented.image).float()
    joints, score = coding.decode(maps)
    pasted = to_uint8(augmented.image).cpu().numpy()
    rows, captions = [], []
    for i, crop in enumerate(batch.image.cpu().numpy()):
        visible = batch.visible[i].cpu().numpy()
        known = (score[i] > SHOWN_SCORE).cpu().numpy()
        rows.append(
            [
                draw.skeleton(crop, batch.joints[i].cpu().numpy(), visible, skeleton),
                draw.outline(pasted[i], outlines(augmented, i)),
                draw.skeleton(pasted[i], joints[i].cpu().numpy(), known, skeleton),
            ]
        )
        captions.append(["annotated", describe(augmented, i), f"predicted, {known.sum()} of {len(known)} joints"])
    return draw.save(path, draw.sheet(rows, captions, title=title, cell=224))


def outlines(augmented: Augmented, i: int) -> list[np.ndarray]:
    """The corners of each pasted patch of image i, in crop pixels."""
    if augmented.slots is None or augmented.matrix is None or augmented.pool is None:
        return []
    found = []
    for part, matrix in zip(augmented.slots.part[i].tolist(), augmented.matrix[i].double().cpu().numpy()):
        if part >= 0 and abs(np.linalg.det(matrix[:, :2])) > 1e-12:
            high, wide = augmented.pool.size[part].tolist()
            corners = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float64)
            found.append((corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T)
    return found


def describe(augmented: Augmented, i: int) -> str:
    """'Left-arm r=12 tx=+0.1 ty=-0.2' of the first part of image i."""
    slots: Any = augmented.slots
    if slots is None or augmented.theta is None or augmented.pool is None or not (slots.part[i] >= 0).any():
        return "nothing pasted"
    n = int((slots.part[i] >= 0).float().argmax())
    _, r, tx, ty = augmented.theta[i, n].tolist()
    return f"{augmented.pool.types[int(slots.type[i, n])]} {np.rad2deg(r):+.0f} deg, {tx:+.2f}, {ty:+.2f}"
