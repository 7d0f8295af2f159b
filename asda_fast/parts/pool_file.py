"""Pool files: the only reader and writer of the format. Pixels stay on disk: a pool may be larger than memory.

A safetensors file. Tensors: rgba [T, 4] uint8, the pixels of all patches, straight; offset [P] int64, first pixel of
each patch in rgba; size [P, 2] int64 height, width; type [P] int64, index into `types`; person [P, 2] float32 width,
height of the source person's box in the patch's pixels, nan if unknown. Metadata: format, version, types and source
(JSON lists: type names, and per patch the id of its photo, "" if unknown), and what else a writer wants to keep.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from asda_fast.core.errors import UserError, short
from asda_fast.core.files import replacing
from asda_fast.parts.exclude import excluded

FORMAT, VERSION = "asda_fast.parts", "1"
MAX_SIDE = 16384  # pixels; a larger side in a file means that the file is damaged

# name -> (safetensors' code, numpy's name, shape after the first axis); in the order in which they are written: wide
# types first, so that all stay aligned
_FIELDS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "offset": ("I64", "int64", ()),
    "size": ("I64", "int64", (2,)),
    "type": ("I64", "int64", ()),
    "person": ("F32", "float32", (2,)),
    "rgba": ("U8", "uint8", (4,)),
}
_OWN = ("format", "version", "types", "source")
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


class _Refused(Exception):
    """Why a file is not a usable pool."""


def open_pool(path: str | Path) -> PoolFile:
    """Map a pool file. One that is missing, truncated, of another version or inconsistent raises `UserError`."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: expected a part pool file, found none{' but a folder' if path.is_dir() else ''}")
    try:
        return _open(path)
    except _Refused as why:
        raise UserError(f"{path}: not a usable part pool: {why}") from None
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        why_not = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path}: not a usable part pool: {why_not}") from None


def _open(path: Path) -> PoolFile:
    with safe_open(str(path), framework="numpy") as file:  # checks the container: header, places, lengths
        meta = file.metadata() or {}
        for name, expected in (("format", FORMAT), ("version", VERSION)):
            if meta.get(name) != expected:
                raise _Refused(f"expected {name} {expected!r}, got {short(meta.get(name))}")
        if missing := sorted(set(_FIELDS) - set(file.keys())):
            raise _Refused(f"tensor {missing[0]!r} is missing")
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in _FIELDS}
        count = (*shapes["size"], 0)[0]
        for name, (code, dtype, tail) in _FIELDS.items():
            expected_shape = (*shapes[name][:1], *tail) if name == "rgba" else (count, *tail)
            found = file.get_slice(name).get_dtype()
            if found != code or shapes[name] != expected_shape:
                raise _Refused(f"{name}: expected {dtype} {list(expected_shape)}, got {found} {list(shapes[name])}")
        columns = {name: file.get_tensor(name) for name in _FIELDS if name != "rgba"}
    text = {name: json.loads(meta.get(name, "null")) for name in ("types", "source")}
    for name, value in text.items():
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise _Refused(f"{name}: expected a list of names")
    if len(text["source"]) != count:
        raise _Refused(f"source: expected {count} entries, got {len(text['source'])}")
    if len(set(text["types"])) < len(text["types"]):
        raise _Refused("types: expected different names")
    _check(columns, shapes["rgba"][0], len(text["types"]))
    with path.open("rb") as raw:
        length = int.from_bytes(raw.read(8), "little")
        start = 8 + length + json.loads(raw.read(length))["rgba"]["data_offsets"][0]
    pixels = shapes["rgba"][0]
    rgba = np.memmap(path, np.uint8, "r")[start : start + 4 * pixels].reshape(pixels, 4)
    extra = {key: value for key, value in meta.items() if key not in _OWN}
    return PoolFile(path, rgba, start, types=tuple(text["types"]), source=text["source"], extra=extra, **columns)


def _check(columns: dict[str, np.ndarray], pixels: int, types: int) -> None:
    """Every number against the others: a patch lies inside the file, and no two share pixels."""
    size, offset, index, person = (columns[name] for name in ("size", "offset", "type", "person"))
    if ((size < 1) | (size > MAX_SIDE)).any():
        raise _Refused(f"size: expected sides 1..{MAX_SIDE}, got {size.min()}..{size.max()}")
    if ((offset < 0) | (offset > pixels) | (size.prod(1) > pixels - np.clip(offset, 0, pixels))).any():
        raise _Refused(f"offset: a patch lies outside the file's {pixels} pixels")
    if size.prod(1).sum() > pixels:  # overlapping patches: a small file must not ask for unbounded memory
        raise _Refused(f"size: patches overlap, {size.prod(1).sum()} pixels of {pixels}")
    if ((index < 0) | (index >= types)).any():
        raise _Refused(f"type: expected indices 0..{types - 1}, got {index.min()}..{index.max()}")
    if not known_or_nan(person).all():
        row = int(np.flatnonzero(~known_or_nan(person).all(1))[0])
        raise _Refused(f"person: expected widths and heights above 0, or nan; patch {row} has {person[row].tolist()}")


def known_or_nan(person: np.ndarray) -> np.ndarray:
    """Which numbers of [P, 2] are the side of a box: finite and above 0, or nan where unknown."""
    return np.isnan(person) | ((person > 0) & np.isfinite(person))


def pool_info(path: str | Path) -> dict[str, Any]:
    """Counts and sizes of a pool: patches, photos, mebibytes, types {name: count}, sizes {name: [h, w]}."""
    pool = open_pool(path)
    counts = np.bincount(pool.type, minlength=len(pool.types))
    return {
        "patches": len(pool),
        "photos": len(set(pool.source) - {""}),
        "mebibytes": round(pool.rgba.size / 2**20, 3),
        "types": {name: int(count) for name, count in zip(pool.types, counts)},
        "sizes": {
            name: np.median(pool.size[pool.type == i], 0).round().astype(int).tolist()
            for i, name in enumerate(pool.types)
            if counts[i]
        },
    }


def save_pool(
    path: str | Path,
    patches: Sequence[np.ndarray],
    type: Sequence[int] | np.ndarray,
    person: Sequence[Sequence[float]] | np.ndarray,
    source: Sequence[str],
    types: Sequence[str],
    extra: dict[str, str] | None = None,
) -> None:
    """Write patches (straight RGBA uint8 [h, w, 4]) as a pool file."""
    columns: dict[str, np.ndarray] = {
        "size": np.array([p.shape[:2] for p in patches], np.int64).reshape(-1, 2),
        "type": np.asarray(type, np.int64),
        "person": np.asarray(person, np.float32).reshape(-1, 2),
    }
    _write(Path(path), (np.ascontiguousarray(p).data for p in patches), columns, types, source, extra or {})


def merge_pools(
    paths: Sequence[str | Path],
    out: str | Path,
    exclude: str | Path | Collection[str] = (),
    extra: dict[str, str] | None = None,
    types: Sequence[str] = (),
    say: Callable[[str], object] = lambda line: None,
) -> int:
    """Concatenate pool files into `out`, without the patches whose photo is in `exclude` (as in build_pool); returns
    how many were left out. Types are matched by name; `types` come first. Memory: the small columns, never the pixels.
    say: told what `exclude` names in vain, and what it cannot name."""
    pools = [open_pool(path) for path in paths]
    if any(Path(out).resolve() == pool.path.resolve() for pool in pools):
        raise UserError(f"out {out}: is one of the pools that are read; choose another name")
    types = list(dict.fromkeys([*types, *(name for pool in pools for name in pool.types)]))
    photos = {s for p in pools for s in p.source}
    left, strangers = excluded(photos, exclude, "the pools")
    if left and len(left) == len(photos):
        what = f"exclude_images {exclude}" if isinstance(exclude, (str, Path)) else "exclude"
        raise UserError(f"{what}: names all {len(photos)} photos of the pools, nothing is left to write")
    if strangers:
        say(f"excluded names that are no photo of the pools: {strangers}")
    if left and (unknown := sum(p.source.count("") for p in pools)):
        say(f"patches of no known photo, which no name leaves out: {unknown}")
    rows = [np.array([i for i, s in enumerate(p.source) if s not in left], np.int64) for p in pools]
    number = {name: i for i, name in enumerate(types)}
    remap = [np.array([number[name] for name in pool.types], np.int64) for pool in pools]
    columns = {
        "size": np.concatenate([p.size[r] for p, r in zip(pools, rows)] or [np.zeros((0, 2), np.int64)]),
        "type": np.concatenate([m[p.type[r]] for p, r, m in zip(pools, rows, remap)] or [np.zeros(0, np.int64)]),
        "person": np.concatenate([p.person[r] for p, r in zip(pools, rows)] or [np.zeros((0, 2), np.float32)]),
    }
    source = [pool.source[i] for pool, keep in zip(pools, rows) for i in keep.tolist()]
    pixels = (block for pool, keep in zip(pools, rows) for block in _read_patches(pool, keep))
    try:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out {out}: cannot write there: {error.strerror or error}") from None
    _write(Path(out), pixels, columns, types, source, extra or {})
    return sum(len(pool) for pool in pools) - len(source)


def copies(before: Sequence[PoolFile], pool: PoolFile) -> int:
    """How many patches of `pool` are in one of the pools `before` as well: of one photo and type, pixel by pixel."""

    def key(file: PoolFile, i: int) -> tuple[object, ...]:
        return file.source[i], file.types[file.type[i]], *file.size[i].tolist(), file.person[i].tobytes()

    known: dict[tuple[object, ...], list[tuple[PoolFile, int]]] = {}
    for file in before:
        for i in range(len(file)):
            known.setdefault(key(file, i), []).append((file, i))
    alike = ((i, known.get(key(pool, i), ())) for i in range(len(pool)))
    return sum(any(np.array_equal(pool.patch(i), file.patch(k)) for file, k in some) for i, some in alike)


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
    for name, (code, _, _) in _FIELDS.items():
        shape = [total, 4] if name == "rgba" else list(columns[name].shape)
        length = 4 * total if name == "rgba" else columns[name].nbytes
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [place, place + length]}
        place += length
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _HEADER_LIMIT:
        raise UserError(f"{path}: {len(source)} patches are more than one pool file can name; build several")
    try:
        with replacing(path) as file:  # a reader never sees half a file
            file.write(len(text).to_bytes(8, "little") + text)
            for name in _FIELDS:
                if name != "rgba":
                    file.write(np.ascontiguousarray(columns[name]).tobytes())
            for block in pixels:
                file.write(block)
    except OSError as error:
        raise UserError(f"{path}: cannot write the part pool: {error.strerror or error}") from None
