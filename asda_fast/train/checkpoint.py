"""A run's folder: the whole state in last.pt, the best network, the history; atomic, and nothing in it is executed."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asda_fast import __version__, models
from asda_fast.core.errors import UserError, first_line, short
from asda_fast.core.files import finite, replacing, write_atomic
from asda_fast.core.skeleton import check_joints
from asda_fast.models.checkpoints import STATE_FORMAT as FORMAT
from asda_fast.models.weights import shorten
from asda_fast.train import optimizers
from asda_fast.train.distributed import Ranks, bare
from asda_fast.train.identity import check_same, check_skeleton
from asda_fast.train.recipe import Recipe
from asda_fast.train.setup import Parts
from asda_fast.train.tally import SUMS

NEEDED = ("config", "joints", "epoch", "step", "seconds", "sums", "history", "random", "pose", "pose_optimizer")


@dataclass
class Progress:
    """Where a run stands: two integers and what was measured so far."""

    history: list[dict[str, Any]]
    sums: torch.Tensor  # [SUMS] float64, of this epoch
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0  # spent in this epoch, also before a resume


def save(path: Path, state: dict[str, Any]) -> None:
    """Save a dictionary of tensors and plain values atomically. UserError where the disk does not take it."""
    with replacing(path) as file:
        torch.save({"format": FORMAT, **state}, file)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Load what `save` wrote. Raises UserError when the file is missing, truncated, or not one of ours."""
    if not path.is_file():
        raise UserError(f"{path}: no checkpoint here")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        why = first_line(error)
        raise UserError(f"{path}: not a readable checkpoint ({why})") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise UserError(f"{path}: expected a checkpoint of format {FORMAT}, found {found!r}")
    if not isinstance(state.get("config"), dict):
        raise UserError(f"{path}: config: expected a dictionary, got {short(state.get('config'))}")
    return state


@dataclass
class RunFolder:
    """The files of a run."""

    out: Path

    @property
    def last(self) -> Path:
        return self.out / "last.pt"

    @property
    def metrics(self) -> Path:
        return self.out / "metrics.jsonl"

    def tidy(self, history: list[dict[str, Any]]) -> None:
        """After a kill: half-written files go, and metrics.jsonl says again what the checkpoint says."""
        for partial in self.out.glob(".*.partial"):
            partial.unlink(missing_ok=True)
        write_history(self.metrics, history)

    def save(self, recipe: Recipe, parts: Parts, progress: Progress, world: int) -> None:
        """Everything that a resume needs, and the network that validated best so far."""
        networks, history = parts.networks, progress.history
        pose = bare(networks.pose)
        if progress.step == 0 and history and is_best(history):
            flat = recipe.to_dict()
            card = {key: flat[key] for key in ("model", "options", "dataset", "input")}
            card |= {"joint_names": list(parts.skeleton.joints), "skeleton": parts.skeleton.to_dict()}
            card |= {"target": networks.coding.kind}
            card |= {"joints": len(parts.skeleton.joints), "epoch": progress.epoch, "pck": history[-1]["pck"]}
            models.save(self.out / "best.safetensors", networks.judged, card)
        state = {
            "config": recipe.to_dict(), "joints": len(parts.skeleton.joints), "types": parts.types, "world": world,
            "epoch": progress.epoch, "step": progress.step, "seconds": progress.seconds, "sums": progress.sums,
            "joint_names": list(parts.skeleton.joints), "skeleton": parts.skeleton.to_dict(),
            "people": parts.people_mark, "pool": parts.pool_mark, "versions": versions(networks.device),
            "history": history, "random": random_state(), "pose": pose.state_dict(),
            "pose_optimizer": optimizers.state_of(networks.pose_optimizer),
            "average": networks.average.state_dict() if networks.average else None,
            "generator": bare(networks.generator).state_dict() if networks.generator else None,
            "generator_optimizer": (
                optimizers.state_of(networks.generator_optimizer) if networks.generator_optimizer else None
            ),
            "adversary": parts.adversary.state_dict() if parts.adversary else None,
        }  # fmt: skip
        save(self.last, state)  # last: what a resume begins with is all written
        write_history(self.metrics, history)

    def restore(self, saved: dict[str, Any], parts: Parts, ranks: Ranks) -> Progress:
        """Put a saved state into freshly built parts. UserError where it is another run's."""
        if lacking := [key for key in NEEDED if key not in saved]:
            raise UserError(f"resume: {self.last} lacks {', '.join(lacking)}")
        check_joints(self.last, saved.get("joint_names"), parts.skeleton)
        check_skeleton(self.out, saved.get("skeleton"), parts.skeleton)
        check_same("other people to train on", saved.get("people"), parts.people_mark, self.out)
        check_same("another pool of parts", saved.get("pool"), parts.pool_mark, self.out)
        world, networks = saved.get("world", 1), parts.networks
        if world != ranks.world and saved["step"]:
            raise UserError(
                f"resume: the run in {self.out} stopped within an epoch of {world} processes, not {ranks.world}"
            )
        if saved.get("types", parts.types) != parts.types:
            raise UserError(f"pool: the run in {self.out} had parts of other types: {shorten(saved['types'] or [])}")
        if not 0 <= saved["step"] <= len(parts.loader):
            raise UserError(f"resume: the run in {self.out} had more people to train on than there are now")
        try:
            bare(networks.pose).load_state_dict(saved["pose"])
            optimizers.restore(networks.pose_optimizer, saved["pose_optimizer"])
            if networks.average is not None:
                networks.average.load_state_dict(saved["average"])
            if networks.generator is not None and networks.generator_optimizer is not None:
                bare(networks.generator).load_state_dict(saved["generator"])
                optimizers.restore(networks.generator_optimizer, saved["generator_optimizer"])
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:  # tensors of another network
            why = " ".join(str(error).split())[:160]
            raise UserError(f"resume: {self.last} does not fit the run's networks: {why}") from None
        if parts.adversary is not None:
            try:
                parts.adversary.load_state_dict(saved.get("adversary") or {})
            except ValueError as error:
                raise UserError(f"resume: the run in {self.out}: {error}") from None
        if broken := networks.not_finite():
            raise UserError(f"resume: {self.last} holds values that are not finite: {broken}")
        restore_random_state(saved["random"])
        sums = torch.zeros(SUMS, dtype=torch.float64, device=ranks.device)
        sums[: len(saved["sums"])] = saved["sums"].to(ranks.device)  # an older state counted less
        return Progress(saved["history"], sums, saved["epoch"], saved["step"], saved["seconds"])


def is_best(history: list[dict[str, Any]]) -> bool:
    """Whether the last epoch validated best; not where it did not validate."""
    return "pck" in history[-1] and history[-1]["pck"] >= max(row["pck"] for row in history if "pck" in row)


def versions(device: torch.device) -> dict[str, str]:
    """What a run was made with."""
    found = {"asda_fast": __version__, "torch": str(torch.__version__), "numpy": np.__version__}
    found["python"] = platform.python_version()
    if device.type == "cuda":
        found |= {"cuda": str(torch.version.cuda), "gpu": torch.cuda.get_device_name(device)}
    return found


def write_history(path: Path, history: list[dict[str, Any]]) -> None:
    """metrics.jsonl, an object per epoch: rewritten whole, so that it never disagrees with the checkpoint."""
    write_atomic(path, "".join(json.dumps(finite(row)) + "\n" for row in history).encode())


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
