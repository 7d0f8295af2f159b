"""Where a run goes: room is made in --out, whatever kind of folder that is, before the first photo is read for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from asda_fast.core.errors import UserError

# What a run writes. Its presence makes a folder the folder of a run; all of it moves when a new run takes the place.
STATE = ("last.pt", "metrics.jsonl")
FILES = (*STATE, "best.safetensors", "best.json", "tensorboard", "sheets", "wandb.id", "mlflow.id", "wandb")


def make_room(out: Path) -> Path | None:
    """Make `out` an existing, writable folder without a run in it, and tidy what a kill left there. An earlier run is
    kept: its new place is returned. A link stays a link; its target is what is meant."""
    if out.exists() and not out.is_dir():
        raise UserError(f"out {out}: expected a folder, found a file")
    place = out.resolve()  # also of a link that points to nothing yet
    kept = set_aside(place) if any((place / name).exists() for name in STATE) else None
    place.mkdir(parents=True, exist_ok=True)
    for partial in place.glob(".*.partial"):
        partial.unlink(missing_ok=True)
    check_writable(out)
    return kept


def set_aside(place: Path) -> Path:
    """Move the run in `place` away: the whole folder to NAME.old-N beside it. A folder that cannot be renamed (the
    working folder, a mount point, one in a parent that is not ours) keeps its name, and the run goes to old-N in it."""
    kept = free(place.parent, f"{place.name}.old-")
    here = Path.cwd()
    if place != here and place not in here.parents:  # else a shell would be left standing in the old one
        try:
            return place.rename(kept)
        except OSError:
            pass
    kept = free(place, "old-")
    kept.mkdir()
    for name in FILES:
        if (place / name).exists():
            (place / name).rename(kept / name)
    return kept


@contextlib.contextmanager
def held(out: Path) -> Iterator[None]:
    """Nobody else's while the block runs: UserError where another process trains into `out`. A kill lets go of it."""
    with open(out / ".running", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(f"out {out}: another run writes there (process {file.read().strip() or '?'})") from None
        except OSError:  # a file system without locks
            yield
            return
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def free(folder: Path, stem: str) -> Path:
    number = 1
    while (path := folder / f"{stem}{number}").exists():
        number += 1
    return path


def check_writable(out: Path) -> None:
    """OSError that names `out` where nothing can be written there: said now, not after an epoch."""
    probe = out / f".{os.getpid()}.partial"
    try:
        probe.write_bytes(b"asda_fast")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(out)) from None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
