"""The examples run: the plain PyTorch one as a user would, the MMPose one wherever MMEngine is installed."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from asda_fast.parts.pool import PartPool
from asda_fast.parts.types import TYPES

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def pool(tmp_path) -> Path:
    patch = np.full((20, 10, 4), 255, np.uint8)
    PartPool.from_patches([patch], type=[0], types=TYPES, person=[[30.0, 60.0]]).save(tmp_path / "pool.safetensors")
    return tmp_path / "pool.safetensors"


@pytest.mark.parametrize("example", ["plain_pytorch.py", "own_loop.py"])
def test_a_loop_of_plain_pytorch(tmp_path, pool, example):
    rng = np.random.default_rng(0)
    people = []
    for i in range(6):
        cv2.imwrite(str(tmp_path / f"{i}.jpg"), rng.integers(0, 256, (90, 70, 3), dtype=np.uint8))
        joints = np.column_stack([rng.uniform(10, 60, (17, 2)), np.full(17, 2)]).ravel().tolist()
        people.append({"image_id": i, "bbox": [10, 10, 50, 70], "keypoints": joints, "num_keypoints": 17})
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(6)]
    (tmp_path / "coco.json").write_text(json.dumps({"images": images, "annotations": people}))
    command = [sys.executable, str(EXAMPLES / example), "--pool", str(pool), "--images", str(tmp_path)]
    command += ["--annotations", str(tmp_path / "coco.json"), "--steps", "10", "--batch-size", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # so small that threads only wait for each other
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    losses = [float(line.split()[-1]) for line in done.stdout.splitlines()]
    assert len(losses) == 2
    assert losses[1] < losses[0]


def test_mmpose_preprocessor(pool, monkeypatch):
    """With MMEngine: batches are pasted while training only, in MMPose's units. Without it: the file is sound Python,
    and what it hands to SemanticPaste is done here in its place."""
    path = EXAMPLES / "mmpose_preprocessor.py"
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    photos = [torch.full((3, 64, 48), 100, dtype=torch.uint8) for _ in range(2)]
    if importlib.util.find_spec("mmengine") is None:
        ast.parse(path.read_text())
        from asda_fast import SemanticPaste

        paste = SemanticPaste(str(pool), 1, mean=[m / 255 for m in mean], std=[s / 255 for s in std])
        m, s = (torch.tensor(v)[:, None, None] for v in (mean, std))
        pasted = paste((torch.stack(photos).flip(1) - m) / s) * s + m
    else:
        monkeypatch.syspath_prepend(str(EXAMPLES))
        module = importlib.import_module("mmpose_preprocessor")  # once: it registers itself
        preprocessor = module.PastingPreprocessor(str(pool), mean=mean, std=std, bgr_to_rgb=True)
        m, s = preprocessor.mean, preprocessor.std
        clean = preprocessor({"inputs": photos}, training=False)["inputs"] * s + m
        assert torch.allclose(clean, torch.full_like(clean, 100), atol=1e-3)
        pasted = preprocessor({"inputs": photos}, training=True)["inputs"] * s + m
    values = set(pasted.round().int().unique().tolist())
    assert {100, 255} <= values  # the photo, and the white patch
    assert min(values) >= 100
    assert max(values) <= 255
