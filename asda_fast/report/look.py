"""A run's network and adversary, looked at on validation people: where each type of part lies, and who is worst."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asda_fast import data, models
from asda_fast.adversary import Scene
from asda_fast.augment import pools
from asda_fast.augment.asda import Adversarial
from asda_fast.augment.base import Augmented
from asda_fast.augment.sda import Semantic
from asda_fast.core.batch import Batch
from asda_fast.core.errors import UserError
from asda_fast.core.hardware import choose_device
from asda_fast.core.progress import bar
from asda_fast.core.skeletons import Skeleton
from asda_fast.evaluate.network import learnt_skeleton
from asda_fast.models.coding import last
from asda_fast.pipelines.loader import make_loader
from asda_fast.report.options import ReportOptions
from asda_fast.train.recipe import Recipe
from asda_fast.train.score import adversary_of_run
from asda_fast.viz import epoch_sheet

CELLS = 12  # of a map, along the crop's width
WORST = 8  # people shown
BATCH = 16


@dataclass
class Person:
    """One of those whom the network misses most."""

    picture: np.ndarray  # [H, W, 3] uint8, the prediction drawn
    found: int
    joints: int


@dataclass
class Looked:
    people: int = 0
    joints: int = 0
    found: int = 0
    aspect: float = 1.0  # height over width of a crop
    chosen: dict[str, np.ndarray] = field(default_factory=dict)  # type -> [rows, CELLS] middles of its parts
    random: dict[str, np.ndarray] = field(default_factory=dict)
    bones: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # the mean person, in 0..1 of the crop
    worst: list[Person] = field(default_factory=list)


@torch.no_grad()
def look(options: ReportOptions, checkpoint: Path, saved: dict[str, Any]) -> Looked:
    """UserError for a dataset or a pool that does not go with the run."""
    recipe = Recipe.from_dict(saved["config"])
    recipe = replace(recipe, dataset=options.files.dataset(recipe.dataset)).resolved()
    assert recipe.input is not None
    pose, device = models.load(str(checkpoint)), choose_device(options.device)
    card: dict[str, Any] = pose.config  # type: ignore[assignment]
    everybody = data.load(recipe.dataset, options.root, "val", options.files, learnt_skeleton(str(checkpoint), card))
    everybody = everybody.first(recipe.limit)
    if len(everybody.skeleton.joints) != card["joints"]:
        raise UserError(
            f"{checkpoint}: predicts {card['joints']} joints, {recipe.dataset} has {len(everybody.skeleton.joints)}"
        )
    rows = np.unique(np.linspace(0, len(everybody) - 1, min(options.people, len(everybody))).astype(np.int64))
    augmentation = recipe.paste.build(pools.choose(options.pool, recipe.dataset, recipe.paste), recipe.seed)
    if augmentation.needs_pool:
        pools.check_same(checkpoint.parent, saved.get("pool"), augmentation.pool, options.pool)
    adversary = None
    if isinstance(augmentation, Adversarial):
        adversary = adversary_of_run(checkpoint, recipe, augmentation, everybody.skeleton, device)
    pose = pose.to(device)
    coding = models.coding_of(pose, recipe.input)
    seen, places = Looked(aspect=recipe.input[0] / recipe.input[1]), []
    with make_loader(
        everybody.select(rows), size=recipe.input, batch_size=min(BATCH, len(rows)), pipeline="native", train=False
    ) as loader:
        for batch in bar(loader, len(loader), "looking at people"):
            batch = batch.to(device)
            with epoch_sheet.evaluating(pose):
                joints = coding.decode(last(pose(augmentation.clean(batch))).float())[0].cpu().numpy()
            count(seen, batch, joints, everybody.skeleton)
            labelled = batch.visible.cpu().numpy()[..., None] > 0
            places.append(np.where(labelled, batch.joints.cpu().numpy() / recipe.input[::-1], np.nan))
            if not isinstance(augmentation, Semantic):
                continue
            for draw in range(options.draws):
                scene = Scene.of(batch, augmentation, pose, draw, trained=False, coding=coding)
                record(seen.random, scene.paste(scene.slots.theta), recipe.input)
                if adversary is not None:
                    choice = adversary.choose(scene, explore=False)
                    record(seen.chosen, scene.paste(choice.theta, choice.slots), recipe.input)
    seen.bones = bones_of(np.concatenate(places), everybody.skeleton.edges)
    return seen


def bones_of(joints: np.ndarray, edges: tuple[tuple[int, int], ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Both ends of each bone of the mean person; joints [P, J, 2] are nan where not labelled, and a bone is left out
    where nobody has one of its ends."""
    mean = {j: np.nanmean(each, 0) for j, each in enumerate(joints.swapaxes(0, 1)) if not np.isnan(each).all()}
    return [(mean[a], mean[b]) for a, b in edges if a in mean and b in mean]


def count(seen: Looked, batch: Batch, joints: np.ndarray, skeleton: Skeleton) -> None:
    """Count the joints found of a batch and keep the people with the smallest share of them."""
    truth, visible, crops = (v.cpu().numpy() for v in (batch.joints, batch.visible, batch.image))
    size = crops.shape[1:3]
    for i, crop in enumerate(crops):
        known = int((visible[i] > 0).sum())
        hits = int(epoch_sheet.found(truth[i], visible[i], joints[i], size).sum())
        seen.people, seen.joints, seen.found = seen.people + 1, seen.joints + known, seen.found + hits
        if known == 0:
            continue
        full = len(seen.worst) == WORST
        if full and hits / known >= seen.worst[-1].found / seen.worst[-1].joints:
            continue
        picture = epoch_sheet.prediction(crop, 1, truth[i], visible[i], joints[i], size, skeleton)
        seen.worst = sorted([*seen.worst, Person(picture, hits, known)], key=lambda p: p.found / p.joints)[:WORST]


def record(maps: dict[str, np.ndarray], pasted: Augmented, size: tuple[int, int]) -> None:
    """Add the middles of the pasted parts of a batch to the map of each one's type."""
    high, wide = size
    rows = max(1, round(CELLS * high / wide))
    for i in range(len(pasted.image)):
        for name, corners in epoch_sheet.placed(pasted, i):
            x, y = corners.mean(0)
            grid = maps.setdefault(name, np.zeros((rows, CELLS)))
            if 0 <= x < wide and 0 <= y < high:  # a middle beyond the crop's edge is not drawn
                grid[int(y / high * rows), int(x / wide * CELLS)] += 1
