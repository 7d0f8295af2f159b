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


def read_map(path: Path, highest: int = 255) -> np.ndarray:
    """[H, W] ids, uint8, or uint16 if `highest` needs it. A palette picture gives its indices (OpenCV would give
    colours), a grey one its values; alpha is left out."""
    try:
        data = images.read_bytes(path)
        if data.startswith(images.PNG):
            images.check_png(data, str(path))
        values = _values(path, data)
    except images.BadImage as error:
        raise Unusable(f"{path}: is damaged or not a picture ({error.reason})") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) and not isinstance(error, UnidentifiedImageError) else ""
        raise Unusable(f"{path}: is damaged or not a picture" + (f" ({reason})" if reason else "")) from None
    if values.ndim == 3:
        colours = values[..., : 3 if values.shape[2] > 2 else 1]  # the rest is alpha
        if (colours != colours[..., :1]).any():
            raise Unusable(f"{path}: is in colour; expected ids (grey or palette)", "map in colour")
        values = values[..., 0]
    kind = np.min_scalar_type(highest)
    if values.dtype != kind:
        low, high = (values.min(), values.max()) if values.size else (0, 0)
        if low < 0:
            line = f"{path}: ids from {low} to {high}; expected 0..{highest} (save 'nothing' as 0 or 255)"
            raise Unusable(line, "map with ids below 0")
        if not high <= highest:
            raise Unusable(f"{path}: ids up to {high}; expected 0..{highest}", f"map with ids above {highest}")
        if (values != values.astype(kind)).any():
            raise Unusable(f"{path}: has fractions; expected whole ids 0..{highest}", "map with fractions")
        values = values.astype(kind)
    return np.ascontiguousarray(values)


def _values(path: Path, data: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures (MAX_PIXELS decides) and of odd tags
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                line = f"{path}: {picture.width} x {picture.height} pixels, more than {MAX_PIXELS}"
                raise Unusable(line, "map with too many pixels")
            return images.as_stored(np.asarray(picture), data)
