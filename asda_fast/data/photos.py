"""Where the photos of an annotation file lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from asda_fast.core.errors import UserError, named, short

TRIED = 8  # photos looked for in each folder: the first may be missing
LOOKED_AT = 5000  # entries, when looking for what lies there instead


def locate(
    annotations: Path, folders: Sequence[Path], names: Sequence[str], unique: bool = False
) -> tuple[list[str], list[str]]:
    """The path of each photo, and what is to be said of that.

    They lie in the first of `folders` that holds one of them, or where some do not, each in the first that holds it.
    Names that begin with folders which are nowhere (annotation tools write their own) are looked up without them.
    unique: somebody named them; all photos are looked up, and one that two of them hold is refused. UserError as of
    `folder_of`.
    """
    notes: list[str] = []
    seen = [*dict.fromkeys([*names[:TRIED], *names[:: max(1, len(names) // TRIED)]])]
    if not any(os.path.isfile(folder / name) for folder in folders for name in seen):
        short_names = [name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] for name in names]
        if any(os.path.isfile(folder / name) for folder in folders for name in short_names[:TRIED]):
            if len(set(short_names)) < len(set(names)):
                twice = next(n for i, n in enumerate(short_names) if n in short_names[:i])
                raise UserError(f"{annotations}: photos of one name, {short(twice)}, in folders that are not there")
            notes.append(f"photos are found without the folders in their names, such as {named(names[0])}")
            names, seen = short_names, short_names[:TRIED]
    base = folder_of(annotations, folders, names)
    folders = [*dict.fromkeys(folders)]
    if unique and len(folders) > 1:  # a few photos may lie in one alone, or in both
        seen = [*dict.fromkeys(names)]
    for name in seen if unique else ():
        there = [str(folder) for folder in folders if os.path.isfile(folder / name)]
        if len(there) > 1:
            raise UserError(f"{annotations}: its photo {named(name)} is in {there[0]} and in {there[1]}: name one")
    if len(folders) == 1 or all(os.path.isfile(base / name) for name in seen):
        return [str(base / name) for name in names], notes
    places = [next((f for f in folders if os.path.isfile(f / name)), base) for name in names]
    return [str(place / name) for place, name in zip(places, names)], notes


def folder_of(annotations: Path, folders: Sequence[Path], names: Sequence[str]) -> Path:
    """The first of `folders` that holds one of the first few photos `names` (of the annotation file, as it calls them).

    UserError saying what was looked for, where, and what lies there instead.
    """
    for folder in folders:
        if any(os.path.isfile(folder / name) for name in names[:TRIED]):
            return folder
    places = " or ".join(str(folder) for folder in folders)
    raise UserError(
        f"{annotations}: its first photo {named(names[0])} is in none of {places}; "
        f"{_instead(folders, Path(names[0]).name)} (`images` names other folders)"
    )


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
