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
import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.core.images import OtherSize
from asda_fast.parts.cut import Filters, Patch, cut, spans_of
from asda_fast.parts.instances import PeopleOfPhoto, instance_map
from asda_fast.parts.pairs import Pair
from asda_fast.parts.pool_file import open_pool, save_pool
from asda_fast.parts.read import Unusable, read_map, read_photo
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
) -> list[Chunk]:
    """Chunks whose shard's name tells their content: another option, photo or map makes another name."""
    partial = folder(out)
    try:
        partial.mkdir(parents=True, exist_ok=True)
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
    wanted = {chunk.shard.name for chunk in chunks} | {chunk.dropped_shard.name for chunk in chunks}
    for old in partial.iterdir():  # of another call
        if old.name not in wanted:
            old.unlink()
    return chunks


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
            done = _finished(chunk)
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


def _finished(chunk: Chunk) -> Done | None:
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


def cut_pair(
    pair: Pair,
    people: PeopleOfPhoto | None,
    scheme: Scheme,
    filters: Filters,
    dropped: bool = False,
    apart: bool = False,
) -> tuple[list[Patch], Outcomes, Notes]:
    """Read one photo and its maps, and cut it. Raises `Unusable` with one line when they do not fit."""
    label = read_map(pair.label)
    present = set(spans_of(label))
    if unknown := present - scheme.known:
        line = f"{pair.label}: has id {min(unknown)}, which the scheme {scheme.name} does not know"
        raise Unusable(line, "map with an id that the scheme does not know")
    if not present.difference(scheme.background):
        raise Unusable(f"{pair.label}: shows nobody", "map that shows nobody")
    try:
        photo = read_photo(pair.photo, label.shape)
    except OtherSize as error:
        line = f"{pair.label}: is {error.expected}, its photo {error.found}"
        raise Unusable(line, "map of another size than its photo") from None
    instances, boxes, notes = None, None, Notes()
    if pair.instance is not None:
        instances = read_map(pair.instance, 65535)
        if instances.shape != label.shape:
            line = f"{pair.instance}: is not of the size of {pair.label}"
            raise Unusable(line, "instance map of another size than its map")
    elif people is not None:
        if people.size is not None and people.size != (label.shape[1], label.shape[0]):
            sizes = f"{label.shape[1]} x {label.shape[0]}, the people file says {people.size[0]} x {people.size[1]}"
            raise Unusable(f"{pair.photo}: is {sizes}", "photo of another size than the people file says")
        instances, boxes, notes = instance_map(people.people, *label.shape)
    if instances is not None:
        _note_lost(pair, people, label, instances, scheme, notes)
    elif not apart and _several(label, scheme):
        notes.add("maps with several faces, cut as one person (tell them apart: instances, people or apart)", pair.name)
    return (*cut(photo, label, scheme, filters, instances, boxes, dropped, apart), notes)


def _note_lost(
    pair: Pair, people: PeopleOfPhoto | None, label: np.ndarray, instances: np.ndarray, scheme: Scheme, notes: Notes
) -> None:
    """Note the people who own no labelled pixel, and a photo most of whose labelled pixels are nobody's."""
    shown = ~np.isin(np.arange(256), scheme.background)
    owned = np.bincount(instances[shown[label]], minlength=1 + (len(people.people) if people is not None else 0))
    for number, person in enumerate(people.people if people is not None else (), 1):
        if not owned[number]:
            notes.add("people who own no labelled pixel, not cut", f"{person.name} in {pair.photo}")
    if 2 * owned[0] > owned.sum():
        notes.add("photos most of whose labelled pixels are nobody's, these not cut", str(pair.photo))


def _several(label: np.ndarray, scheme: Scheme) -> bool:
    """Whether a map that is taken for one person's shows several: faces (or heads) of similar size, not touching."""
    faces = next((rule.ids for name in ("Face", "Head") for rule in scheme.rules if rule.type == name), ())
    mask = cv2.LUT(label, np.isin(np.arange(256), faces).astype(np.uint8))
    x, y, w, h = cv2.boundingRect(mask)
    areas = cv2.connectedComponentsWithStats(mask[y : y + h, x : x + w])[2][1:, cv2.CC_STAT_AREA] if w and h else ()
    return len(areas) > 1 and sorted(areas)[-2] > 0.5 * max(areas)
