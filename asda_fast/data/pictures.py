"""Photos and frames that nobody annotated -> People to crop, one to a box; as a viewer shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from asda_fast.core import images
from asda_fast.core.skeletons import Skeleton
from asda_fast.data.coco import PAD
from asda_fast.data.people import PIXEL_STD, People
from asda_fast.data.sources import EncodedImage, Photo, Photos


@dataclass(frozen=True)
class Upright(Photos):
    """Photos, those that EXIF turns decoded whole and turned."""

    turned: frozenset[str] = frozenset()  # their paths

    def fetch(self, row: int, photo: Photo, matrix: np.ndarray, size: tuple[int, int]) -> EncodedImage:
        if photo.path not in self.turned:
            return super().fetch(row, photo, matrix, size)
        picture = images.upright(images.read_bytes(photo.path), photo.path)
        return _pixels(photo.path, picture, matrix)


@dataclass(frozen=True)
class Frames(Photos):
    """Pictures in memory, by what People calls their files."""

    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)  # [H, W, 3] uint8 RGB

    def fetch(self, row: int, photo: Photo, matrix: np.ndarray, size: tuple[int, int]) -> EncodedImage:
        return _pixels(photo.path, self.pictures[photo.path], matrix)


def _pixels(name: str, picture: np.ndarray, matrix: np.ndarray) -> EncodedImage:
    """The crop's pixels from a picture, averaged to about the crop's resolution where that is much lower, as a photo's
    decoder does."""
    matrix, (height, width) = np.array(matrix, np.float64), picture.shape[:2]
    ratio = abs(float(np.linalg.det(matrix[:, :2]))) ** 0.5  # picture's pixels per crop pixel
    shrink = next((s for s in (8, 4, 2) if ratio >= 2 * s), 1)
    if shrink > 1:
        small = -(-width // shrink), -(-height // shrink)
        picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        matrix *= np.array([[small[0] / width], [small[1] / height]])
    return EncodedImage(name, None, picture, matrix, (height, width))


def people_of(
    files: Sequence[str],
    sizes: np.ndarray,
    file: np.ndarray,
    box: np.ndarray,
    skeleton: Skeleton,
    source: Photos,
    name: str,
) -> People:
    """People without joints. files [F], sizes [F, 2] height, width; file [P] and box [P, 4] x, y, width, height."""
    count, joints = len(file), len(skeleton.joints)
    box = np.asarray(box, np.float32).reshape(count, 4)
    return People(
        skeleton=skeleton, files=list(files), file=np.asarray(file, np.int32), box=box,
        centre=box[:, :2] + box[:, 2:] / 2,
        scale=(box[:, 2:].max(1, initial=0) * (PAD / PIXEL_STD)).astype(np.float32),
        joints=np.zeros((count, joints, 2), np.float32), visible=np.zeros((count, joints), np.uint8),
        head=np.full(count, np.nan, np.float32), id=np.arange(count), image_id=np.asarray(file, np.int64),
        image_size=np.asarray(sizes, np.int32).reshape(-1, 2), name=name, source=source,
    )  # fmt: skip
