"""Integrity of a data set's photos: each is read whole once, before a training that reads only parts of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from asda_fast.core import images
from asda_fast.data.people import People
from asda_fast.data.strangers import lost

EMPTY = 0.05  # bytes a pixel: a photo of one colour packs into a fraction of that, so larger ones need no look
SAME = 4  # grey levels by which one colour may differ, as a JPEG rounds


@dataclass(frozen=True)
class Problem:
    """A photo that the loader would refuse, or might take although part of it is damaged."""

    photo: str
    reason: str
    people: int  # who are lost with it

    def __str__(self) -> str:
        return f"{self.photo}: {self.reason}"


def photos(people: People, threads: int = 1, progress: Callable[[int, int], object] | None = None) -> list[Problem]:
    """The photos of `people` that are damaged, missing, not of the size that the annotations declare, or, where they
    declare none, without the people annotated (strangers.py), or of one colour throughout, in order; of a store its
    crops.

    progress(done, all) is called after every photo, in the caller's thread.

    Costs a third of what decoding them costs (core/images.py says what is looked at).
    """
    rows, counts = people.source.images(people.file)
    by_file = np.argsort(people.file, kind="stable")
    starts = np.searchsorted(people.file[by_file], np.arange(len(people.files) + 1))

    def look(row: int) -> images.BadImage | None:
        try:
            image = people.source.whole(row, people.photo(row))
            if image.data is not None:  # else pixels, which cannot be damaged so that one could tell
                images.check(image.data, image.name, image.size)
                if image.size is None:
                    of = by_file[starts[people.file[row]] : starts[people.file[row] + 1]]
                    stranger = lost(people, of, images.size_of(image.data, image.name))
                    if stranger:
                        return images.BadImage(image.name, stranger)
                if empty(image.data, image.name):
                    return images.BadImage(image.name, "one colour throughout: a placeholder?")
        except images.BadImage as error:
            return error
        return None

    found = []
    for done, (count, bad) in enumerate(zip(counts.tolist(), _map(look, rows.tolist(), threads)), 1):
        if bad is not None:
            found.append(Problem(bad.name, bad.reason, count))
        if progress is not None:
            progress(done, len(rows))
    return found


def empty(data: images.Data, name: str) -> bool:
    """Whether a sound photo is of one colour throughout; noise of a sensor is none."""
    height, width = images.size_of(data, name)
    if len(data) > EMPTY * height * width + 2048:  # with what a header may hold
        return False
    return all(np.ptp(images.read(data, name, shrink=shrink), axis=(0, 1)).max() <= SAME for shrink in (8, 1))


def _map(
    look: Callable[[int], images.BadImage | None], rows: list[int], threads: int
) -> Iterator[images.BadImage | None]:
    """In order; reading and walking photos release the GIL."""
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield from pool.map(look, rows)
        finally:
            pool.shutdown(cancel_futures=True)
