"""The files of a store while they are written: crops in a row, and beside a finished file where each lies."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from asda_fast.core.files import write_atomic
from asda_fast.data.people import People
from asda_fast.data.store_cut import Cut
from asda_fast.data.store_index import PLACES

COLUMNS = tuple(name for name in PLACES if name != "shard")


def name_of(number: int, raw: bool) -> str:
    return f"shard-{number:06d}.{'raw' if raw else 'tar'}"


def record_of(out: Path, number: int) -> Path:
    """What tells that file `number` is whole: its people and where they lie. Gone when the store is whole."""
    return out / f"shard-{number:06d}.npz"


class Part:
    """File `number` of a store. Of photos that all are bad there is none, but its record."""

    def __init__(self, people: People, out: Path, number: int, raw: bool) -> None:
        self.people, self.out, self.number, self.raw = people, out, number, raw
        self.rows: list[int] = []
        self.places: list[tuple[Any, ...]] = []  # of COLUMNS
        self._file: _Tar | None = None

    def add(self, rows: np.ndarray, cuts: list[Cut]) -> None:
        """The people of one photo; no cuts: they are left out."""
        for row, piece in zip(rows.tolist(), cuts):
            if self._file is None:
                self._file = _Tar(self.out / name_of(self.number, self.raw), self.raw)
            start = self._file.add(f"{row:09d}", piece.blob, annotation(self.people, row, piece))
            self.rows.append(row)
            self.places.append(
                (start, len(piece.blob), piece.window, piece.shrink, piece.photo, piece.photo_bytes, piece.crc)
            )

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        columns = {name: np.array([p[i] for p in self.places], np.int64) for i, name in enumerate(COLUMNS)}
        data = io.BytesIO()
        np.savez(data, allow_pickle=False, rows=np.array(self.rows, np.int64), **columns)
        write_atomic(record_of(self.out, self.number), data.getvalue())


class _Tar:
    """A file of a store being written: a tar of JPEGs and JSONs, or bare pixels."""

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


def annotation(people: People, row: int, piece: Cut) -> dict[str, Any]:
    """What stands beside a crop in its shard: enough to use the tar without the index."""
    numbers = {
        name: getattr(people, name)[row].tolist()
        for name in ("box", "centre", "scale", "joints", "visible", "id", "image_id")
    }
    photo = Path(people.files[people.file[row]]).name
    return {"row": int(row), "photo": photo, "window": piece.window.tolist(), "shrink": piece.shrink, **numbers}
