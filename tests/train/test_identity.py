"""A run knows its people, joints, parts and part types again, and keeps its folder to itself."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from asda_fast import data
from asda_fast.core.errors import UserError
from asda_fast.parts.pool import PartPool
from asda_fast.train import checkpoint
from asda_fast.train.place import held
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.run import train

SMALL: dict[str, Any] = {
    "limit": 8, "batch_size": 4, "epochs": 1, "input": "64x64", "device": "cpu", "pipeline": "native",
    "augment": "none", "hardness_people": 0,
}  # fmt: skip


def go(**flat: Any) -> None:
    free = {field.name for field in fields(RunOptions)}
    train(Recipe.from_dict(flat), RunOptions(**{key: value for key, value in flat.items() if key in free}))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    go(**SMALL, out=str(out))
    return out


def copy(run: Path, tmp_path: Path, change: Any = None) -> Path:
    out = tmp_path / "run"
    shutil.copytree(run, out)
    if change is not None:
        state = torch.load(out / "last.pt", weights_only=True)
        change(state)
        torch.save(state, out / "last.pt")
    return out


def test_other_people_are_not_gone_on_with(run: Path, tmp_path: Path) -> None:
    root = tmp_path / "demo"
    shutil.copytree(data.demo_root(), root)
    file = root / "annotations" / "person_keypoints_train.json"
    table = json.loads(file.read_text())
    for annotation in table["annotations"]:
        annotation["keypoints"][0] += 3
    file.write_text(json.dumps(table))
    with pytest.raises(UserError, match="other people to train on"):
        go(**{**SMALL, "epochs": 2}, root=str(root), out=str(copy(run, tmp_path)), resume=True)


@pytest.mark.parametrize("key", checkpoint.NEEDED[1:])
def test_a_state_that_lacks_something_is_one_line(run: Path, tmp_path: Path, key: str) -> None:
    out = copy(run, tmp_path, lambda state: state.pop(key))
    with pytest.raises(UserError, match=key) as caught:
        go(**{**SMALL, "epochs": 2}, out=str(out), resume=True)
    assert "\n" not in str(caught.value)


def test_another_networks_state_is_one_line(run: Path, tmp_path: Path) -> None:
    def change(state: dict[str, Any]) -> None:
        name = next(iter(state["pose"]))
        state["pose"][name] = state["pose"][name][:1]

    with pytest.raises(UserError, match="does not fit the run's networks") as caught:
        go(**{**SMALL, "epochs": 2}, out=str(copy(run, tmp_path, change)), resume=True)
    assert "\n" not in str(caught.value)


def test_another_skeleton_of_as_many_joints(run: Path, tmp_path: Path) -> None:
    def change(state: dict[str, Any]) -> None:
        state["joint_names"][3] = "tail"

    with pytest.raises(UserError, match=r"joint 3 is 'tail'.*'left_ear'"):
        go(**{**SMALL, "epochs": 2}, out=str(copy(run, tmp_path, change)), resume=True)


def test_a_generator_of_types_in_another_order(tmp_path: Path) -> None:
    patch = torch.full((20, 12, 4), 255, dtype=torch.uint8)
    person = torch.tensor([[40.0, 80.0]] * 2)
    kinds = torch.tensor([0, 1])
    for name, types in (("a", ["Hat", "Face"]), ("b", ["Face", "Hat"])):
        PartPool.from_patches([patch, patch], type=kinds, types=types, person=person).save(tmp_path / name)
    options = {**SMALL, "augment": "asda"}
    go(**options, pool=str(tmp_path / "a"), out=str(tmp_path / "run"))
    first = str(tmp_path / "run" / "last.pt")
    with pytest.raises(UserError, match=r"places Hat, Face, \.\.; the pool has Face, Hat, \.\."):
        go(**options, pool=str(tmp_path / "b"), generator_init=first, out=str(tmp_path / "other"))
    with pytest.raises(UserError, match=r"another pool of parts|parts of other types"):
        go(**{**options, "epochs": 2}, pool=str(tmp_path / "b"), out=str(tmp_path / "run"), resume=True)


def test_nothing_pasted_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    go(**{**SMALL, "augment": "cutout", "augment_options": ("probability=0.0",)}, out=str(tmp_path / "run"))
    assert "nobody got anything pasted in epoch 1" in " ".join(capsys.readouterr().out.split())


def test_one_run_in_a_folder(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(UserError, match="another run writes there"), held(tmp_path):
        pass
    with held(tmp_path):  # let go of
        pass


def test_a_live_run_is_not_set_aside(run: Path, tmp_path: Path) -> None:
    out = copy(run, tmp_path)
    with held(out), pytest.raises(UserError, match="another run writes there"):
        go(**SMALL, out=str(out))
    assert (out / "last.pt").is_file() and not (tmp_path / "run.old-1").exists()
