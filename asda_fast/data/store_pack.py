"""Write a store (store.py says what one is): cut every person out of the photos once, in one process or many."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core import images
from asda_fast.core.ahead import in_order
from asda_fast.core.errors import UserError
from asda_fast.core.files import write_atomic, write_json
from asda_fast.core.shard import Shard, Unfinished, alone
from asda_fast.data.people import People
from asda_fast.data.store_cut import Cut, cut
from asda_fast.data.store_file import COLUMNS, Part, name_of, record_of
from asda_fast.data.store_index import FORMAT, PERSON, VERSION


def file_numbers(sizes: np.ndarray, shards: int) -> np.ndarray:
    """Which file each photo goes to, photos of `sizes` people in the order of writing: a new one begins where its place
    in the whole says so, so that files differ by the people of one photo at most."""
    numbers, seen, count, total = np.zeros(len(sizes), np.int64), 0, 0, int(sizes.sum())
    for i, size in enumerate(sizes.tolist()):
        if count == 0 or seen * shards // total >= count:
            count += 1
        numbers[i] = count - 1
        seen += size
    return numbers


def pack(
    people: People,
    out: Path,
    *,
    size: tuple[int, int] = (256, 192),
    margin: float = 1.7,
    raw: bool = False,
    quality: int = 95,
    shards: int | None = None,
    shrink: bool = True,
    skip_bad: bool = False,
    threads: int = 2,
    shard: Shard | None = None,
    progress: Any = iter,
) -> dict[str, int]:
    """Write the store of `people` into the folder `out`; returns counts (people, skipped, bytes, shards).

    size: the crops that training will ask for (their proportions shape the window; with `shrink` a person far larger
    than needed is kept at 1/2, 1/4 or 1/8). shards: how many files, at least as many as there will be ranks (default:
    one per 1,000 people, at least 8). People of one photo stay in one file; photos are spread over files at random,
    so that every file looks like the whole. progress: wraps the iterator over photos.

    shard: write only this process's share of the files, beside other processes that were given the others and share the
    disk; the last to finish writes the index, and the bytes are those of one process. The others raise `Unfinished`.

    The same call after an interruption goes on with the files that are not whole. Raises UserError for a bad photo
    (unless skip_bad) and for a folder that holds a finished store already.
    """
    if (out / "store.json").exists():
        raise UserError(f"{out}: holds a finished store already; remove it or choose another folder")
    if not 1 <= margin <= 10:
        raise UserError(f"margin: expected 1 (the crop itself) to 10, got {margin}")
    if not 1 <= quality <= 100:
        raise UserError(f"quality: expected 1 to 100, got {quality}")
    if shards is not None and shards < 1:
        raise UserError(f"shards: expected at least 1, got {shards}")
    if len(people) == 0:
        raise UserError(f"{out}: no people to pack")
    groups, visit, numbers = _dealt(people, shards)
    count = int(numbers[-1]) + 1
    what = made_of(people, size=size, margin=margin, raw=raw, quality=quality, shards=shards, shrink=shrink)
    begun = _begin(out, what, shard is not None)
    mine = [n for n in range(count) if shard is None or n % shard.count == shard.index]
    todo = [n for n in mine if not record_of(out, n).is_file()]
    with ThreadPoolExecutor(threads) as pool:

        def job(i: int) -> list[Cut]:
            return cut(people, groups[visit[i]], size, margin, shrink, 0 if raw else quality)

        part: Part | None = None
        for i, future in in_order(pool, job, progress(np.flatnonzero(np.isin(numbers, todo))), 4 * threads):
            if part is None or part.number != numbers[i]:
                if part is not None:
                    part.close()
                part = Part(people, out, int(numbers[i]), raw)
            try:
                cuts = future.result()
            except images.BadImage as error:
                if not skip_bad:
                    raise UserError(f"{error} (on_bad_image='skip' leaves its people out)") from None
                cuts = []
            part.add(groups[visit[i]], cuts)
        if part is not None:
            part.close()
    with alone(begun) as unwritten:
        if not unwritten or not all(record_of(out, n).is_file() for n in range(count)):
            raise Unfinished(str(out))
        about = dict(raw=raw, margin=margin, size=list(size), made_of=what)
        return _finish(people, out, begun, count, skip_bad, about)


def _dealt(people: People, shards: int | None) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The rows of each photo, the order in which photos are written, and the number of each one's file."""
    files, by_file = np.unique(people.file, return_inverse=True)
    groups = np.split(np.argsort(by_file, kind="stable"), np.cumsum(np.bincount(by_file))[:-1])
    visit = np.random.Generator(np.random.Philox(0)).permutation(len(files))
    count = min(shards or max(8, -(-len(people) // 1000)), len(files))
    return groups, visit, file_numbers(np.array([len(groups[at]) for at in visit]), count)


def made_of(
    people: People,
    *,
    size: tuple[int, int],
    margin: float,
    raw: bool,
    quality: int,
    shards: int | None,
    shrink: bool,
) -> str:
    """A mark of everything that the bytes of a store follow from, but the photos'; `root` may be spelled in any way."""
    options = tuple(size), float(margin), raw, 0 if raw else quality, int(_dealt(people, shards)[2][-1]) + 1, shrink
    files = [os.path.abspath(file) for file in people.files]
    about = (people.name, people.fit, people.skeleton.to_dict(), files, options)
    digest = hashlib.sha256(repr(about).encode(errors="backslashreplace"))
    for name in (*PERSON, "file"):
        digest.update(np.ascontiguousarray(getattr(people, name)).tobytes())
    return digest.hexdigest()


def _begin(out: Path, what: str, shared: bool) -> Path:
    """The file that marks a store as begun. What another call left is removed, unless other processes may be at it."""
    out.mkdir(parents=True, exist_ok=True)
    begun, old = out / "store.json.part", sorted([*out.glob("shard-*"), *out.glob("index.npz")])
    if old and not begun.exists():
        raise UserError(f"{out}: holds {old[0].name}, which is no store's; choose another folder")
    if begun.exists() and begun.read_text(errors="replace") != what:
        if shared:
            raise UserError(f"{out}: another pack was begun here, of other people or options; remove it")
        for file in old:
            file.unlink()
    if not begun.exists() or begun.read_text(errors="replace") != what:
        write_atomic(begun, what.encode())
    return begun


def _finish(
    people: People, out: Path, begun: Path, count: int, skip_bad: bool, about: dict[str, Any]
) -> dict[str, int]:
    """The index over all files, which are whole; their records have served."""
    kept = np.zeros(len(people), bool)
    names: list[str] = []
    shapes = {"window": (4,), "photo": (2,)}
    columns = {name: np.zeros((len(people), *shapes.get(name, ())), np.int64) for name in ("shard", *COLUMNS)}
    for number in range(count):
        with np.load(record_of(out, number), allow_pickle=False) as record:
            rows = record["rows"]
            if not len(rows):
                continue  # of bad photos alone
            for name in COLUMNS:
                columns[name][rows] = record[name]
        columns["shard"][rows], kept[rows] = len(names), True
        names.append(name_of(number, about["raw"]))
    if not names:
        raise UserError(f"{out}: none of the {len(people.files)} photos could be read")
    if not (kept.all() or skip_bad):
        lost = people.files[people.file[int(np.argmin(kept))]]
        raise UserError(
            f"{out}: was begun with on_bad_image='skip', which left out {lost}; go on with it, or remove it"
        )
    _write_index(people, out, kept, columns, names, about)
    for number in range(count):
        record_of(out, number).unlink()
    begun.unlink()
    left = len(people) - int(kept.sum())
    size = int(columns["length"].sum())
    return {"people": int(kept.sum()), "skipped": left, "bytes": size, "shards": len(names)}


def _write_index(
    people: People,
    out: Path,
    kept: np.ndarray,
    places: dict[str, np.ndarray],
    names: list[str],
    about: dict[str, Any],
) -> None:
    table = people.select(kept)
    paths = [Path(p).resolve() for p in table.files]
    root = Path(*_common([p.parts[:-1] for p in paths]))
    types = {"shard": np.int32, "window": np.int32, "shrink": np.uint8, "photo": np.int32}
    columns = {name: v[kept].astype(types.get(name, np.int64)) for name, v in places.items()}
    columns |= {name: getattr(table, name) for name in PERSON}
    columns["files"] = np.array([str(p.relative_to(root)) for p in paths])
    columns["file_index"] = table.file  # `file` is np.savez's own argument
    np.savez(out / "index.npz", allow_pickle=False, **columns)
    about |= {
        "format": FORMAT, "version": VERSION, "dataset": table.name, "fit": table.fit, "people": len(table),
        "root": str(root), "shards": names, "skeleton": table.skeleton.to_dict(),
    }  # fmt: skip
    write_json(out / "store.json", about, indent=1)


def _common(parts: list[tuple[str, ...]]) -> tuple[str, ...]:
    first, last = min(parts), max(parts)
    same = [a == b for a, b in zip(first, last)]
    return first[: same.index(False) if False in same else len(same)]
