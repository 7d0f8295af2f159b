"""COCO annotation and result files as arrays for `oks`, checked record by record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.coco_json import Choice, Id, choose, is_id, short
from asda_fast.core.errors import UserError
from asda_fast.core.files import read_json
from asda_fast.core.skeletons import COCO, CROWDPOSE, SKELETONS, Skeleton, order_of
from asda_fast.metrics.oks import CROWD_AREA, GroundTruth, Predictions

Record = dict[str, Any]
LARGEST = 1e300  # beyond, a number may be infinite


@dataclass(frozen=True)
class Annotations:
    """What is to be found."""

    where: str
    skeleton: Skeleton
    order: list[int] | slice  # place in the file of each of the skeleton's joints; all of them where it is the same
    images: list[Id]  # ids of the evaluated images, sorted; everything below counts by places in it
    file_names: list[str]
    difficulty: np.ndarray  # [images] CrowdPose's crowd index, nan elsewhere
    people: dict[Id, GroundTruth]  # by category
    notes: list[str] = field(default_factory=list)  # what was left out, and what was taken for what


def read_annotations(annotations: str | Path | Record) -> Annotations:
    """The people of an annotation file or of its content, as pycocotools takes them: of annotations with one id the
    last counts, as often as the id is there. UserError for what it would not survive, and for joints of no skeleton
    that OKS is defined for."""
    where = "annotations" if isinstance(annotations, dict) else str(annotations)
    table = annotations if isinstance(annotations, dict) else read_json(Path(annotations))
    for name in ("images", "annotations"):
        if not isinstance(table, dict) or not isinstance(table.get(name), list):
            raise UserError(f"{where}: expected a COCO annotation file with a list '{name}'")
    for kind, key in (("images", "id"), ("annotations", "image_id")):
        for row, record in enumerate(table[kind]):
            if not (isinstance(record, dict) and (type(record.get(key)) is int or is_id(record.get(key)))):
                raise UserError(f"{where}: {kind}[{row}]: expected an object with a number as '{key}', or a word")
    by_id = {image["id"]: image for image in table["images"]}
    if len({isinstance(identity, str) for identity in by_id}) > 1:
        raise UserError(f"{where}: some images have numbers as 'id', some words: which of them do results mean?")
    images: list[Id] = sorted(by_id)
    place = {identity: i for i, identity in enumerate(images)}

    choice = choose(Path(where), table)
    notes: list[str] = []
    persons = _persons(table["annotations"], place, choice, notes)
    if not persons:
        raise UserError(f"{where}: no annotation with keypoints" + (f" ({'; '.join(notes)})" if notes else ""))
    persons = _last_of_each_id(where, table["annotations"], persons, place, choice, notes)
    skeleton, order, said = _skeleton(where, choice, persons)
    notes += said
    places = slice(None) if order == sorted(order) else order  # the common case without a copy
    groups: dict[Id, list[Record]] = {identity: [] for identity in (_only(choice),) if identity is not None}
    for person in persons:
        groups.setdefault(_category(person, choice), []).append(person)
    people = {
        category: _ground_truth(where, group, place, skeleton, places, notes) for category, group in groups.items()
    }
    if len(people) > 1:
        notes.append(f"{len(people)} categories scored apart and averaged, as in pycocotools")
    return Annotations(
        where,
        skeleton,
        places,
        images,
        [str(by_id[identity].get("file_name", "")) for identity in images],
        np.array([_crowd_index(by_id[identity]) for identity in images], np.float64),
        people,
        notes,
    )


def _crowd_index(image: Record) -> float:
    value = image.get("crowdIndex")
    return float(value) if isinstance(value, (int, float)) and abs(value) < 1e300 else float("nan")


def _only(choice: Choice) -> Id | None:
    """The category of records that do not say theirs."""
    ids = {1} if choice.ids is None else choice.ids
    return next(iter(ids)) if len(ids) == 1 else None


def _category(record: Record, choice: Choice) -> Any:
    category = record.get("category_id")
    return _only(choice) if category is None else category


def _persons(annotations: list[Record], place: dict[Id, int], choice: Choice, notes: list[str]) -> list[Record]:
    """The annotations that are scored; how many others there are goes into `notes`."""
    persons, out = [], Counter[str]()
    for record in annotations:
        category = _category(record, choice)
        if "keypoints" not in record:
            out["annotations without keypoints left out"] += 1
        elif not (type(category) is int or is_id(category)) or (choice.ids is not None and category not in choice.ids):
            name = choice.names.get(category) if is_id(category) else None
            out[f"annotations of category {short(name or category)} left out"] += 1
        elif record["image_id"] not in place:
            out["annotated people left out: their images are not listed"] += 1
        else:
            persons.append(record)
    notes += [f"{count} {what}" for what, count in out.items()]
    return persons


def _last_of_each_id(
    where: str, annotations: list[Record], persons: list[Record], place: dict[Id, int], choice: Choice, notes: list[str]
) -> list[Record]:
    """pycocotools looks every annotation up by its id, so that the file's last of that id stands in for it."""
    ids = [record.get("id") for record in annotations]
    try:
        count = Counter(identity for identity in ids if identity is not None)
    except TypeError:
        row, bad = next((i, v) for i, v in enumerate(ids) if isinstance(v, (list, dict)))
        raise UserError(f"{where}: annotation {row}: id: expected a number or a word, got {short(bad)}") from None
    twice = [identity for identity, number in count.items() if number > 1]
    if not twice:
        return persons
    notes.append(
        f"{sum(count[identity] for identity in twice)} annotations share {len(twice)} ids (e.g. {short(twice[0])}): of "
        f"each the last counts, as often as the id is there, as in pycocotools"
    )
    last = {record.get("id"): record for record in annotations}
    in_order = sorted(persons, key=lambda person: place[person["image_id"]])
    found = [person if person.get("id") is None else last[person["id"]] for person in in_order]
    return _persons(found, place, choice, [])


def _skeleton(where: str, choice: Choice, persons: list[Record]) -> tuple[Skeleton, list[int], list[str]]:
    """Whose joints they are, the place of each in the file, and what is to be said of that."""
    lists = (person["keypoints"] for person in persons if isinstance(person["keypoints"], list) and person["keypoints"])
    number = len(next(lists, [])) // 3
    if not choice.joints:
        for skeleton in (COCO, CROWDPOSE):
            if number in (len(skeleton.joints), 0):
                names = "no categories" if not choice.names else "categories without names of joints"
                return skeleton, list(range(len(skeleton.joints))), [f"{names}: taken for {skeleton.name.upper()}'s"]
        raise UserError(f"{where}: expected 17 joints (COCO) or 14 (CrowdPose), got {number}")
    orders = [(s, order_of(choice.joints, s)) for s in SKELETONS.values() if s.sigmas is not None]
    orders.sort(key=lambda found: found[1] is None or found[1] != sorted(found[1]))
    for skeleton, order in orders:
        if order is not None:
            moved = order != sorted(order)
            return skeleton, order, [f"joints put into {skeleton.name.upper()}'s order by their names"] * moved
    known = ", ".join(s.name for s, _ in orders)
    raise UserError(
        f"{where}: category {choice.name!r}: its {len(choice.joints)} joints ({short(', '.join(choice.joints))}) are "
        f"those of no skeleton with published sigmas ({known})"
    )


def _ground_truth(
    where: str, persons: list[Record], place: dict[Id, int], skeleton: Skeleton, order: list[int] | slice,
    notes: list[str],
) -> GroundTruth:  # fmt: skip
    number = len(skeleton.joints)
    filled = [p if p["keypoints"] != [] else {**p, "keypoints": [0] * (3 * number)} for p in persons]
    keypoints = numbers(where, "annotation", filled, "keypoints", 3 * number).reshape(-1, number, 3)[:, order]
    box = numbers(where, "annotation", persons, "bbox", 4)
    area = box[:, 2] * box[:, 3] * CROWD_AREA
    if skeleton is not CROWDPOSE:
        bare = sum("area" not in p for p in persons)
        if bare:
            notes.append(f"{bare} annotations without area: that of the box stands in, which is more lenient")
        area = numbers(where, "annotation", persons, "area", 1, (box[:, 2] * box[:, 3]).tolist())[:, 0]
    labelled = (keypoints[..., 2] > 0).sum(1)
    counted = labelled
    if any("num_keypoints" in p for p in persons):
        counted = numbers(where, "annotation", persons, "num_keypoints", 1, labelled.tolist())[:, 0]
    crowd = numbers(where, "annotation", persons, "iscrowd", 1, [0] * len(persons))[:, 0]
    void = np.array([p.get("id") == 0 for p in persons], bool)
    if void.any():
        notes.append("an annotation has id 0: as in pycocotools, whoever is matched with it counts as wrong")
    image = np.array([place[p["image_id"]] for p in persons], np.int64)
    ignore = (crowd != 0) | (counted == 0)
    return GroundTruth(image, keypoints, box, area, ignore, np.trunc(crowd) != 0, len(place), void)


def read_results(
    predictions: str | Path | list[Any] | Record, truth: Annotations, one_based: bool
) -> tuple[dict[Id, Predictions], list[str]]:
    """Predicted people by category (all of the truth's), and what is to be said of them."""
    where = str(predictions) if isinstance(predictions, (str, Path)) else "predictions"
    records = _records(where, read_json(Path(predictions)) if isinstance(predictions, (str, Path)) else predictions)
    number = len(truth.skeleton.joints)
    notes = [f"{len(records)} predicted people of {number} joints; first pixel is {int(one_based)}"]
    categories = list(truth.people)
    given = [record.get("category_id") for record in records]
    if len(categories) == 1:
        given = [categories[0] if category is None else category for category in given]
    found = _predictions(where, records, truth, one_based)
    rows: dict[Id, list[int]] = {category: [] for category in categories}
    strangers = 0
    for row, category in enumerate(given):
        if (type(category) is int or is_id(category)) and category in rows:
            rows[category].append(row)
        else:
            strangers += 1
    if records and strangers == len(records):
        raise UserError(
            f"{where}: no prediction of category {', '.join(map(short, categories[:6]))}, which {truth.where} has; "
            f"theirs is {short(given[0])}"
        )
    if strangers:
        notes.append(f"{strangers} predictions of another category left out")
    if not strangers and len(categories) == 1:
        return {categories[0]: found}, notes
    return {
        category: replace(
            found,
            image=found.image[chosen],
            keypoints=found.keypoints[chosen],
            score=found.score[chosen],
            area=found.area[chosen],
        )
        for category, chosen in rows.items()
    }, notes


def _records(where: str, content: Any) -> list[Record]:
    """The list of results, also where it is wrapped in an object."""
    if isinstance(content, dict):
        content = next((content[k] for k in ("annotations", "predictions", "results") if k in content), content)
    if not isinstance(content, list):
        raise UserError(f"{where}: expected a list of COCO keypoint results, got {type(content).__name__}")
    for row, record in enumerate(content):
        if not isinstance(record, dict):
            raise UserError(f"{where}: record {row}: expected an object, got {type(record).__name__}")
        for name in ("image_id", "keypoints", "score"):
            if name not in record:
                raise UserError(f"{where}: record {row}: no key '{name}', it has {', '.join(record) or 'none'}")
    return content


def _predictions(where: str, records: list[Record], truth: Annotations, one_based: bool) -> Predictions:
    number = len(truth.skeleton.joints)
    place = {identity: i for i, identity in enumerate(truth.images)}
    for row, record in enumerate(records):
        identity = record["image_id"]
        if not (type(identity) is int or is_id(identity)) or identity not in place:
            raise UserError(f"{where}: record {row}: image_id {short(identity)} is not in the annotations")
        count = len(record["keypoints"]) if isinstance(record["keypoints"], list) else 0
        if count != 3 * number:
            raise UserError(
                f"{where}: record {row}: wrong number of joints: expected {number} x (x, y, score), got {count} numbers"
            )
    keypoints = numbers(where, "record", records, "keypoints", 3 * number).reshape(-1, number, 3)[:, truth.order]
    score = numbers(where, "record", records, "score", 1)[:, 0]
    if len(records) > 1 and 0 < np.abs(keypoints[..., :2]).max() <= 1:
        raise UserError(f"{where}: keypoints: expected pixels of the photo, but all lie within -1 .. 1")
    keypoints[..., :2] -= float(one_based)
    if records and records[0].get("bbox"):  # pycocotools goes by the first record
        box = numbers(where, "record", records, "bbox", 4)
        area = box[:, 2] * box[:, 3]
    else:
        spread = np.ptp(keypoints[..., :2], axis=1) if records else np.zeros((0, 2))
        area = spread[:, 0] * spread[:, 1]
    return Predictions(np.array([place[r["image_id"]] for r in records], np.int64), keypoints, score, area)


def numbers(
    where: str, kind: str, records: list[Record], name: str, width: int, default: Sequence[Any] | None = None
) -> np.ndarray:
    """One field of all records, [N, width] float64; of a record without it, its place in `default`. UserError at the
    first that is not so many finite numbers."""
    if default is None:
        given = [record.get(name) for record in records]
    else:
        given = [record.get(name, other) for record, other in zip(records, default, strict=True)]
    try:
        values = np.array(given, np.float64).reshape(len(records), width)
        if np.isfinite(values).all():
            return values
    except (TypeError, ValueError, OverflowError):
        pass
    for row, (record, value) in enumerate(zip(records, given, strict=True)):
        listed: list[Any] = value if isinstance(value, list) else [value]
        plain = len(listed) == width and all(isinstance(v, (int, float)) and abs(v) < LARGEST for v in listed)
        if not plain or isinstance(value, list) != (width > 1):
            which = f"{kind} {short(record['id'])}" if "id" in record else f"{kind} {row}"
            raise UserError(
                f"{where}: {which}: {name}: expected {width} finite number{'s' * (width > 1)}, got {short(value)}"
            )
    return np.array(given, np.float64).reshape(len(records), width)
