"""Work that threads do ahead of whoever uses its results, in order and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    pool: Executor, job: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[tuple[Item, Future[Result]]]:
    """(item, future of job(item)) in order, with at most `ahead` results waiting."""
    items = iter(items)
    waiting = [(item, pool.submit(job, item)) for item in islice(items, ahead)]
    while waiting:
        yield waiting.pop(0)
        waiting += [(item, pool.submit(job, item)) for item in islice(items, 1)]
