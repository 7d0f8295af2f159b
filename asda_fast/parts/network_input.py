"""A photo as a parsing network wants it, and what it answers back on the photo: data beside each scheme, not code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from asda_fast.core.errors import short

RESIZE = ("fit", "stretch", "area")
_KEYS = ("size", "channels", "mean", "std", "resize", "corners")


@dataclass(frozen=True)
class NetworkInput:
    """In a scheme's JSON: {"size": [473, 473], "channels": "BGR", "mean": [...], "std": [...], "resize": "fit",
    "corners": true}."""

    size: tuple[int, int]  # height, width; a network of a fixed size has its own
    channels: str  # RGB or BGR: the order of the three channels, and of `mean` and `std`
    mean: tuple[float, float, float]  # of values 0..1
    std: tuple[float, float, float]
    resize: str = "fit"
    """fit: whole and centred, its aspect kept, black beside it (SCHP); stretch: to the size, linear (Sapiens); area: to
    the size, by area where that shrinks, else cubic (Sapiens2)"""
    corners: bool = False  # the corner pixels of its output lie on those of its input (align_corners), not the edges

    def prepare(self, photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """[H, W, 3] uint8 RGB -> [3, *size] float32, normalised."""
        height, width = size
        if self.resize == "fit":
            scale, shift = self._placed(photo.shape[:2], size)
            move = 0.5 * scale + shift - 0.5  # OpenCV's pixel centres are integers
            matrix = np.array([[scale[1], 0, move[1]], [0, scale[0], move[0]]])
            pixels = cv2.warpAffine(photo, matrix, (width, height), flags=cv2.INTER_LINEAR)
        else:
            shrinks = width < photo.shape[1]
            how = cv2.INTER_LINEAR if self.resize == "stretch" else cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            pixels = cv2.resize(photo, (width, height), interpolation=how)
        ordered = pixels[..., ::-1] if self.channels == "BGR" else pixels
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        values = (ordered.astype(np.float32) / 255 - mean) / std
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    def labels(self, answer: np.ndarray, photo: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        """Scores [C, h, w], or labels [h, w] uint8, of a photo of height and width `photo` that was prepared to `size`
        -> labels [H, W] uint8: of each pixel the class of the highest score, scores interpolated linearly (published
        code enlarges them to the input first; the two differ by rounding at borders)."""
        high, wide = answer.shape[-2:]
        scale, shift = self._placed(photo, size)
        if self.corners:
            factor = (np.array([high, wide]) - 1) / np.maximum(np.array(size) - 1, 1)
            factor, start = scale * factor, (0.5 * scale + shift - 0.5) * factor
        else:
            factor = np.array([high, wide]) / np.array(size)
            factor, start = scale * factor, (0.5 * scale + shift) * factor - 0.5
        matrix = np.array([[factor[1], 0, start[1]], [0, factor[0], start[0]]])

        def onto(plane: np.ndarray, how: int) -> np.ndarray:
            flags = how | cv2.WARP_INVERSE_MAP
            return cv2.warpAffine(plane, matrix, photo[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)

        if answer.ndim == 2:
            return onto(answer, cv2.INTER_NEAREST)
        best, out = np.full(photo, -np.inf, np.float32), np.zeros(photo, np.uint8)
        for number, plane in enumerate(
            answer.astype(np.float32)
        ):  # one at a time: a large photo has many bytes a class
            score = onto(plane, cv2.INTER_LINEAR)
            better = score > best
            out[better] = number
            np.copyto(best, score, where=better)
        return out

    def _placed(self, photo: tuple[int, ...], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """(y, x) of the input = scale * (y, x) of the photo + shift, continuous."""
        have, want = np.array(photo, np.float64), np.array(size, np.float64)
        scale = want / have
        if self.resize == "fit":
            scale = np.full(2, scale.min())
        return scale, (want - scale * have) / 2


def network_input(data: Any) -> NetworkInput:
    """Of a scheme's JSON. Raises ValueError with what is wrong."""
    if not isinstance(data, dict):
        raise ValueError(f"expected an object, got {short(data)}")
    for key in data:
        if key not in _KEYS:
            raise ValueError(f"has the key {short(key)}; expected {', '.join(_KEYS)}")
    size = data.get("size")
    if not isinstance(size, list) or len(size) != 2 or not all(type(v) is int and 8 <= v <= 8192 for v in size):
        raise ValueError(f"size: expected [height, width] of 8..8192, got {short(size)}")
    if data.get("channels") not in ("RGB", "BGR"):
        raise ValueError(f"channels: expected RGB or BGR, got {short(data.get('channels'))}")
    resize, corners = data.get("resize", "fit"), data.get("corners", False)
    if resize not in RESIZE:
        raise ValueError(f"resize: expected one of {', '.join(RESIZE)}, got {short(resize)}")
    if not isinstance(corners, bool):
        raise ValueError(f"corners: expected true or false, got {short(corners)}")
    mean, std = (_three(data.get(key), key) for key in ("mean", "std"))
    if min(std) <= 0:
        raise ValueError(f"std: expected numbers above 0, got {short(list(std))}")
    return NetworkInput((size[0], size[1]), data["channels"], mean, std, resize, corners)


def _three(value: Any, key: str) -> tuple[float, float, float]:
    numbers = value if isinstance(value, list) else []
    if len(numbers) != 3 or not all(type(v) in (int, float) and math.isfinite(v) and abs(v) <= 1 for v in numbers):
        raise ValueError(f"{key}: expected three numbers for values of 0..1, got {short(value)}")
    return numbers[0], numbers[1], numbers[2]
