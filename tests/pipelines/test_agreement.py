"""DALI and native on real photos: the same people, joints, and crops within one grey level."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asda_fast import make_loader
from asda_fast.data import GlobalAug, load

pytest.importorskip("nvidia.dali", reason="DALI is an extra")

SETS = {
    "coco": ("coco_mini", "val", (256, 192), GlobalAug(rotation=40, scale=0.3, half_body=0.3)),
    "lsp": ("lspet", "val", (128, 128), GlobalAug()),
    "mpii": ("mmpose_mpii", "val", (256, 256), GlobalAug()),
}


@pytest.mark.parametrize("name", SETS)
def test_an_epoch_of_real_photos(shared_data: Path, name: str) -> None:
    folder, split, size, aug = SETS[name]
    people = load(name, shared_data / folder, split)
    loaders = [make_loader(people, size, 16, p, aug=aug, drop_last=False, seed=1) for p in ("dali", "native")]
    seen, worst, total = 0, 0.0, 0.0
    for a, b in zip(*loaders):
        for column in ("row", "joints", "visible", "matrix", "box", "flip", "half"):
            assert torch.equal(getattr(a, column), getattr(b, column)), column
        difference = (a.image.short() - b.image.short()).abs().float().mean((1, 2, 3))
        worst, total, seen = max(worst, difference.max().item()), total + difference.sum().item(), seen + len(a)
    for loader in loaders:
        loader.close()
    assert seen == len(people)
    assert total / seen < 0.2, f"mean over the epoch {total / seen:.3f}, worst crop {worst:.3f}"
    assert worst < 1
