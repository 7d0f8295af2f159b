"""Give a reader damaged files, and sort what it does: takes them, refuses them in one line, or fails."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError

LIMIT = 10.0  # seconds; a reader that takes longer hangs
SHOWN = 5  # failures kept with their trace


@dataclass(frozen=True)
class Reader:
    """What is to be fuzzed. A case is a file made from one of `seeds` (valid files) by `mutate`."""

    name: str
    suffixes: tuple[str, ...]  # of the file; seed i is written with suffix i
    seeds: tuple[bytes, ...]
    mutate: Callable[[np.random.Generator, bytes], bytes]
    read: Callable[[Path], Any]  # takes the file, or refuses it by one of `refusals`
    refusals: tuple[type[Exception], ...] = (UserError,)


@dataclass
class Figures:
    """Of one reader."""

    taken: int = 0
    refused: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)  # number of the case, what happened
    failed: int = 0
    slowest: float = 0.0  # seconds
    seconds: float = 0.0

    def fail(self, case: int, what: str) -> None:
        self.failed += 1
        if len(self.failures) < SHOWN:
            self.failures.append((case, what))


class Hang(BaseException):
    """The reader took longer than LIMIT. Not an Exception: no reader catches it."""


def run(reader: Reader, cases: int, seed: int = 0, first: int = 0) -> Figures:
    """Case n is the same whatever the other cases are: numbers come from (seed, n)."""
    figures = Figures()
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for case in range(first, first + cases):
            path = make(reader, Path(folder), seed, case)
            start = time.perf_counter()
            try:
                with _limited():
                    reader.read(path)
                figures.taken += 1
            except reader.refusals as refusal:
                said = str(refusal)
                figures.refused += 1
                if "\n" in said or "\r" in said:
                    figures.fail(case, f"more than one line: {said!r}")
                elif str(path) not in said:
                    figures.fail(case, f"does not name the file: {said!r}")
            except Hang:
                figures.fail(case, f"took longer than {LIMIT:g} seconds")
            except Exception:
                figures.fail(case, traceback.format_exc())
            figures.slowest = max(figures.slowest, time.perf_counter() - start)
    figures.seconds = time.perf_counter() - begin
    return figures


def make(reader: Reader, folder: Path, seed: int, case: int) -> Path:
    """The file of one case."""
    rng = np.random.default_rng((seed, case))
    which = int(rng.integers(len(reader.seeds)))
    path = folder / f"case{reader.suffixes[which]}"
    path.write_bytes(reader.mutate(rng, reader.seeds[which]))
    return path


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def line(reader: Reader, figures: Figures) -> str:
    """One line of figures."""
    cases = figures.taken + figures.refused + figures.failed
    return (
        f"{reader.name:12} {cases:7} cases: {figures.taken:6} taken, {figures.refused:6} refused, "
        f"{figures.failed} failed; slowest {1000 * figures.slowest:.0f} ms, {figures.seconds:.0f} s"
    )


def chosen(readers: Sequence[Reader], names: Sequence[str]) -> list[Reader]:
    """The readers of these names; all of them without names."""
    known = {reader.name: reader for reader in readers}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"unknown reader {unknown[0]}; expected some of {', '.join(known)}")
    return [known[name] for name in names] if names else list(readers)
