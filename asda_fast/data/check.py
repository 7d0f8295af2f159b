"""Integrity of a data set's photos: each is read whole once, before a training that reads only parts of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from asda_fast.core import images
from asda_fast.data.people import People


@dataclass(frozen=True)
class Problem:
    """A photo that the loader would refuse, or might take although part of it is damaged."""

    photo: str
    reason: str
    people: int  # who are lost with it

    def __str__(self) -> str:
        return f"{self.photo}: {self.reason}"


def photos(people: People, threads: int = 1, progress: Callable[[int, int], object] | None = None) -> list[Problem]:
    """The photos of `people` that are damaged, missing, or not of the size that the annotations declare, in order.

    Costs a third of what decoding them costs (core/images.py says what is looked at). progress(done, all) is called
    after every photo, in the caller's thread.
    """
    used, counts = np.unique(people.file, return_counts=True)

    def look(number: int) -> str | None:
        path = people.files[number]
        try:
            images.check(images.read_bytes(path), path, people.image_size[number].tolist())
        except images.BadImage as error:
            return error.reason
        return None

    found = []
    for done, (number, count, reason) in enumerate(zip(used, counts, _map(look, used.tolist(), threads)), 1):
        if reason is not None:
            found.append(Problem(people.files[number], reason, int(count)))
        if progress is not None:
            progress(done, len(used))
    return found


def _map(look: Callable[[int], str | None], numbers: list[int], threads: int) -> Iterator[str | None]:
    """In order; reading and walking photos release the GIL."""
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield from pool.map(look, numbers)
        finally:
            pool.shutdown(cancel_futures=True)
