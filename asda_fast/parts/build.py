"""Photos and label maps -> a pool file: in parallel, in bounded memory, resumable."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from asda_fast.core.errors import UserError
from asda_fast.core.shard import Shard, Unfinished, alone
from asda_fast.parts import chunks
from asda_fast.parts.chunks import Chunk
from asda_fast.parts.cut import Filters
from asda_fast.parts.exclude import excluded
from asda_fast.parts.instances import PeopleOfPhoto, read_people
from asda_fast.parts.names import one_each
from asda_fast.parts.pairs import Pair, find_pairs, find_photos
from asda_fast.parts.pool_file import merge_pools
from asda_fast.parts.report import PoolReport
from asda_fast.parts.scheme import LIMBS, Scheme, load_scheme


def build_pool(
    images: str | Path,
    labels: str | Path | None,
    scheme: str | Path | Scheme | None,
    out: str | Path,
    *,
    filters: Filters = Filters(),  # noqa: B008 - frozen
    instances: str | Path | None = None,
    people: str | Path | None = None,
    coco: str | Path | None = None,
    label_suffix: str = "",
    exclude: str | Path | Collection[str] = (),
    workers: int = 1,
    strict: bool = False,
    apart: bool = False,
    dropped: str | Path | None = None,
    shard: Shard | None = None,
    progress: bool = True,
) -> PoolReport:
    """Cut every person of `images` by the maps in `labels` into the pool file `out`.

    scheme       a name (scheme.SCHEMES), a JSON file, or a Scheme
    instances    folder of maps with person numbers (0 = nobody); people: a COCO annotation file, instead of maps.
                 Without either a map shows one person; with `apart`, one in every connected piece of it.
    coco         a COCO annotation file with outlines and keypoints, instead of maps, scheme and all of these: limbs are
                 cut along the bones (limbs.py)
    exclude      photos that must not be cut, as the ones you evaluate on: their names, or a file or folder that lists
                 them (exclude.py; names.py says how they are compared). One that names no photo at all is a mistake.
    workers      processes; more than one needs the `if __name__ == "__main__"` guard in the calling script
    strict       raise on the first photo that cannot be used, instead of skipping and reporting it
    dropped      also write a pool of what the border and low-semantics filters dropped, to look at

    shard        cut only this process's share, beside other processes that were given the others and share the disk;
                 the last to finish writes `out`, whose bytes are those of one process. The others raise `Unfinished`.

    Progress is kept beside `out` in OUT.partial.d/: the same call after an interruption goes on where it stopped.
    """
    out = Path(out)
    if out.is_dir():
        raise UserError(f"out {out}: expected a file to write, found a folder")
    if dropped is not None and (Path(dropped).is_dir() or Path(dropped).resolve() == out.resolve()):
        raise UserError(f"dropped {dropped}: expected a file of its own to write, not a folder nor the pool itself")
    if workers < 1:
        raise UserError(f"workers: expected at least 1, got {workers}")
    if coco is not None:
        given: dict[str, object] = {
            "labels": labels, "scheme": scheme, "instances": instances, "people": people,
            "label_suffix": label_suffix or None, "apart": apart or None,
        }  # fmt: skip
        for name, value in given.items():
            if value is not None:
                raise UserError(f"{name}: expected none beside coco, which says who and what a pixel is, got {value}")
        scheme, people = LIMBS, coco
    elif labels is None or scheme is None:
        raise UserError("labels, scheme: expected both (or coco, a COCO file with outlines and keypoints), got none")
    elif sum((instances is not None, people is not None, apart)) > 1:
        ways = {"instances": instances, "people": people, "apart": apart or None}
        named = " and ".join(f"{name} {value}" for name, value in ways.items() if value is not None)
        raise UserError(f"instances, people, apart: expected one of them to tell people apart by, got {named}")
    found = load_scheme(scheme) if not isinstance(scheme, Scheme) else scheme
    folder = Path(instances) if instances is not None else None
    if labels is None:
        pairs, problems = find_photos(Path(images))
    else:
        pairs, problems = find_pairs(Path(images), Path(labels), label_suffix, folder)
    report = PoolReport(found.name)
    pairs = _without(pairs, exclude, Path(images), report)
    persons = None
    if people is not None:
        pairs, persons, missing = _who(pairs, Path(people), report, joints=coco is not None)
        everybody = [p for each in persons for p in each.people]
        if coco is not None and not any(p.outline and p.joints for p in everybody):
            some = f"{sum(bool(p.outline) for p in everybody)} have outlines, {sum(bool(p.joints) for p in everybody)}"
            raise UserError(
                f"coco {coco}: expected people with outlines (segmentation) and named keypoints, found none: of "
                f"{len(everybody)} people in these photos {some} keypoints that `categories` names"
            )
        problems += missing
    if strict and problems:
        raise UserError(problems[0][1])
    report.skip(problems)
    todo = chunks.plan(pairs, persons, found, filters, dropped is not None, apart, out, clean=shard is None)
    start = time.perf_counter()
    mine = todo if shard is None else todo[shard.index :: shard.count]
    try:
        for chunk, done in chunks.run(mine, workers, progress):
            if strict and done.problems:
                chunk.shard.unlink(missing_ok=True)  # not done: cut again when the file has been mended
                raise UserError(done.problems[0][1])
    except UserError:
        if shard is not None and not chunks.lock(out).exists():  # one with the same photos has written the pool
            raise Unfinished(f"{out} was written meanwhile") from None
        raise
    if shard is None:
        return _write(todo, report, out, found, dropped, start)
    with alone(chunks.lock(out)) as unwritten:
        _check_whole(todo, out, unwritten)
        return _write(todo, report, out, found, dropped, start)


def _check_whole(todo: list[Chunk], out: Path, unwritten: bool) -> None:
    """Unfinished, with the reason, where it is not for this shard to write the pool."""
    if not unwritten:
        raise Unfinished(f"{out} was written meanwhile")
    to_come = sum(chunks.finished(chunk) is None for chunk in todo)
    if to_come:
        others = chunks.of_other_calls(todo)
        said = f" ({others} that lie there are of other options or photos: do all shards have the same?)"
        last = f"the last to finish writes {out}"
        raise Unfinished(f"{to_come} of {len(todo)} pieces are to come{said if others else ''}, {last}")


def _write(
    todo: list[Chunk], report: PoolReport, out: Path, found: Scheme, dropped: str | Path | None, start: float
) -> PoolReport:
    """The pool of all chunks, which are finished, and what became of everything in them."""
    for chunk in todo:
        done = chunks.finished(chunk)
        if done is None:
            raise UserError(f"out {out}: {chunk.shard} has gone; run it again")
        report.add(done.outcomes)
        report.skip(done.problems)
        report.notes.update(done.notes)
        report.photos += done.photos
    report.seconds = time.perf_counter() - start
    report.problems.sort()
    if not report.kept:
        shutil.rmtree(chunks.folder(out), ignore_errors=True)
        raise UserError(f"out {out}: nothing to write, no part of {report.photos} photos was kept{_why(report)}")
    order = {rule.type: i for i, rule in enumerate(found.rules)}
    report.counts = dict(sorted(report.counts.items(), key=lambda item: order[item[0]]))
    report.notes.kinds = dict(sorted(report.notes.kinds.items()))
    extra = {"scheme": found.name, "report": json.dumps({"photos": report.photos, "counts": report.counts})}
    merge_pools([chunk.shard for chunk in todo], out, extra=extra, types=found.types)
    if dropped is not None:
        merge_pools([chunk.dropped_shard for chunk in todo], dropped, types=found.types)
    shutil.rmtree(chunks.folder(out), ignore_errors=True)
    return report


def _without(pairs: list[Pair], exclude: str | Path | Collection[str], images: Path, report: PoolReport) -> list[Pair]:
    if not isinstance(exclude, (str, Path)) and not exclude:
        return pairs
    named, strangers = excluded([pair.name for pair in pairs], exclude, images)
    if len(named) == len(pairs):
        what = f"exclude_images {exclude}" if isinstance(exclude, (str, Path)) else "exclude"
        raise UserError(f"{what}: names all {len(pairs)} photos of {images}, nothing is left to cut")
    report.excluded = len(named)
    report.notes.add("photos excluded by their names, not cut", min(named, default=""), len(named))
    report.notes.add(f"excluded names that are no photo of {images}", "", strangers)
    return [pair for pair in pairs if pair.name not in named]


def _who(
    pairs: list[Pair], people: Path, report: PoolReport, joints: bool
) -> tuple[list[Pair], list[PeopleOfPhoto], list[tuple[str, str]]]:
    """The pairs that the people file knows, their people, and a problem for every other pair."""
    listed, notes = read_people(people, joints)
    report.notes.update(notes)
    found, unclear = one_each([pair.name for pair in pairs], listed)
    option = "coco" if joints else "people"
    if unclear and not found:
        why = f"has several photos of the name {unclear[0]!r}, or one for several in the folder"
        raise UserError(f"{option} {people}: {why}: nobody can tell which is meant")
    if pairs and not found:
        names = f"the file's are called as {min(listed)!r}" if listed else "the file has none"
        raise UserError(f"{option} {people}: knows none of the photos: they are called as {pairs[0].name!r}, {names}")
    known = [pair for pair in pairs if pair.name in found]
    several = {name: f"{people} has several photos of this name, or one for several here" for name in unclear}
    missing = [
        ("may be another photo of this name", f"{p.photo}: {several[p.name]}; none is taken")
        if p.name in several
        else ("not in the people file", f"{p.photo}: not in {people}")
        for p in pairs
        if p.name not in found
    ]
    return known, [listed[found[pair.name]] for pair in known], missing


def _why(report: PoolReport) -> str:
    """What became of everything, in a few words."""
    if report.problems:
        return f", the first: {report.problems[0]}"
    totals: dict[str, int] = {}
    for row in report.counts.values():
        for outcome, count in row.items():
            totals[outcome] = totals.get(outcome, 0) + count
    dropped = ", ".join(f"{count} {outcome}" for outcome, count in totals.items() if count)
    most = max(report.notes.kinds.items(), key=lambda note: note[1][0], default=None)
    noted = f"; {most[1][0]} {most[0]}" if most else ""
    return (f": of the connected components {dropped}" if dropped else ": their people own no labelled pixel") + noted
