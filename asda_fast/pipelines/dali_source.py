"""What DALI is fed: a stateless callback from a step's number to encoded bytes, matrices and source rectangles.

Nothing here imports DALI. The rectangle that a crop touches is known from the plan, so only that part of a photo is
decoded. DALI's decoders take damaged photos without a word, so each JPEG is judged here first (core/images.py), down to
the last row that the crop needs; rows once walked are not walked again in later epochs. What DALI would treat
differently from `native` (CMYK, 16 bits, stray bytes, turned photos, people so large that `native` decodes at half
size) is decoded here by the very code that `native` uses and handed over as a PPM, so that both pipelines see the same
pixels and refuse the same files in the same words.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from asda_fast.core import images
from asda_fast.core.images import BadImage
from asda_fast.data.people import People
from asda_fast.data.plan import Plan
from asda_fast.data.sources import EncodedImage
from asda_fast.pipelines.bad_images import BadImages
from asda_fast.pipelines.samples import pixels, refuse_stranger, shrink_of

PAD = 2  # pixels decoded beyond the crop's outline: bilinear needs one, rounding a little


@dataclass
class Sample:
    """One person, ready for DALI."""

    image: np.ndarray  # encoded bytes [n] uint8, or with a raw store pixels [h, w, 3]
    matrix: np.ndarray  # [2, 3] float64, crop pixel -> pixel of the rectangle
    where: tuple[int, int, int, int]  # the rectangle in the image: y, x, height, width
    instead: Plan | None = None  # the one-sample plan of who stands in for a bad photo


@dataclass
class Feed:
    """One step of b samples, ready for DALI. Whole arrays: DALI takes 128 small ones far more slowly than one."""

    image: list[np.ndarray]
    matrix: np.ndarray  # [b, 2, 3] float32
    start: np.ndarray  # [b, 2] int32 y, x
    shape: np.ndarray  # [b, 2] int32 height, width
    replaced: dict[int, Plan]  # place in the batch -> Sample.instead

    @classmethod
    def of(cls, samples: list[Sample]) -> Feed:
        where = np.array([s.where for s in samples], np.int32)
        return cls(
            image=[s.image for s in samples],
            matrix=np.stack([s.matrix for s in samples]).astype(np.float32),
            start=np.ascontiguousarray(where[:, :2]),
            shape=np.ascontiguousarray(where[:, 2:]),
            replaced={place: s.instead for place, s in enumerate(samples) if s.instead is not None},
        )


def rectangle(matrix: np.ndarray, size: tuple[int, int], height: int, width: int) -> tuple[int, int, int, int]:
    """y, x, height, width of the part of an image that the crop touches (one pixel if it touches none)."""
    (a, b, tx), (c, d, ty) = matrix.tolist()
    half_w, half_h = size[1] / 2, size[0] / 2
    middle_x, middle_y = a * half_w + b * half_h + tx, c * half_w + d * half_h + ty
    reach_x = abs(a) * half_w + abs(b) * half_h + PAD
    reach_y = abs(c) * half_w + abs(d) * half_h + PAD
    x0 = min(max(int(middle_x - reach_x), 0), width - 1)
    y0 = min(max(int(middle_y - reach_y), 0), height - 1)
    x1 = min(max(int(middle_x + reach_x) + 1, x0 + 1), width)
    y1 = min(max(int(middle_y + reach_y) + 1, y0 + 1), height)
    return y0, x0, y1 - y0, x1 - x0


def plain_jpeg(data: bytes | memoryview) -> tuple[int, int] | None:
    """Height and width of a JPEG that every decoder reads alike, if it is sound, from its header and end; None for all
    else."""
    if not bytes(data[-64:]).rstrip(b"\0\r\n ").endswith(b"\xff\xd9"):  # cut short, or something follows the image
        return None
    return images.plain_size(data)


def ppm(pixels: np.ndarray) -> np.ndarray:
    """Pixels [h, w, 3] uint8 as the bytes of a PPM file, the cheapest encoded image there is."""
    header = f"P6\n{pixels.shape[1]} {pixels.shape[0]}\n255\n".encode()
    return np.concatenate([np.frombuffer(header, np.uint8), pixels.reshape(-1)])


class Source:
    """The callback's work. `feed(step)` depends on the plan and the step alone; only reading runs ahead.

    raw: DALI expects pixels, not encoded images (a raw store). whole: it decodes whole photos. on_host: rows of photos
    that DALI refused, to be decoded here.
    """

    def __init__(
        self,
        people: People,
        size: tuple[int, int],
        bad_images: BadImages,
        threads: int,
        raw: bool = False,
        whole: bool = False,
    ) -> None:
        self.people, self.size, self.bad_images, self.threads = people, size, bad_images, threads
        self.raw, self.whole = raw, whole
        self.on_host: set[int] = set()
        self._walked: dict[str, tuple[int, int]] = {}  # photo -> its length in bytes, and how far down it is sound
        self._instead: dict[int, Plan] = {}  # row -> its stand-in in this epoch: found, and counted, once
        self._pool: ThreadPoolExecutor | None = None
        self._plan: Plan | None = None
        self._epoch = 0
        self._ahead: dict[int, list[Future[list[Sample]]]] = {}

    def begin(self, plan: Plan, epoch: int) -> None:
        """Serve this plan from now on."""
        self.cancel()
        self._plan, self._epoch = plan, epoch
        self._instead = {}
        self._pool = self._pool or ThreadPoolExecutor(self.threads, thread_name_prefix="asda_fast_read")

    def cancel(self) -> None:
        """Forget what was read ahead."""
        for futures in self._ahead.values():
            for future in futures:
                future.cancel()
        self._ahead.clear()

    def abandon(self) -> None:
        """In a forked child: the threads that read are the parent's."""
        self._ahead.clear()
        self._pool = None

    def close(self) -> None:
        self.cancel()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def feed(self, step: int) -> Feed:
        """The samples of `step`; the files of the next one are read meanwhile. Raises UserError for a bad photo that
        nothing may replace."""
        futures = self._ahead.pop(step, None) or self._submit(step)
        assert self._plan is not None
        if step + 1 < len(self._plan):
            self._ahead[step + 1] = self._submit(step + 1)
        return Feed.of([sample for future in futures for sample in future.result()])

    def _submit(self, step: int) -> list[Future[list[Sample]]]:
        assert self._plan is not None and self._pool is not None
        part = self._plan.step(step)
        each = -(-(part.stop - part.start) // self.threads)  # one task per thread: a task costs as much as a sample
        chunks = [range(i, min(i + each, part.stop)) for i in range(part.start, part.stop, each)]
        return [self._pool.submit(self._samples, chunk) for chunk in chunks]

    def _samples(self, chunk: range) -> list[Sample]:
        return [self._sample(i) for i in chunk]

    def _sample(self, i: int) -> Sample:
        assert self._plan is not None
        row = int(self._plan.row[i])
        try:
            if (known := self._instead.get(row)) is not None:
                return replace(self.sample(int(known.row[0]), known.matrix[0]), instead=known)
            return self.sample(row, self._plan.matrix[i])
        except BadImage as error:
            bad = error
        for other in self.bad_images.substitutes(row, self._epoch, bad):
            try:
                found = replace(self.sample(int(other.row[0]), other.matrix[0]), instead=other)
            except BadImage as error:
                self.bad_images.note(error)
            else:
                self._instead[row] = other
                return found
        raise AssertionError("substitutes ends with an error")

    def sample(self, row: int, matrix: np.ndarray) -> Sample:
        """One person, matrix [2, 3] crop pixel -> photo pixel. Raises BadImage."""
        found = self.people.fetch(row, matrix, self.size)
        data = found.data
        # A raw store's person whose crop leaves what is stored comes from the photo: decoded, as the others are.
        known = None if data is None or self.raw or row in self.on_host else self._plain(found)
        if data is None or known is None:
            image, into = pixels(found)
            refuse_stranger(found, self.people.box[row], self.size, image)
            return self._ready(image, into)
        refuse_stranger(found, self.people.box[row], self.size)
        if self.whole:
            return Sample(np.frombuffer(data, np.uint8), found.matrix, (0, 0, *known))
        y, x, height, width = rectangle(found.matrix, self.size, *known)
        found.matrix[:, 2] -= (x, y)
        return Sample(np.frombuffer(data, np.uint8), found.matrix, (y, x, height, width))

    def _plain(self, found: EncodedImage) -> tuple[int, int] | None:
        """Height and width of a photo that DALI may decode for this crop; None if it may not. Raises BadImage."""
        assert found.data is not None
        known = plain_jpeg(found.data) if shrink_of(found.matrix) == 1 else None
        if known is None or (found.size is not None and found.size != known):
            return None
        length, rows = self._walked.get(found.name, (0, 0))
        rows = rows if length == len(found.data) else 0
        needed = images.rows_walked(found.data, found.name, found.matrix, self.size, rows)
        if needed is None:
            return None
        self._walked[found.name] = len(found.data), max(rows, needed)
        return known

    def _ready(self, image: np.ndarray, matrix: np.ndarray) -> Sample:
        """A sample whose pixels are decoded: only its rectangle travels."""
        y, x, height, width = rectangle(matrix, self.size, *image.shape[:2])
        part = image[y : y + height, x : x + width]
        moved = matrix - np.array([[0, 0, x], [0, 0, y]])
        return Sample(np.ascontiguousarray(part) if self.raw else ppm(part), moved, (0, 0, height, width))
