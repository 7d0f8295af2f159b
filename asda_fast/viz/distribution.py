"""Where parts come to lie over many draws of parts and places: a single draw of a few people shows chance alone."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from asda_fast.adversary import Choice, Placer, Scene
from asda_fast.augment.sda import Semantic
from asda_fast.core.batch import Batch
from asda_fast.models.coding import Coding
from asda_fast.viz import draw, epoch_sheet
from asda_fast.viz.view import View

FULL = 0.3  # share of the draws that hide a pixel from which on its colour is the scale's last
MARK = 0.012  # of the crop's longer side: half the diagonal of the diamond at a patch's middle


@torch.no_grad()
def distribution(
    name: str, batch: Batch, augmentation: Semantic, pose: torch.nn.Module, adversary: Placer | None, draws: int,
    coding: Coding | None = None,
) -> View:  # fmt: skip
    """`draws` draws of the same people as one view: how often each pixel lies under a patch (its whole rectangle), a
    diamond at the middle of every patch, and the mean loss. adversary None: at random places.

    A draw is what an epoch would paste: other parts, and for an adversary that chooses among candidates other ones.
    """
    people, (high, wide) = range(len(batch)), batch.image.shape[1:3]
    hidden = np.zeros((len(batch), high, wide), np.float32)
    marks: list[list[np.ndarray]] = [[] for _ in people]
    radius = MARK * max(high, wide)
    diamond = radius * np.array([[-1, 0], [0, -1], [1, 0], [0, 1]], np.float64)
    losses = torch.zeros(len(batch), dtype=torch.float64)
    for epoch in range(draws):
        scene = Scene.of(batch, augmentation, pose, epoch, trained=False, coding=coding)
        choice = Choice(scene.slots.theta) if adversary is None else adversary.choose(scene, explore=False)
        pasted = scene.paste(choice.theta, choice.slots)
        maps = scene.predict(pasted.image)
        losses += scene.coding.losses(maps, scene.target, scene.weight).double().cpu() / draws
        for i in people:
            for polygon in epoch_sheet.outlines(pasted, i):
                under = np.zeros((high, wide), np.uint8)
                cv2.fillPoly(under, [np.round(polygon - 0.5).astype(np.int32)], 1)
                hidden[i] += under / draws
                marks[i].append(polygon.mean(0) + diamond)
    image = np.stack([heat(crop, share) for crop, share in zip(batch.image.cpu().numpy(), hidden)])
    return View(f"{name} x{draws}", image, marks, [[] for _ in people], losses.tolist(), None, None)


def heat(crop: draw.Image, share: np.ndarray) -> draw.Image:
    """The crop in grey, tinted by `share` [H, W] of the draws that hide a pixel."""
    grey = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.float32)
    part = np.clip(share / FULL, 0, 1)
    tint = cv2.applyColorMap(np.round(255 * part).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    alpha = 0.75 * np.sqrt(part)[..., None]
    mixed: draw.Image = np.round(grey * (1 - alpha) + tint * alpha).astype(np.uint8)
    return mixed
