"""Who is told an epoch's numbers. W&B and MLflow for real where they are installed, else by their calls."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asda_fast.core.errors import UserError
from asda_fast.train import watch
from asda_fast.train.recipe import RunOptions
from asda_fast.train.report import Report


def test_one_that_is_not_installed_is_said_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    watch.check(("tensorboard",))
    with pytest.raises(UserError, match=r"^log: wandb is not installed: pip install wandb$"):
        watch.check(("tensorboard", "wandb"))
    with pytest.raises(UserError, match=r"^log: expected one of tensorboard, wandb, mlflow, got 'wandbb'"):
        RunOptions(log=("wandbb",))  # type: ignore[arg-type]


class Recorder:
    """What W&B and MLflow are asked, in the shape of both modules."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.Image = str

    def init(self, **options: Any) -> Recorder:
        self.calls.append(("init", options["id"]))
        return self

    def log(self, values: dict[str, Any], step: int) -> None:
        self.calls.append(("log", (step, values)))

    def finish(self) -> None:
        self.calls.append(("finish", None))

    def set_experiment(self, name: str) -> None:
        self.calls.append(("experiment", name))

    def start_run(self, run_id: str | None, run_name: str | None) -> Any:
        self.calls.append(("start", run_id))
        return SimpleNamespace(info=SimpleNamespace(run_id="abc"))

    def log_params(self, values: dict[str, Any]) -> None:
        self.calls.append(("params", values))

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        self.calls.append(("log", (step, values)))

    def log_artifact(self, path: str, folder: str) -> None:
        self.calls.append(("picture", path))

    def end_run(self) -> None:
        self.calls.append(("finish", None))


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_resumed_run_goes_on_in_its_record(name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(variable, raising=False)
    asked = []
    for epoch in (1, 2):
        recorder = Recorder()
        monkeypatch.setitem(sys.modules, name, recorder)  # type: ignore[arg-type]
        watcher = watch.watcher(name, tmp_path, {"lr": 1e-3})
        watcher.epoch(epoch, {"pck": 20.0}, tmp_path / "sheet.jpg")
        watcher.close()
        asked.append(recorder.calls)
        assert any(call == "log" and what[0] == epoch and what[1]["pck"] == 20.0 for call, what in recorder.calls)
        assert recorder.calls[-1] == ("finish", None)
    begin = {"wandb": "init", "mlflow": "start"}[name]
    number = dict(asked[1])[begin]
    assert number and dict(asked[0])[begin] == (number if name == "wandb" else None)
    assert ("params" in dict(asked[0]), "params" in dict(asked[1])) == (name == "mlflow", False)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_the_real_package_takes_an_epoch(name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    (tmp_path / "run").mkdir()
    for epoch in (1, 2):
        watcher = watch.watcher(name, tmp_path / "run", {"lr": 1e-3})
        watcher.epoch(epoch, {"pck": 20.0}, None)
        watcher.close()
    assert (tmp_path / "run" / f"{name}.id").read_text().strip()


def test_a_folder_of_its_name_is_not_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B leaves a folder called wandb wherever it was run."""
    (tmp_path / "mlflow").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    importlib.invalidate_caches()
    with pytest.raises(UserError, match=r"^log: mlflow is not installed"):
        watch.check(("mlflow",))


def test_a_record_that_refuses_its_beginning_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(Recorder):
        def log_params(self, values: dict[str, Any]) -> None:
            raise RuntimeError("too long")

    recorder = Refusing()
    monkeypatch.setitem(sys.modules, "mlflow", recorder)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="too long"):
        watch.watcher("mlflow", tmp_path, {})
    assert recorder.calls[-1] == ("finish", None)  # mlflow refuses a second run beside an active one
    assert not (tmp_path / "mlflow.id").exists()


def test_one_that_cannot_be_closed_stops_neither_the_run_nor_the_others() -> None:
    said: list[str] = []
    report = Report(*[SimpleNamespace(say=said.append)] * 5)  # type: ignore[arg-type]
    recorder = Recorder()
    report._watchers = {"wandb": SimpleNamespace(close=lambda: 1 / 0), "mlflow": SimpleNamespace(close=recorder.finish)}  # type: ignore[dict-item]
    report.close()
    assert said == ["log: wandb was not told the end of the run: division by zero"]
    assert recorder.calls == [("finish", None)]
