"""Where the numbers of an epoch go besides metrics.jsonl: TensorBoard, W&B, MLflow, each if it is installed.

One interface, so that another is one class: `epoch(number, values, picture)` at the end of each. A run that is resumed
goes on in the record that it began: the others' run numbers are kept in its folder.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from asda_fast.core.errors import UserError
from asda_fast.core.files import write_atomic

Name = Literal["tensorboard", "wandb", "mlflow"]  # RunOptions.log names them too: it imports nothing
NUMBERS = {"wandb": "wandb.id", "mlflow": "mlflow.id"}  # files in the run's folder


class Watcher(Protocol):
    """Somewhere that shows numbers."""

    def epoch(self, number: int, values: dict[str, float], picture: Path | None) -> None:
        """What an epoch gave; picture: its contact sheet."""

    def close(self) -> None: ...


class TensorBoard:
    def __init__(self, out: Path) -> None:
        self.folder = out / "tensorboard"

    def epoch(self, number: int, values: dict[str, float], picture: Path | None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        with SummaryWriter(str(self.folder)) as writer:
            for name, value in values.items():
                writer.add_scalar(name, value, number)

    def close(self) -> None:
        pass


class Wandb:
    """WANDB_PROJECT, WANDB_MODE and the like hold as always."""

    def __init__(self, out: Path, config: dict[str, Any]) -> None:
        import wandb

        known = _kept(out, "wandb")
        number = known or secrets.token_hex(4)
        self.wandb = wandb
        self.run = wandb.init(
            id=number, resume="allow", config=config, dir=str(out), name=out.resolve().name,
            project=None if _set("WANDB_PROJECT") else "asda_fast",
        )  # fmt: skip
        _keep(out, "wandb", number)

    def epoch(self, number: int, values: dict[str, float], picture: Path | None) -> None:
        shown = {} if picture is None else {"sheet": self.wandb.Image(str(picture))}
        self.run.log({**values, **shown}, step=number)

    def close(self) -> None:
        self.run.finish()


class MLflow:
    """MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME hold as always."""

    def __init__(self, out: Path, config: dict[str, Any]) -> None:
        import mlflow

        self.mlflow, known = mlflow, _kept(out, "mlflow")
        if not known and not _set("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
            mlflow.set_experiment("asda_fast")
        self.run = mlflow.start_run(run_id=known, run_name=None if known else out.resolve().name)
        try:
            if not known:
                mlflow.log_params(config)
                _keep(out, "mlflow", self.run.info.run_id)
        except BaseException:
            mlflow.end_run()  # else the next try finds a run that is active, and no epoch is ever told
            raise

    def epoch(self, number: int, values: dict[str, float], picture: Path | None) -> None:
        self.mlflow.log_metrics(values, step=number)
        if picture is not None:
            self.mlflow.log_artifact(str(picture), "sheets")

    def close(self) -> None:
        self.mlflow.end_run()


def check(names: Sequence[Name]) -> None:
    """UserError for one that is not installed, before anything is trained."""
    for name in names:
        spec = None if name == "tensorboard" else importlib.util.find_spec(name)
        if name != "tensorboard" and (spec is None or spec.origin is None):  # no origin: a folder of that name
            raise UserError(f"log: {name} is not installed: pip install {name}")


def watcher(name: Name, out: Path, config: dict[str, Any]) -> Watcher:
    """The one named, ready for a run in `out`. config: what the numbers are to be seen beside."""
    makers: dict[str, Callable[[], Watcher]] = {
        "tensorboard": lambda: TensorBoard(out),
        "wandb": lambda: Wandb(out, config),
        "mlflow": lambda: MLflow(out, config),
    }
    return makers[name]()


def _set(*names: str) -> bool:
    return any(os.environ.get(name) for name in names)


def _kept(out: Path, name: str) -> str | None:
    try:
        return (out / NUMBERS[name]).read_text().strip() or None
    except FileNotFoundError:
        return None


def _keep(out: Path, name: str, number: str) -> None:
    write_atomic(out / NUMBERS[name], f"{number}\n".encode())
