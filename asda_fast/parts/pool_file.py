"""Pool files as bytes on disk: write, concatenate and filter them without holding their pixels in memory.

The format is PartPool's (pool.py): safetensors with rgba [T, 4] uint8 straight, offset [P], size [P, 2] int64, type [P]
int64, person [P, 2] float32; format, version, types and source in the metadata.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asda_fast.core.errors import UserError

FORMAT, VERSION = "asda_fast.parts", "1"
_DTYPES = {"U8": np.uint8, "I64": np.int64, "F32": np.float32}
_CODES = {"rgba": "U8", "offset": "I64", "size": "I64", "type": "I64", "person": "F32"}
_TAIL = {"rgba": (4,), "offset": (), "size": (2,), "type": (), "person": (2,)}
_HEADER_LIMIT = 100_000_000  # bytes; safetensors' own
_BLOCK = 1 << 22  # bytes read at a time


@dataclass(frozen=True)
class PoolFile:
    """The columns of a pool file; `rgba` stays on disk (memory-mapped)."""

    path: Path
    rgba: np.ndarray  # [T, 4] uint8, mapped
    start: int  # byte of the file at which rgba begins
    offset: np.ndarray  # [P] int64, first pixel of each patch in rgba
    size: np.ndarray  # [P, 2] int64 height, width
    type: np.ndarray  # [P] int64
    person: np.ndarray  # [P, 2] float32
    types: tuple[str, ...]
    source: list[str]
    extra: dict[str, str]  # further metadata

    def __len__(self) -> int:
        return len(self.type)

    def patch(self, index: int) -> np.ndarray:
        """Straight RGBA uint8 [h, w, 4], as stored."""
        height, width = self.size[index]
        first = self.offset[index]
        return self.rgba[first : first + height * width].reshape(height, width, 4)


def open_pool(path: str | Path) -> PoolFile:
    """Map a pool file. One that is missing, truncated, of another version or inconsistent raises `UserError`."""
    path = Path(path)

    def refuse(what: str) -> UserError:
        return UserError(f"{path}: not a usable part pool: {what}")

    if not path.is_file():
        raise UserError(f"{path}: expected a part pool file, found none")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(_HEADER_LIMIT, path.stat().st_size - 8):
                raise refuse("the header is damaged or cut off")
            header = json.loads(file.read(length))
        meta = header.get("__metadata__", {})
        if meta.get("format") != FORMAT or meta.get("version") != VERSION:
            raise refuse(f"expected {FORMAT} version {VERSION}, got {meta.get('format')} version {meta.get('version')}")
        whole = np.memmap(path, np.uint8, "r")[8 + length :]
        columns = {}
        for name, code in _CODES.items():
            entry = header[name]
            first, last = entry["data_offsets"]
            shape = tuple(entry["shape"])
            if entry["dtype"] != code or shape[1:] != _TAIL[name] or not 0 <= first <= last <= len(whole):
                raise refuse(f"{name}: wrong type, shape or place")
            columns[name] = whole[first:last].view(_DTYPES[code]).reshape(shape)
        types, source = tuple(json.loads(meta["types"])), list(json.loads(meta["source"]))
    except UserError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise refuse(str(error).splitlines()[0][:200] if str(error) else type(error).__name__) from None
    small = {name: np.array(columns[name]) for name in ("offset", "size", "type", "person")}
    pixels = small["size"].prod(1)
    if not len(source) == len(pixels) == len(small["offset"]) == len(small["type"]) == len(small["person"]):
        raise refuse("its columns have different lengths")
    if len(pixels) and (
        small["size"].min() < 1
        or small["offset"].min() < 0
        or (small["offset"] + pixels).max() > len(columns["rgba"])
        or small["type"].min() < 0
        or small["type"].max() >= len(types)
    ):
        raise refuse("a patch lies outside the file, or has no type")
    extra = {k: v for k, v in meta.items() if k not in ("format", "version", "types", "source")}
    start = 8 + length + header["rgba"]["data_offsets"][0]
    return PoolFile(path, columns["rgba"], start, types=types, source=source, extra=extra, **small)


def save_pool(
    path: str | Path,
    patches: Sequence[np.ndarray],
    type: Sequence[int],
    person: Sequence[Sequence[float]],
    source: Sequence[str],
    types: Sequence[str],
    extra: dict[str, str] | None = None,
) -> None:
    """Write patches (straight RGBA uint8 [h, w, 4]) as a pool file."""
    size = np.array([p.shape[:2] for p in patches], np.int64).reshape(-1, 2)
    columns: dict[str, np.ndarray] = {
        "size": size,
        "type": np.asarray(type, np.int64),
        "person": np.asarray(person, np.float32).reshape(-1, 2),
    }
    _write(Path(path), (np.ascontiguousarray(p).data for p in patches), columns, types, source, extra or {})


def merge_pools(
    paths: Sequence[str | Path],
    out: str | Path,
    exclude: Collection[str] = (),
    extra: dict[str, str] | None = None,
    types: Sequence[str] = (),
) -> int:
    """Concatenate pool files into `out`, without the patches whose source is in `exclude`; returns how many were left
    out. Types are matched by name; `types` come first. Memory: the small columns, never the pixels."""
    pools = [open_pool(path) for path in paths]
    if any(Path(out).resolve() == pool.path.resolve() for pool in pools):
        raise UserError(f"--out {out}: is one of the pools that are read; choose another name")
    types = list(dict.fromkeys([*types, *(name for pool in pools for name in pool.types)]))
    rows = [np.array([i for i, s in enumerate(p.source) if not excluded(s, exclude)], np.int64) for p in pools]
    number = {name: i for i, name in enumerate(types)}
    remap = [np.array([number[name] for name in pool.types], np.int64) for pool in pools]
    columns = {
        "size": np.concatenate([p.size[r] for p, r in zip(pools, rows)] or [np.zeros((0, 2), np.int64)]),
        "type": np.concatenate([m[p.type[r]] for p, r, m in zip(pools, rows, remap)] or [np.zeros(0, np.int64)]),
        "person": np.concatenate([p.person[r] for p, r in zip(pools, rows)] or [np.zeros((0, 2), np.float32)]),
    }
    source = [pool.source[i] for pool, keep in zip(pools, rows) for i in keep.tolist()]
    pixels = (block for pool, keep in zip(pools, rows) for block in _read_patches(pool, keep))
    _write(Path(out), pixels, columns, types, source, extra or {})
    return sum(len(pool) for pool in pools) - len(source)


def _read_patches(pool: PoolFile, rows: np.ndarray) -> Iterator[bytes]:
    """The pixels of `rows`, in order, a few MiB at a time; read, not mapped, so that they do not count as memory."""
    with pool.path.open("rb") as file:
        for first, count in zip(pool.offset[rows].tolist(), pool.size[rows].prod(1).tolist()):
            file.seek(pool.start + 4 * first)
            left = 4 * count
            while left:
                block = file.read(min(left, _BLOCK))
                if not block:
                    raise UserError(f"{pool.path}: not a usable part pool: it ends too early")
                left -= len(block)
                yield block


def excluded(source: str, names: Collection[str]) -> bool:
    """Whether a source id is among `names`, by its whole path or by its last part alone."""
    return source in names or source.rsplit("/", 1)[-1] in names


def _write(
    path: Path,
    pixels: Iterable[bytes | memoryview],
    columns: dict[str, np.ndarray],
    types: Sequence[str],
    source: Sequence[str],
    extra: dict[str, str],
) -> None:
    counts = columns["size"].prod(1)
    columns = {**columns, "offset": np.cumsum(counts) - counts}
    total = int(counts.sum())
    meta = {"format": FORMAT, "version": VERSION, "types": json.dumps(list(types)), "source": json.dumps(list(source))}
    header: dict[str, object] = {"__metadata__": {**meta, **extra}}
    place = 0
    for name in ("offset", "size", "type", "person", "rgba"):  # wide types first: all stay aligned
        shape = [total, 4] if name == "rgba" else list(columns[name].shape)
        length = 4 * total if name == "rgba" else columns[name].nbytes
        header[name] = {"dtype": _CODES[name], "shape": shape, "data_offsets": [place, place + length]}
        place += length
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _HEADER_LIMIT:
        raise UserError(f"{path}: {len(source)} patches are more than one pool file can name; build several")
    partial = path.with_name(path.name + ".partial")  # a reader never sees half a file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in ("offset", "size", "type", "person"):
                file.write(np.ascontiguousarray(columns[name]).tobytes())
            for block in pixels:
                file.write(block)
        partial.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot write the part pool: {error.strerror or error}") from None
