"""Files whole or not at all, and a disk that refuses: one error that names the file, whatever library was writing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from asda_fast.core.errors import UserError
from asda_fast.core.files import check_target, write_atomic, write_json

PROGRAM = """
import resource, sys, torch
from pathlib import Path
from asda_fast import models
from asda_fast.core.files import write_atomic
from asda_fast.train import checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # the disk takes no larger file
folder, state = Path(sys.argv[1]), {"weights": torch.rand(1 << 20)}
network = models.build("hrnet_tiny")
writers = {
    "last.pt": lambda path: checkpoint.save(path, state),
    "best.safetensors": lambda path: models.save(path, network, {"model": "hrnet_tiny", "joints": 17}),
    "plain": lambda path: write_atomic(path, bytes(1 << 20)),
    "a small file": lambda path: write_atomic(path, b"new"),
}
for name, write in writers.items():
    (folder / name).write_bytes(b"old")
    try:
        write(folder / name)
        print("written")
    except OSError as error:
        print(f"{Path(error.filename).name}: {error.strerror}")
"""


def test_a_disk_that_refuses_is_named_and_the_old_file_stays(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "last.pt: File too large", "best.safetensors: File too large", "plain: File too large", "written",
    ]  # fmt: skip
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert contents == {"last.pt": b"old", "best.safetensors": b"old", "plain": b"old", "a small file": b"new"}


def test_another_error_stays_itself(tmp_path: Path) -> None:
    from asda_fast.core.files import replacing

    with pytest.raises(FileNotFoundError, match="no-such-photo"), replacing(tmp_path / "out"):
        (tmp_path / "no-such-photo").read_bytes()
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "out"):
        print(1 // 0)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "no-such-folder" / "out"):
        pass
    assert caught.value.filename == str(tmp_path / "no-such-folder" / "out")


def test_numbers_that_are_none(tmp_path: Path) -> None:
    """JSON has no NaN."""
    write_json(tmp_path / "a.json", {"a": float("nan"), "b": [1.0, (float("inf"), 3)], "c": {"d": 2}})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": [1.0, [None, 3]], "c": {"d": 2}}
    with pytest.raises(OSError, match=f"directory: '{tmp_path}'"):
        write_json(tmp_path, {})


@pytest.mark.parametrize("path", [".", "", "/"])
def test_a_folder_without_a_name_is_no_file_to_write(path: str) -> None:
    with pytest.raises(UserError, match=r"^report [./]: Is a directory"):
        check_target("report", path)
    with pytest.raises(IsADirectoryError):
        write_atomic(Path(path), b"")
