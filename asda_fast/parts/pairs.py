"""Which label map belongs to which photo: by their names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from asda_fast.core.errors import UserError
from asda_fast.core.files import files_below
from asda_fast.core.images import SUFFIXES as PHOTOS
from asda_fast.parts.read import MAPS


@dataclass(frozen=True)
class Pair:
    """One photo with its maps."""

    name: str  # path below the images folder, without suffix: the source id of its patches
    photo: Path
    label: Path
    instance: Path | None


def find_pairs(
    images: Path, labels: Path, label_suffix: str = "", instances: Path | None = None
) -> tuple[list[Pair], list[tuple[str, str]]]:
    """Label maps `labels`/X{suffix}.png with photos `images`/X.jpg (or .png, ...), in order of name, and (kind, line)
    for every map without a photo and every photo without a map."""
    for argument, folder in (("images", images), ("labels", labels), ("instances", instances)):
        if folder is not None and not folder.is_dir():
            raise UserError(f"{argument} {folder}: expected a folder, found none")
    same = images.resolve() == labels.resolve()
    photos: dict[str, Path] = {}
    for path in files_below(images, PHOTOS):
        stem = _stem(path, images)
        if not (same and path.suffix.lower() in MAPS):
            photos.setdefault(stem, path)
    maps = {_stem(path, labels): path for path in files_below(labels, MAPS)}
    numbers = {_stem(path, instances): path for path in files_below(instances, MAPS)} if instances is not None else {}
    wanted = dict(photos)
    pairs, problems = [], []
    for stem, path in maps.items():
        if not stem.endswith(label_suffix):
            continue
        name = stem[: len(stem) - len(label_suffix)]
        photo = photos.pop(name, None)
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
    if not pairs:
        raise UserError(
            f"labels {labels}: no label map has a photo of the same name in {images}: "
            + _why_not(images, wanted, labels, list(maps), label_suffix)
        )
    return pairs, problems


def _why_not(images: Path, photos: dict[str, Path], labels: Path, maps: list[str], suffix: str) -> str:
    """What was looked for, and what lies there instead."""
    if not maps:
        return f"expected label maps ({', '.join(MAPS)}) in {labels}, found {_holds(labels)}"
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


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()
