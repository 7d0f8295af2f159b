"""Boxes of people in photos that nobody annotated: COCO's detections or annotations, JSON by file name, CSV."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asda_fast.core.box_units import wrong_boxes
from asda_fast.core.coco_json import choose, is_id
from asda_fast.core.errors import UserError, short
from asda_fast.core.files import read_json
from asda_fast.core.skeletons import FAR

COLUMNS = ("file", "x", "y", "width", "height", "score")
FORMS = (
    "COCO detections, COCO annotations, {file name: [[x, y, width, height(, score)], ..]}, or CSV of "
    f"{', '.join(COLUMNS[:5])}(, score)"
)


@dataclass(frozen=True)
class Boxes:
    """Boxes of the pictures at hand."""

    picture: np.ndarray  # [P] int64, which picture
    box: np.ndarray  # [P, 4] float64 x, y, width, height
    score: np.ndarray  # [P] float64
    category: list[Any]  # [P] as the file says, else 1
    ids: dict[int, Any]  # picture -> the id that the file gives it, where it does
    notes: list[str]

    def select(self, rows: np.ndarray, first: int = 0) -> Boxes:
        """These boxes, of pictures that are counted from `first` on."""
        category = [self.category[row] for row in rows.tolist()]
        return Boxes(self.picture[rows] - first, self.box[rows], self.score[rows], category, {}, [])


def read_boxes(path: str | Path, names: Sequence[str], sizes: np.ndarray, least: float = 0.0) -> Boxes:
    """The boxes of a file, of any form in `FORMS`. UserError naming file and record for what is wrong.

    names [F]: the pictures, as paths below their folder, or frame numbers; sizes [F, 2] height, width; boxes whose
    score is below `least` are left out. A picture is found by its path, its name, or the number in it (COCO's ids).
    """
    path = Path(path)
    if path.suffix.lower() not in (".json", ".csv"):
        raise UserError(f"{path}: boxes: expected .json or .csv ({FORMS})")
    places, out, strangers = _places(names), Counter[str](), []
    picture, box, score, ids = [], [], [], {}
    category: list[Any] = []
    rows = list(_rows(path))
    used = {row.category for row in rows if not row.chosen}
    people = PERSON if len(used) > 1 and PERSON in used else None  # detectors find cars as well
    for where, key, values, kind, _ in rows:
        try:
            numbers = [float(value) for value in values]
        except (TypeError, ValueError, OverflowError):
            numbers = []
        if len(numbers) not in (4, 5) or not all(math.isfinite(v) and abs(v) <= FAR for v in numbers):
            raise UserError(f"{path}: {where}: expected x, y, width, height and perhaps a score, got {short(values)}")
        place = next((places[k] for k in _keys(key) if k in places), None)
        if place == TWICE:
            raise UserError(f"{path}: {where}: {short(key)} fits several of the photos: name them with their folders")
        if people is not None and kind != people:
            out[f"of another category than {people}"] += 1
        elif place is None:
            strangers.append(key)
        elif not (numbers[2] > 0 and numbers[3] > 0):
            out["empty"] += 1
        elif len(numbers) == 5 and numbers[4] < least:
            out[f"scored below {least:g}"] += 1
        else:
            picture.append(place)
            category.append(PERSON if kind is None else kind)
            box.append(numbers[:4])
            score.append(numbers[4] if len(numbers) == 5 else 1.0)
            if isinstance(key, Known):
                ids[place] = key.id
    found = np.array(box, np.float64).reshape(-1, 4)
    if strangers and not picture and not out:
        raise UserError(f"{path}: boxes of other photos: {short(strangers[0])} is none of them, nor the others")
    if wrong := wrong_boxes(found, sizes[picture].reshape(-1, 2)):
        raise UserError(f"{path}: {wrong}")
    photo = sizes[picture].reshape(-1, 2)[:, ::-1]
    inside = ((found[:, :2] < photo) & (found[:, :2] + found[:, 2:] > 0)).all(1)
    out["outside their photo"] += int((~inside).sum())
    notes = [f"{path.name}: {count} boxes left out: {what}" for what, count in out.items() if count]
    if strangers:
        notes.append(f"{path.name}: {len(strangers)} boxes are of photos that are not here ({short(strangers[0])})")
    if rows and not inside.any():  # a detector may find nobody
        raise UserError(f"{path}: no box that could be used" + (f" ({'; '.join(notes)})" if notes else ""))
    bare = len(names) - len(set(np.array(picture)[inside].tolist()))
    if bare:
        notes.append(f"{path.name}: {bare} of {len(names)} photos have no box: nobody is looked for there")
    everything = Boxes(np.array(picture, np.int64), found, np.array(score), category, ids, notes)
    return replace(everything.select(np.flatnonzero(inside)), ids=ids, notes=notes)


@dataclass(frozen=True)
class Known:
    """A picture that a COCO file has an id for, and perhaps a name."""

    id: Any
    name: str | None

    def __repr__(self) -> str:
        return repr(self.name if self.name is not None else self.id)


TWICE = -1
PERSON = 1  # COCO's category


class Row(NamedTuple):
    """A box as a file has it."""

    where: str
    key: Any  # which picture
    values: Sequence[Any]
    category: Any = None
    chosen: bool = False  # by the file's own categories


def _keys(key: Any) -> Iterator[str | int]:
    """What may name a picture, the surest first."""
    name = key.name if isinstance(key, Known) else key
    if isinstance(name, str):
        plain = name.strip().replace("\\", "/").removeprefix("./")
        yield plain
        yield plain.rsplit("/", 1)[-1]
        if plain.isdecimal() and len(plain) < 18:
            yield int(plain)
    if isinstance(key, Known) and name is None and isinstance(key.id, (int, str)) and not isinstance(key.id, bool):
        yield key.id


def _places(names: Sequence[str]) -> dict[str | int, int]:
    """Every way to call a picture -> its place, or TWICE."""
    found: dict[str | int, int] = {name: place for place, name in enumerate(names)}
    for ways in (
        [name.rsplit("/", 1)[-1] for name in names],
        [_number(name) for name in names],
        [Path(name).stem for name in names],
    ):
        count = Counter(ways)
        for place, way in enumerate(ways):
            if way is not None:
                found.setdefault(way, place if count[way] == 1 else TWICE)
    return found


def _number(name: str) -> int | None:
    """The number at the end of a name: COCO's 000000000785.jpg and COCO_val2014_000000000785.jpg are 785."""
    digits = Path(name).stem.rsplit("_", 1)[-1]
    return int(digits) if digits.isdecimal() and len(digits) < 18 else None


def _rows(path: Path) -> Iterator[Row]:
    if path.suffix.lower() == ".csv":
        yield from _csv(path)
        return
    content = read_json(path, "boxes")
    if isinstance(content, list):
        yield from _records(path, "record", content, {})
    elif isinstance(content, dict) and isinstance(content.get("annotations"), list):
        images = content.get("images")
        known = {}
        for image in images if isinstance(images, list) else []:
            if isinstance(image, dict) and isinstance(image.get("id"), (int, float, str)):
                known[image["id"]] = image.get("file_name")
        wanted = choose(path, content).ids if content.get("categories") else None
        for row in _records(path, "annotation", content["annotations"], known):
            if wanted is None or row.category in wanted:
                yield row._replace(chosen=wanted is not None)
    elif isinstance(content, dict) and all(isinstance(boxes, list) for boxes in content.values()):
        for name, boxes in content.items():
            flat = [boxes] if boxes and not isinstance(boxes[0], (list, dict)) else boxes
            for number, box in enumerate(flat):
                yield Row(f"{short(name)}[{number}]", name, box if isinstance(box, list) else [box])
    else:
        raise UserError(f"{path}: boxes: expected {FORMS}")


def _records(path: Path, kind: str, records: list[Any], names: dict[Any, Any]) -> Iterator[Row]:
    for number, record in enumerate(records):
        where = f"{kind} {number}"
        if not isinstance(record, dict) or not isinstance(record.get("bbox"), list):
            raise UserError(f"{path}: {where}: expected an object with a list 'bbox', got {short(record)}")
        identity, name = record.get("image_id"), record.get("file_name")
        if not isinstance(identity, (int, float, str)) and name is None:
            raise UserError(f"{path}: {where}: expected image_id or file_name, got {short(record)}")
        name = name if isinstance(name, str) else names.get(identity)
        known = Known(identity, name if isinstance(name, str) else None) if identity is not None else name
        category = record.get("category_id")
        values = [*record["bbox"], *([record["score"]] if "score" in record else [])]
        yield Row(where, known, values, category if is_id(category) else None)


def _csv(path: Path) -> Iterator[Row]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror} (boxes)") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not CSV: {str(error).splitlines()[0]}") from None
    for number, row in enumerate(rows, 1):
        if number == 1 and len(row) > 1 and not _is_number(row[1]):  # the columns' names
            heads = [head.strip().lower() for head in row]
            if heads[1:5] != list(COLUMNS[1:5]):
                raise UserError(f"{path}: columns: expected {', '.join(COLUMNS)}, got {short(', '.join(row))}")
            continue
        yield Row(f"row {number}", row[0], row[1:])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
