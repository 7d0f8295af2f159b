"""Checkpoints: our own and a training run's (`models.load`), and other people's, to start a network from."""

from __future__ import annotations

import copy
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asda_fast import models
from benchmarks.fuzz.harness import Reader

MODEL, OPTIONS = "simple_r50", {"depth": 18, "width": 4, "planes": 8}  # the fewest tensors: most of a try's time
MUTATED = ("conv1.weight", "bn1.running_var", "bn1.num_batches_tracked", "final_layer.weight", "layer1.0.conv2.weight")
CONFIG = {"model": MODEL, "options": OPTIONS, "dataset": "demo", "input": "64x64"}


@cache
def _network() -> torch.nn.Module:
    torch.manual_seed(0)
    return models.build(MODEL, joints=3, **OPTIONS)


def _state() -> Any:
    return {key: _network().state_dict()[key].numpy().copy() for key in MUTATED}


def _whole(changed: Any) -> dict[str, Any]:
    """The network's tensors, with those of MUTATED as they are now."""
    kept = {key: value for key, value in _network().state_dict().items() if key not in MUTATED}
    return kept | {key: _tensor(value) for key, value in changed.items()}


def _tensor(value: Any) -> Any:
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value


def _saved(content: Any, old: bool = False) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, _use_new_zipfile_serialization=not old)
    return out.getvalue()


def _load(folder: Path) -> None:
    (path,) = folder.iterdir()
    model = models.load(path)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def _start(folder: Path) -> None:
    (path,) = folder.iterdir()
    model = copy.deepcopy(_network())
    models.load_into(model, path)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def _ours(tree: Any) -> dict[str, bytes]:
    from safetensors.torch import save

    tensors = {k: v.clone().contiguous() for k, v in _whole(tree["state"]).items()}
    return {"p.safetensors": save(tensors, {"format": "asda_fast-1", "config": json.dumps(tree["config"])})}


def _run(tree: Any) -> dict[str, bytes]:
    return {"p.pt": _saved({**tree, "pose": _whole(tree["pose"])})}


def _theirs(tree: Any) -> dict[str, bytes]:
    state = {f"module.{key}": value for key, value in _whole(tree["state_dict"]).items()}
    return {"p.pth": _saved({**tree, "state_dict": state}, old=True)}


safetensors = Reader(lambda: {"config": {**CONFIG, "joints": 3}, "state": _state()}, _ours, _load)
last = Reader(
    lambda: {"format": 1, "joints": 3, "config": dict(CONFIG), "pose": _state(), "generator": None}, _run, _load
)
foreign = Reader(lambda: {"epoch": 3, "state_dict": _state(), "meta": {"a": 1}}, _theirs, _start)
