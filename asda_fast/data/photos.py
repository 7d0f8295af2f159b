"""Where the photos of an annotation file lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from asda_fast.core.errors import UserError, short

TRIED = 8  # photos looked for in each folder: the first may be missing
LOOKED_AT = 5000  # entries, when looking for what lies there instead


def folder_of(annotations: Path, folders: Sequence[Path], names: Sequence[str]) -> Path:
    """The first of `folders` that holds one of the first few photos `names` (of the annotation file, as it calls them).

    UserError saying what was looked for, where, and what lies there instead.
    """
    for folder in folders:
        if any(os.path.isfile(folder / name) for name in names[:TRIED]):
            return folder
    places = " or ".join(str(folder) for folder in folders)
    raise UserError(
        f"{annotations}: its first photo {_named(names[0])} is in none of {places}; "
        f"{_instead(folders, Path(names[0]).name)}"
    )


def _named(name: str) -> str:
    return name if len(name) < 200 and name.isprintable() else short(name)


def _instead(folders: Sequence[Path], wanted: str) -> str:
    """What lies in the folders: the photo itself somewhere deeper, or how many files of which kind."""
    there = [folder for folder in folders if folder.is_dir()]
    if not there:
        return "none of these folders is there"
    seen, first, count = 0, "", 0
    for folder in there:
        for at, _, files in os.walk(folder, followlinks=False):
            seen += len(files) + 1
            if wanted in files:
                return f"there is {Path(at) / wanted}"
            count += len(files) if Path(at) == folder else 0
            first = first or (str(Path(at) / sorted(files)[0]) if files else "")
            if seen > LOOKED_AT:
                return f"there is {first}, for one"
    return f"there is {first}, for one" if first else "they hold no files"
