"""Meshes: what is worn beside the body's own surface, and things that stand about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tools.demo_set.body import normals
from tools.demo_set.noise import fractal

Paint = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]


@dataclass
class Mesh:
    points: np.ndarray  # [N, 3] world
    faces: np.ndarray  # [F, 3] int32
    fields: np.ndarray  # [N, K] float32, interpolated to pixels and handed to `paint`
    paint: Paint  # fields [P, K] -> label [P], sRGB [P, 3], folds [P], gloss [P]
    person: int = 0  # 0 nobody, else 1, 2, 3
    normals: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.normals is None:
            self.normals = normals(self.points, self.faces)


def plain(label: int, rgb, folds: float = 0.0, gloss: float = 0.05) -> Paint:
    """One colour and one label; `rgb` may be a function of the fields."""

    def paint(f: np.ndarray):
        n = len(f)
        tint = rgb(f) if callable(rgb) else np.broadcast_to(np.asarray(rgb, np.float32), (n, 3))
        return (
            np.full(n, label, np.uint8),
            np.clip(tint, 0, 1),
            np.full(n, folds, np.float32),
            np.full(n, gloss, np.float32),
        )

    return paint


def grid_faces(rows: int, columns: int, closed: bool) -> np.ndarray:
    """Triangles of a rows x columns grid of points; `closed` joins the last column to the first."""
    last = columns if closed else columns - 1
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(last), indexing="ij")
    n = (c + 1) % columns
    a, b, d, e = r * columns + c, r * columns + n, (r + 1) * columns + c, (r + 1) * columns + n
    return np.concatenate([np.stack([a, d, b], -1).reshape(-1, 3), np.stack([b, d, e], -1).reshape(-1, 3)]).astype(
        np.int32
    )


def tube(path: np.ndarray, radius: np.ndarray, sides: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """A round tube along `path` [K, 3] with `radius` [K]: points [K * sides, 3] and faces, ends left open."""
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    aside = np.cross(along, [0.31, 0.17, 0.93])
    aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
    other = np.cross(along, aside)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = aside[:, None] * np.cos(angle)[None, :, None] + other[:, None] * np.sin(angle)[None, :, None]
    points = path[:, None] + ring * np.asarray(radius)[:, None, None]
    return points.reshape(-1, 3), grid_faces(len(path), sides, True)


def ball(
    centre, radius, rows: int = 12, columns: int = 18, bumps: float = 0.0, seed: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """An ellipsoid, with fractal bumps when asked (a bush, a bun of hair)."""
    v, u = np.meshgrid(
        np.linspace(0.001, np.pi - 0.001, rows), np.linspace(0, 2 * np.pi, columns, endpoint=False), indexing="ij"
    )
    unit = np.stack([np.sin(v) * np.cos(u), np.sin(v) * np.sin(u), np.cos(v)], -1).reshape(-1, 3)
    swell = 1 + bumps * fractal(unit[:, 0] * 0.4 + unit[:, 2] * 0.3 + seed, unit[:, 1] * 0.4 + seed, 0)
    return np.asarray(centre) + unit * np.asarray(radius) * swell[:, None], grid_faces(rows, columns, True)


def box(centre, size, turn: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A box whose six faces have their own corners (sharp edges); `turn` radians about z."""
    points: list[np.ndarray] = []
    faces: list[list[int]] = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            b, c = [(1, 2), (2, 0), (0, 1)][axis]
            corner = np.zeros((4, 3))
            corner[:, axis] = sign
            corner[:, b] = np.array([-1, 1, 1, -1]) * sign
            corner[:, c] = [-1, -1, 1, 1]
            faces += [[len(points) * 4 + i for i in t] for t in ((0, 1, 2), (0, 2, 3))]
            points.append(corner)
    p = np.concatenate(points) * np.asarray(size) / 2
    c, s = np.cos(turn), np.sin(turn)
    return p @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + centre, np.array(faces, np.int32)


def solid(shape: tuple[np.ndarray, np.ndarray], rgb, label: int = 0, person: int = 0, gloss: float = 0.05) -> Mesh:
    """A mesh with its own points as fields."""
    points, faces = shape
    return Mesh(points, faces, points.astype(np.float32), plain(label, rgb, 0.0, gloss), person)


def things(random: np.random.Generator, kind: str, at: np.ndarray) -> list[Mesh]:
    """Something that stands in front of people: crate, bush, lamppost, bench, fence, bin, ball."""
    tint = random.uniform(0.12, 0.75, 3)
    x, y = at[0], at[1]
    if kind == "crate":
        w, h = random.uniform(0.35, 0.7), random.uniform(0.35, 0.8)
        wood = np.array([0.62, 0.45, 0.28]) * random.uniform(0.6, 1.2)

        def planks(f):
            line = (f[:, 2] * 9) % 1 < 0.1
            return wood * (1 - 0.45 * line + 0.15 * fractal(f[:, 0] * 0.6, f[:, 2] * 6, 2))[:, None]

        return [solid(box((x, y, h / 2), (w, w, h), random.uniform(-0.6, 0.6)), planks)]
    if kind == "bush":
        green = np.array([0.2, 0.32, 0.13]) * random.uniform(0.7, 1.4) * random.uniform(0.9, 1.1, 3)
        out = []
        for _ in range(5):
            r = random.uniform(0.14, 0.27)
            c = (x + random.normal(0, 0.22), y + random.normal(0, 0.08), r * 0.8 + random.uniform(0, 0.25))
            seed = random.random()

            def leaves(f, seed=seed):
                return green * (1 + 0.8 * fractal(f[:, 0] * 2.2 + f[:, 1], f[:, 2] * 2.2 + seed, 3))[:, None]

            out.append(solid(ball(c, (r, r, r * 1.1), 16, 24, 0.28, seed), leaves))
        return out
    if kind == "lamppost":
        path = np.stack([np.full(6, x), np.full(6, y), np.linspace(0, 4, 6)], 1)
        return [solid(tube(path, np.array([0.1, 0.07, 0.055, 0.055, 0.05, 0.05])), tint * 0.4, gloss=0.3)]
    if kind == "bench":
        wood = np.array([0.5, 0.32, 0.18]) * random.uniform(0.6, 1.3)
        parts = [
            box((x, y, 0.42), (1.5, 0.4, 0.05)),
            box((x - 0.6, y, 0.2), (0.06, 0.36, 0.4)),
            box((x + 0.6, y, 0.2), (0.06, 0.36, 0.4)),
        ]
        return [solid(p, wood if i == 0 else (0.15, 0.15, 0.16)) for i, p in enumerate(parts)]
    if kind == "fence":
        rails = [box((x, y, z), (2.2, 0.04, 0.08)) for z in (0.35, 0.75)]
        posts = [box((x - 0.9 + 0.3 * i, y, 0.47), (0.08, 0.05, 0.94)) for i in range(7)]
        white = np.full(3, random.uniform(0.5, 0.9))
        return [solid(p, white) for p in rails + posts]
    if kind == "bin":
        path = np.stack([np.full(4, x), np.full(4, y), np.linspace(0, random.uniform(0.6, 0.95), 4)], 1)
        body = tube(path, np.array([0.24, 0.26, 0.27, 0.28]), 20)
        return [solid(body, tint, gloss=0.2), solid(ball((x, y, path[-1, 2]), (0.28, 0.28, 0.06)), tint * 0.6)]
    r = random.uniform(0.11, 0.32)
    second = random.uniform(0, 1, 3)

    def panels(f):
        return np.where((np.floor(np.arctan2(f[:, 1] - y, f[:, 0] - x) * 3) % 2 == 0)[:, None], tint, second)

    return [solid(ball((x, y, r), (r, r, r), 18, 28), panels, gloss=0.3)]
