"""A checkpoint is whole or not there, and reading one executes nothing."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest
import torch

from asda_fast.core.errors import UserError
from asda_fast.train import checkpoint as state


def test_round_trip(tmp_path: Path) -> None:
    value = {"config": {}, "epoch": 3, "weights": torch.arange(4.0), "history": [{"pck": 0.5}], "name": "run"}
    state.save(tmp_path / "last.pt", value)
    loaded = state.load(tmp_path / "last.pt")
    assert torch.equal(loaded.pop("weights"), value.pop("weights"))
    assert loaded == {"format": state.FORMAT, **value}
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    state.save(path, {"config": {}, "epoch": 1})

    def broken(value: object, file: object) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        state.save(path, {"epoch": 2})
    assert state.load(path)["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_stranger_cannot_run_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    path = tmp_path / "evil.pt"
    torch.save({"format": 1, "x": Evil()}, path)
    with pytest.raises(UserError, match=re.escape(str(path))):
        state.load(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match=re.escape(str(path))):
        state.load(path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "foreign", "format"])
def test_a_damaged_file_is_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "last.pt"
    state.save(path, {"weights": torch.arange(1000.0)})
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "foreign":
        torch.save([1, 2], path)
    else:
        torch.save({"format": 999}, path)
    with pytest.raises(UserError) as caught:
        state.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_history_is_an_object_per_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    state.write_history(path, [{"epoch": 1, "pck": 0.1}, {"epoch": 2, "pck": 0.2}])
    state.write_history(path, [{"epoch": 1, "pck": 0.1}])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"epoch": 1, "pck": 0.1}]
