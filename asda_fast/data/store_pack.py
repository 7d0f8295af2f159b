"""Write a store (store.py says what one is): cut every person out of the photos once.

The window of a person is a square round the crop's centre, `margin` times the longer side of the unaugmented crop,
moved out to multiples of 16 pixels (JPEG blocks of the crop fall on those of the photo, so that compressing again loses
least) and cut at the photo's edges. With margin 1.7 a turn by any angle and 1.3 times the size stay inside for 4:3
crops, and for square ones all but the last pixels of a corner.
"""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import simplejpeg

from asda_fast.core import images
from asda_fast.core.errors import UserError
from asda_fast.core.files import write_atomic
from asda_fast.data import crop as geometry
from asda_fast.data.people import People
from asda_fast.data.store import REACH
from asda_fast.data.store_index import FORMAT, PERSON, VERSION
from asda_fast.data.strangers import lost

BLOCK = 16  # pixels of a JPEG macroblock with halved chroma
STRONGEST_ZOOM = 0.7  # the smallest size factor of the paper's augmentation (COCO 0.7 .. 1.3)


def windows(
    people: People, size: tuple[int, int], margin: float, photo: np.ndarray, shrinking: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Window [P, 4] int32 x, y, width, height and shrink [P] uint8 of every person.

    size (height, width): the crops that training will ask for; photo [P, 2]: height, width of each person's photo.
    """
    rows = np.arange(len(people))
    width = geometry.fit_aspect(geometry.region(people, rows), size)
    height = width * size[0] / size[1]
    shrink = np.ones(len(people), np.int64)
    if shrinking:
        for factor in (2, 4, 8):
            shrink[STRONGEST_ZOOM * width / size[1] >= factor] = factor
    half = (margin / 2 * np.maximum(width, height) + 2 * REACH * width / size[1])[:, None]  # the plain crop always fits
    block = BLOCK * shrink[:, None]
    edge = photo[:, ::-1].astype(np.int64)
    low = np.floor((people.centre - half) / block).astype(np.int64) * block
    high = np.ceil((people.centre + half) / block).astype(np.int64) * block
    low = np.clip(low, 0, np.maximum(edge - 1, 0) // block * block)  # a person outside the photo keeps a sliver of it
    high = np.clip(high, low + 1, edge)
    return np.concatenate([low, high - low], axis=1).astype(np.int32), shrink.astype(np.uint8)


def decode(data: bytes, name: str, photo: images.Size, shrink: int) -> np.ndarray:
    """RGB [ceil(h / shrink), ceil(w / shrink), 3] uint8, photo (height, width) as its annotations see it."""
    image = images.read(data, name, photo, shrink)
    size = (-(-photo[0] // shrink), -(-photo[1] // shrink))
    if image.shape[:2] != size:  # only a JPEG can be decoded at a fraction
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    return image


def chroma_of(data: bytes) -> str:
    """The photo's own chroma subsampling: subsampling it further would cost more than all else (measured on COCO: mean
    difference 1.9 grey levels against 0.9)."""
    try:
        found = str(simplejpeg.decode_jpeg_header(data)[3])
    except (ValueError, KeyError):
        return "444"
    return found if found in ("444", "422", "420", "440", "411") else "444"


@dataclass(frozen=True)
class Cut:
    """One person cut out."""

    blob: bytes  # JPEG, or raw pixels
    window: np.ndarray  # [4] int32 x, y, width, height in the photo
    shrink: int
    photo: images.Size  # height, width
    photo_bytes: int  # length of the photo's file
    crc: int  # CRC-32 of the blob


def cut(
    people: People, rows: np.ndarray, size: tuple[int, int], margin: float, shrinking: bool, quality: int
) -> list[Cut]:
    """The people `rows` of one photo; quality 0: raw pixels. Raises BadImage."""
    number = people.file[rows[0]]
    path = people.files[number]
    data = images.read_bytes(path)
    photo = images.size_of(data, path, people.image_size[number].tolist())
    stranger = lost(people, rows, photo) if not people.image_size[number].any() else None
    if stranger:
        raise images.BadImage(path, stranger)
    window, shrink = windows(people.select(rows), size, margin, np.tile(photo, (len(rows), 1)), shrinking)
    decoded = {int(k): decode(data, path, photo, int(k)) for k in np.unique(shrink)}
    chroma = chroma_of(data)
    cuts = []
    for (x, y, w, h), k in zip(window.tolist(), shrink.tolist()):
        part = np.ascontiguousarray(decoded[k][y // k : y // k + -(-h // k), x // k : x // k + -(-w // k)])
        blob = simplejpeg.encode_jpeg(part, quality, "RGB", chroma) if quality else part.tobytes()
        cuts.append(Cut(blob, np.array((x, y, w, h), np.int32), k, photo, len(data), zlib.crc32(blob)))
    return cuts


def _in_order(pool: ThreadPoolExecutor, job: Any, items: Iterable[Any], ahead: int) -> Iterator[tuple[Any, Any]]:
    """(item, future) in order, with at most `ahead` results waiting: memory stays bounded."""
    items = iter(items)
    waiting = [(item, pool.submit(job, item)) for item in islice(items, ahead)]
    while waiting:
        yield waiting.pop(0)
        waiting += [(item, pool.submit(job, item)) for item in islice(items, 1)]


class _Shard:
    """One shard being written: a tar of JPEGs and JSONs, or bare pixels."""

    def __init__(self, path: Path, raw: bool) -> None:
        self.file: IO[bytes] = open(path, "wb")  # noqa: SIM115
        self.tar = None if raw else tarfile.TarFile(fileobj=self.file, mode="w", format=tarfile.USTAR_FORMAT)

    def add(self, name: str, blob: bytes, about: dict[str, Any]) -> int:
        """Append one person; returns where its pixels start."""
        if self.tar is None:
            start = self.file.tell()
            self.file.write(blob)
            return start
        start = self.tar.offset + tarfile.BLOCKSIZE
        for suffix, content in (("jpg", blob), ("json", json.dumps(about).encode())):
            member = tarfile.TarInfo(f"{name}.{suffix}")  # time 0, owner 0: the same people make the same bytes
            member.size = len(content)
            self.tar.addfile(member, io.BytesIO(content))
        return start

    def close(self) -> None:
        if self.tar is not None:
            self.tar.close()
        self.file.close()


class _Writer:
    """The shards of a store, one after the other, and the index columns of what is in them."""

    def __init__(self, people: People, out: Path, raw: bool, shards: int) -> None:
        self.people, self.out, self.raw, self.shards = people, out, raw, shards
        self.names: list[str] = []
        self.seen = self.bytes = 0
        self.kept = np.zeros(len(people), bool)
        shapes = {"shard": (), "offset": (), "length": (), "window": (4,), "shrink": (), "photo": (2,)}
        shapes |= {"photo_bytes": (), "crc": ()}
        self.columns = {name: np.zeros((len(people), *shape), np.int64) for name, shape in shapes.items()}
        self._shard: _Shard | None = None

    def add(self, rows: np.ndarray, cuts: list[Cut]) -> None:
        """The people of one photo; no cuts: they are left out. They begin a new shard where their place in the whole
        says so: shards differ in size by the people of one photo at most."""
        if cuts and (self._shard is None or self.seen * self.shards // len(self.people) >= len(self.names)):
            self.close()
            self.names.append(f"shard-{len(self.names):06d}.{'raw' if self.raw else 'tar'}")
            self._shard = _Shard(self.out / self.names[-1], self.raw)
        self.seen += len(rows)
        for row, piece in zip(rows, cuts):
            assert self._shard is not None
            start = self._shard.add(f"{row:09d}", piece.blob, annotation(self.people, row, piece))
            place: tuple[Any, ...] = (
                len(self.names) - 1,
                start,
                len(piece.blob),
                piece.window,
                piece.shrink,
                piece.photo,
                piece.photo_bytes,
                piece.crc,
            )
            for values, value in zip(self.columns.values(), place):
                values[row] = value
            self.kept[row] = True
            self.bytes += len(piece.blob)

    def close(self) -> None:
        if self._shard is not None:
            self._shard.close()
            self._shard = None


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
    progress: Any = iter,
) -> dict[str, int]:
    """Write the store of `people` into the folder `out`; returns counts (people, skipped, bytes, shards).

    size: the crops that training will ask for (their proportions shape the window; with `shrink` a person far larger
    than needed is kept at 1/2, 1/4 or 1/8). shards: how many files, at least as many as there will be ranks (default:
    one per 1,000 people, at least 8). People of one photo stay in one shard; photos are spread over shards at random,
    so that every shard looks like the whole. progress: wraps the iterator over photos.
    Raises UserError for a bad photo (unless skip_bad) and for a folder that holds a finished store already.
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
    out.mkdir(parents=True, exist_ok=True)
    begun, old = out / "store.json.part", sorted([*out.glob("shard-*"), *out.glob("index.npz")])
    if old and not begun.exists():
        raise UserError(f"{out}: holds {old[0].name}, which is no store's; choose another folder")
    for file in old:  # of a call that was interrupted
        file.unlink()
    begun.touch()
    files, by_file = np.unique(people.file, return_inverse=True)
    groups = np.split(np.argsort(by_file, kind="stable"), np.cumsum(np.bincount(by_file))[:-1])  # rows of each photo
    visit = np.random.Generator(np.random.Philox(0)).permutation(len(files))
    writer = _Writer(people, out, raw, min(shards or max(8, -(-len(people) // 1000)), len(files)))
    with ThreadPoolExecutor(threads) as pool:

        def job(i: int) -> list[Cut]:
            return cut(people, groups[i], size, margin, shrink, 0 if raw else quality)

        for at, future in _in_order(pool, job, progress(visit), 4 * threads):
            try:
                cuts = future.result()
            except images.BadImage as error:
                if not skip_bad:
                    raise UserError(f"{error} (on_bad_image='skip' leaves its people out)") from None
                cuts = []
            writer.add(groups[at], cuts)
    writer.close()
    if not writer.names:
        raise UserError(f"{out}: none of the {len(files)} photos could be read")
    _write_index(people, writer, dict(raw=raw, margin=margin, size=list(size)))
    kept = int(writer.kept.sum())
    return {"people": kept, "skipped": len(people) - kept, "bytes": writer.bytes, "shards": len(writer.names)}


def annotation(people: People, row: int, piece: Cut) -> dict[str, Any]:
    """What stands beside a crop in its shard: enough to use the tar without the index."""
    numbers = {
        name: getattr(people, name)[row].tolist()
        for name in ("box", "centre", "scale", "joints", "visible", "id", "image_id")
    }
    photo = Path(people.files[people.file[row]]).name
    return {"row": int(row), "photo": photo, "window": piece.window.tolist(), "shrink": piece.shrink, **numbers}


def _write_index(people: People, writer: _Writer, about: dict[str, Any]) -> None:
    table, out = people.select(writer.kept), writer.out
    paths = [Path(p).resolve() for p in table.files]
    root = Path(*_common([p.parts[:-1] for p in paths]))
    types = {"shard": np.int32, "window": np.int32, "shrink": np.uint8, "photo": np.int32}
    columns = {name: v[writer.kept].astype(types.get(name, np.int64)) for name, v in writer.columns.items()}
    columns |= {name: getattr(table, name) for name in PERSON}
    columns["files"] = np.array([str(p.relative_to(root)) for p in paths])
    columns["file_index"] = table.file  # `file` is np.savez's own argument
    np.savez(out / "index.npz", allow_pickle=False, **columns)
    about |= {
        "format": FORMAT, "version": VERSION, "dataset": table.name, "fit": table.fit, "people": len(table),
        "root": str(root), "shards": writer.names, "skeleton": table.skeleton.to_dict(),
    }  # fmt: skip
    write_atomic(out / "store.json", (json.dumps(about, indent=1) + "\n").encode())
    (out / "store.json.part").unlink()


def _common(parts: list[tuple[str, ...]]) -> tuple[str, ...]:
    first, last = min(parts), max(parts)
    same = [a == b for a, b in zip(first, last)]
    return first[: same.index(False) if False in same else len(same)]
