"""One encoded photo -> RGB pixels, or a BadImage that says why not.

Photos are decoded as stored: the EXIF orientation is ignored, as the annotations assume and HRNet does. Grey and CMYK
become RGB, alpha is dropped, 16 bits become 8. A truncated or corrupt file is an error, never a half-grey photo, but
stray bytes between JPEG segments, which many real photos have, are not.
"""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg

MAX_PIXELS = 1 << 27  # a broken header may ask for gigabytes
JPEG_START = b"\xff\xd8\xff"
HARMLESS = ("extraneous bytes",)  # libjpeg warnings that leave every pixel right


class BadImage(Exception):
    """A photo that cannot be had: `name` the file, `reason` in a few words."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


def decode(data: bytes | memoryview, name: str, shrink: int = 1) -> np.ndarray:
    """RGB uint8 [h, w, 3]. shrink 2, 4 or 8 decodes a JPEG at that part of its size (rounded up); others ignore it,
    so compare the shape. Raises BadImage."""
    if len(data) == 0:
        raise BadImage(name, "empty file")
    if bytes(data[:3]) == JPEG_START:
        return _jpeg(data, name, shrink)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise BadImage(name, f"not a readable image ({error.err or error})") from None
    if image is None:
        raise BadImage(name, f"not a readable image (starts with {bytes(data[:8])!r})")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _jpeg(data: bytes | memoryview, name: str, shrink: int) -> np.ndarray:
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, OverflowError, KeyError) as error:  # KeyError: a subsampling that nobody uses
        raise BadImage(name, f"broken JPEG header ({error})") from None
    if height * width > MAX_PIXELS:
        raise BadImage(name, f"{width} x {height} pixels are more than {MAX_PIXELS >> 20} Mi")
    size = {"min_height": -(-height // shrink), "min_width": -(-width // shrink), "min_factor": float(shrink)}
    options = size if shrink > 1 else {}
    try:
        return simplejpeg.decode_jpeg(data, "RGB", **options)
    except (ValueError, MemoryError, KeyError) as error:
        reason = str(error)
    if any(text in reason for text in HARMLESS):
        try:
            return simplejpeg.decode_jpeg(data, "RGB", strict=False, **options)
        except (ValueError, MemoryError, KeyError) as error:
            reason = str(error)
    raise BadImage(name, f"broken JPEG ({reason})")
