"""What both pipelines share: one person's pixels, and the tensors of a batch from the columns of a plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from asda_fast import _C
from asda_fast.core import images
from asda_fast.data.people import People
from asda_fast.data.plan import Plan
from asda_fast.data.sources import EncodedImage
from asda_fast.data.strangers import refuse_outside

COLUMNS = ("row", "matrix", "flip", "half", "joints", "visible", "box")
SHRINK_FROM = 2.0  # decode at 1/s where that still leaves this many decoded pixels to a crop pixel


def make_crop(people: People, row: int, matrix: np.ndarray, size: tuple[int, int], out: np.ndarray) -> None:
    """One person's crop into `out` [H, W, 3] uint8. Raises BadImage."""
    source = people.fetch(row, matrix, size)
    shrink = shrink_of(source.matrix)
    if source.data is not None and images.crop(source.data, source.name, source.matrix, out, source.size, shrink):
        refuse_stranger(source, people.box[row], size)
        return
    image, matrix = pixels(source)
    refuse_stranger(source, people.box[row], size, image)
    warp(image, matrix, out)


def refuse_stranger(
    source: EncodedImage, box: np.ndarray, size: tuple[int, int], image: np.ndarray | None = None
) -> None:
    """BadImage for a photo whose size nobody declared and that the crop does not touch (data/strangers.py).

    box [4] of the person in the photo; size of the crop; image: the decoded photo, needed where it is no JPEG.
    """
    if source.size is not None or source.data is None:
        return
    header = image is None or bytes(source.data[:2]) == images.JPEG  # a JPEG may have been decoded at a fraction
    photo = images.size_of(source.data, source.name) if header else image.shape[:2]  # type: ignore[union-attr]
    refuse_outside(source.name, box, source.matrix, size, photo)


def pixels(source: EncodedImage) -> tuple[np.ndarray, np.ndarray]:
    """The decoded image [h, w, 3] of a sample and its matrix [2, 3] into that image, which a large person has smaller
    than the file. Raises BadImage."""
    if source.pixels is not None:
        return source.pixels, source.matrix
    assert source.data is not None
    shrink = shrink_of(source.matrix)
    image = images.read(source.data, source.name, source.size, shrink)
    smaller = bytes(source.data[:2]) == images.JPEG  # only a JPEG can be decoded at a fraction
    return image, source.matrix / shrink if smaller else source.matrix


def shrink_of(matrix: np.ndarray) -> int:
    """1, 2, 4 or 8: how much smaller a photo may be decoded for a crop with this matrix."""
    ratio = abs(float(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0])) ** 0.5  # photo per crop pixel
    return next((s for s in (8, 4, 2) if ratio >= SHRINK_FROM * s), 1)


def warp(image: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """uint8 RGB image [h, w, 3] -> out [H, W, 3]: bilinear at matrix * (x + .5, y + .5), black outside the photo."""
    matrix = np.ascontiguousarray(matrix, dtype=np.float64)
    if image.strides[1:] != (3, 1):
        image = np.ascontiguousarray(image)
    height, width, _ = out.shape
    _C.warp(
        image.ctypes.data, image.shape[0], image.shape[1], image.strides[0], matrix.ctypes.data, out.ctypes.data,
        height, width,
    )  # fmt: skip


def take(plan: Plan, part: slice) -> Plan:
    """Those samples of a plan, as a plan of one step."""
    return replace(
        plan, **{name: getattr(plan, name)[part] for name in COLUMNS}, batch_size=max(1, part.stop - part.start)
    )


def tensors(plan: Plan, replaced: dict[int, Plan]) -> dict[str, Tensor]:
    """The columns of a step as tensors of their own; replaced: place in the batch -> the one-sample plan of who stands
    in."""
    columns = {name: getattr(plan, name).copy() for name in COLUMNS}  # the plan stays as it is
    for place, other in replaced.items():
        for name in COLUMNS:
            columns[name][place] = getattr(other, name)[0]
    return {name: torch.from_numpy(values) for name, values in columns.items()}
