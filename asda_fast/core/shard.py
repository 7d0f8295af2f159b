"""One of several processes, on one machine or many, that share a piece of work: which part of it is this one's."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asda_fast.core.errors import UserError


class Unfinished(Exception):
    """This process's share is done; other processes are still at theirs, or have put the whole together."""


@dataclass(frozen=True)
class Shard:
    """Number `index` (from 0) of `count`."""

    index: int
    count: int
    source: str = ""  # where it was read: said to the user

    def __str__(self) -> str:
        return f"shard {self.index}/{self.count}" + (f" ({self.source})" if self.source else "")


def parse(text: str) -> Shard:
    """'0/3' .. '2/3'. UserError otherwise."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not match or not int(match[1]) < int(match[2]):
        raise UserError(f"shard: expected I/N with I from 0 to N - 1, such as 0/4, got {text!r}")
    return Shard(int(match[1]), int(match[2]))


def from_environment(environment: Mapping[str, str] | None = None) -> Shard | None:
    """torchrun's RANK of WORLD_SIZE, else this task of a SLURM array; None: there is one process."""
    values = os.environ if environment is None else environment
    if "RANK" in values and "WORLD_SIZE" in values:
        index, count, source = _whole(values, "RANK"), _whole(values, "WORLD_SIZE"), "from RANK and WORLD_SIZE"
    elif "SLURM_ARRAY_TASK_ID" in values and "SLURM_ARRAY_TASK_COUNT" in values:
        first = _whole(values, "SLURM_ARRAY_TASK_MIN") if "SLURM_ARRAY_TASK_MIN" in values else 0
        step = max(1, _whole(values, "SLURM_ARRAY_TASK_STEP")) if "SLURM_ARRAY_TASK_STEP" in values else 1
        index, count = (_whole(values, "SLURM_ARRAY_TASK_ID") - first) // step, _whole(values, "SLURM_ARRAY_TASK_COUNT")
        source = "from SLURM_ARRAY_TASK_ID"
    else:
        return None
    if not 0 <= index < count:
        raise UserError(f"shard: {source} this is number {index} of {count}; give it as I/N")
    return Shard(index, count, source) if count > 1 else None


def _whole(values: Mapping[str, str], name: str) -> int:
    try:
        return int(values[name])
    except ValueError:
        raise UserError(f"shard: {name}: expected a whole number, got {values[name]!r}") from None


@contextmanager
def alone(lock: Path) -> Iterator[bool]:
    """No other process is in this block at once. lock: a file that the last of them removes; False where it has."""
    try:
        file = open(lock, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        yield False
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield os.fstat(file.fileno()).st_nlink > 0
