"""The main job: every mode trains, a resumed run is the uninterrupted one, a user's mistake is one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from asda_fast import data, models
from asda_fast.core.errors import UserError
from asda_fast.parts.pool import PartPool
from asda_fast.train import checkpoint as state
from asda_fast.train import distributed
from asda_fast.train.checkpoint import RunFolder
from asda_fast.train.console import Console
from asda_fast.train.place import make_room
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.run import train
from asda_fast.train.setup import prepare
from asda_fast.train.trainer import Trainer

SMALL: dict[str, Any] = {"limit": 24, "batch_size": 8, "epochs": 1, "input": "64x64", "device": "cpu"}


def run_options(**flat: Any) -> tuple[Recipe, RunOptions]:
    """Flat options, as on the command line -> what `train` takes."""
    free = {field.name for field in fields(RunOptions)}
    return Recipe.from_dict(flat), RunOptions(**{key: value for key, value in flat.items() if key in free})


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("augment", "update", "pipeline"),
    [
        ("none", "alternate", "native"),
        ("none", "alternate", "dali"),
        ("sda", "alternate", "native"),
        ("asda", "alternate", "dali"),
        ("asda", "joint", "native"),
        ("cutout", "alternate", "native"),
        ("ror", "alternate", "native"),
    ],
)
def test_every_mode_trains(augment: str, update: str, pipeline: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(*run_options(augment=augment, update=update, pipeline=pipeline, out=str(out), parts=2, **SMALL))
    (row,) = rows(out)
    assert row["epoch"] == 1
    assert row["loss_d"] > 0
    assert 0 <= row["pck"] <= 100
    assert (row["loss_g"] is not None and row["loss_g"] < 0) == (augment == "asda")
    saved = state.load(out / "last.pt")
    assert (saved["epoch"], saved["step"], saved["generator"] is not None) == (1, 0, augment == "asda")
    assert (out / "sheets" / "epoch-001.jpg").stat().st_size > 10_000
    assert list((out / "tensorboard").iterdir())


@pytest.mark.parametrize(
    ("pipeline", "update", "stop"),  # 5: in the middle of the second epoch; 6: after its last step
    [("native", "alternate", 5), ("native", "joint", 6), ("dali", "alternate", 5), ("dali", "joint", 5)],
)
def test_a_resumed_run_ends_with_the_same_weights(
    pipeline: str, update: str, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {**SMALL, "epochs": 2, "pipeline": pipeline, "update": update}
    train(*run_options(out=str(tmp_path / "whole"), **config))

    learn, seen = Trainer.learn, []

    def interrupted(self: Trainer, batch: Any) -> None:
        learn(self, batch)
        seen.append(batch.row)
        if len(seen) == stop:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Trainer, "learn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(*run_options(out=str(tmp_path / "parts"), **config))
    saved = state.load(tmp_path / "parts" / "last.pt")
    assert (saved["epoch"], saved["step"]) == (1, stop - 3)
    torch.manual_seed(99)  # whatever state the next process happens to be in
    train(*run_options(out=str(tmp_path / "parts"), resume=True, **config))

    whole, parts = (state.load(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    for network in ("pose", "generator"):
        for key, value in whole[network].items():
            assert torch.equal(value, parts[network][key]), f"{network}.{key}"
    timing = {"seconds", "images_per_second"}
    for a, b in zip(rows(tmp_path / "whole"), rows(tmp_path / "parts"), strict=True):
        assert {k: v for k, v in a.items() if k not in timing} == {k: v for k, v in b.items() if k not in timing}


def test_an_earlier_run_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "run"
    for expected in (None, tmp_path / "run.old-1", tmp_path / "run.old-2"):
        assert make_room(out) == expected
        (out / "last.pt").write_bytes(b"x")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "asda_fast.train", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--device", "cuda"], "--device cuda"),
        (["--dataset", "coco", "--root", "{tmp}/nowhere"], "nowhere"),
        (["--pool", "{tmp}/empty.safetensors"], "empty.safetensors"),
        (["--pool", "{tmp}/torn.safetensors"], "torn.safetensors"),
        (["--model", "hrnet_w33"], "hrnet_w33"),
        (["--pipeline", "ffcv"], "ffcv"),
        (["--resume"], "last.pt"),
        (["--input", "big"], "--input"),
        (["--epoch", "3"], "perhaps you meant --epochs"),
        (["--epochs", "x"], "--epochs: expected a whole number, got 'x'"),
        (["--scale-range", "1"], "Missing value for argument '--scale-range'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_code_2(arguments: list[str], says: str, tmp_path: Path) -> None:
    if "--device" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU: --device cuda is no mistake")
    PartPool.from_patches([]).save(tmp_path / "empty.safetensors")
    (tmp_path / "torn.safetensors").write_bytes((tmp_path / "empty.safetensors").read_bytes()[:20])
    if "--resume" in arguments:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "last.pt").write_bytes(b"torn")
    arguments = [a.replace("{tmp}", str(tmp_path)) for a in arguments]
    done = run(*arguments, "--out", str(tmp_path / "run"), "--limit", "8")
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_two_ranks_learn_one_network(tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ["--limit", "32", "--batch-size", "8", "--epochs", "1", "--input", "64x64", "--device", "cpu"]
    options += ["--pipeline", "native", "--out", str(out)]
    options += ["--accumulate", "2", "--ema", "0.9", "--clip-gradient", "1", "--freeze", "conv1", "--warmup", "1e"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29655"]
    done = subprocess.run(
        [*command, "-m", "asda_fast.train", *options], capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (row,) = rows(out)
    assert row["loss_d"] > 0
    saved = state.load(out / "last.pt")
    assert not any(key.startswith("module.") for key in (*saved["pose"], *saved["average"]["weights"]))
    assert saved["average"]["steps"] == 1  # two batches of each rank
    assert not torch.equal(saved["average"]["weights"]["conv2.weight"], saved["pose"]["conv2.weight"])


def test_a_signal_to_one_rank_stops_all_at_one_step(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    out = tmp_path / "run"
    options = ["--batch-size", "2", "--input", "64x64", "--device", "cpu", "--pipeline", "native", "--save-every", "10"]
    command = [sys.executable, "-m", "asda_fast.train", *options, "--augment", "none", "--out", str(out)]
    run_of = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            command, env={**os.environ, **run_of, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stderr=subprocess.PIPE
        )
        for rank in range(2)
    ]
    try:
        deadline = time.monotonic() + 120
        while not (out / "last.pt").is_file() and time.monotonic() < deadline:
            time.sleep(0.1)
        ranks[1].send_signal(signal.SIGTERM)
        codes = [rank.wait(timeout=120) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert codes == [130, 130], [rank.stderr.read() for rank in ranks if rank.stderr]
    saved = state.load(out / "last.pt")
    assert saved["world"] == 2
    assert saved["step"] % 10 == 0
    with pytest.raises(UserError, match="stopped within an epoch of 2 processes, not 1"):
        train(
            *run_options(
                batch_size=2, input="64x64", device="cpu", pipeline="native", save_every=10, augment="none",
                out=str(out), resume=True,
            )
        )  # fmt: skip


def test_a_signal_during_validation_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = Trainer.evaluate

    def signalled(self: Trainer) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(self)

    config = {**SMALL, "augment": "none", "pipeline": "native", "out": str(tmp_path / "run")}
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "evaluate", signalled)
        with pytest.raises(KeyboardInterrupt):
            train(*run_options(**config))
    saved = state.load(tmp_path / "run" / "last.pt")
    assert (saved["epoch"], saved["step"], saved["history"]) == (0, 3, [])
    train(*run_options(resume=True, **{**config, "epochs": None}))  # as many epochs as it was begun with
    assert [row["epoch"] for row in rows(tmp_path / "run")] == [1]


@pytest.mark.parametrize("nohup", [False, True])
def test_a_terminal_that_goes_loses_nothing(nohup: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn = Trainer.learn

    def hung_up(self: Trainer, batch: Any) -> None:
        learn(self, batch)
        if self.progress.step == 1:
            for _ in range(2):  # from the shell, and from the kernel
                os.kill(os.getpid(), signal.SIGHUP)

    monkeypatch.setattr(Trainer, "learn", hung_up)
    config = {**SMALL, "augment": "none", "pipeline": "native", "out": str(tmp_path / "run")}
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else _unsaved)
    try:
        with nullcontext() if nohup else pytest.raises(KeyboardInterrupt, match="the state is in"):
            train(*run_options(**config))
    finally:
        signal.signal(signal.SIGHUP, before)
    saved = state.load(tmp_path / "run" / "last.pt")
    assert (saved["epoch"], saved["step"]) == ((SMALL["epochs"], 0) if nohup else (0, 2))


def _unsaved(number: int, frame: Any) -> None:
    raise RuntimeError("nobody heard it")


def test_bad_photos_are_skipped_on_the_sheet_too(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    shutil.copytree(data.demo_root(), root)
    for photo in sorted((root / "val").iterdir())[:3]:
        photo.write_bytes(b"x")
    options: dict[str, Any] = {"root": str(root), "augment": "none", "pipeline": "native", "on_bad_image": "skip"}
    train(*run_options(**SMALL, **options, out=str(tmp_path / "run")))
    assert (tmp_path / "run" / "sheets" / "epoch-001.jpg").is_file()


def test_a_network_that_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    options: dict[str, Any] = {"augment": "none", "pipeline": "native", "lr": 1e30, "save_every": 2}
    with pytest.raises(UserError, match=r"L_D became .* try a lower `lr`"):
        train(*run_options(**SMALL, **options, out=str(tmp_path / "run")))
    assert not (tmp_path / "run" / "last.pt").exists()


@pytest.mark.parametrize("which", ["pose", "generator"])
def test_a_network_that_broke_stops_the_run_before_it_is_saved(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A weight that no longer counts in the loss, or a generator whose answers are not finite: asda would be none."""
    learn = Trainer.learn

    def broken(self: Trainer, batch: Any) -> None:
        learn(self, batch)
        if self.progress.epoch == 1:
            network = self.parts.networks.pose if which == "pose" else self.parts.networks.generator
            next(network.buffers() if which == "pose" else network.parameters()).data.fill_(float("nan"))

    options = {**SMALL, "epochs": 2, "augment": "asda", "pipeline": "native", "out": str(tmp_path / "run")}
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "learn", broken)
        with pytest.raises(UserError, match=r"not finite|became nan") as caught:
            train(*run_options(**options))
    assert "last good state is in" in str(caught.value)
    assert ("generator" in str(caught.value)) == (which == "generator")
    saved = state.load(tmp_path / "run" / "last.pt")
    assert saved["epoch"] == 1
    assert all(v.isfinite().all() for part in ("pose", "generator") for v in saved[part].values())
    assert [row["pasted"] > 0.5 for row in rows(tmp_path / "run")] == [True]


@pytest.mark.parametrize(
    "mode",
    [
        {"augment": "none"},
        {"augment": "asda", "update": "alternate"},
        {"augment": "asda", "update": "joint"},
        {"augment": "asda", "adversary": "search"},
        {"augment": "asda", "adversary": "cover", "clean_pass": True},
        {"augment": "asda", "adversary": "critic"},
        {"augment": "asda", "adversary": "critic", "verify": 2, "clean_pass": True, "half_resolution": True},
    ],
    ids=str,
)
def test_a_step_does_not_wait_for_the_device(cuda: torch.device, mode: dict[str, Any], tmp_path: Path) -> None:
    options: dict[str, Any] = {**SMALL, "device": cuda.type, "pipeline": "native", **mode}
    recipe, run = run_options(**options, out=str(tmp_path / "run"))
    recipe, ranks, console = recipe.resolved(), distributed.start(cuda.type), Console(enabled=False)
    parts = prepare(recipe, run, ranks, console.say)
    training = Trainer(recipe, run, parts, RunFolder(tmp_path / "run"), ranks, console)
    batches = list(parts.loader)
    training.learn(batches[0])  # compiles kernels, makes the optimizers' state
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        training.learn(batches[1])
    finally:
        torch.cuda.set_sync_debug_mode("default")
        parts.close()


def test_a_look_at_the_validation_people_every_so_many_epochs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    train(*run_options(augment="none", pipeline="native", validate_every=2, out=str(out), **{**SMALL, "epochs": 3}))
    assert ["pck" in row for row in rows(out)] == [False, True, True]  # the last epoch always has one
    assert [path.name for path in sorted((out / "sheets").iterdir())] == ["epoch-002.jpg", "epoch-003.jpg"]
    best = max(rows(out)[1:], key=lambda row: (row["pck"], row["epoch"]))
    assert models.checkpoints.read(out / "best.safetensors").config["epoch"] == best["epoch"]
    printed = capsys.readouterr().out.splitlines()
    assert [" (val)" in line for line in printed if line.startswith("epoch ")] == [False, True, True]


def test_what_is_said_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Console().say("epoch 1: " + 30 * "word " + "[bold] +- 0.12")  # longer than 80 columns, which a log has not got
    shown = capsys.readouterr().out
    assert shown.count("\n") == 1 and shown.endswith("[bold] +- 0.12\n")
