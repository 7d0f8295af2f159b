"""Files: written whole or not at all, found below a folder, JSON read with one line for what is wrong with it."""

from __future__ import annotations

import errno
import io
import json
import math
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from asda_fast.core.errors import UserError


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds the old content or the new one, whatever happens in between."""
    with replacing(path) as file:
        file.write(data)


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Write plain values as JSON, whole or not at all; what is not finite becomes null, since JSON has no NaN."""
    try:
        text = json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:  # a copy of all of it, which a long list of predictions seldom needs
        text = json.dumps(finite(value), indent=indent)
    write_atomic(path, f"{text}\n".encode())


def finite(value: Any) -> Any:
    """Plain values, however nested, with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def cache_folder() -> Path:
    """What is made once and can be made again: $ASDA_FAST_CACHE, else ~/.cache/asda_fast."""
    if cache := os.environ.get("ASDA_FAST_CACHE"):
        return Path(cache)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~")) / ".cache") / "asda_fast"


def check_target(name: str, path: str | Path) -> None:
    """Make the folder of a file that is to be written. UserError of the option `name` where it could not be written:
    said before a long work, not after it."""
    path = Path(path)
    try:
        probe = _partial(path)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{name} {path}: {error.strerror}") from None


def _partial(path: Path) -> Path:
    """Where a file is written before it is whole."""
    if not path.name:  # "." or "/", which no other name can stand beside
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def check_suffix(path: str | Path, suffixes: Collection[str] = PICTURES) -> None:
    """UserError unless a file to be written ends as a picture does."""
    if Path(path).suffix.lower() not in suffixes:
        raise UserError(f"{path}: expected a picture ending in {', '.join(suffixes)}")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write into that takes the place of `path` at the end; where the writing fails, `path` is as before.
    What the disk refuses is an OSError that names `path`, also where a library made another error of it."""
    partial, file = _partial(path), None
    try:
        file = _Writer(io.FileIO(partial, "w"))
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except Exception as error:
        refused = (file and file.refused) or error
        if isinstance(refused, OSError) and refused.filename in (None, str(partial), partial):
            raise OSError(refused.errno, refused.strerror or str(refused), str(path)) from error
        raise
    finally:
        partial.unlink(missing_ok=True)


class _Writer(io.BufferedWriter):
    """Remembers what the disk refused: torch and safetensors raise errors of their own instead."""

    refused: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.refused = error
            raise


def files_below(folder: Path, suffixes: Collection[str] | None = None) -> list[Path]:
    """The files in a folder and in those below it, links to folders followed, in order of their paths; with `suffixes`
    (small letters) only those. A link that leads back to a folder above it is not followed a second time."""
    found = []

    def walk(place: Path, above: frozenset[tuple[int, int]]) -> None:
        state = place.stat()
        if (here := (state.st_dev, state.st_ino)) in above:
            return
        for entry in os.scandir(place):
            path = place / entry.name
            if entry.is_dir():
                walk(path, above | {here})
            elif (suffixes is None or path.suffix.lower() in suffixes) and entry.is_file():
                found.append(path)

    try:
        walk(folder, frozenset())
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror}") from None
    return sorted(found)


def read_json(path: Path, what: str = "annotations", unique: bool = False) -> Any:
    """The content of a JSON file. UserError for a missing or broken one; `what` it was to be is said of a missing one.
    unique: a key that stands twice in an object, of which JSON's readers keep the last, counts as broken.

    Numbers beyond float64 come as inf, as JSON's readers do; a whole number of more digits than Python converts, or
    nesting beyond its stack, counts as broken.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file, object_pairs_hook=_unique if unique else None)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file ({what})") from None
    except RecursionError:
        raise UserError(f"{path}: not JSON: nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, a number of thousands of digits
        raise UserError(f"{path}: not JSON: {str(error).splitlines()[0]}") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found
