"""Things by name: what is built in, and what anybody adds as `module:OBJECT` without touching this package.

A registry is one dict, name -> "module:OBJECT". A dataset, an augmentation or a network of one's own is a file on
PYTHONPATH or in the working folder, given as `my.module:THING` wherever a name is.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from asda_fast.core.errors import UserError, short


@dataclass(frozen=True, eq=False)
class Registry(Mapping[str, str]):
    """name -> "module:OBJECT" of one kind; `kind` is what messages call the argument (dataset, augment, model).

    `families`: prefix -> "module:OBJECT" of a function that makes the thing PREFIX:NAME from its NAME.
    """

    kind: str
    entries: dict[str, str]
    families: dict[str, str] = field(default_factory=dict)

    __hash__ = object.__hash__  # it stands in types (core/options.py)

    def __getitem__(self, name: str) -> str:
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def others(self) -> str:
        """What else is a name: "timm:NAME or module:OBJECT"."""
        return " or ".join([*(f"{prefix}:NAME" for prefix in self.families), "module:OBJECT"])

    def load(self, name: str) -> Any:
        """The object `name`, a built-in one or "module:OBJECT". UserError for what is neither or does not import."""
        self.check(name)
        prefix, _, rest = name.partition(":")
        if prefix in self.families:
            return load_object(self.families[prefix], self.kind)(rest)
        return load_object(self.entries.get(name, name), self.kind)

    def check(self, name: str, argument: str | None = None) -> None:
        """UserError, which names `argument`, unless `name` is built in or a module:OBJECT; nothing is imported."""
        if name not in self.entries and str(name).partition(":")[0] not in self.families and not is_reference(name):
            known, close = ", ".join(self.entries), nearest(str(name), list(self.entries))
            raise UserError(
                f"{argument or self.kind}: expected one of {known} or {self.others}, got {short(name)}{close}"
            )


def is_reference(name: str) -> bool:
    """Whether `name` has the form package.module:OBJECT."""
    module, colon, attribute = str(name).partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")])


def load_object(reference: str, kind: str) -> Any:
    """The object of "module:OBJECT", the module found on PYTHONPATH or in the working folder."""
    module, _, attribute = reference.partition(":")
    try:
        found: Any = _import(module)
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"{kind} {reference}: cannot import {module} ({error})") from error
    except Exception as error:  # the module's own: what it did at import is for its author to read
        raise UserError(f"{kind} {reference}: {module} failed while it was imported: {error!r}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [n for n in vars(found) if not n.startswith("_")] if hasattr(found, "__dict__") else []
            raise UserError(f"{kind} {reference}: {module} has no {attribute}{nearest(part, public)}")
        found = getattr(found, part)
    return found


def _import(module: str) -> Any:
    """The module; the working folder counts as it does with `python -m`, also for an installed command."""
    here = os.getcwd()
    if here in sys.path or "" in sys.path:
        return importlib.import_module(module)
    sys.path.append(here)  # last: a file there never hides an installed package
    try:
        return importlib.import_module(module)
    finally:
        sys.path.remove(here)


def nearest(name: str, known: list[str]) -> str:
    """'; did you mean X?' where something known is close to `name`, else nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
