"""Where the pixels of people come from, the one way to them for every pipeline: `Photos`, or a `Store` (store.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from asda_fast.core.images import read_bytes

if TYPE_CHECKING:
    from asda_fast.data.people import People
    from asda_fast.data.plan import Plan


UNCHANGED = np.array([[1.0, 0, 0], [0, 1, 0]])


@dataclass(frozen=True)
class EncodedImage:
    """The pixels of one sample, not decoded yet (`data`) or ready (`pixels`), and the way into them."""

    name: str  # what an error message should name
    data: bytes | memoryview | None  # an encoded image
    pixels: np.ndarray | None  # [h, w, 3] uint8 RGB
    matrix: np.ndarray  # [2, 3] float64, crop pixel -> pixel of this image
    size: tuple[int, int] | None  # height, width that the image is declared to have; None: nobody says


class Source(Protocol):
    """What People ask of the place that their pixels come from."""

    @property
    def raw(self) -> bool:
        """Whether it gives pixels, not encoded images."""
        ...

    def fetch(self, people: People, row: int, matrix: np.ndarray, size: tuple[int, int]) -> EncodedImage:
        """The pixels of one sample. matrix [2, 3] crop pixel -> photo pixel, size (height, width) of the crop.

        Raises BadImage for a file that cannot be read, or that is another than it was; UserError for a broken store.
        """
        ...

    def images(self, people: People) -> tuple[np.ndarray, np.ndarray]:
        """One row for each image that the source keeps, and how many of `people` are in it: [n], [n]."""
        ...

    def whole(self, people: People, row: int) -> EncodedImage:
        """All of the image that the source keeps for this row; raises as `fetch` does."""
        ...

    def clamp(self, people: People, plan: Plan, size: tuple[int, int]) -> tuple[Plan, dict[str, int]]:
        """Make a fresh plan one that the source can serve, and count what did not fit, by what was done about it."""
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

    def fetch(self, people: People, row: int, matrix: np.ndarray, size: tuple[int, int]) -> EncodedImage:
        file = people.file[row]
        height, width = people.image_size[file].tolist()
        path = people.files[file]
        matrix = np.array(matrix, dtype=np.float64)  # a copy, the caller's to change
        return EncodedImage(path, read_bytes(path), None, matrix, (height, width) if height else None)

    def images(self, people: People) -> tuple[np.ndarray, np.ndarray]:
        return np.unique(people.file, return_index=True, return_counts=True)[1:]

    def whole(self, people: People, row: int) -> EncodedImage:
        return self.fetch(people, row, UNCHANGED, (1, 1))

    def clamp(self, people: People, plan: Plan, size: tuple[int, int]) -> tuple[Plan, dict[str, int]]:
        return plan, {}

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
