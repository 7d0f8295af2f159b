"""Where the pixels of people come from, the one way to them for every pipeline: `Photos`, or a `Store` (store.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from asda_fast.core.images import read_bytes

UNCHANGED = np.array([[1.0, 0, 0], [0, 1, 0]])


@dataclass(frozen=True)
class EncodedImage:
    """The pixels of one sample, not decoded yet (`data`) or ready (`pixels`), and the way into them."""

    name: str  # what an error message should name
    data: bytes | memoryview | None  # an encoded image
    pixels: np.ndarray | None  # [h, w, 3] uint8 RGB
    matrix: np.ndarray  # [2, 3] float64, crop pixel -> pixel of this image
    size: tuple[int, int] | None  # height, width that the image is declared to have; None: nobody says


class Photo(NamedTuple):
    """The photo of a row of the table."""

    path: str
    size: tuple[int, int] | None  # height, width as the annotations say; None: they do not


class Source(Protocol):
    """What People ask of the place that their pixels come from. A row is one of their table."""

    @property
    def raw(self) -> bool:
        """Whether it gives pixels, not encoded images."""
        ...

    def fetch(self, row: int, photo: Photo, matrix: np.ndarray, size: tuple[int, int]) -> EncodedImage:
        """The pixels of one sample. matrix [2, 3] crop pixel -> photo pixel, size (height, width) of the crop.

        Raises BadImage for a file that cannot be read, or that is another than it was; UserError for a broken store.
        """
        ...

    def images(self, file: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One row for each image that the source keeps, and how many rows are in it: [n], [n]. file [P]: which photo
        each row is of."""
        ...

    def whole(self, row: int, photo: Photo) -> EncodedImage:
        """All of the image that the source keeps for this row; raises as `fetch` does."""
        ...

    def zoom(
        self, rows: np.ndarray, paths: Sequence[str], matrix: np.ndarray, size: tuple[int, int]
    ) -> tuple[np.ndarray, dict[str, int]]:
        """By which factor <= 1 each crop must shrink about its centre to be served, 1 for most; and how many are
        served in another way, by which. rows [n], paths: of their photos, matrix [n, 2, 3] -> [n] float64."""
        ...

    def share(self, visit: np.ndarray, *, rank: int, world: int, batch_size: int, drop_last: bool) -> np.ndarray:
        """One rank's part of `visit` (rows in visiting order): no row goes to two, none is lost but by `drop_last`."""
        ...

    def select(self, rows: np.ndarray) -> Source:
        """The source of these rows of the table alone."""
        ...


@dataclass(frozen=True)
class Photos:
    """The photos themselves."""

    raw: bool = False

    def fetch(self, row: int, photo: Photo, matrix: np.ndarray, size: tuple[int, int]) -> EncodedImage:
        matrix = np.array(matrix, dtype=np.float64)  # a copy, the caller's to change
        return EncodedImage(photo.path, read_bytes(photo.path), None, matrix, photo.size)

    def images(self, file: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.unique(file, return_index=True, return_counts=True)[1:]

    def whole(self, row: int, photo: Photo) -> EncodedImage:
        return self.fetch(row, photo, UNCHANGED, (1, 1))

    def zoom(
        self, rows: np.ndarray, paths: Sequence[str], matrix: np.ndarray, size: tuple[int, int]
    ) -> tuple[np.ndarray, dict[str, int]]:
        return np.ones(len(rows)), {}

    def share(self, visit: np.ndarray, *, rank: int, world: int, batch_size: int, drop_last: bool) -> np.ndarray:
        """Step k of all ranks together is the k-th run of world * batch_size rows, so 2 ranks x 32 see the batches of
        1 rank x 64."""
        together = world * batch_size
        full = len(visit) // together * together
        mine = visit[:full].reshape(-1, batch_size, world)[:, :, rank].reshape(-1)
        return mine if drop_last else np.concatenate([mine, visit[full + rank :: world]])

    def select(self, rows: np.ndarray) -> Photos:
        return self


PHOTOS = Photos()
