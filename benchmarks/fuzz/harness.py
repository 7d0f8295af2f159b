"""The harness: a reader, its valid content, and what counts as a failure."""

from __future__ import annotations

import contextlib
import copy
import io
import signal
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError
from benchmarks.fuzz.mutate import mutate, mutate_bytes

BYTES = 0.2  # share of the tries in which a file's bytes are mutated as well
SECONDS = 20  # after which a reader is said to hang


@dataclass(frozen=True)
class Reader:
    """One reader under test.

    content: a valid content, as a tree of dicts, lists, numbers, words and arrays. dump: such a tree -> the files, path
    below the folder -> bytes; it may raise for what the format cannot hold (another mutation is drawn then). setup:
    writes what lies beside them. read: reads the folder, and checks what it got as far as later stages rely on it.
    """

    content: Callable[[], Any]
    dump: Callable[[Any], dict[str, bytes]]
    read: Callable[[Path], object]
    setup: Callable[[Path], None] = lambda folder: None


@dataclass
class Report:
    """How the tries ended."""

    read: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # beginnings of refusals, without numbers
    failures: list[str] = field(default_factory=list)


class Hang(BaseException):
    """A reader that took longer than SECONDS. Not an Exception: readers catch those."""


@contextlib.contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Hang(f"no answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def files_of(reader: Reader, number: int, seed: int) -> dict[str, bytes]:
    """The mutated files of try `number`."""
    rng = np.random.default_rng([seed, number])
    for _ in range(50):
        tree = copy.deepcopy(reader.content())
        for _ in range(int(rng.integers(1, 4))):
            tree = mutate(tree, rng)
        try:
            files = reader.dump(tree)
        except Exception:
            continue
        if rng.random() < BYTES:
            name = sorted(files)[rng.integers(len(files))]
            files[name] = mutate_bytes(files[name], rng)
        return files
    raise RuntimeError("the format holds none of 50 mutations")


def fuzz(reader: Reader, count: int, folder: Path, seed: int = 0, first: int = 0) -> Report:
    """Mutated files number first .. first + count - 1, one after the other, through the reader.

    A failure is any exception but UserError, a message of several lines or without the folder's name, or a hang.
    """
    report = Report()
    folder.mkdir(parents=True, exist_ok=True)
    reader.setup(folder)
    valid = reader.dump(reader.content())
    _write(folder, valid)
    reader.read(folder)  # the valid one, or nothing is worth anything
    for number in range(first, first + count):
        _write(folder, valid | files_of(reader, number, seed))
        try:
            with _limit(SECONDS), warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                reader.read(folder)
            report.read += 1
        except UserError as error:
            message = str(error)
            report.refused += 1
            report.reasons["".join(c for c in message.replace(str(folder), "") if not c.isdigit())[:60]] += 1
            if "\n" in message or "\r" in message or str(folder) not in message or len(message) > 1000:
                report.failures.append(f"try {number}: message: {message!r:.300}")
        except (Exception, Hang) as error:
            place = traceback.extract_tb(sys.exc_info()[2])[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            report.failures.append(f"try {number}: {type(error).__name__}: {error!s:.150} at {where}")
    return report


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def matlab_struct(records: list[Any]) -> np.ndarray:
    """A 1 x N struct of MATLAB's; what one of them lacks is []."""
    fields = list(dict.fromkeys(key for record in records for key in record))
    out = np.empty((1, len(records)), [(key, object) for key in fields])
    for number, record in enumerate(records):
        for key in fields:
            out[key][0, number] = _matlab(record.get(key))
    return out


def _matlab(value: Any) -> Any:
    if isinstance(value, dict):
        return matlab_struct([value])
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return matlab_struct(value)
    return np.zeros((0, 0)) if value is None or (isinstance(value, list) and not value) else value
