"""Encoded photos -> RGB pixels: the one decoder of the loader (native and DALI), of pack, parts and `data check`.

**Which photo is taken.** One whose compressed data makes sense and ends where it should; any other is a BadImage, with
the reason, raised further with the photo's name. JPEGs are judged symbol by symbol (csrc/jpeg.h has the rule), or,
where they are of a rare kind, by libjpeg, each of whose warnings refuses ("extraneous bytes before marker 0xd9" almost
always means wrong pixels). Bytes before a header's marker are harmless: every table is still to come. PNGs are judged
by their checksums, TIFFs by what libtiff reports, the others by OpenCV.

What no decoder can see: damage that happens to leave a sensible stream of the right length (JPEG, WebP, BMP and TIFF
have no checksums), and, in a crop, damage below the last row that it reads. For that `check` reads a photo whole, in
a third of the time that decoding takes: `data.check.photos` does so for a data set, pack and parts for every photo.

**Which way up.** Pixels are as stored, whatever EXIF says of their orientation: so are the annotations of COCO, MPII
and LSP. Where the annotations declare another size (`size`), EXIF decides: if a viewer's turn makes the photo of the
size declared, the annotations were made on the turned photo, and it is turned; if not, it is a bad image. A square
photo, or one whose size nobody declared, is as stored. A photo that nobody annotated and a user looks at (`predict`)
is as a viewer shows it (`upright`).

Grey and CMYK become RGB, alpha is dropped, 16 bits become 8; those that hold 12 bits unscaled, which would be nearly
black, are refused.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from asda_fast import _C

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".jp2")
"""What photos that can be read are called."""
MAX_PIXELS = 1 << 27  # a broken header may ask for gigabytes

JPEG, PNG, TIFF = b"\xff\xd8", b"\x89PNG\r\n\x1a\n", (b"II*\0", b"MM\0*")
PNM = re.compile(rb"P[2356](?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+(\d{1,9})\s")  # of PPM and PGM
FINE, FOREIGN, OTHER_SIZE, NONSENSE, SHORT, LEFT_OVER = range(6)  # csrc/jpeg.h says of what
WRONG = {
    NONSENSE: "damaged JPEG (its data makes no sense from some place on)",
    SHORT: "damaged JPEG (its data ends before the photo does)",
    LEFT_OVER: "damaged JPEG (data is left over at the photo's end)",
}

Size = tuple[int, int]  # height, width
Data = bytes | memoryview


class BadImage(Exception):
    """A photo that cannot be had: `name` the file, `reason` in a few words."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


class OtherSize(BadImage):
    """A photo that is not of the size declared: both sizes in words."""

    def __init__(self, name: str, found: str, expected: str) -> None:
        super().__init__(name, f"is {found}, its annotations say {expected}")
        self.found, self.expected = found, expected


def read_bytes(path: str | Path) -> bytes:
    """A photo's file. Raises BadImage."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BadImage(str(path), error.strerror or str(error)) from None
    except ValueError as error:  # a name with a null byte
        raise BadImage(repr(str(path)), str(error)) from None


def read(data: Data, name: str, size: Sequence[int] | None = None, shrink: int = 1) -> np.ndarray:
    """A whole photo, RGB uint8 [h, w, 3]. size: what its annotations say it has (None or zeros: nothing).

    shrink 2, 4 or 8 decodes a JPEG at that part of its size (rounded up); other kinds ignore it, so compare the shape.
    Raises BadImage.
    """
    if len(data) == 0:
        raise BadImage(name, "empty file")
    if bytes(data[:2]) == JPEG:
        stored = _jpeg_size(data, name)
        turn = _turn(data, name, stored, size)
        return _turned(_jpeg(data, name, stored, shrink), turn)
    image = _other(data, name)
    return _turned(image, _turn(data, name, image.shape[:2], size))


def crop(
    data: Data, name: str, matrix: np.ndarray, out: np.ndarray, size: Sequence[int] | None = None, shrink: int = 1
) -> bool:
    """One person's crop into `out` [H, W, 3], matrix [2, 3] crop pixel -> photo pixel: decodes only what it touches.
    shrink: as of `read`, with the matrix into the photo as it is.

    False, and `out` undefined, for what is not an ordinary JPEG or not of its declared size: `read` it.
    Raises BadImage.
    """
    matrix = np.ascontiguousarray(matrix, dtype=np.float64)
    photo_height, photo_width = size or (0, 0)
    height, width, _ = out.shape
    verdict = _C.jpeg_crop(data, photo_height, photo_width, matrix.ctypes.data, out.ctypes.data, height, width, shrink)
    if verdict in WRONG:
        raise BadImage(name, WRONG[verdict])
    return verdict == FINE


def plain_size(data: Data) -> Size | None:
    """Height and width of a JPEG that every decoder reads alike, if it is sound, from its header alone; None for all
    else."""
    verdict, height, width, _, stray = _C.jpeg_check(data, known_rows=MAX_PIXELS)
    return (height, width) if verdict == FINE and not stray else None


def rows_walked(data: Data, name: str, matrix: np.ndarray, crop_size: Size, known_rows: int = 0) -> int | None:
    """Judge a JPEG for a crop that another decoder will make: as `crop` does, without making pixels. Returns how many
    rows of blocks were walked; if an earlier call gave `known_rows`, so many are not walked again. None for what turns
    out to be no ordinary JPEG: `read` it. Raises BadImage."""
    matrix = np.ascontiguousarray(matrix, dtype=np.float64)
    verdict, _, _, rows, _ = _C.jpeg_check(data, matrix.ctypes.data, *crop_size, known_rows)
    if verdict in WRONG:
        raise BadImage(name, WRONG[verdict])
    return rows if verdict == FINE else None


def size_of(data: Data, name: str, size: Sequence[int] | None = None) -> Size:
    """Height and width of a photo as `read` gives it: from the header where it is a JPEG. Raises BadImage."""
    height, width = _jpeg_size(data, name) if bytes(data[:2]) == JPEG else read(data, name).shape[:2]
    return (height, width) if _turn(data, name, (height, width), size) == 1 else (width, height)


def upright(data: Data, name: str, shrink: int = 1) -> np.ndarray:
    """A whole photo as a viewer shows it; else as `read`."""
    return _turned(read(data, name, None, shrink), _orientation(data))


def upright_size(data: Data, name: str) -> tuple[Size, bool]:
    """Its height and width, and whether EXIF turns or mirrors it. Raises BadImage."""
    height, width = size_of(data, name)
    turn = _orientation(data)
    return ((width, height) if turn in (5, 6, 7, 8) else (height, width)), 2 <= turn <= 8


def check(data: Data, name: str, size: Sequence[int] | None = None) -> None:
    """Read a photo whole, once, without keeping it. Raises BadImage."""
    if bytes(data[:2]) == JPEG:
        verdict, height, width, _, _ = _C.jpeg_check(data)
        if verdict in WRONG:
            raise BadImage(name, WRONG[verdict])
        if verdict == FINE:
            _turn(data, name, (height, width), size)
            return
    read(data, name, size)


def _jpeg_size(data: Data, name: str) -> Size:
    verdict, height, width, _, _ = _C.jpeg_check(data, known_rows=MAX_PIXELS)
    if verdict == FOREIGN:
        try:
            height, width = simplejpeg.decode_jpeg_header(data, strict=False)[:2]
        except (ValueError, OverflowError, KeyError) as error:  # KeyError: a subsampling that nobody uses
            raise BadImage(name, f"broken JPEG header ({error})") from None
    _limit(name, height, width)
    return height, width


def _jpeg(data: Data, name: str, stored: Size, shrink: int) -> np.ndarray:
    out = np.empty((-(-stored[0] // shrink), -(-stored[1] // shrink), 3), np.uint8)
    verdict = _C.jpeg_read(data, out.ctypes.data, *stored, shrink)
    if verdict == FINE:
        return out
    if verdict in WRONG:
        raise BadImage(name, WRONG[verdict])
    least = {"min_height": -(-stored[0] // shrink), "min_width": -(-stored[1] // shrink), "min_factor": float(shrink)}
    options = least if shrink > 1 else {}
    try:
        return simplejpeg.decode_jpeg(_quiet(data), "RGB", **options)
    except (ValueError, MemoryError, KeyError) as error:
        raise BadImage(name, f"damaged JPEG ({error})") from None


def _quiet(data: Data) -> Data:
    """The same JPEG without what libjpeg warns of in a header though it harms nothing, since only the first of its
    warnings can be read: bytes that stand before a marker, and a JFIF version that it does not know."""
    data, parts, at = bytes(data), [data[:2]], 2
    while True:
        start = data.find(b"\xff", at)
        while start >= 0 and data[start + 1 : start + 2] in (b"\0", b"\xff"):
            start = data.find(b"\xff", start + 1)
        if start < 0 or start + 4 > len(data):
            return data
        if data[start + 1] == 0xDA:
            return b"".join([*parts, data[start:]])
        at = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        segment = data[start:at]
        jfif = segment[1:2] == b"\xe0" and segment[4:9] == b"JFIF\0"
        parts.append(segment[:9] + b"\1" + segment[10:] if jfif else segment)


def _other(data: Data, name: str) -> np.ndarray:
    if bytes(data[:8]) == PNG:
        check_png(data, name)
    else:
        _pillow(data, name)
        _check_maxval(data, name)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise BadImage(name, f"not a readable image ({error.err or error})") from None
    if image is None:
        raise BadImage(name, f"not a readable image (starts with {bytes(data[:8])!r})")
    if int(image.max(initial=0)) <= 16 and _unscaled(data):
        raise BadImage(name, "16 bits a colour, but all values are below 4096: stored unscaled (12 bits, or 10, or 8)?")
    return as_stored(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), data)


def as_stored(image: np.ndarray, data: Data) -> np.ndarray:
    """Pixels [h, w, ..] that OpenCV or Pillow decoded from `data`, back to what is stored: both turn a TIFF as its tag
    says."""
    if bytes(data[:4]) not in TIFF:
        return image
    turn = _orientation(data)
    return _turned(image, {6: 8, 8: 6}.get(turn, turn))


def _unscaled(data: Data) -> bool:
    deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    return deep is not None and bool(deep.dtype == np.uint16 and deep.max() < 4096)


def _check_maxval(data: Data, name: str) -> None:
    """BadImage for a PPM or PGM whose white is another number than 255 or 65535: OpenCV takes it for a dark photo."""
    found = PNM.match(bytes(data[:1000]))
    if found and int(found[1]) not in (255, 65535):
        raise BadImage(name, f"its largest value is {found[1].decode()}: expected a PPM of 255 or 65535")


def check_png(data: Data, name: str) -> None:
    """The checksums of a PNG's chunks, which OpenCV and Pillow do not all look at. Raises BadImage."""
    at, kind = len(PNG), b""
    while kind != b"IEND":
        length = int.from_bytes(data[at : at + 4], "big")
        kind, end = bytes(data[at + 4 : at + 8]), at + 8 + length
        if end + 4 > len(data):
            raise BadImage(name, "damaged PNG (cut short)")
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise BadImage(name, f"damaged PNG (the checksum of its {kind.decode('latin-1')!r} chunk is wrong)")
        if kind == b"IHDR" and length >= 8:
            _limit(name, int.from_bytes(data[at + 12 : at + 16], "big"), int.from_bytes(data[at + 8 : at + 12], "big"))
        at = end + 4


def _pillow(data: Data, name: str) -> None:
    """Size and, for TIFF, soundness: OpenCV only prints what libtiff says. What Pillow does not know is left to
    OpenCV."""
    try:
        with _opened(data) as picture:
            _limit(name, picture.height, picture.width)
            if bytes(data[:4]) in TIFF:
                picture.load()
    except UnidentifiedImageError:
        return
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise BadImage(name, f"damaged image ({error})") from None


def _opened(data: Data) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures: MAX_PIXELS decides
        try:
            return Image.open(io.BytesIO(data))
        except ImportError as error:  # Ultralytics' own `open` wants pi_heif for what is no picture
            raise UnidentifiedImageError(str(error)) from None


def _limit(name: str, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise BadImage(name, f"{width} x {height} pixels are more than {MAX_PIXELS >> 20} Mi")


def _turn(data: Data, name: str, stored: Size, size: Sequence[int] | None) -> int:
    """The EXIF orientation to apply: 1, as stored, unless the declared size asks for another. Raises BadImage."""
    if size is None or not size[0] or tuple(size) == tuple(stored):
        return 1
    turn = _orientation(data)
    if turn in (5, 6, 7, 8) and tuple(size) == (stored[1], stored[0]):
        return turn
    turned = f" ({stored[0]} x {stored[1]} turned as its EXIF says)" if turn in (5, 6, 7, 8) else ""
    raise OtherSize(name, f"{stored[1]} x {stored[0]}{turned}", f"{size[1]} x {size[0]}")


def _orientation(data: Data) -> int:
    try:
        with _opened(data) as picture:
            return int(picture.getexif().get(0x0112, 1))
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError):
        return 1


def _turned(image: np.ndarray, turn: int) -> np.ndarray:
    """As a viewer shows it. EXIF's numbers: 2 mirrored, 3 upside down, 4 both; with swapped sides 5 transposed, 6 to be
    turned clockwise, 7 transverse, 8 counter-clockwise; any other: as it is."""
    across = image.swapaxes(0, 1)
    views = {
        2: image[:, ::-1], 3: image[::-1, ::-1], 4: image[::-1],
        5: across, 6: across[:, ::-1], 7: across[::-1, ::-1], 8: across[::-1],
    }  # fmt: skip
    return np.ascontiguousarray(views.get(turn, image))
