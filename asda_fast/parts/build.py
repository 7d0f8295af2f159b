"""Photos and label maps -> a pool file: in parallel, in bounded memory, resumable."""

from __future__ import annotations

import ctypes
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2

from asda_fast.core.errors import UserError
from asda_fast.parts.cut import FATES, Filters, Patch, cut, spans_of
from asda_fast.parts.instances import Person, instance_map, read_people
from asda_fast.parts.pool_file import excluded, merge_pools, open_pool, save_pool
from asda_fast.parts.read import Pair, Unusable, find_pairs, read_map, read_photo
from asda_fast.parts.scheme import Scheme, load_scheme

CHUNK = 32  # photos per shard: what a resume can lose, and what a worker holds in memory


@dataclass
class Report:
    """What a build kept, what it dropped and why."""

    scheme: str
    photos: int = 0  # usable pairs
    seconds: float = 0.0  # wall time of the cutting, without what a resume found done
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # type -> fate -> components
    problems: list[str] = field(default_factory=list)  # one line per photo or map that was skipped

    def add(self, fates: Counter[tuple[str, str]]) -> None:
        for (type_, fate), count in fates.items():
            row = self.counts.setdefault(type_, dict.fromkeys(FATES, 0))
            row[fate] += count

    @property
    def kept(self) -> int:
        return sum(row["kept"] for row in self.counts.values())

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)


def build_pool(
    images: str | Path,
    labels: str | Path,
    scheme: str | Path | Scheme,
    out: str | Path,
    *,
    filters: Filters = Filters(),  # noqa: B008 - frozen
    instances: str | Path | None = None,
    people: str | Path | None = None,
    label_suffix: str = "",
    exclude: Collection[str] = (),
    workers: int = 1,
    strict: bool = False,
    apart: bool = False,
    dropped: str | Path | None = None,
    progress: bool = True,
) -> Report:
    """Cut every person of `images` by the maps in `labels` into the pool file `out`.

    scheme       a name (lip, cihp, atr, ccp, pascal), a JSON file, or a Scheme
    instances    folder of maps with person numbers (0 = nobody); people: a COCO annotation file, instead of maps.
                 Without either a map shows one person; with `apart`, one in every connected piece of it.
    exclude      source ids (photo names without suffix) that must not be cut, as the ones you evaluate on
    workers      processes; more than one needs the `if __name__ == "__main__"` guard in the calling script
    strict       raise on the first photo that cannot be used, instead of skipping and reporting it
    dropped      also write a pool of what the border and low-semantics filters dropped, to look at

    Progress is kept beside `out` in OUT.partial.d/: the same call after an interruption goes on where it stopped.
    """
    out = Path(out)
    if out.is_dir():
        raise UserError(f"--out {out}: expected a file to write, found a folder")
    if workers < 1:
        raise UserError(f"--workers: expected at least 1, got {workers}")
    found = load_scheme(scheme) if not isinstance(scheme, Scheme) else scheme
    folder = Path(instances) if instances is not None else None
    pairs, problems = find_pairs(Path(images), Path(labels), label_suffix, folder)
    if strict and problems:
        raise UserError(problems[0])
    pairs = [pair for pair in pairs if not excluded(pair.name, exclude)]
    persons = read_people(Path(people)) if people is not None else None
    if persons is not None:
        known = [pair for pair in pairs if _lookup(persons, pair.name) is not None]
        problems += [f"{p.photo}: not in {people}" for p in pairs if _lookup(persons, p.name) is None]
        pairs = known
        if strict and problems:
            raise UserError(problems[0])
    jobs = _jobs(pairs, found, filters, persons, (dropped is not None, apart), out)
    report = Report(found.name, problems=problems)
    start = time.perf_counter()
    for job, (fates, lines, photos) in _run(jobs, workers, progress):
        report.add(fates)
        report.problems += lines
        report.photos += photos
        if strict and lines:
            job.shard.unlink(missing_ok=True)  # not done: cut again when the file has been mended
            raise UserError(lines[0])
    report.seconds = time.perf_counter() - start
    report.problems.sort()
    if not report.kept:
        shutil.rmtree(_partial(out), ignore_errors=True)
        why = f", the first: {report.problems[0]}" if report.problems else ""
        raise UserError(f"--out {out}: nothing to write, no part of {report.photos} photos was kept{why}")
    order = {rule.type: i for i, rule in enumerate(found.rules)}
    report.counts = dict(sorted(report.counts.items(), key=lambda item: order[item[0]]))
    extra = {"scheme": found.name, "report": json.dumps({"photos": report.photos, "counts": report.counts})}
    merge_pools([job.shard for job in jobs], out, extra=extra, types=found.types)
    if dropped is not None:
        merge_pools([_dropped(job.shard) for job in jobs], dropped, types=found.types)
    shutil.rmtree(_partial(out), ignore_errors=True)
    return report


@dataclass(frozen=True)
class _Job:
    """One chunk of photos; everything that a worker process needs."""

    shard: Path
    pairs: tuple[Pair, ...]
    people: tuple[list[Person] | None, ...]
    scheme: Scheme
    filters: Filters
    dropped: bool
    apart: bool


_Done = tuple[Counter[tuple[str, str]], list[str], int]


def _partial(out: Path) -> Path:
    return out.with_name(out.name + ".partial.d")


def _dropped(shard: Path) -> Path:
    return shard.with_name("dropped-" + shard.name)


def _lookup(persons: dict[str, list[Person]], name: str) -> list[Person] | None:
    return persons.get(name, persons.get(name.rsplit("/", 1)[-1]))


def _jobs(
    pairs: list[Pair],
    scheme: Scheme,
    filters: Filters,
    persons: dict[str, list[Person]] | None,
    flags: tuple[bool, bool],
    out: Path,
) -> list[_Job]:
    """Chunks whose shard's name tells their content: another option, photo or map makes another name."""
    partial = _partial(out)
    try:
        partial.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: cannot write there: {error.strerror or error}") from None
    jobs = []
    for first in range(0, len(pairs), CHUNK):
        chunk = tuple(pairs[first : first + CHUNK])
        people = tuple(None if persons is None else _lookup(persons, pair.name) for pair in chunk)
        stamps = [[(str(f), *_stamp(f)) for f in (p.photo, p.label, p.instance) if f is not None] for p in chunk]
        key = repr((scheme, filters, people, flags, stamps))
        shard = partial / f"{first // CHUNK:06d}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
        jobs.append(_Job(shard, chunk, people, scheme, filters, *flags))
    wanted = {job.shard.name for job in jobs} | {_dropped(job.shard).name for job in jobs}
    for old in partial.iterdir():  # of another call
        if old.name not in wanted:
            old.unlink()
    return jobs


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _run(jobs: list[_Job], workers: int, progress: bool) -> Iterator[tuple[_Job, _Done]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("cutting parts"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("photos"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("", total=sum(len(job.pairs) for job in jobs))
        todo = []
        for job in jobs:
            done = _finished(job)
            if done is None:
                todo.append(job)
                continue
            bar.advance(task, len(job.pairs))
            yield job, done
        if workers <= 1 or len(todo) <= 1:
            for job in todo:
                result = _cut_chunk(job)
                bar.advance(task, len(job.pairs))
                yield job, result
            return
        context = multiprocessing.get_context("spawn")  # never fork: the caller may run threads
        try:
            with ProcessPoolExecutor(min(workers, len(todo)), context, _end_with, (os.getpid(),)) as pool:
                futures = {pool.submit(_cut_chunk, job): job for job in todo}
                try:
                    for future in as_completed(futures):
                        job = futures.pop(future)
                        bar.advance(task, len(job.pairs))
                        yield job, future.result()
                finally:
                    pool.shutdown(cancel_futures=True)
        except BrokenProcessPool:
            raise UserError(
                f"--workers {workers}: a worker process died (out of memory?); run it again to go on from there"
            ) from None


def _end_with(parent: int) -> None:
    """In a worker: end when the parent does, however it ends, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


def _finished(job: _Job) -> _Done | None:
    """What an earlier call recorded of this chunk."""
    if not job.shard.is_file() or (job.dropped and not _dropped(job.shard).is_file()):
        return None
    try:
        record = json.loads(open_pool(job.shard).extra["done"])
        return Counter({(t, f): n for t, f, n in record["fates"]}), record["problems"], record["photos"]
    except (UserError, KeyError, ValueError):
        return None


def _cut_chunk(job: _Job) -> _Done:
    cv2.setNumThreads(1)  # one process per core: threads inside would only compete
    kept: list[tuple[Patch, str]] = []
    rest: list[tuple[Patch, str]] = []
    fates: Counter[tuple[str, str]] = Counter()
    problems: list[str] = []
    for pair, people in zip(job.pairs, job.people):
        try:
            patches, found = cut_pair(pair, people, job.scheme, job.filters, job.dropped, job.apart)
        except Unusable as error:
            problems.append(str(error))
            continue
        fates += found
        for patch in patches:
            (kept if patch.fate == "kept" else rest).append((patch, pair.name))
    if job.dropped:
        _save(_dropped(job.shard), rest, job.scheme, {})
    photos = len(job.pairs) - len(problems)
    record = {"fates": [[t, f, n] for (t, f), n in fates.items()], "problems": problems, "photos": photos}
    _save(job.shard, kept, job.scheme, {"done": json.dumps(record)})  # last: it marks the chunk as done
    return fates, problems, photos


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
    people: list[Person] | None,
    scheme: Scheme,
    filters: Filters,
    dropped: bool = False,
    apart: bool = False,
) -> tuple[list[Patch], Counter[tuple[str, str]]]:
    """Read one photo and its maps, and cut it. Raises `Unusable` with one line when they do not fit."""
    label = read_map(pair.label)
    present = set(spans_of(label))
    if unknown := present - scheme.known:
        raise Unusable(f"{pair.label}: has id {min(unknown)}, which the scheme {scheme.name} does not know")
    if not present.difference(scheme.background):
        raise Unusable(f"{pair.label}: shows nobody")
    photo = read_photo(pair.photo)
    if photo.shape[:2] != label.shape:
        sizes = f"{label.shape[1]} x {label.shape[0]}, its photo {photo.shape[1]} x {photo.shape[0]}"
        raise Unusable(f"{pair.label}: is {sizes}")
    instances, boxes = None, None
    if pair.instance is not None:
        instances = read_map(pair.instance)
        if instances.shape != label.shape:
            raise Unusable(f"{pair.instance}: is not of the size of {pair.label}")
    elif people is not None:
        instances = instance_map(people, *label.shape)
        boxes = {i + 1: tuple(person["bbox"]) for i, person in enumerate(people)}
    return cut(photo, label, scheme, filters, instances, boxes, dropped, apart)


def cores() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
