"""A bar over what takes seconds: on the terminal's error stream, gone when it is done, none where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def bar(items: Iterable[Item], total: int, words: str) -> Iterator[Item]:
    """The items, one by one, while a bar shows how many of `total` have passed."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, words, total=total, console=Console(stderr=True), transient=True)
