"""One photo with its maps, from disk -> patches; and what of them was left out."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np

from asda_fast.core.images import OtherSize
from asda_fast.parts.cut import Filters, Patch, cut, spans_of
from asda_fast.parts.instances import PeopleOfPhoto, instance_map
from asda_fast.parts.limbs import OTHER, limb_map
from asda_fast.parts.pairs import Pair
from asda_fast.parts.read import Unusable, read_map, read_photo
from asda_fast.parts.report import Notes, Outcomes
from asda_fast.parts.scheme import Scheme

FRAMED = 0.8  # of a map's upper, left and right edge: a person near enough for that shows no whole part


def cut_pair(
    pair: Pair,
    people: PeopleOfPhoto | None,
    scheme: Scheme,
    filters: Filters,
    dropped: bool = False,
    apart: bool = False,
) -> tuple[list[Patch], Outcomes, Notes]:
    """Read one photo and its maps, and cut it. Raises `Unusable` with one line when they do not fit."""
    if pair.label is None:
        assert people is not None
        return _cut_limbs(pair, people, scheme, filters, dropped)
    label = read_map(pair.label, scheme=scheme)
    spans = spans_of(label)
    present = set(spans)
    if unknown := present - scheme.known:
        line = f"{pair.label}: has id {min(unknown)}, which the scheme {scheme.name} does not know"
        raise Unusable(line, "map with an id that the scheme does not know")
    if not present.difference(scheme.background):
        raise Unusable(f"{pair.label}: shows nobody", "map that shows nobody")
    try:
        photo = read_photo(pair.photo, label.shape)
    except OtherSize as error:
        line = f"{pair.label}: is {error.expected}, its photo {error.found}"
        raise Unusable(line, "map of another size than its photo") from None
    instances, boxes, notes = None, None, Notes()
    if pair.instance is not None:
        instances = read_map(pair.instance, 65535)
        if instances.shape != label.shape:
            line = f"{pair.instance}: is not of the size of {pair.label}"
            raise Unusable(line, "instance map of another size than its map")
    elif people is not None:
        if people.size is not None and people.size != (label.shape[1], label.shape[0]):
            sizes = f"{label.shape[1]} x {label.shape[0]}, the people file says {people.size[0]} x {people.size[1]}"
            raise Unusable(f"{pair.photo}: is {sizes}", "photo of another size than the people file says")
        instances, boxes, notes = instance_map(people.people, *label.shape)
    if (framed := _framed(label, scheme)) is not None:
        line = f"{pair.label}: id {framed}, {scheme.labels[framed]}"
        notes.add("maps with a part, not the background, nearly all along their edge: ids of another scheme?", line)
    if instances is not None:
        _note_lost(pair, people, label, instances, scheme, notes)
    elif not apart and _several(label, spans, scheme):
        notes.add("maps with several faces, cut as one person (tell them apart: instances, people or apart)", pair.name)
    return (*cut(photo, label, scheme, filters, instances, boxes, dropped, apart), notes)


def _framed(label: np.ndarray, scheme: Scheme) -> int | None:
    """The id that nearly all of a map's upper, left and right edge has, where that is none of the background's."""
    edge = np.concatenate([label[0], label[:, 0], label[:, -1]])
    ids, counts = np.unique(edge, return_counts=True)
    most = int(ids[counts.argmax()])
    return most if counts.max() > FRAMED * len(edge) and most not in scheme.background else None


def _cut_limbs(
    pair: Pair, people: PeopleOfPhoto, scheme: Scheme, filters: Filters, dropped: bool
) -> tuple[list[Patch], Outcomes, Notes]:
    """A photo without a label map: its people's outlines and joints say what is what."""
    notes = Notes()
    outlined = tuple(person for person in people.people if person.outline and person.joints)
    without = [person for person in people.people if not (person.outline and person.joints)]
    if without:
        notes.add("people without outline or joints, not cut", f"{without[0].name} in {pair.photo}", len(without))
    if not outlined:
        return [], Counter(), notes
    size = None if people.size is None else (people.size[1], people.size[0])
    try:
        photo = read_photo(pair.photo, size)
    except OtherSize as error:
        line = f"{pair.photo}: is {error.found}, the people file says {error.expected}"
        raise Unusable(line, "photo of another size than the people file says") from None
    # All outlines are drawn, so that a pixel of somebody without joints is not taken for a neighbour's. A box is none:
    # what it holds beside the person would be cut as theirs.
    drawn = tuple(person for person in people.people if person.outline)
    numbers, boxes, more = instance_map(drawn, photo.shape[0], photo.shape[1], by_box=False)
    notes.update(more)
    label, trunkless = limb_map(drawn, numbers)
    if trunkless:
        line = f"{trunkless[0]} in {pair.photo}"
        notes.add("people without a labelled shoulder and hip, not cut", line, len(trunkless))
    partless = np.setdiff1d(numbers[label == OTHER], numbers[(label > 0) & (label < OTHER)])
    if len(partless):
        line = f"{drawn[partless[0] - 1].name} in {pair.photo}"
        notes.add("people without a limb, trunk or head all of whose joints are visible, not cut", line, len(partless))
    return (*cut(photo, label, scheme, filters, numbers, boxes, dropped), notes)


def _note_lost(
    pair: Pair, people: PeopleOfPhoto | None, label: np.ndarray, instances: np.ndarray, scheme: Scheme, notes: Notes
) -> None:
    """Note the people who own no labelled pixel, and a photo most of whose labelled pixels are nobody's."""
    shown = ~np.isin(np.arange(256), scheme.background)
    owned = np.bincount(instances[shown[label]], minlength=1 + (len(people.people) if people is not None else 0))
    for number, person in enumerate(people.people if people is not None else (), 1):
        if not owned[number]:
            notes.add("people who own no labelled pixel, not cut", f"{person.name} in {pair.photo}")
    if 2 * owned[0] > owned.sum():
        notes.add("photos most of whose labelled pixels are nobody's, these not cut", str(pair.photo))


def _several(label: np.ndarray, spans: dict[int, tuple[int, int, int, int]], scheme: Scheme) -> bool:
    """Whether a map that is taken for one person's shows several: faces (or heads) of similar size, not touching. At a
    third of the size, which costs nothing."""
    ids = next((rule.ids for name in ("Face", "Head") for rule in scheme.rules if rule.type == name), ())
    mine = [spans[i] for i in ids if i in spans]
    if not mine:
        return False
    (left, top), (right, bottom) = np.min(mine, 0)[:2], np.max(mine, 0)[2:]
    table = np.zeros(256, np.uint8)
    table[list(ids)] = 1
    faces = table[label[top:bottom:3, left:right:3]]
    areas = np.sort(cv2.connectedComponentsWithStats(faces)[2][1:, cv2.CC_STAT_AREA])
    return len(areas) > 1 and bool(areas[-2] > 0.5 * areas[-1])
