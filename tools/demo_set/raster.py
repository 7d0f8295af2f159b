"""Z-buffer rasteriser: triangles -> (depth, triangle, barycentrics) per pixel, perspective-correct."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit


@dataclass(frozen=True)
class Camera:
    """Pinhole: `rotation` rows are the camera's right, down and forward axes in the world."""

    position: np.ndarray  # [3] world
    rotation: np.ndarray  # [3, 3]
    focal: float  # pixels
    size: tuple[int, int]  # height, width

    @staticmethod
    def looking(
        position: np.ndarray, target: np.ndarray, focal: float, size: tuple[int, int], roll: float = 0.0
    ) -> Camera:
        forward = np.asarray(target, np.float64) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        c, s = np.cos(roll), np.sin(roll)
        axes = np.stack([c * right + s * down, c * down - s * right, forward])
        return Camera(np.asarray(position, np.float64), axes, focal, size)

    def project(self, points: np.ndarray) -> np.ndarray:
        """World [N, 3] -> [N, 3]: x, y in continuous pixels, depth along the view axis."""
        local = (points - self.position) @ self.rotation.T
        depth = np.maximum(local[:, 2], 1e-3)
        centre = np.array([self.size[1] / 2, self.size[0] / 2])
        return np.concatenate([local[:, :2] / depth[:, None] * self.focal + centre, local[:, 2:]], 1)

    def rays(self) -> np.ndarray:
        """World direction through each pixel centre, unit depth along the view axis: [H, W, 3]."""
        h, w = self.size
        x = (np.arange(w) + 0.5 - w / 2) / self.focal
        y = (np.arange(h) + 0.5 - h / 2) / self.focal
        local = np.stack([*np.meshgrid(x, y), np.ones((h, w))], -1)
        return (local @ self.rotation).astype(np.float32)

    def scaled(self, factor: int) -> Camera:
        """The same view with `factor` times the pixels."""
        size = (self.size[0] * factor, self.size[1] * factor)
        return Camera(self.position, self.rotation, self.focal * factor, size)


@njit(cache=True, fastmath=False)
def rasterise(points, faces, depth, triangle, weights, near):  # pragma: no cover (compiled)
    """Draw `faces` [F, 3] of `points` [N, 3] (x, y pixels, depth) into the buffers; nearer wins, ties keep the first.

    depth [H, W] starts at infinity, triangle [H, W] at -1; weights [H, W, 3] get perspective-correct barycentrics.
    Faces with a corner nearer than `near` are dropped.
    """
    height, width = depth.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        za, zb, zc = points[a, 2], points[b, 2], points[c, 2]
        if za < near or zb < near or zc < near:
            continue
        xa, ya, xb, yb, xc, yc = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
        if abs(area) < 1e-9:
            continue
        x0, x1 = max(0, int(np.floor(min(xa, xb, xc) - 0.5))), min(width - 1, int(np.ceil(max(xa, xb, xc) - 0.5)))
        y0, y1 = max(0, int(np.floor(min(ya, yb, yc) - 0.5))), min(height - 1, int(np.ceil(max(ya, yb, yc) - 0.5)))
        ia, ib, ic = 1.0 / za, 1.0 / zb, 1.0 / zc
        for y in range(y0, y1 + 1):
            py = y + 0.5
            for x in range(x0, x1 + 1):
                px = x + 0.5
                u = ((xb - px) * (yc - py) - (yb - py) * (xc - px)) / area
                v = ((xc - px) * (ya - py) - (yc - py) * (xa - px)) / area
                w = 1.0 - u - v
                if u < 0.0 or v < 0.0 or w < 0.0:
                    continue
                z = 1.0 / (u * ia + v * ib + w * ic)
                if z < depth[y, x]:
                    depth[y, x] = z
                    triangle[y, x] = f
                    weights[y, x, 0] = u * ia * z
                    weights[y, x, 1] = v * ib * z
                    weights[y, x, 2] = w * ic * z


def draw(points: np.ndarray, faces: np.ndarray, size: tuple[int, int], near: float = 0.05):
    """Fresh buffers (depth, triangle, weights) with `faces` drawn."""
    depth = np.full(size, np.inf, np.float64)
    triangle = np.full(size, -1, np.int32)
    weights = np.zeros((*size, 3), np.float32)
    rasterise(points, faces, depth, triangle, weights, near)
    return depth, triangle, weights
