"""The crop: from a person's region and the drawn augmentation to the 2x3 matrix, and joints through it.

This is the one place with that convention: matrices map crop pixels to photo pixels, continuous coordinates, so the
crop's centre (W / 2, H / 2) falls exactly on the region's centre. (HRNet's integer-centre matrix is off by half a crop
pixel there, the bias that UDP, CVPR 2020, removed.)
"""

from __future__ import annotations

import numpy as np

from asda_fast.data.people import PIXEL_STD, People


def fit_aspect(extent: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The width of the smallest rectangle of `size`'s (height, width) proportions that contains `extent`.

    extent [n, 2] width, height -> [n] width; its height is width * H / W.
    """
    aspect = size[1] / size[0]
    return np.maximum(extent[:, 0], extent[:, 1] * aspect)


def region(people: People, rows: np.ndarray) -> np.ndarray:
    """Padded width and height of each person's region in photo pixels, [n, 2] float64 (see `People`)."""
    longer = people.scale[rows].astype(np.float64) * PIXEL_STD
    if people.fit == "square":
        return np.stack([longer, longer], axis=1)
    sides = np.maximum(people.box[rows, 2:].astype(np.float64), 1e-3)
    return sides * (longer / sides.max(axis=1))[:, None]


def crop_matrices(
    centre: np.ndarray, width: np.ndarray, rotation: np.ndarray, flip: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Matrices [n, 2, 3] float64, crop pixel -> photo pixel.

    centre [n, 2] and width [n]: the crop's rectangle in photo pixels; rotation [n] radians: the crop's up axis turns
    by it in the photo (clockwise on the screen for positive values, as in HRNet); flip [n] mirrors the crop.
    """
    height_px, width_px = size
    ratio = width / width_px  # photo pixels per crop pixel
    cos, sin = ratio * np.cos(rotation), ratio * np.sin(rotation)
    mirror = np.where(flip, -1.0, 1.0)  # (u - W/2) changes sign, nothing else moves
    linear = np.stack([np.stack([mirror * cos, -sin], -1), np.stack([mirror * sin, cos], -1)], axis=1)  # [n, 2, 2]
    middle = np.array([width_px / 2, height_px / 2])
    return np.concatenate([linear, (centre - linear @ middle)[..., None]], axis=2)


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse [n, 2, 3] of [n, 2, 3] affine matrices, in float64."""
    matrix = matrix.astype(np.float64)
    a, b, c, d = matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 0], matrix[:, 1, 1]
    determinant = a * d - b * c
    linear = np.stack([np.stack([d, -b], -1), np.stack([-c, a], -1)], axis=1) / determinant[:, None, None]
    return np.concatenate([linear, -(linear @ matrix[:, :, 2:])], axis=2)


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """points [n, K, 2] through matrices [n, 2, 3]."""
    x, y, m = points[..., 0], points[..., 1], matrix[:, None]
    # Written out: numpy has no fast path for a stack of 2x2 products.
    return np.stack([m[..., i, 0] * x + m[..., i, 1] * y + m[..., i, 2] for i in range(2)], axis=-1)
