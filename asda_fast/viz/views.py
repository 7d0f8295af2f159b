"""People before and after an augmentation: the same parts where chance and a trained adversary put them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from asda_fast import data, models
from asda_fast.adversary import Placer, Scene
from asda_fast.adversary.saved import adversary_of
from asda_fast.augment import pools
from asda_fast.augment.asda import Adversarial
from asda_fast.augment.base import Augmented
from asda_fast.core.batch import Batch, to_uint8
from asda_fast.core.errors import UserError
from asda_fast.core.files import check_target, write_atomic
from asda_fast.core.skeletons import Skeleton
from asda_fast.data.dataset import dataset
from asda_fast.evaluate.network import card_size, learnt_skeleton
from asda_fast.models import checkpoints
from asda_fast.models.coding import last
from asda_fast.parts.pool import PartPool
from asda_fast.pipelines.loader import make_loader
from asda_fast.viz import draw, epoch_sheet, gallery
from asda_fast.viz.distribution import distribution
from asda_fast.viz.options import PreviewOptions
from asda_fast.viz.view import View

CELL = 256  # height of a picture on the sheet


@dataclass
class RunNetworks:
    """The network and the adversary of a run's last.pt, ready to look."""

    size: tuple[int, int] | None  # the crop that they were trained at
    pose: nn.Module
    adversary: Placer | None


def load_networks(path: str, skeleton: Skeleton, types: tuple[str, ...] | None) -> RunNetworks:
    """The pose network and, for a pool of these types, who places the parts. UserError for another kind of file."""
    pose = models.load(path)
    card: dict[str, Any] = pose.config  # type: ignore[assignment]
    joints = len(skeleton.joints)
    if card.get("joints") != joints:
        raise UserError(f"checkpoint {path}: predicts {card.get('joints')} joints, the dataset has {joints}")
    return RunNetworks(card_size(card), pose, None if types is None else adversary_of(path, types, skeleton))


def losses(pose: nn.Module, image: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """(loss [B], joints [B, J, 2] crop pixels, score [B, J])."""
    size = (batch.image.shape[1], batch.image.shape[2])
    coding, answer = models.coding_of(pose, size), last(pose(image)).float()
    target, weight = coding.encode(batch.joints, batch.visible, size)
    return coding.losses(answer, target, weight), *coding.decode(answer)


def views(config: PreviewOptions, batch: Batch, pool: PartPool | None, networks: RunNetworks | None) -> list[View]:
    """Clean first, then the augmentation; for asda the random placement of the same parts beside the chosen one, and
    both over many draws."""
    shown = config.paste.build(pool, config.seed)
    results = [("clean", Augmented(shown.clean(batch)))]
    many: list[View] = []
    if isinstance(shown, Adversarial):
        slots = shown.draw(batch, 0)
        results.append(("random", shown.render(batch, slots, slots.theta)))
        if networks is not None and networks.adversary is not None:
            size = (batch.image.shape[1], batch.image.shape[2])
            coding = models.coding_of(networks.pose, size)
            scene = Scene.of(batch, shown, networks.pose, trained=False, coding=coding)
            choice = networks.adversary.choose(scene, explore=False)
            results.append(("chosen", scene.paste(choice.theta, choice.slots)))
            if config.draws:
                for name, who in (("random", None), ("chosen", networks.adversary)):
                    many.append(distribution(name, batch, shown, networks.pose, who, config.draws, coding))
    elif config.paste.augment != "none":
        results.append(("random", shown(batch, 0)))
    found = []
    for name, augmented in results:
        loss = joints = score = None
        if networks is not None:
            each, where, peak = losses(networks.pose, augmented.image, batch)
            loss, joints, score = each.tolist(), where.numpy(), peak.numpy()
        people = range(len(batch))
        found.append(
            View(
                name,
                to_uint8(augmented.image).cpu().numpy(),
                [epoch_sheet.outlines(augmented, i) for i in people],
                [_parts(augmented, i) for i in people],
                loss,
                joints,
                score,
            )
        )
    return found + many


def _parts(augmented: Augmented, i: int) -> list[dict[str, Any]]:
    slots = augmented.slots
    if slots is None or augmented.pool is None:
        return []
    out: list[dict[str, Any]] = []
    for n, part in enumerate(slots.part[i].tolist()):
        if part < 0:
            continue
        kind = int(slots.type[i, n])
        types = augmented.pool.types
        entry: dict[str, Any] = {"type": types[kind] if kind < len(types) else "patch"}
        if augmented.theta is not None:
            s, r, tx, ty = augmented.theta[i, n].tolist()
            entry |= {"s": round(s, 3), "r": round(float(np.rad2deg(r)), 1), "tx": round(tx, 3), "ty": round(ty, 3)}
        out.append(entry)
    return out


def contact(shown: list[View], batch: Batch, skeleton: Skeleton, title: str) -> np.ndarray:
    """The sheet: a row per person; joints as annotated on the clean crop, as predicted where a network tells them."""
    size = batch.image.shape[1:3]
    rows, captions = [], []
    truth, visible = batch.joints.numpy(), batch.visible.numpy()
    zoom = max(1, round(CELL / batch.image.shape[1]))  # small crops are enlarged first: lines stay fine
    for i in range(len(batch)):
        row, words = [], []
        for view in shown:
            picture = cv2.resize(view.image[i], None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
            if view.name == "clean":
                picture = draw.skeleton(picture, truth[i] * zoom, visible[i], skeleton)
            else:
                picture = draw.outline(picture, [polygon * zoom for polygon in view.outlines[i]])
                if view.joints is not None:
                    picture = epoch_sheet.prediction(
                        picture, zoom, truth[i], visible[i], view.joints[i], size, skeleton
                    )
            row.append(picture)
            names = ", ".join(p["type"] for p in view.parts[i])
            loss = f"loss {1e3 * view.loss[i]:.2f}e-3" if view.loss else ""
            hits = "" if view.joints is None else epoch_sheet.count(truth[i], visible[i], view.joints[i], size)
            words.append("  ".join(w for w in (view.name, loss, hits, names) if w))  # what is cut is said least
        rows.append(row)
        captions.append(words)
    if len(shown) < 3:  # two people side by side fill the paper better
        half = (len(rows) + 1) // 2
        rows = [a + b for a, b in zip(rows[:half], [*rows[half:], []])]
        captions = [a + b for a, b in zip(captions[:half], [*captions[half:], []])]
    notes = epoch_sheet.NOTES[: 2 if any(view.joints is not None for view in shown) else 0]
    if any(view.name.startswith("random x") for view in shown):
        notes = (*notes, "xN: N pastes on each; the warmer, the more often covered; a diamond is the middle of a patch")
    return draw.sheet(rows, captions, title=title, notes=notes, cell=CELL)


@torch.no_grad()
def preview(config: PreviewOptions, say: Callable[[str], object] = lambda _: None) -> list[View]:
    """Write the sheet (and the gallery); returns what they show. say: told what the reader left out or took as what."""
    for option, path in (("out", config.out), ("html", config.html)):
        if path is not None:
            check_target(option, path)
    name = config.files.dataset(config.dataset)
    learnt = None
    if config.checkpoint and config.files.given:
        learnt = learnt_skeleton(config.checkpoint, checkpoints.read(config.checkpoint).config or {})
    everybody = data.load(name, config.root, config.split, config.files, learnt)
    for note in everybody.notes:
        say(f"{everybody.name}: {note}")
    pool = pools.choose(config.pool, name, config.paste)
    networks = None
    if config.checkpoint:
        learned = config.paste.augment == "asda" and pool is not None
        networks = load_networks(config.checkpoint, everybody.skeleton, pool.types if learned and pool else None)
        if config.paste.needs_pool:
            saved: dict[str, Any] = networks.pose.config  # type: ignore[assignment]
            pools.check_same(Path(config.checkpoint).parent, saved.get("pool"), pool, config.pool)
    usual = (256, 256) if name == "demo" else dataset(name).preset.size  # the demo's own is small
    size = config.input or (networks.size if networks else None) or usual
    rows = np.unique(np.linspace(0, len(everybody) - 1, min(config.people, len(everybody))).astype(np.int64))
    few = everybody.select(rows)
    with make_loader(few, size=size, batch_size=len(few), pipeline="native", train=False) as loader:
        batch = next(iter(loader))
    shown = views(config, batch, pool, networks)
    parts = config.paste.parts
    title = f"{config.paste.augment} on {everybody.name}, {parts} part{'s' * (parts != 1)} a person"
    draw.save(config.out, contact(shown, batch, everybody.skeleton, title))
    if config.html is not None:
        page = gallery.page(shown, batch, everybody.skeleton, title)
        write_atomic(Path(config.html), page.encode())
    return shown
