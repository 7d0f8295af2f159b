"""COCO annotation files: whose images, categories and ids are they. Checked once, for training and scoring alike.

A category is known by its name, its joints by theirs; a count says neither (COCO, AP-10K and PoseTrack18 all have 17).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asda_fast.core.errors import UserError, short
from asda_fast.core.files import read_json
from asda_fast.core.skeletons import canonical

Id = int | float | str
LARGEST_SIDE = 1_000_000  # pixels
LISTED = 6  # names in a message


@dataclass(frozen=True)
class Image:
    """One image record. height and width are 0 where the file does not say."""

    number: int  # place in the file
    file_name: str
    height: int
    width: int


@dataclass(frozen=True)
class Category:
    """One category record."""

    id: Id
    name: str
    joints: tuple[str, ...]  # none where the file does not say
    edges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Choice:
    """The categories that are read: one, or several that share their joints."""

    ids: frozenset[Id] | None  # None: all that there are
    joints: tuple[str, ...]  # none where the file does not say
    edges: tuple[tuple[int, int], ...]
    name: str
    names: Mapping[Id, str]  # of every category of the file


def read_table(path: Path) -> dict[str, Any]:
    """The content of a COCO annotation file: an object whose 'images' and 'annotations' are lists of objects."""
    return checked(path, read_json(path))


def checked(path: Path, table: Any) -> dict[str, Any]:
    """The content of `path`, as `read_table` gives it; UserError where it is none."""
    if not isinstance(table, dict) or not {"images", "annotations"} <= table.keys():
        raise UserError(f"{path}: expected COCO annotations, an object with 'images' and 'annotations'")
    for kind in ("images", "annotations"):
        records = table[kind]
        if not isinstance(records, list):
            raise UserError(f"{path}: expected a list of '{kind}', got {type(records).__name__}")
        for number, record in enumerate(records):
            if not isinstance(record, dict):
                raise UserError(f"{path}: {kind}[{number}]: expected an object, got {type(record).__name__}")
    return table


def is_id(value: Any) -> bool:
    """Whether a value can be an id: a number or a word (not true, null, nan, a list)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    return not isinstance(value, float) or math.isfinite(value)


def whole(value: Any) -> int | None:
    """The value as a whole number of 64 bits; None where it is none (1.0 is one, "1" and true are not)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not (math.isfinite(value) and value == int(value)):
        return None
    return int(value) if -(2**63) <= value < 2**63 else None


def images_of(path: Path, table: Mapping[str, Any]) -> dict[Id, Image]:
    """The image records by id. UserError for one that lacks id or file_name, and for two of one id that disagree."""
    found: dict[Id, Image] = {}
    for number, record in enumerate(table["images"]):
        where = f"{path}: images[{number}]"
        identity, name = record.get("id"), record.get("file_name")
        if not is_id(identity):
            raise UserError(f"{where}: id: expected a number or a word, got {short(identity)}")
        if not isinstance(name, str) or not name.strip("/\\. ") or "\0" in name:
            raise UserError(f"{where} (id {short(identity)}): file_name: expected a photo's name, got {short(name)}")
        sides = []
        for key in ("height", "width"):
            value = record.get(key)
            side = 0 if value is None else whole(value)
            if side is None or (value is not None and not 1 <= side <= LARGEST_SIDE):
                raise UserError(f"{where} ({short(name)}): {key}: expected a number of pixels, got {short(value)}")
            sides.append(side)
        image = Image(number, name, *(sides if all(sides) else (0, 0)))
        before = found.setdefault(identity, image)
        if (before.file_name, before.height, before.width) != (image.file_name, image.height, image.width):
            raise UserError(
                f"{where}: id {short(identity)} is also images[{before.number}]'s, another photo: "
                f"{short(name)} and {short(before.file_name)}"
            )
    return found


def categories_of(path: Path, table: Mapping[str, Any]) -> list[Category]:
    """The category records, in order; none where the file has none."""
    records = table.get("categories")
    if records is None:
        return []
    if not isinstance(records, list):
        raise UserError(f"{path}: expected a list of 'categories', got {type(records).__name__}")
    found: list[Category] = []
    for number, record in enumerate(records):
        where = f"{path}: categories[{number}]"
        if not isinstance(record, dict) or not is_id(record.get("id")):
            raise UserError(f"{where}: expected an object with a number or a word as 'id', got {short(record)}")
        name = record.get("name")
        joints = record.get("keypoints") or []
        if not isinstance(joints, list) or not all(isinstance(joint, str) for joint in joints):
            raise UserError(f"{where} ({short(name)}): keypoints: expected a list of names, got {short(joints)}")
        twice = [joint for joint, count in Counter(map(canonical, joints)).items() if count > 1]
        if twice:
            raise UserError(f"{where} ({short(name)}): keypoints: {twice[0]!r} is named twice")
        if record["id"] in {category.id for category in found}:
            raise UserError(f"{where} ({short(name)}): id {short(record['id'])} is another category's as well")
        edges = _edges(where, record.get("skeleton") or [], len(joints))
        found.append(Category(record["id"], name if isinstance(name, str) else "", tuple(joints), edges))
    return found


def _edges(where: str, given: Any, joints: int) -> tuple[tuple[int, int], ...]:
    """The file's edges, counted from 1 there (from 0 where one has a 0) and from 0 here; those of joints that it does
    not have are dropped (a CrowdPose file in use has COCO's)."""
    if not isinstance(given, list):
        raise UserError(f"{where}: skeleton: expected a list of pairs of joint numbers, got {short(given)}")
    edges = []
    for pair in given:
        ends = [whole(end) for end in pair] if isinstance(pair, list) and len(pair) == 2 else [None]
        if None in ends:
            raise UserError(f"{where}: skeleton: expected pairs of joint numbers, got {short(pair)}")
        a, b = (end for end in ends if end is not None)
        edges.append((a, b))
    first = 0 if any(0 in edge for edge in edges) else 1  # some tools count from 0
    whole_edges = ((a - first, b - first) for a, b in edges)
    return tuple((a, b) for a, b in whole_edges if 0 <= a < joints and 0 <= b < joints)


def choose(
    path: Path,
    table: Mapping[str, Any],
    category: str | None = None,
    usual: str = "person",
    hint: str = " (`category` names one)",
) -> Choice:
    """Which categories to read: the one called `category`. None: the one called `usual`, unless others alone have
    joints; else the only one; else those with joints, if they share them.

    A file without categories is taken for COCO's, whose 1 is person; where no annotation has that number, all of them
    must have one and the same. UserError naming the categories where there is no telling, and what helps (`hint`).
    """
    categories = categories_of(path, table)
    used = Counter(a["category_id"] for a in table["annotations"] if is_id(a.get("category_id")))
    if not categories:
        ids: frozenset[Id] | None = None
        if len(used) > 1:
            if 1 not in used:
                raise UserError(f"{path}: no 'categories', and annotations of several: {_some(map(short, used))}")
            ids = frozenset([1])
        if category is not None:
            raise UserError(f"{path}: no 'categories', so none is called {category!r}")
        return Choice(ids, (), (), usual, {})
    names = {category.id: category.name for category in categories}
    posed = [kind for kind in categories if kind.joints]
    in_use = [kind for kind in posed if kind.id in used]
    called = [kind for kind in categories if kind.name.strip().lower() == (category or usual).strip().lower()]
    if any(kind.joints for kind in called):  # a container of classes may have the name of one
        called = [kind for kind in called if kind.joints]
    elif category is None and posed and not any(a.get("keypoints") for a in _of(table, called)):
        called = []
    if category is not None and not called:
        raise UserError(
            f"{path}: category: none is called {category!r}; there are {_some(_label(posed or categories))}"
        )
    for group in (called, categories if len(categories) == 1 else [], in_use, posed, categories):
        if group:
            break
    joints = {tuple(map(canonical, kind.joints)) for kind in group}
    if len(joints) > 1 or (len(group) > 1 and not group[0].joints):
        raise UserError(
            f"{path}: which category? None is called {usual!r}, and their joints differ{hint}: {_some(_label(group))}"
        )
    chosen = frozenset(kind.id for kind in group)
    if used and not chosen & set(used):
        there = _some(f"{count} of {_name(names, identity)}" for identity, count in used.most_common())
        raise UserError(f"{path}: no annotation of category {_some(_label(group))}; there are {there}")
    first = group[0]
    name = first.name if len(group) == 1 else f"{len(group)} categories"
    return Choice(chosen, first.joints, first.edges, name or usual, names)


def _of(table: Mapping[str, Any], categories: Sequence[Category]) -> list[dict[str, Any]]:
    ids = {kind.id for kind in categories}
    return [a for a in table["annotations"] if is_id(a.get("category_id")) and a["category_id"] in ids]


def _label(categories: Sequence[Category]) -> list[str]:
    return [f"{short(c.name)} (id {short(c.id)}, {len(c.joints)} joints)" for c in categories]


def _name(names: Mapping[Id, str], identity: Hashable) -> str:
    name = names.get(identity)  # type: ignore[call-overload]
    return f"{short(name)} (id {short(identity)})" if name else f"id {short(identity)}, which 'categories' lacks"


def _some(items: Any) -> str:
    listed = list(items)
    rest = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    return ", ".join(listed[:LISTED]) + rest


def annotation_numbers(table: Mapping[str, Any]) -> tuple[list[int], bool]:
    """The number that stands for each annotation's id, and whether it is the id: else they are counted from 1 (an id 0
    means something else to pycocotools). Annotations without id are counted as well."""
    numbers = [whole(a.get("id", n)) for n, a in enumerate(table["annotations"], 1)]
    if None in numbers:
        return list(range(1, len(numbers) + 1)), False
    return [number for number in numbers if number is not None], True


def image_numbers(images: Mapping[Id, Image]) -> dict[Id, int]:
    """The number that stands for each image id in tables and results: itself, or the image's place in the file."""
    numbers = [whole(identity) for identity in images]
    if None in numbers:
        return {identity: image.number for identity, image in images.items()}
    return {identity: number for identity, number in zip(images, numbers) if number is not None}
