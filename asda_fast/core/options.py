"""Options as dataclasses: what a field may hold stands in its type, and is checked wherever the record is made.

    epochs: Annotated[int | None, AtLeast(1)] = None
    update: Literal["alternate", "joint"] = "alternate"
    model: Annotated[str | None, NETWORKS] = None          # a Registry: a known name, or module:OBJECT

`check(record)`, called in __post_init__, raises a UserError that names the field; the command line turns that into the
flag (cli/entry.py).
"""

from __future__ import annotations

import ast
import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from asda_fast.core.errors import UserError
from asda_fast.core.registry import Registry, nearest

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class AtLeast:
    """A finite number from `low` up."""

    low: float

    def check(self, name: str, value: Any) -> None:
        if not self.low <= value < math.inf:  # NaN is refused too
            raise UserError(f"{name}: expected at least {self.low}, got {value}")


@dataclass(frozen=True)
class Above:
    """A finite number above `low`."""

    low: float

    def check(self, name: str, value: Any) -> None:
        if not self.low < value < math.inf:
            wanted = "a positive number" if self.low == 0 else f"more than {self.low}"
            raise UserError(f"{name}: expected {wanted}, got {value}")


@dataclass(frozen=True)
class Between:
    """A number from `low` to `high`; `below`: not `high` itself."""

    low: float
    high: float
    below: bool = False

    def check(self, name: str, value: Any) -> None:
        if not (self.low <= value < self.high if self.below else self.low <= value <= self.high):
            upto = f"{self.low} up to, not including, {self.high}" if self.below else f"{self.low} to {self.high}"
            raise UserError(f"{name}: expected {upto}, got {value}")


@dataclass(frozen=True)
class CropSize:
    """A crop as (height, width), both multiples of 32 from 64 up; its text is HxW."""

    def check(self, name: str, value: Any) -> None:
        if not (isinstance(value, Sequence) and len(value) == 2 and all(isinstance(v, int) for v in value)):
            raise UserError(f"{name}: expected (height, width), got {value!r}")
        if min(value) < 64 or value[0] % 32 or value[1] % 32:
            raise UserError(f"{name}: expected multiples of 32 from 64 up, got '{size_text(value)}'")


CROP = CropSize()


def parse_size(text: str, name: str = "input") -> Size:
    """'256x192' -> (256, 192), height first. UserError unless both are multiples of 32 from 64 up."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise UserError(f"{name}: expected HxW such as 256x192, got {text!r}")
    size = int(match[1]), int(match[2])
    CROP.check(name, size)
    return size


def size_text(size: Sequence[int]) -> str:
    """(256, 192) -> '256x192'."""
    return f"{size[0]}x{size[1]}"


def field_types(kind: Any) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """name -> (type, what Annotated adds to it) of a dataclass's fields."""
    hints = get_type_hints(kind, include_extras=True)
    found: dict[str, tuple[Any, tuple[Any, ...]]] = {}
    for field in dataclasses.fields(kind):
        hint, extras = hints[field.name], ()
        if get_origin(hint) is Annotated:
            hint, *rest = get_args(hint)
            extras = tuple(rest)
        found[field.name] = hint, extras
    return found


def choices(hint: Any) -> tuple[Any, ...] | None:
    """The values of a Literal, also of an optional one; None for other types."""
    for option in (hint, *get_args(hint)):
        if get_origin(option) is Literal:
            return get_args(option)
    return None


def optional(hint: Any) -> bool:
    """Whether None is a value of this type."""
    return NoneType in get_args(hint)


NUMBERS = {int: ("a whole number", Integral), float: ("a number", Real)}


def check_number(name: str, hint: Any, value: Any) -> None:
    """UserError where a number or a truth value is asked for, and something else is there."""
    if hint is bool and not isinstance(value, bool):
        raise UserError(f"{name}: expected True or False, got {value!r}")
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    what, accepted = NUMBERS.get(kinds[0], ("", object)) if len(kinds) == 1 else ("", object)
    if not isinstance(value, accepted) or (what and isinstance(value, bool)):
        raise UserError(f"{name}: expected {what}, got {value!r}")


def check(record: Any) -> None:
    """UserError at the first field of a dataclass that does not hold what its type says."""
    for name, (hint, extras) in field_types(type(record)).items():
        value = getattr(record, name)
        if value is None and optional(hint):
            continue
        each = next((get_args(option)[0] for option in (hint, *get_args(hint)) if get_origin(option) is tuple), None)
        if each is not None and (isinstance(value, str) or not isinstance(value, Sequence)):
            raise UserError(f"{name}: expected several, in a list, got {value!r}")
        kind = hint if each is None else each
        allowed = choices(kind)
        for one in value if each is not None else (value,):
            check_number(name, kind, one)
            if allowed is not None and one not in allowed:
                close = nearest(str(one), [str(a) for a in allowed])
                raise UserError(f"{name}: expected one of {', '.join(map(str, allowed))}, got {one!r}{close}")
        for rule in extras:
            if isinstance(rule, Registry):
                rule.check(value, name)
            elif hasattr(rule, "check"):
                rule.check(name, value)


def keyword_values(texts: Sequence[str], name: str) -> dict[str, Any]:
    """("extent=0.2,0.4", "occlude=1") -> {"extent": (0.2, 0.4), "occlude": 1}: options of somebody's own class.

    A value is a Python literal, else the text itself.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise UserError(f"{name}: expected NAME=VALUE, got {text!r}")
        if key in found:
            raise UserError(f"{name}: {key} is given twice, in {' '.join(texts)}")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError):  # TypeError: {[]: 1}
            found[key] = value
    return found
