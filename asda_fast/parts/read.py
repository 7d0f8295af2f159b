"""Photos and label maps from disk: pixels, with every mistake named in one line."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MAPS = (".png", ".bmp", ".tif", ".tiff", ".gif")
MAX_PIXELS = 100_000_000  # a larger picture is taken for a mistake; it would need over a gigabyte


class Unusable(Exception):
    """One photo that cannot be used; the message is one line. `kind`: what is the matter, for counting."""

    def __init__(self, message: str, kind: str = "damaged or not a picture") -> None:
        super().__init__(message)
        self.kind = kind


def read_photo(path: Path) -> np.ndarray:
    """[H, W, 3] uint8 RGB as stored: EXIF orientation is ignored, as the maps were drawn on the stored pixels."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror or error}") from None
    height, width = _dimensions(path, data)
    if height * width > MAX_PIXELS:
        raise Unusable(f"{path}: {width} x {height} pixels, more than {MAX_PIXELS}")
    if data[:2] == b"\xff\xd8":
        try:
            return simplejpeg.decode_jpeg(data, colorspace="RGB")
        except ValueError:
            pass  # CMYK and other oddities: OpenCV may know them
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:
        picture = None
    if picture is None:
        raise Unusable(f"{path}: is damaged or not a picture")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def _dimensions(path: Path, data: bytes) -> tuple[int, int]:
    try:
        if data[:2] == b"\xff\xd8":
            height, width = simplejpeg.decode_jpeg_header(data)[:2]
            return height, width
        with _open(path) as picture:
            return picture.height, picture.width
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise Unusable(f"{path}: is damaged or not a picture") from None


def _open(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures: MAX_PIXELS decides
        return Image.open(path)


def read_map(path: Path) -> np.ndarray:
    """[H, W] uint8 ids. A palette picture gives its indices (OpenCV would give colours), a grey one its values."""
    try:
        with _open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Unusable(f"{path}: {picture.width} x {picture.height} pixels, more than {MAX_PIXELS}")
            values = np.asarray(picture)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) and not isinstance(error, UnidentifiedImageError) else ""
        raise Unusable(f"{path}: is damaged or not a picture" + (f" ({reason})" if reason else "")) from None
    if values.ndim == 3:
        if (values[..., 1:3] != values[..., :1]).any():
            raise Unusable(f"{path}: is in colour; expected label ids (grey or palette)")
        values = values[..., 0]
    if values.dtype != np.uint8:
        if values.size and (values.min() < 0 or values.max() > 255):
            raise Unusable(f"{path}: ids up to {values.max()}; expected 0..255")
        values = values.astype(np.uint8)
    return np.ascontiguousarray(values)
