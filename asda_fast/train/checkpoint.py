"""A run's whole state in one file: written atomically, read without executing anything in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from asda_fast.core.errors import UserError
from asda_fast.core.files import replacing, write_atomic

FORMAT = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Save a dictionary of tensors and plain values atomically."""
    with replacing(path) as file:
        torch.save({"format": FORMAT, **state}, file)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Load what `save` wrote. Raises UserError when the file is missing, truncated, or not one of ours."""
    if not path.is_file():
        raise UserError(f"{path}: no checkpoint here")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        why = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise UserError(f"{path}: not a readable checkpoint ({why})") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise UserError(f"{path}: expected a checkpoint of format {FORMAT}, found {found!r}")
    return state


def write_history(path: Path, history: list[dict[str, Any]]) -> None:
    """metrics.jsonl, an object per epoch: rewritten whole, so that it never disagrees with the checkpoint."""
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in history).encode())


def random_state() -> dict[str, Any]:
    """The generators of torch. Every draw of ours is counter-based and needs none of them; a network's dropout does."""
    state = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
