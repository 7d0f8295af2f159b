"""objects: occlusion by cut-out objects (Sarandi et al. 2018). Any folder of pictures with an alpha channel."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from asda_fast.augment import placement
from asda_fast.augment.sampling import Ranges, Slots
from asda_fast.augment.sda import Semantic
from asda_fast.core.batch import Batch
from asda_fast.core.errors import UserError
from asda_fast.parts.pool import PartPool

_LONGEST = 256  # pixels: larger cut-outs are reduced once, on loading


class Objects(Semantic):
    """`objects` is the folder (PNG, WebP or TIFF with alpha, searched recursively), or give a pool of them. An object's
    diagonal is s times the person's box diagonal. Other options as SDA; by default s in 0.2 .. 0.6, r +-30 degrees."""

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
            raise UserError("--objects: --augment objects needs a folder of cut-outs (PNG with alpha), got none")
        super().__init__(pool, ranges=ranges, objects=objects, **options)

    def matrices(self, batch: Batch, slots: Slots, theta: Tensor) -> Tensor:
        pool = self.pool_on(batch.image.device)
        row = slots.part.clamp(min=0)
        unknown = pool.person[row] * float("nan")  # sized by theta's s alone
        size = (batch.image.shape[1], batch.image.shape[2])
        one = theta.new_ones(row.shape)
        return placement.matrices(theta, pool.size[row], unknown, batch.box, size, share=one, mirror=slots.mirror)


def load_folder(folder: str | Path) -> PartPool:
    """Every picture with alpha under `folder`, cropped to what is visible, as a pool of one type `object`."""
    path = Path(folder)
    if not path.is_dir():
        raise UserError(f"--objects: expected a folder of RGBA pictures, found no folder {path}")
    patches, names = [], []
    for file in sorted(p for p in path.rglob("*") if p.suffix.lower() in (".png", ".webp", ".tif", ".tiff")):
        picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if picture is None or picture.ndim != 3 or picture.shape[2] != 4 or picture.dtype != np.uint8:
            continue
        visible = cv2.boundingRect((picture[..., 3] > 0).astype(np.uint8))
        x, y, w, h = visible
        if w == 0 or h == 0:
            continue
        rgba = cv2.cvtColor(picture[y : y + h, x : x + w], cv2.COLOR_BGRA2RGBA)
        if max(w, h) > _LONGEST:
            rgba = shrink(rgba, _LONGEST / max(w, h))
        patches.append(rgba)
        names.append(file.stem)
    if not patches:
        raise UserError(f"--objects: expected 8-bit pictures with an alpha channel in {path}, found none")
    return PartPool.from_patches(patches, type=[0] * len(patches), types=["object"], source=names)


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
