"""COCO annotation files as arrays for `oks`, checked record by record; results: coco_predictions.py."""

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
from asda_fast.core.skeletons import COCO, CROWDPOSE, SKELETONS, WHOLEBODY, Skeleton, from_names, order_of, other_joints
from asda_fast.core.wholebody import FIELDS, has_parts, join_parts
from asda_fast.metrics.oks import CROWD_AREA, GroundTruth
from asda_fast.metrics.result import PLAIN, Options

Record = dict[str, Any]
LARGEST = 1e300  # beyond, a number may be infinite
DEFAULT_SIGMA = 0.05  # where nobody published any: COCO-WholeBody's hands have 0.027 on average, COCO's bodies 0.072


@dataclass(frozen=True)
class Annotations:
    """What is to be found."""

    where: str
    skeleton: Skeleton
    sigmas: np.ndarray  # [K] of the skeleton's joints
    order: list[int] | slice  # place in the file of each of the skeleton's joints; all of them where it is the same
    images: list[Id]  # ids of the evaluated images, sorted; everything below counts by places in it
    file_names: list[str]
    difficulty: np.ndarray  # [images] CrowdPose's crowd index, nan elsewhere
    people: dict[Id, GroundTruth]  # by category
    notes: list[str] = field(default_factory=list)  # what was left out, and what was taken for what


def read_annotations(
    annotations: str | Path | Record, options: Options = PLAIN, whole: bool | None = False
) -> Annotations:
    """The people of an annotation file or of its content, as pycocotools takes them: of annotations with one id the
    last counts, as often as the id is there. whole: their 133 joints are wanted where COCO-WholeBody's fields hold
    them; None: if they do. UserError for what pycocotools would not survive."""
    where = options.where if isinstance(annotations, dict) else str(annotations)
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

    choice = choose(Path(where), table, options.category)
    notes: list[str] = []
    persons = _persons(table["annotations"], place, choice, notes)
    if not persons:
        raise UserError(f"{where}: no annotation with keypoints" + (f" ({'; '.join(notes)})" if notes else ""))
    persons = _last_of_each_id(where, table["annotations"], persons, place, choice, notes)
    if whole or (whole is None and any(map(has_parts, persons))):
        persons = [_whole(where, person) for person in persons]
        choice = replace(choice, joints=WHOLEBODY.joints)
    skeleton, order, said = _skeleton(where, choice, persons, options)
    sigmas, source = _sigmas(skeleton, order, options.sigmas)
    notes += [*said, source]
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
        sigmas,
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


def _whole(where: str, person: Record) -> Record:
    joined = isinstance(person["keypoints"], list) and len(person["keypoints"]) == 3 * len(WHOLEBODY.joints)
    if joined:
        return person
    bare = {name: [0] * (3 * joints) for name, joints in FIELDS.items() if person.get(name) in (None, [])}
    return join_parts({**person, **bare}, f"{where}: annotation {short(person.get('id'))}")


def _skeleton(
    where: str, choice: Choice, persons: list[Record], options: Options
) -> tuple[Skeleton, list[int], list[str]]:
    """Whose joints they are, the place of each in the file, and what is to be said of that."""
    lists = (person["keypoints"] for person in persons if isinstance(person["keypoints"], list) and person["keypoints"])
    number, given = len(next(lists, [])) // 3, options.skeleton
    if given is not None:
        order = order_of(choice.joints, given) if choice.joints else list(range(len(given.joints)))
        if order is None:
            raise UserError(f"{where}: category {choice.name!r}: {other_joints(choice.joints, given)}")
        return given, order, []
    if not choice.joints:
        names = "no categories" if not choice.names else "categories without names of joints"
        for skeleton in (COCO, CROWDPOSE):
            if number in (len(skeleton.joints), 0):
                return skeleton, list(range(len(skeleton.joints))), [f"{names}: taken for {skeleton.name.upper()}'s"]
        if options.sigmas:
            numbered = from_names(choice.name, [str(joint) for joint in range(number)])
            return numbered, list(range(number)), [f"{names}: {number} joints by their numbers"]
        raise UserError(
            f"{where}: expected 17 joints (COCO) or 14 (CrowdPose), got {number} ({names}): others need `sigmas`"
        )
    orders = [(s, order_of(choice.joints, s)) for s in SKELETONS.values() if s.sigmas is not None]
    orders.sort(key=lambda found: found[1] is None or found[1] != sorted(found[1]))
    for skeleton, order in orders:
        if order is not None:
            moved = order != sorted(order)
            return skeleton, order, [f"joints put into {skeleton.name.upper()}'s order by their names"] * moved
    return from_names(choice.name, choice.joints, choice.edges), list(range(len(choice.joints))), []


def _sigmas(skeleton: Skeleton, order: list[int], given: Sequence[float]) -> tuple[np.ndarray, str]:
    """[K] in the skeleton's order, and whose they are; given: in the file's order, or one for all."""
    joints = len(skeleton.joints)
    if given:
        if len(given) not in (1, joints) or not all(0 < sigma < 10 for sigma in given):
            raise UserError(f"sigmas: expected 1 or {joints} numbers between 0 and 10, got {short(list(given))}")
        values = np.array(given, np.float64)
        return (np.full(joints, values[0]) if len(given) == 1 else values[order]), "OKS sigmas: as given"
    if skeleton.sigmas is not None:
        return np.array(skeleton.sigmas), f"OKS sigmas: {skeleton.name}'s"
    said = f"OKS sigmas: {DEFAULT_SIGMA} of every joint, as none are known for {skeleton.name} (`sigmas` gives others)"
    return np.full(joints, DEFAULT_SIGMA), said


def _ground_truth(
    where: str, persons: list[Record], place: dict[Id, int], skeleton: Skeleton, order: list[int] | slice,
    notes: list[str],
) -> GroundTruth:  # fmt: skip
    number = len(skeleton.joints)
    filled = [p if p["keypoints"] != [] else {**p, "keypoints": [0] * (3 * number)} for p in persons]
    keypoints = numbers(where, "annotation", filled, "keypoints", 3 * number).reshape(-1, number, 3)[:, order]
    box = numbers(where, "annotation", persons, "bbox", 4)
    area = box[:, 2] * box[:, 3] * CROWD_AREA
    if skeleton.name != CROWDPOSE.name:
        bare = sum("area" not in p for p in persons)
        if bare:
            notes.append(f"{bare} annotations without area: {CROWD_AREA} of the box's stands in, as in xtcocotools")
        area = numbers(where, "annotation", persons, "area", 1, area.tolist())[:, 0]
    labelled = (keypoints[..., 2] > 0).sum(1)
    counted = labelled
    whole = skeleton.name == WHOLEBODY.name  # its scorer goes by the joints, and by no id
    if any("num_keypoints" in p for p in persons) and not whole:
        counted = numbers(where, "annotation", persons, "num_keypoints", 1, labelled.tolist())[:, 0]
    crowd = numbers(where, "annotation", persons, "iscrowd", 1, [0] * len(persons))[:, 0]
    void = np.array([p.get("id") == 0 and not whole for p in persons], bool)
    if void.any():
        notes.append("an annotation has id 0: as in pycocotools, whoever is matched with it counts as wrong")
    image = np.array([place[p["image_id"]] for p in persons], np.int64)
    ignore = (crowd != 0) | (counted == 0)
    return GroundTruth(image, keypoints, box, area, ignore, np.trunc(crowd) != 0, len(place), void)


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
