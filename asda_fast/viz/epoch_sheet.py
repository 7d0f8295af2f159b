"""The contact sheet of an epoch: what the network was shown, and what it made of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from asda_fast.adversary import Placer, Scene
from asda_fast.adversary.scene import evaluating
from asda_fast.augment.asda import Adversarial
from asda_fast.augment.base import Augmentation, Augmented
from asda_fast.core.batch import Batch, to_uint8
from asda_fast.core.skeletons import Skeleton
from asda_fast.metrics.pck import CROP_SHARE
from asda_fast.models.coding import Coding, Heatmaps, last
from asda_fast.viz import draw

CELL = 224  # height of a picture
NOTES = (
    "Found: within 1/20 of the crop's longer side of where it is annotated. Left is warm, right is cool.",
    "Annotated: solid, round (hollow: occluded). Predicted: dashed, square; a line leads from a miss to its place.",
    "Pasted: within the black and white edge; degrees clockwise, and how far from the middle in shares of the crop.",
)


@torch.no_grad()
def write_sheet(
    path: Path,
    batch: Batch,
    augmentation: Augmentation,
    pose: nn.Module,
    adversary: Placer | None,
    skeleton: Skeleton,
    epoch: int,
    title: str = "",
    coding: Coding | None = None,
    amp: torch.dtype | None = None,
) -> Path:
    """Write a picture with a row per person: crop and annotation | prediction on it | pasted crop | prediction on that.
    Returns its path.

    amp: the type that the networks are autocast to, where `augmentation` writes it.
    """
    coding = coding or Heatmaps()
    clean = Augmented(augmentation.clean(batch))
    if isinstance(augmentation, Adversarial) and adversary is not None:
        scene = Scene.of(batch, augmentation, pose, epoch, amp=amp, trained=False, coding=coding)
        choice = adversary.choose(scene, explore=False)
        augmented = scene.paste(choice.theta, choice.slots)
    else:
        augmented = augmentation(batch, epoch)
    with evaluating(pose), nullcontext() if amp is None else torch.autocast(batch.image.device.type, amp):
        without, pasted = (
            coding.decode(last(pose(seen.image)).float())[0].cpu().numpy() for seen in (clean, augmented)
        )
    shown = to_uint8(augmented.image).cpu().numpy()
    zoom = max(1, round(CELL / batch.image.shape[1]))  # small crops are enlarged first: lines stay fine
    crops = [_enlarged(image, zoom) for image in batch.image.cpu().numpy()]
    truth, visible = batch.joints.cpu().numpy(), batch.visible.cpu().numpy()
    size = tuple(batch.image.shape[1:3])
    rows, captions = [], []
    for i, crop in enumerate(crops):
        image = _enlarged(shown[i], zoom)
        pasted_here = changed(batch.image[i].cpu().numpy(), shown[i])
        marked = draw.contour(image, np.kron(pasted_here, np.ones((zoom, zoom), bool)))
        told = [
            prediction(picture, zoom, truth[i], visible[i], joints[i], size, skeleton)
            for picture, joints in ((crop, without), (image, pasted))
        ]
        rows.append([draw.skeleton(crop, truth[i] * zoom, visible[i], skeleton), told[0], marked, told[1]])
        hidden = int((visible[i] == 1).sum())
        captions.append(
            [
                f"annotated: {int((visible[i] > 0).sum())} joints" + f", {hidden} occluded" * (hidden > 0),
                count(truth[i], visible[i], without[i], size),
                describe(augmented, i),
                f"{count(truth[i], visible[i], pasted[i], size)} with it",
            ]
        )
    return draw.save(path, draw.sheet(rows, captions, title=title, notes=NOTES, cell=CELL))


def _enlarged(image: np.ndarray, zoom: int) -> np.ndarray:
    return image if zoom == 1 else cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)


def prediction(
    picture: np.ndarray,
    zoom: int,
    truth: np.ndarray,
    visible: np.ndarray,
    joints: np.ndarray,
    size: Sequence[int],
    skeleton: Skeleton,
) -> np.ndarray:
    """A crop, enlarged `zoom` times, with the predictions of its annotated joints; misses lead to the truth."""
    known = visible > 0
    drawn = draw.skeleton(picture, joints * zoom, known, skeleton, predicted=True)
    return draw.misses(drawn, truth * zoom, joints * zoom, known & ~found(truth, visible, joints, size))


def count(truth: np.ndarray, visible: np.ndarray, joints: np.ndarray, size: Sequence[int]) -> str:
    """'12 of 15 found': of the annotated joints, occluded ones too."""
    return f"{int(found(truth, visible, joints, size).sum())} of {int((visible > 0).sum())} found"


def found(truth: np.ndarray, visible: np.ndarray, joints: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """[J] bool: the annotated joints of a person that lie within CROP_SHARE of the crop's longer side.

    truth, joints: [J, 2] crop pixels, annotated and predicted; visible: [J], 0 not annotated; size: (height, width)."""
    near: np.ndarray = np.linalg.norm(joints - truth, axis=-1) <= CROP_SHARE * max(size)
    return (visible > 0) & near


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """[H, W] bool: where two crops differ by more than rounding: what was pasted, to the pixel."""
    differs: np.ndarray = (np.abs(after.astype(np.int16) - before) > 2).any(-1)
    return differs


def placed(augmented: Augmented, i: int) -> list[tuple[str, np.ndarray]]:
    """(type, its corners [4, 2] in crop pixels) of each patch that is pasted on image i."""
    slots: Any = augmented.slots
    if slots is None or augmented.matrix is None or augmented.pool is None:
        return []
    found, types = [], augmented.pool.types
    rows = zip(slots.part[i].tolist(), slots.type[i].tolist(), augmented.matrix[i].double().cpu().numpy())
    for part, kind, matrix in rows:
        if part >= 0 and abs(np.linalg.det(matrix[:, :2])) > 1e-12:
            high, wide = augmented.pool.size[part].tolist()
            corners = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float64)
            name = types[kind] if kind < len(types) else "patch"  # of objects and regions there are no types
            found.append((name, (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T))
    return found


def outlines(augmented: Augmented, i: int) -> list[np.ndarray]:
    """The corners of each pasted patch of image i, in crop pixels."""
    return [corners for _, corners in placed(augmented, i)]


def describe(augmented: Augmented, i: int) -> str:
    """'Left-arm +12, 5% left, 10% down' of the first part of image i: degrees turned clockwise, moved from the centre
    by shares of the crop."""
    places = placed(augmented, i)
    if not places:
        return "nothing pasted"
    name, first = places[0]  # as it is drawn: not every augmentation goes by theta
    side, size = first[1] - first[0], np.array(augmented.image.shape[:1:-1])
    x, y = first.mean(0) / size - 0.5
    shift = [f"{abs(v):.0%} {way[int(v < 0)]}" for v, way in ((x, ("right", "left")), (y, ("down", "up")))]
    others = f", {len(places) - 1} more" if len(places) > 1 else ""
    turned = np.rad2deg(np.arctan2(side[1], side[0]))
    return f"{name} {turned:+.0f}, {', '.join(shift)}{others}"
