"""What the numbers in a label map mean: the label schemes (data, not code), built in or one's own."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asda_fast.core.errors import UserError, short
from asda_fast.core.files import read_json
from asda_fast.parts.network_input import NetworkInput, network_input
from asda_fast.parts.types import TYPES


@dataclass(frozen=True)
class Rule:
    """How one part type is cut: the union of `ids`, where every group of `need` has at least one id present."""

    type: str
    ids: tuple[int, ...]
    need: tuple[tuple[int, ...], ...] = ()
    each: bool = False  # comes in several pieces (socks): every component is a part, not only the largest


@dataclass(frozen=True)
class Scheme:
    """One labelling of people: ids -> names, and the part types that can truthfully be cut from it."""

    name: str
    labels: dict[int, str]
    rules: tuple[Rule, ...]
    background: tuple[int, ...] = (0,)
    colours: dict[tuple[int, int, int], int] = field(default_factory=dict)  # RGB -> id, of maps in colour
    red: bool = False  # of maps in colour, red is the id (MHP)
    network: NetworkInput | None = None  # what a parsing network of this scheme expects

    @property
    def types(self) -> tuple[str, ...]:
        """TYPES, then the scheme's own types: what a pool cut by this scheme counts its types in."""
        return TYPES + tuple(rule.type for rule in self.rules if rule.type not in TYPES)

    @property
    def known(self) -> set[int]:
        """The ids that the scheme knows, background included."""
        return {*self.labels, *self.background}


SCHEMES = ("lip", "cihp", "atr", "ccp", "pascal", "goliath28", "sapiens2")
LIMBS = Path(__file__).with_name("schemes") / "limbs.json"  # of maps that are drawn from outlines and joints
_KEYS = ("name", "note", "labels", "background", "pairs", "colours", "network", "types")


def load_scheme(name: str | Path) -> Scheme:
    """A built-in scheme by name (SCHEMES), or an own one: a path that ends in .json.

    The JSON: {"name": ..., "labels": {"1": "Hat", ...}, "background": [0], "pairs": [["Left-arm", "Right-arm"], ...],
    "types": {"Hat": ["Hat"], "Lower-body": {"labels": [...], "need": [[...], [...]], "each": false}}}. `labels` of a
    type are label names; `need` lists groups of which one label each must be present (without it, one of `labels`
    suffices); `each` makes every connected component a part of its own. `background` (0 if it is left out) are ids
    that show nobody; `pairs`, labels that a mirror swaps, and `note` are for readers. Types beyond TYPES are allowed.
    `colours`, of maps in colour, is {"1": [128, 0, 0], ...} (red, green, blue of an id), or "red" where the red of a
    colour is the id. `network`: network_input.py.
    """
    path = Path(__file__).with_name("schemes") / f"{name}.json" if str(name) in SCHEMES else Path(name)
    if path.suffix != ".json":
        near = difflib.get_close_matches(str(name), SCHEMES, 1)
        hint = f"; perhaps {near[0]}" if near else ""
        raise UserError(f"scheme: expected one of {', '.join(SCHEMES)} or a .json file, got {str(name)!r}{hint}")
    data = read_json(path, "a label scheme", unique=True)
    try:
        return _parse(data, path)
    except _Bad as error:
        raise UserError(f"scheme {path}: {error}") from None


class _Bad(ValueError):
    """What is wrong with a scheme, and where."""


def _parse(data: Any, path: Path) -> Scheme:
    if not isinstance(data, dict) or not all(isinstance(data.get(key), dict) for key in ("labels", "types")):
        raise _Bad(
            "not a scheme: expected an object with the objects 'labels' and 'types', as in parts/schemes/lip.json"
        )
    _known_keys(data, _KEYS, "the scheme")
    number: dict[str, int] = {}
    for key, label in data["labels"].items():
        if not isinstance(label, str):
            raise _Bad(f"labels: expected names, id {short(key)} has {short(label)}")
        if label in number:
            raise _Bad(f"labels: two ids have the same label name {short(label)}")
        number[label] = _id(int(key) if key.isascii() and key.isdigit() and len(key) < 9 else key, "labels")
    if len(set(number.values())) < len(number):
        raise _Bad("labels: two keys mean the same id")
    background = data.get("background", [0])
    if not isinstance(background, list):
        raise _Bad(f"background: expected a list of ids, got {short(background)}")
    nobody = tuple(_id(i, "background") for i in background)
    if 0 not in nobody:
        raise _Bad("background: expected id 0 among it, which is what other people's pixels are set to")

    def ids(names: Any, where: str) -> tuple[int, ...]:
        if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
            raise _Bad(f"{where}: expected a list of label names, got {short(names)}")
        if unknown := [n for n in names if n not in number]:
            raise _Bad(f"{where} names the label {short(unknown[0])}, which `labels` does not have")
        return tuple(number[n] for n in names)

    rules = []
    for type_, entry in data["types"].items():
        where = f"type {short(type_)}"
        entry = {"labels": entry} if isinstance(entry, list) else entry
        if not isinstance(entry, dict):
            raise _Bad(f"{where}: expected a list of label names or an object, got {short(entry)}")
        _known_keys(entry, ("labels", "need", "each"), where)
        mine, groups, each = ids(entry.get("labels"), where), entry.get("need", []), entry.get("each", False)
        if not isinstance(groups, list) or not isinstance(each, bool):
            raise _Bad(f"{where}: expected `need` to be a list of lists and `each` to be true or false")
        need = tuple(ids(group, f"{where}, need") for group in groups)
        names = {i: name for name, i in number.items()}
        if never := [i for i in mine if i in nobody]:
            raise _Bad(f"{where} is to be cut from {short(names[never[0]])}, which is background")
        if beyond := [i for group in need for i in group if i not in mine]:
            raise _Bad(f"{where} needs the label {short(names[beyond[0]])}, which is not among its labels")
        rules.append(Rule(type_, mine, need, each))
    if not rules:
        raise _Bad("`types` is empty, so no part can be cut")
    pairs = data.get("pairs", [])
    for pair in pairs if isinstance(pairs, list) else [pairs]:
        if len(ids(pair, "pairs")) != 2:
            raise _Bad(f"pairs: a pair has two labels, got {len(pair)}")
    colours = data.get("colours", {})
    order = {name: i for i, name in enumerate(TYPES)}
    rules.sort(key=lambda rule: order.get(rule.type, len(order)))  # stable: own types keep their order, at the end
    labels = {i: name for name, i in number.items()}
    name, red = str(data.get("name", path.stem)), colours == "red"
    try:
        network = network_input(data["network"]) if "network" in data else None
    except ValueError as error:
        raise _Bad(f"network: {error}") from None
    return Scheme(
        name, labels, tuple(rules), nobody, {} if red else _colours(colours, {*labels, *nobody}), red, network
    )


def _colours(given: Any, known: set[int]) -> dict[tuple[int, int, int], int]:
    if not isinstance(given, dict):
        raise _Bad(f'colours: expected an object of ids and [red, green, blue], or "red", got {short(given)}')
    found: dict[tuple[int, int, int], int] = {}
    for key, value in given.items():
        number = _id(int(key) if key.isascii() and key.isdigit() and len(key) < 9 else key, "colours")
        if number not in known:
            raise _Bad(f"colours: {number} is an id that `labels` does not have")
        if not isinstance(value, list) or len(value) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in value):
            raise _Bad(f"colours: expected [red, green, blue] of 0..255 for {number}, got {short(value)}")
        colour = (value[0], value[1], value[2])
        if colour in found:
            raise _Bad(f"colours: {found[colour]} and {number} have the same colour {list(colour)}")
        found[colour] = number
    return found


def _known_keys(entry: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; perhaps {near[0]}" if near else ""
            raise _Bad(f"{where} has the key {short(key)}; expected {', '.join(known)}{hint}")


def _id(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 255:
        raise _Bad(f"{where}: label ids must be 0..255, got {short(value)}")
    return value
