"""objects: occlusion by cut-out objects (Sarandi et al. 2018). Any folder of pictures with an alpha channel."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from asda_fast.augment import placement
from asda_fast.augment.sampling import Ranges, Slots
from asda_fast.augment.sda import Semantic
from asda_fast.core import images
from asda_fast.core.batch import Batch
from asda_fast.core.errors import UserError
from asda_fast.core.files import files_below
from asda_fast.parts.pool import PartPool

log = logging.getLogger("asda_fast")

SUFFIXES = (".png", ".webp", ".tif", ".tiff")  # kinds that have an alpha channel
_LONGEST = 256  # pixels: larger cut-outs are reduced once, on loading


class Objects(Semantic):
    """`objects` is the folder (PNG, WebP or TIFF with alpha, searched recursively), or give a pool of them. An object's
    diagonal is s times the person's box diagonal. Other options as SDA; by default s in 0.2 .. 0.6, r +-30 degrees."""

    needs_pool = False

    def __init__(
        self,
        pool: PartPool | None = None,
        *,
        objects: str | Path | None = None,
        ranges: Ranges = Ranges(s=(0.2, 0.6), r=(-math.pi / 6, math.pi / 6)),  # noqa: B008 - frozen
        **options: Any,
    ) -> None:
        if objects is not None:
            pool = load_folder(objects)
        if pool is None:
            raise UserError("objects: augment objects needs a folder of cut-outs (PNG with alpha), got none")
        super().__init__(pool, ranges=ranges, objects=objects, **options)

    def matrices(self, batch: Batch, slots: Slots, theta: Tensor) -> Tensor:
        pool = self.pool_on(batch.image.device)
        row = slots.part.clamp(min=0)
        unknown = pool.person[row] * float("nan")  # sized by theta's s alone
        size = (batch.image.shape[1], batch.image.shape[2])
        one = theta.new_ones(row.shape)
        return placement.matrices(theta, pool.size[row], unknown, batch.box, size, share=one, mirror=slots.mirror)


def load_folder(folder: str | Path) -> PartPool:
    """Every picture with alpha under `folder`, cropped to what is visible, as a pool of one type `object`. What cannot
    be used is counted in one warning; where nothing can, the UserError says what lies there."""
    path = Path(folder)
    if not path.is_dir():
        raise UserError(f"objects {path}: expected a folder of RGBA pictures, found none")
    patches, names = [], []
    left: dict[str, list[str]] = {}  # why -> files
    for file in files_below(path):
        rgba = _cut_out(file)
        if isinstance(rgba, str):
            left.setdefault(rgba, []).append(file.relative_to(path).as_posix())
            continue
        patches.append(rgba)
        names.append(file.stem)
    said = "; ".join(
        f"{len(files)} {why} ({files[0]}{', ..' if len(files) > 1 else ''})" for why, files in left.items()
    )
    if not patches:
        raise UserError(f"objects {path}: expected 8-bit pictures with an alpha channel, found {said or 'no file'}")
    if left:
        log.warning("objects %s: %d cut-outs used; left out: %s", path, len(patches), said)
    solid = [name for name, rgba in zip(names, patches) if rgba[..., 3].min() == 255]
    if solid:
        log.warning("objects %s: %d have no transparent pixel: rectangles are pasted (%s)", path, len(solid), solid[0])
    return PartPool.from_patches(patches, type=[0] * len(patches), types=["object"], source=names)


def _cut_out(file: Path) -> np.ndarray | str:
    """What is visible of one picture, RGBA uint8 [h, w, 4]; or why it cannot be used."""
    if file.suffix.lower() not in SUFFIXES:
        return f"{file.suffix.lower()} files" if file.suffix else "files without suffix"
    try:
        data = images.read_bytes(file)
        if file.suffix.lower() == ".png":
            images.check_png(data, str(file))  # OpenCV looks at none of the checksums
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except (images.BadImage, cv2.error):  # cv2: more pixels than OpenCV takes
        picture = None
    if picture is None:
        return "damaged or not a picture"
    if picture.ndim != 3 or picture.shape[2] != 4:
        return "without an alpha channel"
    if picture.dtype != np.uint8:
        return f"of {8 * picture.dtype.itemsize} bits a channel"
    x, y, w, h = cv2.boundingRect((picture[..., 3] > 0).astype(np.uint8))
    if w == 0 or h == 0:
        return "transparent everywhere"
    rgba = np.asarray(cv2.cvtColor(picture[y : y + h, x : x + w], cv2.COLOR_BGRA2RGBA))
    return shrink(rgba, _LONGEST / max(w, h))


def shrink(rgba: np.ndarray, factor: float) -> np.ndarray:
    """Area average of straight RGBA uint8, weighted by alpha, so that what lies under alpha 0 does not bleed in."""
    if factor >= 1:
        return rgba
    height, width = rgba.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    alpha = rgba[..., 3]
    flat = cv2.multiply(rgba, cv2.merge((alpha, alpha, alpha, np.full_like(alpha, 255))), scale=1 / 255)
    small = cv2.resize(flat, size, interpolation=cv2.INTER_AREA)
    alpha = small[..., 3]
    soft = cv2.findNonZero(cv2.inRange(alpha, 1, 254))
    if soft is not None:  # back to straight where that differs: the edge
        x, y = soft.reshape(-1, 2).T
        edge, a = small[y, x, :3].astype(np.uint32), alpha[y, x, None].astype(np.uint32)
        small[y, x, :3] = np.minimum((510 * edge + a) // (2 * a), 255)
    return small
