"""Where a run goes: an earlier one is kept, a folder of any kind stays what it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asda_fast.core.errors import UserError
from asda_fast.train.place import make_room

OLD = {"last.pt": "state", "metrics.jsonl": "{}", "best.safetensors": "net", "best.json": "{}"}


def run_in(folder: Path) -> None:
    """What a run leaves, and a file of the user's own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in OLD.items():
        (folder / name).write_text(text)
    (folder / "sheets").mkdir()
    (folder / "sheets" / "epoch-001.png").write_text("sheet")
    (folder / "notes.txt").write_text("mine")


def holds_the_run(folder: Path) -> bool:
    found = {name: (folder / name).read_text() for name in OLD}
    return found == OLD and (folder / "sheets" / "epoch-001.png").is_file()


def test_a_new_folder(tmp_path: Path) -> None:
    assert make_room(tmp_path / "a" / "b") is None
    assert (tmp_path / "a" / "b").is_dir()


def test_an_earlier_run_is_renamed_as_a_whole(tmp_path: Path) -> None:
    for number in (1, 2):
        run_in(tmp_path / "run")
        assert make_room(tmp_path / "run") == tmp_path / f"run.old-{number}"
        assert holds_the_run(tmp_path / f"run.old-{number}")
        assert list((tmp_path / "run").iterdir()) == []


def test_a_folder_without_a_run_keeps_its_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".last.pt.123.partial").write_text("what a kill left")
    assert make_room(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("out", [".", "../here", "inner/.."])
def test_the_working_folder_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str) -> None:
    here = tmp_path / "here"
    run_in(here)
    (here / "inner").mkdir()
    monkeypatch.chdir(here)
    for number in (1, 2):
        kept = make_room(Path(out))
        assert kept == here / f"old-{number}"
        assert holds_the_run(kept)
        assert not (here / "last.pt").exists()
        assert (here / "notes.txt").read_text() == "mine"
        assert Path.cwd() == here
        (here / "last.pt").write_text("state")
        for name in list(OLD)[1:]:
            (here / name).write_text(OLD[name])
        (here / "sheets").mkdir()
        (here / "sheets" / "epoch-001.png").write_text("sheet")


def test_a_parent_of_the_working_folder_stays_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_in(tmp_path / "run")
    (tmp_path / "run" / "below").mkdir()
    monkeypatch.chdir(tmp_path / "run" / "below")
    assert make_room(Path("..")) == tmp_path / "run" / "old-1"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    run_in(tmp_path / "disk" / "target")
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "target")
    kept = make_room(tmp_path / "link")
    assert kept == tmp_path / "disk" / "target.old-1"
    assert holds_the_run(kept)
    assert (tmp_path / "link").readlink() == tmp_path / "disk" / "target"
    assert list((tmp_path / "link").iterdir()) == []


def test_a_link_to_nothing_yet_makes_its_target(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "target")
    assert make_room(tmp_path / "link") is None
    assert (tmp_path / "disk" / "target").is_dir()


def test_a_folder_that_cannot_be_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a mount point, which says that it is busy."""
    run_in(tmp_path / "mount")
    rename = Path.rename

    def busy(self: Path, target: Path) -> Path:
        if self == tmp_path / "mount":
            raise OSError(16, "Device or resource busy", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", busy)
    kept = make_room(tmp_path / "mount")
    assert kept == tmp_path / "mount" / "old-1"
    assert holds_the_run(kept)
    assert (tmp_path / "mount" / "notes.txt").is_file()


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: expected a folder, found a file"):
        make_room(tmp_path / "file")


def test_a_read_only_folder_is_named_before_anything_is_computed(tmp_path: Path) -> None:
    folder = tmp_path / "frozen"
    folder.mkdir()
    if os.geteuid() == 0:  # root writes past modes: a mount, if root may make one
        code = "import sys; from asda_fast.train.place import *; make_room(Path(sys.argv[1]))"
        mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
        if subprocess.run(["unshare", "-m", "sh", "-c", mount, str(folder), "true"], capture_output=True).returncode:
            pytest.skip("root may not mount here")
        command = ["unshare", "-m", "sh", "-c", mount, str(folder), sys.executable, "-c", code, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.stderr.strip().splitlines()[-1] == f"OSError: [Errno 30] Read-only file system: '{folder}'"
    else:
        folder.chmod(0o555)
        with pytest.raises(PermissionError) as caught:
            make_room(folder)
        assert caught.value.filename == str(folder)
