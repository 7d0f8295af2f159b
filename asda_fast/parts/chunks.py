"""A build's work in chunks of photos: processes share them, and each finished one is kept for a resume."""

from __future__ import annotations

import ctypes
import hashlib
import json
import multiprocessing
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import cv2

from asda_fast.core.errors import UserError
from asda_fast.parts.cut import Filters, Patch
from asda_fast.parts.cut_pair import cut_pair
from asda_fast.parts.instances import PeopleOfPhoto
from asda_fast.parts.pairs import Pair
from asda_fast.parts.pool_file import open_pool, save_pool
from asda_fast.parts.read import Unusable
from asda_fast.parts.report import Notes, Outcomes
from asda_fast.parts.scheme import Scheme

CHUNK = 32  # photos per shard: what a resume can lose, and what a worker holds in memory


@dataclass(frozen=True)
class Chunk:
    """Some photos; everything that a worker process needs."""

    shard: Path
    pairs: tuple[Pair, ...]
    people: tuple[PeopleOfPhoto | None, ...]
    scheme: Scheme
    filters: Filters
    dropped: bool
    apart: bool

    @property
    def dropped_shard(self) -> Path:
        return self.shard.with_name("dropped-" + self.shard.name)


@dataclass(frozen=True)
class Done:
    """What became of a chunk."""

    outcomes: Outcomes
    problems: list[tuple[str, str]]  # kind, line
    notes: Notes
    photos: int

    def to_json(self) -> str:
        outcomes = [[t, f, n] for (t, f), n in self.outcomes.items()]
        record = {"outcomes": outcomes, "problems": self.problems, "notes": self.notes.kinds, "photos": self.photos}
        return json.dumps(record)

    @staticmethod
    def from_json(text: str) -> Done:
        record = json.loads(text)
        return Done(
            Counter({(t, f): n for t, f, n in record["outcomes"]}),
            [(kind, line) for kind, line in record["problems"]],
            Notes({kind: (count, first) for kind, (count, first) in record["notes"].items()}),
            record["photos"],
        )


def lock(out: Path) -> Path:
    """The file that those who share the work on the pool `out` take turns by."""
    return folder(out) / "lock"


def folder(out: Path) -> Path:
    """Where the shards of the pool `out` are kept until it is whole."""
    return out.with_name(out.name + ".partial.d")


def plan(
    pairs: list[Pair],
    people: Sequence[PeopleOfPhoto] | None,
    scheme: Scheme,
    filters: Filters,
    dropped: bool,
    apart: bool,
    out: Path,
    clean: bool = True,
) -> list[Chunk]:
    """Chunks whose shard's name tells their content: another option, photo or map makes another name. clean: what
    another call left is removed; not where other processes may be at work on the same pool."""
    partial = folder(out)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock(out).touch()
    except OSError as error:
        raise UserError(f"out {out}: cannot write there: {error.strerror or error}") from None
    chunks = []
    for first in range(0, len(pairs), CHUNK):
        some = tuple(pairs[first : first + CHUNK])
        who = tuple(people[first : first + CHUNK]) if people is not None else (None,) * len(some)
        stamps = [[(str(f), *_stamp(f)) for f in (p.photo, p.label, p.instance) if f is not None] for p in some]
        key = repr((scheme, filters, who, dropped, apart, stamps))
        digest = hashlib.sha256(key.encode(errors="backslashreplace")).hexdigest()[:16]
        shard = partial / f"{first // CHUNK:06d}-{digest}.safetensors"
        chunks.append(Chunk(shard, some, who, scheme, filters, dropped, apart))
    wanted = {lock(out).name} | {chunk.shard.name for chunk in chunks} | {chunk.dropped_shard.name for chunk in chunks}
    for old in partial.iterdir() if clean else ():  # of another call
        if old.name not in wanted:
            old.unlink()
    return chunks


def of_other_calls(chunks: list[Chunk]) -> int:
    """How many shards lie beside those of `chunks` that are none of them."""
    known = {chunk.shard.name for chunk in chunks}
    return sum(path.name not in known for path in chunks[0].shard.parent.glob("[0-9]*.safetensors"))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def run(chunks: list[Chunk], workers: int, progress: bool) -> Iterator[tuple[Chunk, Done]]:
    """Every chunk with what became of it, as they are finished; those of an earlier call first."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("cutting parts"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("photos"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("", total=sum(len(chunk.pairs) for chunk in chunks))
        todo = []
        for chunk in chunks:
            done = finished(chunk)
            if done is None:
                todo.append(chunk)
                continue
            bar.advance(task, len(chunk.pairs))
            yield chunk, done
        if workers <= 1 or len(todo) <= 1:
            for chunk in todo:
                result = cut_chunk(chunk)
                bar.advance(task, len(chunk.pairs))
                yield chunk, result
            return
        context = multiprocessing.get_context("spawn")  # never fork: the caller may run threads
        try:
            with ProcessPoolExecutor(min(workers, len(todo)), context, _end_with, (os.getpid(),)) as pool:
                futures = {pool.submit(cut_chunk, chunk): chunk for chunk in todo}
                try:
                    for future in as_completed(futures):
                        chunk = futures.pop(future)
                        bar.advance(task, len(chunk.pairs))
                        yield chunk, future.result()
                finally:
                    pool.shutdown(cancel_futures=True)
        except BrokenProcessPool:
            raise UserError(
                f"workers {workers}: a worker process died (out of memory?); run it again to go on from there"
            ) from None


def _end_with(parent: int) -> None:
    """In a worker: end when the parent does, however it ends, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


def finished(chunk: Chunk) -> Done | None:
    """What an earlier call recorded of this chunk."""
    if not chunk.shard.is_file() or (chunk.dropped and not chunk.dropped_shard.is_file()):
        return None
    try:
        return Done.from_json(open_pool(chunk.shard).extra["done"])
    except (UserError, KeyError, ValueError, TypeError, AttributeError):
        return None


def cut_chunk(chunk: Chunk) -> Done:
    """Cut the photos of a chunk and write its shard, and the one of what was dropped if that is wanted."""
    cv2.setNumThreads(1)  # one process per core: threads inside would only compete
    kept: list[tuple[Patch, str]] = []
    rest: list[tuple[Patch, str]] = []
    done = Done(Counter(), [], Notes(), 0)
    for pair, people in zip(chunk.pairs, chunk.people):
        try:
            patches, outcomes, notes = cut_pair(pair, people, chunk.scheme, chunk.filters, chunk.dropped, chunk.apart)
        except Unusable as error:
            done.problems.append((error.kind, str(error)))
            continue
        done.outcomes.update(outcomes)
        done.notes.update(notes)
        for patch in patches:
            (kept if patch.outcome == "kept" else rest).append((patch, pair.name))
    if chunk.dropped:
        _save(chunk.dropped_shard, rest, chunk.scheme, {})
    done = Done(done.outcomes, done.problems, done.notes, len(chunk.pairs) - len(done.problems))
    _save(chunk.shard, kept, chunk.scheme, {"done": done.to_json()})  # last: it marks the chunk as done
    return done


def _save(path: Path, found: list[tuple[Patch, str]], scheme: Scheme, extra: dict[str, str]) -> None:
    patches = [patch for patch, _ in found]
    save_pool(
        path,
        [patch.rgba for patch in patches],
        [patch.type for patch in patches],
        [patch.person for patch in patches],
        [name for _, name in found],
        scheme.types,
        extra,
    )
