"""A scheduler's job: the command that starts a run is the one that goes on with it, also before anything was saved."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asda_fast.train import checkpoint
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.run import train

RECIPE = {"limit": 24, "batch_size": 8, "epochs": 1, "input": "64x64"}
KILLED = """
import json, os, signal, sys
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.run import train
from asda_fast.train.trainer import Trainer
learn, steps = Trainer.learn, []

def killed(self, batch):
    learn(self, batch)
    steps.append(1)
    if len(steps) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

Trainer.learn = killed
run = RunOptions(out=sys.argv[2], device="cpu", pipeline="native", resume=True)
train(Recipe.from_dict(json.loads(sys.argv[1])), run)
"""


def test_killed_before_the_first_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, out = Recipe.from_dict(RECIPE), tmp_path / "run"
    done = subprocess.run([sys.executable, "-c", KILLED, json.dumps(RECIPE), str(out)], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert f"nothing is saved in {out} yet" in done.stdout.replace("\n", "")
    assert not (out / "last.pt").exists()
    capsys.readouterr()
    torch.manual_seed(99)  # whatever state the next process happens to be in
    train(recipe, RunOptions(out=str(out), device="cpu", pipeline="native", resume=True))
    assert "nothing is saved" in capsys.readouterr().out
    train(recipe, RunOptions(out=str(tmp_path / "whole"), device="cpu", pipeline="native"))
    killed, whole = (checkpoint.load(place / "last.pt") for place in (out, tmp_path / "whole"))
    for network in ("pose", "generator"):
        for key, value in whole[network].items():
            assert torch.equal(value, killed[network][key]), f"{network}.{key}"
    assert [path for path in tmp_path.iterdir() if "old" in path.name] == []
    train(recipe, RunOptions(out=str(out), device="cpu", pipeline="native", resume=True))  # and once it is finished
    assert checkpoint.load(out / "last.pt")["epoch"] == 1
