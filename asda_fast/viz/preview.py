"""python -m asda_fast.preview: see what an augmentation does to people, and what a trained generator chooses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import tyro
from torch import Tensor, nn

from asda_fast import augment, data, models
from asda_fast.augment import Augmented
from asda_fast.augment import pools as demo_pool
from asda_fast.augment.asda import Adversarial, generator_theta
from asda_fast.core.batch import Batch
from asda_fast.core.errors import UserError, parse_cli
from asda_fast.core.skeletons import Skeleton
from asda_fast.models import heatmaps as targets
from asda_fast.models.loss import pose_losses
from asda_fast.parts.pool import PartPool
from asda_fast.pipelines.loader import make_loader
from asda_fast.train import checkpoint as state
from asda_fast.train.config import AUGMENTS, DATASETS, PRESETS, OptionalText, parse_size
from asda_fast.viz import draw
from asda_fast.viz import epoch_sheet as sheet
from asda_fast.viz import gallery as preview_gallery

CELL = 256  # height of a picture on the sheet


@dataclass(frozen=True)
class PreviewConfig:
    """Draw people before and after an augmentation: a contact sheet, and a gallery to flip through in a browser."""

    augment: str = "sda"
    """none | cutout | ror | objects | sda | asda"""
    dataset: str = "demo"
    """demo | lsp | mpii | coco"""
    root: OptionalText = None
    """folder of the dataset"""
    split: str = "val"
    """val | train"""
    pool: OptionalText = None
    """pool of body parts; demo builds its own on first use"""
    objects: OptionalText = None
    """folder of RGBA cut-outs for --augment objects"""
    checkpoint: OptionalText = None
    """last.pt of a run: asda's generator places the parts, and the network tells the loss of each placement"""
    parts: int = 1
    """parts pasted per person"""
    people: int = 12
    """people shown, evenly spread over the split"""
    input: OptionalText = None
    """crop as HxW [the checkpoint's, else the dataset's preset, 256x256 for demo]"""
    seed: int = 0
    """of the random draws"""
    placement: str = "paper"
    """paper | reference"""
    out: str = "sheet.png"
    """contact sheet to write"""
    html: OptionalText = None
    """gallery to write: one file, needs nothing else"""


@dataclass
class View:
    """The same people under one placement of the same parts."""

    name: str  # clean, random, chosen
    image: np.ndarray  # [B, H, W, 3] uint8
    outlines: list[list[np.ndarray]]  # per person and part, [4, 2] crop pixels
    parts: list[list[dict[str, Any]]]  # per person: type, s, r in degrees, tx, ty
    loss: list[float] | None  # per person, HRNet's loss
    joints: np.ndarray | None  # [B, J, 2] predicted, crop pixels
    score: np.ndarray | None  # [B, J]


@dataclass
class Networks:
    input: str  # HxW they were trained at
    pose: nn.Module
    generator: models.Generator | None


def load_networks(path: str, joints: int) -> Networks:
    """Both networks of a run's last.pt, ready to look. Raises UserError for another kind of file."""
    saved = state.load(Path(path))
    if saved.get("joints") != joints:
        raise UserError(f"--checkpoint {path}: predicts {saved.get('joints')} joints, the dataset has {joints}")
    pose = models.build(saved["config"]["model"], joints=joints)
    pose.load_state_dict(saved["pose"])
    generator = None
    if saved["generator"] is not None:
        weights: dict[str, Tensor] = saved["generator"]
        generator = models.Generator(len(weights["fc_locs.2.weight"]) // 3, len(weights["conv1.weight"]))
        generator.load_state_dict(weights)
        generator.eval()
    return Networks(saved["config"]["input"], pose.eval(), generator)


def losses(pose: nn.Module, image: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """(loss [B], joints [B, J, 2] crop pixels, score [B, J])."""
    size = (batch.image.shape[1], batch.image.shape[2])
    target, weight = targets.heatmaps(batch.joints, batch.visible, size)
    heatmaps = pose(image).float()
    return pose_losses(heatmaps, target, weight), *targets.decode(heatmaps)


def views(config: PreviewConfig, batch: Batch, pool: PartPool | None, networks: Networks | None) -> list[View]:
    """Clean first, then the augmentation; for asda the random placement of the same parts beside the chosen one."""
    options = {"parts": config.parts, "seed": config.seed, "mode": config.placement, "objects": config.objects}
    shown = augment.build(config.augment, pool, **options)
    results = [("clean", Augmented(shown.clean(batch)))]
    if isinstance(shown, Adversarial):
        slots = shown.draw(batch, 0)
        results.append(("random", shown.render(batch, slots, slots.theta)))
        generator = networks.generator if networks else None
        if generator is not None:
            theta = generator_theta(generator(results[0][1].image), slots)
            results.append(("chosen", shown.render(batch, slots, theta)))
    elif config.augment != "none":
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
                sheet.to_uint8(augmented.image),
                [sheet.outlines(augmented, i) for i in people],
                [_parts(augmented, i) for i in people],
                loss,
                joints,
                score,
            )
        )
    return found


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
                if view.joints is not None and view.score is not None:
                    known = view.score[i] > sheet.SHOWN_SCORE
                    picture = draw.skeleton(picture, view.joints[i] * zoom, known, skeleton)
            row.append(picture)
            names = ", ".join(p["type"] for p in view.parts[i])
            loss = f"loss {1e3 * view.loss[i]:.2f}e-3" if view.loss else ""
            words.append("  ".join(w for w in (view.name, names, loss) if w))
        rows.append(row)
        captions.append(words)
    if len(shown) < 3:  # two people side by side fill the paper better
        half = (len(rows) + 1) // 2
        rows = [a + b for a, b in zip(rows[:half], [*rows[half:], []])]
        captions = [a + b for a, b in zip(captions[:half], [*captions[half:], []])]
    return draw.sheet(rows, captions, title=title, cell=CELL)


@torch.no_grad()
def preview(config: PreviewConfig) -> list[View]:
    """Write the sheet (and the gallery); returns what they show."""
    for option, allowed in (("augment", AUGMENTS), ("dataset", DATASETS), ("split", ("val", "train"))):
        if getattr(config, option) not in allowed:
            raise UserError(f"--{option}: expected one of {', '.join(allowed)}, got {getattr(config, option)!r}")
    if config.people < 1:
        raise UserError(f"--people: expected at least 1, got {config.people}")
    everybody = data.load(config.dataset, config.root, split=config.split)
    pool = _pool(config)
    networks = load_networks(config.checkpoint, len(everybody.skeleton.joints)) if config.checkpoint else None
    if networks is not None and config.augment == "asda" and networks.generator is None:
        raise UserError(f"--checkpoint {config.checkpoint}: this run had no generator (expected --augment asda)")
    if networks is not None and networks.generator is not None and pool is not None:
        types = networks.generator.types
        if types != len(pool.types):
            raise UserError(f"--pool: has {len(pool.types)} part types, the checkpoint's generator places {types}")
    usual = "256x256" if config.dataset == "demo" else PRESETS[config.dataset]["input"]
    size = parse_size(config.input or (networks.input if networks else usual))
    rows = np.unique(np.linspace(0, len(everybody) - 1, min(config.people, len(everybody))).astype(np.int64))
    few = everybody.select(rows)
    with make_loader(few, size=size, batch_size=len(few), pipeline="native", train=False) as loader:
        batch = next(iter(loader))
    shown = views(config, batch, pool, networks)
    title = f"{config.augment} on {everybody.name}, {config.parts} part{'s' * (config.parts != 1)} a person"
    draw.save(config.out, contact(shown, batch, everybody.skeleton, title))
    if config.html is not None:
        page = preview_gallery.page(shown, batch, everybody.skeleton, title)
        Path(config.html).parent.mkdir(parents=True, exist_ok=True)
        Path(config.html).write_text(page, encoding="utf-8")
    return shown


def _pool(config: PreviewConfig) -> PartPool | None:
    if config.augment not in ("sda", "asda"):
        return None
    if config.pool is None and config.dataset != "demo":
        raise UserError(f"--pool: --augment {config.augment} needs one; make it with python -m asda_fast.parts build")
    pool = PartPool.load(config.pool if config.pool else demo_pool.ready())
    if not len(pool):
        raise UserError(f"--pool {config.pool}: holds no parts")
    return pool


def main() -> None:
    config = parse_cli(lambda: tyro.cli(PreviewConfig, prog="python -m asda_fast.preview"))
    shown = preview(config)
    by_name = {view.name: view.loss for view in shown if view.loss}
    if {"random", "chosen"} <= set(by_name):
        random, chosen = (float(np.mean(by_name[k])) for k in ("random", "chosen"))
        clean = float(np.mean(by_name["clean"]))
        print(f"mean loss: clean {clean:.6f}, random placement {random:.6f}, chosen placement {chosen:.6f}")
    print(", ".join(p for p in (config.out, config.html) if p))
