"""What the numbers in a label map mean: the 26 part types of the paper, and the label schemes (data, not code)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError

# The 25 types of the released generator's output, in its order (REFERENCE.md 2.1), then Glove: the paper's 26.
TYPES: tuple[str, ...] = (
    "Left-arm",
    "Right-arm",
    "Left-leg",
    "Right-leg",
    "Upper-body",
    "Upper-body-with-head",
    "Lower-body",
    "Left-leg-with-shoe",
    "Right-leg-with-shoe",
    "All",
    "Hat",
    "Hair",
    "Sunglasses",
    "Face",
    "Head",
    "UpperClothes",
    "Dress",
    "Coat",
    "Socks",
    "Pants",
    "Jumpsuits",
    "Scarf",
    "Skirt",
    "Left-shoe",
    "Right-shoe",
    "Glove",
)

# Patch diagonal / body diagonal of each type in the released code (REFERENCE.md 2.2); Glove is not in it: as a shoe.
SHARE: tuple[float, ...] = tuple(
    {
        **dict.fromkeys(("Left-arm", "Right-arm", "Left-leg", "Right-leg", "UpperClothes", "Dress", "Coat"), 0.3),
        **dict.fromkeys(("Hat", "Hair", "Face", "Head"), 0.2),
        **dict.fromkeys(("Sunglasses", "Socks", "Scarf", "Skirt", "Left-shoe", "Right-shoe", "Glove"), 0.1),
        **dict.fromkeys(("Pants", "Upper-body", "Left-leg-with-shoe", "Right-leg-with-shoe"), 0.4),
        **dict.fromkeys(("Upper-body-with-head", "Lower-body"), 0.5),
        "Jumpsuits": 0.7,
        "All": 0.9,
    }[name]
    for name in TYPES
)


def mirrored(name: str) -> str:
    """The type that a mirror makes of `name`: Left-arm <-> Right-arm; a type without a side stays."""
    for side, other in (("Left-", "Right-"), ("Right-", "Left-")):
        if name.startswith(side):
            return other + name[len(side) :]
    return name


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
    pairs: tuple[tuple[int, int], ...] = ()

    @property
    def types(self) -> tuple[str, ...]:
        """TYPES, then the scheme's own types: what a pool cut by this scheme counts its types in."""
        return TYPES + tuple(rule.type for rule in self.rules if rule.type not in TYPES)

    @property
    def known(self) -> set[int]:
        """The ids that the scheme knows, background included."""
        return {*self.labels, *self.background}

    def flip_table(self) -> np.ndarray:
        """[256] uint8: the id that each id becomes when picture and map are mirrored."""
        table = np.arange(256, dtype=np.uint8)
        for a, b in self.pairs:
            table[a], table[b] = b, a
        return table


SCHEMES = ("lip", "cihp", "atr", "ccp", "pascal")


def load_scheme(name: str | Path) -> Scheme:
    """A built-in scheme by name (lip, cihp, atr, ccp, pascal), or an own one: a path that ends in .json.

    The JSON: {"name": ..., "labels": {"1": "Hat", ...}, "background": [0], "pairs": [["Left-arm", "Right-arm"], ...],
    "types": {"Hat": ["Hat"], "Lower-body": {"labels": [...], "need": [[...], [...]], "each": false}}}. `labels` of a
    type are label names; `need` lists groups of which one label each must be present (without it, one of `labels`
    suffices); `each` makes every connected component a part of its own. Types beyond TYPES are allowed.
    """
    path = Path(__file__).with_name("schemes") / f"{name}.json" if str(name) in SCHEMES else Path(name)
    if path.suffix != ".json":
        raise UserError(f"--scheme: expected one of {', '.join(SCHEMES)} or a .json file, got {str(name)!r}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"--scheme {path}: cannot be read as JSON ({error})") from None
    try:
        return _parse(data, path)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"--scheme {path}: not a scheme (labels, types; see load_scheme): {error!r}") from None


def _parse(data: dict[str, Any], path: Path) -> Scheme:
    labels = {int(key): str(value) for key, value in data["labels"].items()}
    if bad := [key for key in labels if not 0 <= key <= 255]:
        raise UserError(f"--scheme {path}: label ids must be 0..255, got {bad[0]}")
    number = {value: key for key, value in labels.items()}
    if len(number) != len(labels):
        raise UserError(f"--scheme {path}: two ids have the same label name")

    def ids(names: list[str], where: str) -> tuple[int, ...]:
        if unknown := [n for n in names if n not in number]:
            raise UserError(f"--scheme {path}: {where} names the label {unknown[0]!r}, which `labels` does not have")
        return tuple(number[n] for n in names)

    rules = []
    for type_, entry in data["types"].items():
        entry = {"labels": entry} if isinstance(entry, list) else entry
        where = f"type {type_!r}"
        need = tuple(ids(group, where) for group in entry.get("need", []))
        rules.append(Rule(type_, ids(entry["labels"], where), need, bool(entry.get("each", False))))
    if not rules:
        raise UserError(f"--scheme {path}: `types` is empty, so no part can be cut")
    pairs = [ids(pair, "pairs") for pair in data.get("pairs", [])]
    if bad_pair := [pair for pair in pairs if len(pair) != 2]:
        raise UserError(f"--scheme {path}: a pair has two labels, got {len(bad_pair[0])}")
    order = {name: i for i, name in enumerate(TYPES)}
    rules.sort(key=lambda rule: order.get(rule.type, len(order)))  # stable: own types keep their order, at the end
    return Scheme(
        str(data.get("name", path.stem)),
        labels,
        tuple(rules),
        tuple(int(i) for i in data.get("background", [0])),
        tuple((a, b) for a, b in pairs),
    )
