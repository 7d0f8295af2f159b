"""What this machine offers a process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from asda_fast.core.errors import UserError

if TYPE_CHECKING:
    import torch


def cores() -> int:
    """The cores that this process may use: of those of the machine, its share among the processes of a run on it."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, count // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))  # torchrun's


def find_device(name: torch.device | str) -> torch.device:
    """What torch calls so, a GPU with its number. UserError for what is no device, or a GPU that torch does not see."""
    import torch

    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise UserError(f"device: expected one of torch's, such as cuda:0, got {name!r}") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device: {device} was asked for, but torch sees no GPU")
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    if device.type == "cuda" and device.index >= torch.cuda.device_count():
        raise UserError(f"device: {device} was asked for, but torch sees {torch.cuda.device_count()} GPUs")
    return device


def choose_device(name: str) -> torch.device:
    """auto | cpu | cuda -> the device. Raises UserError when cuda is asked for and there is none."""
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"device: expected auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        why = "torch was built without CUDA" if torch.version.cuda is None else "torch sees no GPU"
        raise UserError(f"device cuda: {why} on this machine; use cpu or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
