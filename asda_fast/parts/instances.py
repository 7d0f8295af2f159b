"""Who is who in a photo, when a COCO annotation file says so: person numbers per pixel, and boxes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from asda_fast.core.box_units import wrong_boxes
from asda_fast.core.coco_json import choose, images_of, is_id, read_table
from asda_fast.core.errors import UserError, short
from asda_fast.core.skeleton import canonical
from asda_fast.parts.names import plain
from asda_fast.parts.report import Notes

Box = tuple[float, float, float, float]  # x, y, width, height in pixels of the photo
Joint = tuple[float, float, int]  # x, y in pixels of the photo; 1 hidden, 2 visible


class BadOutline(Exception):
    """Why an outline cannot be drawn."""


@dataclass(frozen=True)
class Person:
    """One annotation of a person."""

    name: str  # "annotation 40"
    box: Box | None  # None: the file has none, or one without area
    outline: Any  # the file's `segmentation`: polygons, RLE, or what people write instead
    joints: Mapping[str, Joint] = field(default_factory=dict)  # the labelled ones, by name (skeleton.canonical)


@dataclass(frozen=True)
class PeopleOfPhoto:
    size: tuple[int, int] | None  # width, height that the file declares
    people: tuple[Person, ...]


def read_people(path: Path, joints: bool = True) -> tuple[dict[str, PeopleOfPhoto], Notes]:
    """COCO JSON -> {photo's name in normal form (names.py): its people}, and what of the file was left out.

    Crowds are left out, and what is not a person (core/coco_json.py: `choose`). joints: read them as well. Raises
    UserError naming the entry where the file has another form.
    """
    table = read_table(path)
    photos = images_of(path, table)
    choice = choose(path, table, hint="")
    alone = len(choice.names) <= 1  # then an annotation need not say its category
    names = {identity: plain(image.file_name) for identity, image in photos.items()}
    sizes = {names[i]: (image.width, image.height) for i, image in photos.items() if image.width}
    found: dict[str, list[Person]] = {name: [] for name in names.values()}
    notes, strangers = Notes(), []
    for number, row in enumerate(table["annotations"]):
        name = f"annotation {row['id']}" if _speaks(row.get("id")) else f"annotations[{number}]"
        image_id, category = row.get("image_id"), row.get("category_id")
        if row.get("iscrowd") not in (None, 0, 1):  # "0" is no crowd to whoever wrote it
            raise UserError(f"{path}: {name}: iscrowd: expected 0 or 1, got {short(row['iscrowd'])}")
        if row.get("iscrowd"):
            notes.add("crowds, not cut", name)
        elif not (category is None and alone) and choice.ids and not (is_id(category) and category in choice.ids):
            notes.add("annotations of another category than person, not cut", name)
        elif not is_id(image_id) or image_id not in names:
            strangers.append(f"{name}: image_id {short(image_id)} is not the id of an image")
        else:
            labelled = _joints(path, row.get("keypoints"), tuple(map(canonical, choice.joints)), name) if joints else {}
            box = _box(path, row.get("bbox"), name)
            found[names[image_id]].append(Person(name, box, row.get("segmentation"), labelled))
    if strangers and not any(found.values()):
        raise UserError(f"{path}: {strangers[0]}")
    if strangers:
        notes.add("annotations without an image in the people file", strangers[0], len(strangers))
    boxes = [(p.box, sizes.get(name, (0, 0))) for name, people in found.items() for p in people if p.box is not None]
    if boxes and max(max(box) for box, _ in boxes) <= 1.5:
        most = max(max(box) for box, _ in boxes)
        raise UserError(f"{path}: every bbox lies in 0..{most:g}: expected pixels, these are shares of the photo")
    size = np.array([(height, width) for _, (width, height) in boxes], np.float64).reshape(-1, 2)
    if wrong := wrong_boxes(np.array([box for box, _ in boxes], np.float64).reshape(-1, 4), size):
        raise UserError(f"{path}: {wrong}")
    places = [max(map(abs, joint[:2])) for people in found.values() for p in people for joint in p.joints.values()]
    if places and max(places) <= 1.5:
        raise UserError(f"{path}: all keypoints lie in 0..{max(places):g}: expected pixels, got shares of the photo")
    suffixes: dict[str, set[str]] = {}
    for image in photos.values():
        suffixes.setdefault(plain(image.file_name), set()).add(PurePath(image.file_name.strip()).suffix.lower())
    twins = sorted(name for name, endings in suffixes.items() if len(endings) > 1)
    if twins and len(twins) == len(found):
        raise UserError(f"{path}: has several photos {twins[0]!r}, of one name but for its suffix")
    if twins:
        notes.add("photos of the people file of one name but for its suffix, not cut", twins[0], len(twins))
    return {
        name: PeopleOfPhoto(sizes.get(name), tuple(people)) for name, people in found.items() if name not in twins
    }, notes


def instance_map(
    people: tuple[Person, ...], height: int, width: int, by_box: bool = True
) -> tuple[np.ndarray, dict[int, Box], Notes]:
    """[H, W] the number (1, 2, ...) of the person that each pixel belongs to, 0 = nobody; {number: box}; notes.

    By the outlines where they can be drawn; a person without one owns what lies in their box, or, without `by_box`,
    nothing. Smaller people win.
    """
    result = np.zeros((height, width), np.min_scalar_type(len(people)))
    notes = Notes()
    drawn: list[tuple[float, int, Any]] = []  # area, number, pixels
    for number, person in enumerate(people, 1):
        where, how, why = _pixels(person, height, width, by_box)
        if why:
            notes.add(f"people {how} ({why})", person.name)
        if where is not None:
            area = person.box[2] * person.box[3] if person.box is not None else float(np.count_nonzero(where))
            drawn.append((area, number, where))
    for _, number, where in sorted(drawn, key=lambda row: -row[0]):
        result[where] = number
    return result, {n: person.box for n, person in enumerate(people, 1) if person.box is not None}, notes


def _pixels(person: Person, height: int, width: int, by_box: bool) -> tuple[Any, str, str]:
    """What selects a person's pixels of [H, W] (None: nothing does); how, and why not by outline and box ("": so)."""
    try:
        mask, left = _outline(person.outline, height, width)
        if mask.any():
            if left:
                return mask, "drawn without a piece of their outline", "it has no three points"
            no_box = "" if person.box is not None else "no box with an area"
            return mask, "as large as their outline", no_box
        why = "the outline lies outside the photo"
    except BadOutline as error:
        why = str(error)
    if not by_box:
        return None, "whose outline cannot be drawn, not cut", why
    if person.box is None:
        return None, "left out", f"{why}, and no box with an area"
    x, y, w, h = person.box
    left, top = max(0, math.floor(x)), max(0, math.floor(y))
    right, bottom = min(width, math.ceil(x + w)), min(height, math.ceil(y + h))
    if right <= left or bottom <= top:
        return None, "left out", f"{why}, and the box lies outside the photo"
    return (slice(top, bottom), slice(left, right)), "told apart by their box", why


def _outline(outline: Any, height: int, width: int) -> tuple[np.ndarray, int]:
    """Polygons or RLE -> [H, W] bool, and how many polygons cannot be drawn. Raises BadOutline where none can; what
    reaches the C code of pycocotools is sound."""
    if isinstance(outline, dict):
        return _rle(outline, height, width), 0
    if not outline:
        raise BadOutline("no outline")
    if not isinstance(outline, list):
        raise BadOutline("the outline is neither polygons nor RLE")
    if all(_is_number(v) for v in outline):  # one polygon, not in a list of its own
        outline = [outline]
    if not any(outline):
        raise BadOutline("no outline")
    polygons = [p for p in outline if isinstance(p, list) and len(p) >= 6 and len(p) % 2 == 0]
    polygons = [p for p in polygons if all(_is_number(v) for v in p)]
    if not polygons:
        raise BadOutline("the outline has no polygon of three points or more")
    reach = 2 * max(height, width)
    if any(not -reach <= v <= reach for p in polygons for v in p):
        raise BadOutline("the outline lies outside the photo")
    from pycocotools import mask as coco_mask

    drawn = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))
    return np.asarray(drawn > 0), len(outline) - len(polygons)


def _rle(outline: dict[str, Any], height: int, width: int) -> np.ndarray:
    """COCO's run lengths (down the columns, background first), as a list of numbers or as its string."""
    size, counts = outline.get("size"), outline.get("counts")
    if not isinstance(size, list) or len(size) != 2:
        raise BadOutline("its RLE has no size")
    if size != [height, width]:
        raise BadOutline("its RLE is of another size than the photo")
    if isinstance(counts, str):
        counts = _run_lengths(counts)
    if not isinstance(counts, list) or not all(isinstance(n, int) and 0 <= n <= height * width for n in counts):
        raise BadOutline("its RLE is damaged")
    if sum(counts) != height * width:
        raise BadOutline("its RLE is damaged")
    runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return runs.reshape(width, height).T


def _run_lengths(text: str) -> list[int]:
    """COCO's string: numbers in characters of 5 bits from chr(48) on, the lowest first, bit 5 = more to come, bit 4 of
    the last = negative; from the third on each is the difference to the one two before."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 60:
            raise BadOutline("its RLE is damaged")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code >> 4 & 1) << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise BadOutline("its RLE is damaged")
    return counts


def _box(path: Path, value: Any, name: str) -> Box | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 4 or any(isinstance(v, (str, list, dict)) for v in value):
        raise UserError(f"{path}: {name}: bbox: expected 4 numbers x, y, width, height, got {short(value)}")
    if not all(_is_number(v) for v in value) or min(value[2:]) <= 0:
        return None
    x, y, w, h = (float(v) for v in value)
    return x, y, w, h


def _joints(path: Path, value: Any, names: tuple[str, ...], where: str) -> dict[str, Joint]:
    """x, y, v of each joint, flat or in triples -> the labelled ones; none where the file gives no names for them.
    UserError for what is neither labelled nor left out: a joint dropped in silence is a limb that is not cut."""
    if not value or not names:
        return {}
    if isinstance(value, list) and all(isinstance(joint, list) for joint in value):
        value = [number for joint in value for number in joint]
    if not isinstance(value, list) or len(value) != 3 * len(names):
        raise UserError(f"{path}: {where}: keypoints: expected {3 * len(names)} numbers x, y, v, got {short(value)}")
    found: dict[str, Joint] = {}
    for name, x, y, v in zip(names, value[::3], value[1::3], value[2::3]):
        if v is None or v == 0:
            continue
        if not (_is_number(x) and _is_number(y)) or v not in (1, 2):
            wanted = f"pixels x, y and a flag 0, 1 or 2 of {short(name)}"
            raise UserError(f"{path}: {where}: keypoints: expected {wanted}, got {short([x, y, v])}")
        found[name] = (float(x), float(y), int(v))
    return found


def _is_number(value: Any) -> bool:
    """A finite number of a size that pixels may have."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e9 < value < 1e9


def _speaks(identity: Any) -> bool:
    """Whether an id can stand in a message."""
    return isinstance(identity, int) or (isinstance(identity, str) and identity.isprintable() and len(identity) < 60)
