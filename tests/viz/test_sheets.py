"""Contact sheets: captions count found joints, truth and prediction differ without colours, pastes are marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from asda_fast import data
from asda_fast.augment.options import PasteOptions
from asda_fast.core.skeletons import COCO
from asda_fast.models import heatmaps
from asda_fast.parts.pool import PartPool
from asda_fast.parts.types import TYPES
from asda_fast.pipelines.loader import make_loader
from asda_fast.viz import draw, epoch_sheet

GREY = np.full((128, 128, 3), 128, np.uint8)
JOINTS = np.random.default_rng(0).uniform(10, 118, (17, 2))
SEEN = np.full(17, 2)


class Oracle(torch.nn.Module):
    """Predicts the annotated joints, but for the first `wrong`, which it puts into the crop's corner."""

    def __init__(self, batch: Any, wrong: int) -> None:
        super().__init__()
        joints = batch.joints.clone()
        joints[:, :wrong] = 0.5
        self.maps, _ = heatmaps.heatmaps(joints, torch.full_like(batch.visible, 2), (64, 64), 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.maps


@pytest.mark.parametrize("wrong", [0, 5])
def test_captions_count_found_joints(wrong: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = data.load("demo", split="val").select(np.arange(3))
    with make_loader(few, size=(64, 64), batch_size=3, pipeline="native", train=False) as loader:
        batch = next(iter(loader))
    batch.visible[0, 10:] = 0  # not annotated: neither found nor missed
    patch = torch.full((30, 12, 4), 255, dtype=torch.uint8)
    pool = PartPool.from_patches([patch], type=torch.tensor([0]), types=TYPES, person=torch.tensor([[60.0, 120.0]]))
    augmentation = PasteOptions(augment="sda").build(pool, 0)
    told: dict[str, Any] = {}
    monkeypatch.setattr(draw, "sheet", lambda rows, captions, **more: told.update(captions=captions, rows=rows) or GREY)
    epoch_sheet.write_sheet(tmp_path / "a.jpg", batch, augmentation, Oracle(batch, wrong), None, few.skeleton, 0)
    for i, (annotated, without, _, with_it) in enumerate(told["captions"]):
        known = int((batch.visible[i] > 0).sum())
        expected = f"{known - int((batch.visible[i, :wrong] > 0).sum())} of {known} found"
        assert annotated.startswith(f"annotated: {known} joints")
        assert (without, with_it) == (expected, f"{expected} with it")


def test_truth_and_prediction_differ_without_colour() -> None:
    drawn = [draw.skeleton(GREY, JOINTS, SEEN, COCO, predicted=p) for p in (False, True)]
    truth, predicted = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(int) for image in drawn)
    one = np.array([[30.0, 64.0], [98.0, 64.0]])
    assert (np.abs(truth - predicted) > 30).mean() > 0.02
    dashes = draw._dashes(*one, 5.0)
    assert len(dashes) == 7  # with six gaps as long
    assert np.allclose([dashes[0][0], dashes[-1][1]], one)


def test_a_miss_leads_to_where_the_joint_is() -> None:
    missed = np.zeros(17, bool)
    assert np.array_equal(draw.misses(GREY, JOINTS, JOINTS + 20, missed), GREY)
    missed[3] = True
    drawn = (draw.misses(GREY, JOINTS, JOINTS + 20, missed) != GREY).any(-1)
    x, y = np.round(JOINTS[3] + 10).astype(int)  # half way
    assert drawn[y - 1 : y + 2, x - 1 : x + 2].any()
    assert drawn.sum() < 600


@pytest.mark.parametrize("size", [(64, 64), (256, 192)])
def test_found_is_a_share_of_the_crops_longer_side(size: tuple[int, int]) -> None:
    limit = 0.05 * max(size)
    truth = np.zeros((4, 2))
    joints = np.array([[limit - 0.01, 0], [0, limit + 0.01], [0, 0], [np.nan, 0]])
    assert epoch_sheet.found(truth, np.array([2, 2, 0, 1]), joints, size).tolist() == [True, False, False, False]


def test_what_was_pasted_is_marked_to_the_pixel() -> None:
    after = GREY.copy()
    after[40:60, 30:50] = (200, 10, 10)
    after[0, 0] += 1  # rounding
    mask = epoch_sheet.changed(GREY, after)
    assert mask.sum() == 400
    edge = (draw.contour(after, mask) != after).any(-1)
    assert edge[40, 40] and edge[50, 30] and not edge[50, 40] and not edge[:36].any()
