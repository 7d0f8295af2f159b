"""Which label map belongs to which photo: by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asda_fast.core.errors import UserError
from asda_fast.core.files import files_below
from asda_fast.core.images import SUFFIXES as PHOTOS
from asda_fast.parts.read import MAPS

TWINS = "two photos or two maps of one name"


@dataclass(frozen=True)
class Pair:
    """One photo with its maps."""

    name: str  # path below the images folder, without suffix: the source id of its patches
    photo: Path
    label: Path | None  # None: drawn from outlines and joints (limbs.py)
    instance: Path | None


def find_pairs(
    images: Path, labels: Path, label_suffix: str = "", instances: Path | None = None
) -> tuple[list[Pair], list[tuple[str, str]]]:
    """Label maps `labels`/X{suffix}.png with photos `images`/X.jpg (or .png, ...), in order of name, and (kind, line)
    for every map without a photo, every photo without a map, and every name that two photos or two maps have: which of
    them is meant nobody can tell, so neither is taken."""
    for argument, folder in (("images", images), ("labels", labels), ("instances", instances)):
        if folder is not None and not folder.is_dir():
            raise UserError(f"{argument} {folder}: expected a folder, found none")
    same = images.resolve() == labels.resolve()
    photos, photo_twins = _by_stem(images, [p for p in PHOTOS if not (same and p in MAPS)])
    maps, map_twins = _by_stem(labels, MAPS)
    numbers, number_twins = _by_stem(instances, MAPS) if instances is not None else ({}, {})
    wanted = dict(photos)
    pairs, problems = [], []
    for stem, path in maps.items():
        if not stem.endswith(label_suffix):
            continue
        name = stem[: len(stem) - len(label_suffix)]
        photo = photos.pop(name, None)
        twins = photo_twins.get(name) or map_twins.get(stem) or number_twins.get(name)
        if twins and photo is not None:
            problems.append((TWINS, f"{twins[0]}: {twins[1]} has the same name but for its suffix; neither is taken"))
            continue
        if photo is None:
            if not same:
                line = f"{path}: no photo {name}.jpg (or .png, ...) in {images}"
                problems.append(("no photo of the map's name", line))
            continue
        instance = numbers.get(name)
        if instances is not None and instance is None:
            problems.append(("no instance map", f"{path}: no instance map {instances / name}.png (or .tif, ...)"))
            continue
        pairs.append(Pair(name, photo, path, instance))
    missing = "no label map"
    problems += [
        (missing, f"{path}: no label map {name}{label_suffix}.png in {labels}") for name, path in photos.items()
    ]
    if not pairs and any(kind == "no instance map" for kind, _ in problems):
        raise UserError(f"instances {instances}: expected maps called as the photos are, found {_holds(instances)}")
    if not pairs and (twin := next((line for kind, line in problems if kind == TWINS), None)):
        raise UserError(twin)
    if not pairs:
        raise UserError(
            f"labels {labels}: no label map has a photo of the same name in {images}: "
            + _why_not(images, wanted, labels, list(maps), label_suffix)
        )
    return pairs, problems


def find_photos(images: Path) -> tuple[list[Pair], list[tuple[str, str]]]:
    """Every photo, without maps, in order of name; and (kind, line) for every name that two photos have."""
    if not images.is_dir():
        raise UserError(f"images {images}: expected a folder, found none")
    photos, twins = _by_stem(images, PHOTOS)
    if not photos:
        raise UserError(f"images {images}: expected photos ({', '.join(PHOTOS)}), found {_holds(images)}")
    problems = [(TWINS, f"{a}: {b} has the same name but for its suffix; neither is taken") for a, b in twins.values()]
    return [Pair(name, path, None, None) for name, path in photos.items() if name not in twins], problems


def _why_not(images: Path, photos: dict[str, Path], labels: Path, maps: list[str], suffix: str) -> str:
    """What was looked for, and what lies there instead."""
    if not maps:
        holds = _holds(labels)
        remedy = "; of an .npz file, save the array of ids as .npy" * (".npz" in holds)
        return f"expected label maps ({', '.join(MAPS)}) in {labels}, found {holds}{remedy}"
    if not photos:
        return f"expected photos ({', '.join(PHOTOS)}) in {images}, found {_holds(images)}"
    said = f"the photos are called as {min(photos)!r}, the maps as {min(maps)!r}"
    for name in photos:
        longer = next((stem for stem in maps if stem.startswith(name) and stem != name + suffix), None)
        if longer:
            return f"{said}; do the maps have the label suffix {longer[len(name) :]!r}?"
    return f"{said}; expected {min(photos) + suffix!r}"


def _holds(folder: Path | None) -> str:
    """Such as `12 .mat, 1 .txt`."""
    if folder is None:
        return "none"
    kinds = Counter(p.suffix.lower() or "files without suffix" for p in files_below(folder))
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3)) or "no file"


def _by_stem(folder: Path, suffixes: Sequence[str]) -> tuple[dict[str, Path], dict[str, tuple[Path, Path]]]:
    """The first file of each stem, and the first two where there are several."""
    first: dict[str, Path] = {}
    twins: dict[str, tuple[Path, Path]] = {}
    for path in files_below(folder, suffixes):
        stem = _stem(path, folder)
        if first.setdefault(stem, path) != path:
            twins.setdefault(stem, (first[stem], path))
    return first, twins


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()
