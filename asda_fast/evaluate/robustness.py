"""Robustness: what a network makes of people on whom parts are pasted, at random and at the worst of several places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asda_fast.adversary import Scene
from asda_fast.adversary.candidates import MEASURE, candidates
from asda_fast.models.heatmaps import to_photo

WORST_OF = 8


@dataclass(frozen=True)
class Pasted:
    """Joints [P, J, 2] in photo pixels, nan for people who were not in the scenes: of the clean crops, with a part at a
    random place, and at that of the `draws` random places where D's loss is largest."""

    clean: np.ndarray
    random: np.ndarray
    worst: np.ndarray


def predict_pasted(scenes: Iterable[Scene], people: int, draws: int = WORST_OF) -> Pasted:
    """The network of the scenes over `people` rows of their table. ValueError where `draws` is less than 1."""
    if draws < 1:
        raise ValueError(f"draws: expected at least 1, got {draws}")
    found: dict[str, np.ndarray] = {}
    for scene in scenes:
        row = scene.batch.row.cpu().numpy()
        for name, xy in zip(("clean", "random", "worst"), _predict(scene, draws)):
            whole = found.setdefault(name, np.full((people, *xy.shape[1:]), np.nan, np.float32))
            whole[row] = to_photo(xy, scene.batch.matrix).cpu().numpy()
    if not found:
        raise ValueError("scenes: no batch came")
    return Pasted(**found)


@torch.no_grad()
def _predict(scene: Scene, draws: int) -> tuple[Tensor, Tensor, Tensor]:
    """[B, J, 2] crop pixels, three times."""
    augmentation = scene.augmentation
    args = (augmentation.ranges, augmentation.seed, scene.epoch, MEASURE)
    places = candidates(scene.slots, scene.batch.row, draws, *args)
    clean, *_ = scene.look(None, reduced=False)
    first = worst = torch.zeros_like(clean)
    highest = torch.full((len(clean),), -torch.inf, device=clean.device)
    for k in range(draws):
        answer, target, weight = scene.look(places[:, :, k], reduced=False)
        loss = scene.coding.losses(answer, target, weight)
        first = answer if k == 0 else first
        worst = torch.where((loss > highest).view(-1, *[1] * (answer.ndim - 1)), answer, worst)
        highest = torch.maximum(loss, highest)
    decode = scene.coding.decode
    return decode(clean)[0], decode(first)[0], decode(worst)[0]
