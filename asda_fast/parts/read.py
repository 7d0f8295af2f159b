"""Photos and label maps from disk: pixels, with every mistake named in one line."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from asda_fast.core import images
from asda_fast.parts.arrays import BadArray, read_mat, read_npy
from asda_fast.parts.scheme import Scheme

MAPS = (".png", ".bmp", ".tif", ".tiff", ".gif", ".npy", ".mat")
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


def read_map(path: Path, highest: int = 255, scheme: Scheme | None = None) -> np.ndarray:
    """[H, W] ids, uint8, or uint16 if `highest` needs it.

    Pictures: of a palette the indices (OpenCV would give colours), of grey the values; alpha is left out. .npy and .mat
    files: arrays of ids (arrays.py). -1, which many save for `nothing`, becomes 0. Where `scheme` has colours, those of
    a picture, or of its palette, give the ids that they stand for.
    """
    try:
        data = images.read_bytes(path)
        if data.startswith(images.PNG):
            images.check_png(data, str(path))
        values = _values(path, data, scheme)
    except images.BadImage as error:
        raise Unusable(f"{path}: is damaged or not a picture ({error.reason})") from None
    except BadArray as error:
        raise Unusable(f"{path}: {error}", "map without an array of ids") from None
    except (ImportError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        none = isinstance(error, (UnidentifiedImageError, ImportError))  # ImportError: core/images.py says whose
        reason = str(error).splitlines()[0] if str(error) and not none else ""
        raise Unusable(f"{path}: is damaged or not a picture" + (f" ({reason})" if reason else "")) from None
    if values.ndim == 3:
        values = _of_colours(path, values[..., : 3 if values.shape[2] > 2 else 1], scheme)  # the rest is alpha
    kind = np.min_scalar_type(highest)
    if values.dtype != kind:
        low, high = (values.min(), values.max()) if values.size else (0, 0)
        if low == -1:
            values = np.where(values == -1, 0, values)
        elif low < 0:
            line = f"{path}: ids from {low} to {high}; expected 0..{highest} (and -1, 0 or 255 for nothing)"
            raise Unusable(line, "map with ids below -1")
        if not high <= highest:
            raise Unusable(f"{path}: ids up to {high}; expected 0..{highest}", f"map with ids above {highest}")
        if (values != values.astype(kind)).any():
            raise Unusable(f"{path}: has fractions; expected whole ids 0..{highest}", "map with fractions")
        values = values.astype(kind)
    return np.ascontiguousarray(values)


def _of_colours(path: Path, values: np.ndarray, scheme: Scheme | None) -> np.ndarray:
    """[H, W, 1 or 3] -> the ids [H, W] that the colours stand for."""
    if values.shape[2] == 1 or (scheme is not None and scheme.red):
        return values[..., 0]
    if scheme is None or not scheme.colours:
        if (values != values[..., :1]).any():
            line = f"{path}: is in colour; expected ids (grey or palette)"
            remedy = "; what the colours mean, a scheme of your own can say ('colours': {id: [r, g, b]}, or 'red')"
            raise Unusable(line + remedy * (scheme is not None), "map in colour")
        return values[..., 0]
    if values.dtype != np.uint8:
        raise Unusable(f"{path}: has colours of {values.dtype}; expected 8 bits a channel", "map in other colours")
    codes = values.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    known = {(r << 16) + (g << 8) + b: number for (r, g, b), number in scheme.colours.items()}
    order = np.array(sorted(known), np.uint32)
    at = np.minimum(np.searchsorted(order, codes), len(order) - 1)
    strange = order[at] != codes
    if strange.any():
        colour = values[strange][0].tolist()
        line = f"{path}: has the colour {colour}, which the scheme {scheme.name} does not name"
        raise Unusable(line, "map with a colour that the scheme does not name")
    return np.array([known[int(code)] for code in order], np.uint8)[at]


def spread(data: bytes) -> int:
    """By how much Pillow multiplies the values of a grey PNG of 2 or 4 bits, so that the highest is white."""
    bits, grey = (data[24], data[25] == 0) if data.startswith(images.PNG) and len(data) > 25 else (8, False)
    return 255 // (2**bits - 1) if grey and bits in (2, 4) else 1


def _values(path: Path, data: bytes, scheme: Scheme | None) -> np.ndarray:
    """[H, W] ids or [H, W, channels]."""
    if path.suffix.lower() == ".npy":
        return read_npy(data)
    if path.suffix.lower() == ".mat":
        return read_mat(path, scheme)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures (MAX_PIXELS decides) and of odd tags
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                line = f"{path}: {picture.width} x {picture.height} pixels, more than {MAX_PIXELS}"
                raise Unusable(line, "map with too many pixels")
            coloured = scheme is not None and scheme.colours and picture.mode == "P"
            values = images.as_stored(np.asarray(picture.convert("RGB") if coloured else picture), data)
            return values // by if (by := spread(data)) > 1 else values
