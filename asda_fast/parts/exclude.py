"""Which photos must not be cut: a list of their names, as a text file, JSON, a COCO annotation file or a folder."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterable
from pathlib import Path

from asda_fast.core.errors import UserError, short
from asda_fast.core.files import files_below, read_json
from asda_fast.core.images import SUFFIXES as PHOTOS
from asda_fast.parts.names import matching, plain


def read_names(path: str | Path) -> set[str]:
    """The names that `path` lists, in normal form (names.py): a text file (one name a line), a JSON list of names, a
    COCO annotation file (its images), or a folder of photos. Raises UserError where it is none of them, or empty."""
    path = Path(path)
    if path.is_dir():
        listed = [p.relative_to(path).as_posix() for p in files_below(path, PHOTOS)]
        if not listed:
            raise UserError(
                f"exclude_images {path}: expected a folder of photos ({', '.join(PHOTOS)}), found none in it"
            )
    else:
        listed = _from_json(path) if path.suffix.lower() == ".json" else _text(path).splitlines()
    names = {plain(name) for name in listed} - {""}
    if not names:
        raise UserError(f"exclude_images {path}: expected names of photos, found none in it")
    return names


def excluded(photos: Iterable[str], exclude: str | Path | Collection[str], where: object) -> tuple[dict[str, str], int]:
    """{photo: its name in the list} for those of `photos` that `exclude` (a path for `read_names`, or names) names, and
    how many of its names are no photo of `where`. A list that names none of the photos raises UserError."""
    given = isinstance(exclude, (str, Path))
    names = read_names(exclude) if isinstance(exclude, (str, Path)) else {plain(name) for name in exclude} - {""}
    if not names:
        return {}, 0
    photos = list(photos)
    found = matching(photos, names)
    if photos and not found:
        what = f"exclude_images {exclude}" if given else "exclude"
        raise UserError(
            f"{what}: names none of the {len(photos)} photos in {where}: "
            f"it has {len(names)} names such as {short(min(names))}, the photos are called as {short(min(photos))}"
        )
    return found, len(names) - len(set(found.values()))


def _text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 if it begins with that mark (as Windows' shell writes lists)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"exclude_images {path}: cannot be read: {error.strerror or error}") from None
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"exclude_images {path}: line {line}: expected names in UTF-8, found byte {error.start} is not"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(
            f"exclude_images {path}: line {line}: expected names of photos, found a zero byte: not a text file"
        )
    return text


def _from_json(path: Path) -> list[str]:
    data = read_json(path, "a list of photos")
    rows = data.get("images") if isinstance(data, dict) else data
    if not isinstance(rows, list):
        raise UserError(f"exclude_images {path}: expected a list of names, or a COCO file with `images`")
    names = []
    for i, row in enumerate(rows):
        name = row.get("file_name") if isinstance(row, dict) else row
        if not isinstance(name, str):
            kind = "file_name" if isinstance(row, dict) else "name"
            raise UserError(f"exclude_images {path}: entry {i} of its images: expected a {kind}, got {short(name)}")
        names.append(name)
    return names
