"""Photos and label maps from disk: pixels, with every mistake named in one line."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from asda_fast.core import images

MAPS = (".png", ".bmp", ".tif", ".tiff", ".gif")
MAX_PIXELS = 100_000_000  # a larger picture is taken for a mistake; it would need over a gigabyte


class Unusable(Exception):
    """One photo that cannot be used; the message is one line. `kind`: what is the matter, for counting."""

    def __init__(self, message: str, kind: str = "damaged or not a picture") -> None:
        super().__init__(message)
        self.kind = kind


def read_photo(path: Path, size: images.Size | None = None) -> np.ndarray:
    """[H, W, 3] uint8 RGB. size (height, width): of its label map, which says which way up it was labelled
    (core/images.py). Raises Unusable, and OtherSize."""
    try:
        return images.read(images.read_bytes(path), str(path), size)
    except images.OtherSize:
        raise
    except images.BadImage as error:
        raise Unusable(f"{path}: is damaged or not a picture ({error.reason})") from None


def _open(data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures: MAX_PIXELS decides
        return Image.open(io.BytesIO(data))


def read_map(path: Path) -> np.ndarray:
    """[H, W] uint8 ids. A palette picture gives its indices (OpenCV would give colours), a grey one its values."""
    try:
        data = images.read_bytes(path)
        if data.startswith(images.PNG):
            images.check_png(data, str(path))
        with _open(data) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Unusable(f"{path}: {picture.width} x {picture.height} pixels, more than {MAX_PIXELS}")
            values = np.asarray(picture)
    except images.BadImage as error:
        raise Unusable(f"{path}: is damaged or not a picture ({error.reason})") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) and not isinstance(error, UnidentifiedImageError) else ""
        raise Unusable(f"{path}: is damaged or not a picture" + (f" ({reason})" if reason else "")) from None
    if values.ndim == 3:
        colours = values[..., : 3 if values.shape[2] > 2 else 1]  # the rest is alpha
        if (colours != colours[..., :1]).any():
            raise Unusable(f"{path}: is in colour; expected label ids (grey or palette)")
        values = values[..., 0]
    if values.dtype != np.uint8:
        low, high = (values.min(), values.max()) if values.size else (0, 0)
        if low < 0:
            raise Unusable(f"{path}: ids from {low} to {high}; expected 0..255 (save 'nothing' as 0 or 255)")
        if not high <= 255:
            raise Unusable(f"{path}: ids up to {high}; expected 0..255")
        if (values != values.astype(np.uint8)).any():
            raise Unusable(f"{path}: has fractions; expected whole ids 0..255")
        values = values.astype(np.uint8)
    return np.ascontiguousarray(values)
