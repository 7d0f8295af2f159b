"""Cut people out of their photos, for a store (store.py says what one is).

The window of a person is a square round the crop's centre, `margin` times the longer side of the unaugmented crop,
moved out to multiples of 16 pixels (JPEG blocks of the crop fall on those of the photo, so that compressing again loses
least) and cut at the photo's edges. With margin 1.7 a turn by any angle and 1.3 times the size stay inside for 4:3
crops, and for square ones all but the last pixels of a corner.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg

from asda_fast.core import images
from asda_fast.data import crop as geometry
from asda_fast.data.people import People
from asda_fast.data.store import REACH
from asda_fast.data.strangers import lost

BLOCK = 16  # pixels of a JPEG macroblock with halved chroma
STRONGEST_ZOOM = 0.7  # the smallest size factor of the paper's augmentation (COCO 0.7 .. 1.3)


def windows(
    people: People, size: tuple[int, int], margin: float, photo: np.ndarray, shrinking: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Window [P, 4] int32 x, y, width, height and shrink [P] uint8 of every person.

    size (height, width): the crops that training will ask for; photo [P, 2]: height, width of each person's photo.
    """
    rows = np.arange(len(people))
    width = geometry.fit_aspect(geometry.region(people, rows), size)
    height = width * size[0] / size[1]
    shrink = np.ones(len(people), np.int64)
    if shrinking:
        for factor in (2, 4, 8):
            shrink[STRONGEST_ZOOM * width / size[1] >= factor] = factor
    half = (margin / 2 * np.maximum(width, height) + 2 * REACH * width / size[1])[:, None]  # the plain crop always fits
    block = BLOCK * shrink[:, None]
    edge = photo[:, ::-1].astype(np.int64)
    low = np.floor((people.centre - half) / block).astype(np.int64) * block
    high = np.ceil((people.centre + half) / block).astype(np.int64) * block
    low = np.clip(low, 0, np.maximum(edge - 1, 0) // block * block)  # a person outside the photo keeps a sliver of it
    high = np.clip(high, low + 1, edge)
    return np.concatenate([low, high - low], axis=1).astype(np.int32), shrink.astype(np.uint8)


def decode(data: bytes, name: str, photo: images.Size, shrink: int) -> np.ndarray:
    """RGB [ceil(h / shrink), ceil(w / shrink), 3] uint8, photo (height, width) as its annotations see it."""
    image = images.read(data, name, photo, shrink)
    size = (-(-photo[0] // shrink), -(-photo[1] // shrink))
    if image.shape[:2] != size:  # only a JPEG can be decoded at a fraction
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    return image


def chroma_of(data: bytes) -> str:
    """The photo's own chroma subsampling: subsampling it further would cost more than all else (measured on COCO: mean
    difference 1.9 grey levels against 0.9)."""
    try:
        found = str(simplejpeg.decode_jpeg_header(data)[3])
    except (ValueError, KeyError):
        return "444"
    return found if found in ("444", "422", "420", "440", "411") else "444"


@dataclass(frozen=True)
class Cut:
    """One person cut out."""

    blob: bytes  # JPEG, or raw pixels
    window: np.ndarray  # [4] int32 x, y, width, height in the photo
    shrink: int
    photo: images.Size  # height, width
    photo_bytes: int  # length of the photo's file
    crc: int  # CRC-32 of the blob


def cut(
    people: People, rows: np.ndarray, size: tuple[int, int], margin: float, shrinking: bool, quality: int
) -> list[Cut]:
    """The people `rows` of one photo; quality 0: raw pixels. Raises BadImage."""
    number = people.file[rows[0]]
    path = people.files[number]
    data = images.read_bytes(path)
    photo = images.size_of(data, path, people.image_size[number].tolist())
    stranger = lost(people, rows, photo) if not people.image_size[number].any() else None
    if stranger:
        raise images.BadImage(path, stranger)
    window, shrink = windows(people.select(rows), size, margin, np.tile(photo, (len(rows), 1)), shrinking)
    decoded = {int(k): decode(data, path, photo, int(k)) for k in np.unique(shrink)}
    chroma = chroma_of(data)
    cuts = []
    for (x, y, w, h), k in zip(window.tolist(), shrink.tolist()):
        part = np.ascontiguousarray(decoded[k][y // k : y // k + -(-h // k), x // k : x // k + -(-w // k)])
        blob = simplejpeg.encode_jpeg(part, quality, "RGB", chroma) if quality else part.tobytes()
        cuts.append(Cut(blob, np.array((x, y, w, h), np.int32), k, photo, len(data), zlib.crc32(blob)))
    return cuts
