"""Places: what each camera ray meets behind the people. Ground and walls are planes with procedural textures."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tools.demo_set.noise import cell, fractal, smooth
from tools.demo_set.raster import Camera

OUTDOORS = ("street", "park", "beach", "court", "square")
INDOORS = ("room", "gym", "hall")


@dataclass
class Place:
    rgb: np.ndarray  # [H, W, 3] sRGB albedo of ground and walls (sky: final colour)
    ground: np.ndarray  # [H, W] bool
    point: np.ndarray  # [H, W, 3] where the ray meets the ground
    lit: np.ndarray  # [H, W] 0 for the sky and windows (not darkened by lights)
    indoors: bool
    name: str

    def scaled(self, factor: int) -> Place:
        """The same place with `factor` times the pixels (it lies out of focus anyway)."""
        size = (self.ground.shape[1] * factor, self.ground.shape[0] * factor)
        rgb, point, lit = (
            cv2.resize(m, size, interpolation=cv2.INTER_LINEAR) for m in (self.rgb, self.point, self.lit)
        )
        ground = cv2.resize(self.ground.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        return Place(rgb, ground, point, lit, self.indoors, self.name)


def _mix(a, b, t):
    return np.asarray(a, np.float32) + (np.asarray(b, np.float32) - np.asarray(a, np.float32)) * t[..., None]


def _muted(random: np.random.Generator) -> np.ndarray:
    """A floor's colour: any hue, little of it."""
    return np.clip(random.uniform(0.25, 0.65) + random.uniform(-0.1, 0.1, 3), 0.1, 0.8)


def _ground(random: np.random.Generator, kind: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    n = fractal(x * 0.11, y * 0.11, 0)
    fine = fractal(x * 0.9, y * 0.9, 1)
    if kind == "grass":
        green = np.array([0.3, 0.38, 0.17]) * random.uniform(0.7, 1.15) * random.uniform(0.92, 1.08, 3)
        rgb = _mix(green, green * [1.35, 1.15, 0.9], smooth(-0.6, 0.7, n)) * (1 + 0.35 * fine)[..., None]
        path = np.abs(x - 0.4 * y + 1.3) < random.choice([0.0, 0.8])
        return np.where(path[..., None], np.array([0.62, 0.55, 0.44]) * (1 + 0.15 * fine)[..., None], rgb)
    if kind == "asphalt":
        rgb = np.full((*x.shape, 3), random.uniform(0.25, 0.42)) * (1 + 0.1 * n + 0.16 * fine)[..., None]
        line = (np.abs((y + random.uniform(0, 3)) % 4.0 - 2) < 0.07) | ((np.abs(x % 7 - 3.4) < 0.08) & (y % 2 < 1.2))
        return np.where(line[..., None] & (random.random() < 0.6), 0.85, rgb)
    if kind in ("tiles", "slabs"):
        size = random.uniform(0.3, 0.9)
        base = np.array([0.6, 0.56, 0.5]) * random.uniform(0.6, 1.25) * random.uniform(0.93, 1.07, 3)
        tone = 0.8 + 0.35 * cell(x / size, y / size, seed=int(random.integers(99)))
        if random.random() < 0.14:
            tone = np.where((np.floor(x / size) + np.floor(y / size)) % 2 == 0, 1.25, 0.45)
        joint = np.maximum(np.abs(x / size % 1 - 0.5), np.abs(y / size % 1 - 0.5)) > 0.475
        return base * (tone * np.where(joint, 0.62, 1.0) * (1 + 0.08 * fine))[..., None]
    if kind == "sand":
        base = np.array([0.83, 0.72, 0.53]) * random.uniform(0.85, 1.1)
        return base * (1 + 0.14 * n + 0.12 * fractal(x * 0.5, y * 0.9, 2))[..., None]
    if kind == "wood":
        base = np.array([0.6, 0.4, 0.22]) * random.uniform(0.5, 1.3)
        tone = 0.82 + 0.32 * cell(x / 0.14, y / 1.3 + cell(x / 0.14) * 7)
        return (
            base
            * (tone * (1 + 0.13 * fractal(x * 2.5, y * 0.15, 2)) * np.where(x / 0.14 % 1 < 0.05, 0.6, 1))[..., None]
        )
    if kind == "carpet":
        base = _muted(random)
        weave = (np.floor(x / 0.35) + np.floor(y / 0.35)) % 2 * random.choice([0, 0.3])
        return base * (1 - weave + 0.2 * fine)[..., None]
    base = _muted(random)  # court
    line = (np.abs(np.hypot(x, y - 1.5) - 2.2) < 0.06) | (np.abs(x - 2.6) < 0.06) | (np.abs(y - 3) < 0.06)
    rgb = base * (1 + 0.07 * n + 0.1 * fine)[..., None]
    return np.where(line[..., None], 0.92, rgb)


def _sky(random: np.random.Generator, ray: np.ndarray) -> np.ndarray:
    up = ray[..., 2] / np.linalg.norm(ray, axis=-1)
    blue = np.array([0.32, 0.55, 0.85]) * random.uniform(0.8, 1.1)
    grey = random.random() < 0.3
    haze = np.array([0.86, 0.9, 0.94]) * random.uniform(0.85, 1.03)
    if random.random() < 0.15:
        haze, blue = np.array([0.97, 0.72, 0.5]), np.array([0.45, 0.5, 0.72])
    rgb = _mix(haze, haze * 0.85 if grey else blue, smooth(-0.02, 0.5, up))
    around = np.arctan2(ray[..., 0], ray[..., 1])
    cloud = fractal(around * 0.35 + random.random(), up * 0.9 + random.random(), 0)
    return _mix(rgb, [0.97, 0.97, 0.98], smooth(random.uniform(-0.1, 0.4), 0.9, cloud) * 0.9)


def _facade(random: np.random.Generator, u: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A row of buildings: (sRGB, glow of windows)."""
    width = random.uniform(4, 8)
    block = np.floor(u / width)
    seed = int(random.integers(1000))
    hue = np.stack([cell(block, block * 0, seed=seed + k) for k in range(3)], -1)
    base = 0.4 + 0.25 * hue.mean(-1, keepdims=True) + 0.2 * (hue - 0.5) * [1.2, 0.8, 0.8] + [0.06, 0.02, -0.03]
    brick = ((z / 0.08 % 1 < 0.14) | ((u / 0.22 + 0.5 * (np.floor(z / 0.08) % 2)) % 1 < 0.06)) & (
        cell(block, block, seed=seed) < 0.5
    )
    rgb = base * (np.where(brick, 0.82, 1.0) * (1 + 0.09 * fractal(u * 0.2, z * 0.2, 0)))[..., None]
    p, q = u / width % 1 * 3, (z - 0.5) / 2.6
    pane = (np.abs(p % 1 - 0.5) < 0.27) & (np.abs(q % 1 - 0.5) < 0.3)
    frame = (np.abs(p % 1 - 0.5) < 0.31) & (np.abs(q % 1 - 0.5) < 0.34) & ~pane
    bar = (np.abs(p % 1 - 0.5) < 0.02) | (np.abs(q % 1 - 0.55) < 0.02)
    tone = cell(np.floor(p) + 3 * block, np.floor(q), seed=seed)
    glass = _mix([0.12, 0.16, 0.2], [0.55, 0.66, 0.75], np.clip(tone * 0.7 + 0.3 * fractal(u * 0.2, z * 0.3, 1), 0, 1))
    rgb = np.where(pane[..., None] & ~bar[..., None], glass, np.where((frame | (pane & bar))[..., None], 0.86, rgb))
    shop = (z < 2.6) & (cell(block, block + 1, seed=seed) < 0.6)
    sign = shop & (z > 2.2)
    front = shop & (z > 0.4) & (z < 2.1) & (np.abs(u / width % 1 - 0.5) < 0.42)
    rgb = np.where(sign[..., None], hue * 0.8 + 0.1, np.where(front[..., None], glass * 0.8, rgb))
    return rgb, (pane | front).astype(np.float32) * 0.4


def _trees(random: np.random.Generator, x: np.ndarray, z: np.ndarray, count: int, span: float):
    """Crowns and trunks on an upright plane: (sRGB, mask)."""
    rgb, mask = np.zeros((*x.shape, 3), np.float32), np.zeros(x.shape, bool)
    for _ in range(count):
        c, high, wide = random.uniform(-span, span), random.uniform(2.2, 6.5), random.uniform(0.9, 2.4)
        green = np.array([0.22, 0.31, 0.12]) * random.uniform(0.6, 1.4) * random.uniform(0.88, 1.12, 3)
        trunk = (np.abs(x - c) < 0.1 + 0.05 * wide) & (z < high)
        edge = np.hypot((x - c) / wide, (z - high) / (wide * 1.1)) + 0.28 * fractal(x * 0.16 + c, z * 0.16, 1)
        light = 1 + 0.5 * (z - high) / wide * 0.6 - 0.3 * (x - c) / wide
        leaf = green * (light * (1 + 0.75 * fractal(x * 0.55, z * 0.55 + c, 3)))[..., None]
        rgb = np.where(
            trunk[..., None], np.array([0.26, 0.19, 0.13]) * (1 + 0.3 * fractal(x, z * 0.2, 2))[..., None], rgb
        )
        rgb = np.where((edge < 1)[..., None], leaf, rgb)
        mask |= trunk | (edge < 1)
    return np.clip(rgb, 0, 1), mask


def _interior(random: np.random.Generator, kind: str, u: np.ndarray, z: np.ndarray):
    """A wall with what hangs on it or stands before it: (sRGB, glow)."""
    base = np.clip(random.uniform(0.45, 0.95) + random.normal(0, 0.08, 3), 0.1, 0.97)
    rgb = np.broadcast_to(base, (*u.shape, 3)) * (1 + 0.04 * fractal(u * 0.2, z * 0.2, 0))[..., None]
    glow = np.zeros(u.shape, np.float32)
    style = random.random()
    if style < 0.25:
        rgb = np.where((u / 0.2 % 1 < 0.5)[..., None], rgb, rgb * random.uniform(0.75, 0.95))
    elif style < 0.45:
        rgb = np.where((z < 1.1)[..., None], base * random.uniform(0.4, 0.8, 3), rgb)
    elif style < 0.6:
        brick = (z / 0.1 % 1 < 0.13) | ((u / 0.28 + 0.5 * (np.floor(z / 0.1) % 2)) % 1 < 0.05)
        tone = 0.8 + 0.4 * cell(u / 0.28 + 0.5 * (np.floor(z / 0.1) % 2), z / 0.1)
        rgb = np.where(brick[..., None], 0.72, np.array([0.6, 0.32, 0.24]) * tone[..., None])
    rgb = np.where((z < 0.12)[..., None], 0.85 if style < 0.6 else 0.3, rgb)
    for _ in range(int(random.integers(2, 5))):  # pictures, windows, doors, shelves
        c, what = random.uniform(-3.2, 3.2), random.random()
        if what < 0.35:
            w, h, m = random.uniform(0.25, 0.6), random.uniform(0.2, 0.5), random.uniform(1.4, 1.9)
            inside, edge = (
                (np.abs(u - c) < w) & (np.abs(z - m) < h),
                (np.abs(u - c) < w + 0.05) & (np.abs(z - m) < h + 0.05),
            )
            art = _mix(random.random(3), random.random(3), smooth(-0.4, 0.4, fractal(u * 0.5 + c, z * 0.5, 0)))
            rgb = np.where(inside[..., None], art, np.where(edge[..., None], random.uniform(0.05, 0.9), rgb))
        elif what < 0.6:
            w, inside = 0.7, (np.abs(u - c) < 0.7) & (np.abs(z - 1.6) < 0.7)
            pane = inside & (np.abs((u - c) / w) % 0.5 > 0.04) & (np.abs(z - 1.6) > 0.03)
            view = _mix(
                [0.75, 0.86, 0.97], [0.4, 0.55, 0.35], smooth(0.0, 0.3, 1.35 - z + 0.1 * fractal(u * 0.4, z, 1))
            )
            rgb = np.where(pane[..., None], view, np.where(inside[..., None], 0.93, rgb))
            glow = np.where(pane, 1.0, glow)
        elif what < 0.75:
            inside, panel = (np.abs(u - c) < 0.48) & (z < 2.1), (np.abs(u - c) < 0.32) & (np.abs(z % 1.0 - 0.5) < 0.35)
            wood = np.array([0.5, 0.33, 0.2]) * random.uniform(0.6, 1.7)
            rgb = np.where(inside[..., None], wood * np.where(panel, 0.85, 1.0)[..., None], rgb)
        else:
            inside = (np.abs(u - c) < 0.7) & (z < 2.0)
            book = np.stack([cell(u / 0.045, z / 0.36, seed=k) for k in range(3)], -1) * 0.8 + 0.1
            gap = (z / 0.36 % 1 < 0.1) | (z / 0.36 % 1 > 0.72 + 0.25 * cell(u / 0.045, z / 0.36, seed=9))
            rgb = np.where(inside[..., None], np.where(gap[..., None], np.array([0.3, 0.2, 0.13]), book), rgb)
    if kind == "gym":
        bars = (np.abs(u + 1.5) < 1.6) & (z < 2.6) & ((z / 0.2 % 1 < 0.22) | (np.abs((u + 1.5) % 0.8 - 0.4) < 0.05))
        rgb = np.where(bars[..., None], np.array([0.72, 0.5, 0.28]), rgb)
    return np.clip(rgb, 0, 1), glow


def build(random: np.random.Generator, camera: Camera) -> Place:
    """A random place seen by `camera`; people stand near the world's origin."""
    indoors = bool(random.random() < 0.38)
    name = str(random.choice(INDOORS if indoors else OUTDOORS))
    ray, eye = camera.rays(), camera.position
    down = ray[..., 2] < -1e-4
    t = np.where(down, -eye[2] / np.where(down, ray[..., 2], -1), np.inf)
    t = np.minimum(t, 200.0)
    point = (eye + ray * t[..., None]).astype(np.float32)
    depth_back = random.uniform(1.6, 3.2) if indoors else random.uniform(5, 14)
    turn = random.uniform(-0.35, 0.35)
    c, s = np.cos(turn), np.sin(turn)
    gx, gy = c * point[..., 0] + s * point[..., 1] + random.uniform(-5, 5), c * point[..., 1] - s * point[..., 0]
    floors = {
        "street": ["asphalt", "slabs", "slabs"],
        "park": ["grass", "grass", "slabs"],
        "beach": ["sand"],
        "court": ["court"],
    }
    floors |= {
        "square": ["slabs", "tiles"],
        "room": ["wood", "carpet", "wood"],
        "gym": ["wood", "court", "carpet"],
        "hall": ["tiles", "slabs", "carpet"],
    }
    rgb = _ground(random, str(random.choice(floors[name])), gx, gy)
    lit = np.ones(down.shape, np.float32)
    ground = down & (t < 199)
    # the back wall: plane n.p = d, slightly turned
    normal = np.array([-s, c, 0.0])
    facing = ray @ normal
    tb = np.where(facing > 1e-4, (depth_back - eye @ normal) / np.where(facing > 1e-4, facing, 1), np.inf)
    tb = np.minimum(tb, 400.0)
    hit = eye + ray * tb[..., None]
    u, z = c * hit[..., 0] + s * hit[..., 1] + random.uniform(-3, 3), hit[..., 2]
    if indoors:
        wall, glow = _interior(random, name, u, z)
        behind = (tb < t) & (facing > 1e-4)
        high = z > 2.7 + (2 if name != "room" else 0)
        rgb = np.where(behind[..., None], np.where(high[..., None], 0.8, wall), rgb)
        lit, ground = np.where(behind, 1 - glow, lit), ground & ~behind
        rgb = np.where((~behind & ~ground)[..., None], 0.8, rgb)
    else:
        sky = _sky(random, ray)
        horizon = ~ground
        rgb, lit = np.where(horizon[..., None], sky, rgb), np.where(horizon, 0.0, lit).astype(np.float32)
        if name in ("street", "square", "court") and (name != "court" or random.random() < 0.5):
            front, glow = _facade(random, u, z)
            behind = (tb < t) & (facing > 1e-4) & (z < 3.5 + 9 * cell(np.floor(u / 6), u * 0, seed=3))
            rgb = np.where(behind[..., None], front, rgb)
            lit, ground = np.where(behind, 1 - 0.5 * glow, lit), ground & ~behind
        if name == "beach":
            sea = ground & (
                point[..., 1] > depth_back * 0.8 + 0.5 * fractal(point[..., 0] * 0.05, point[..., 1] * 0, 0)
            )
            wave = fractal(point[..., 0] * 0.02, point[..., 1] * 0.09, 2)
            water = _mix([0.13, 0.38, 0.5], [0.85, 0.92, 0.94], smooth(0.35, 0.8, wave))
            rgb = np.where(sea[..., None], water, rgb)
        if name in ("park", "court") or random.random() < 0.3:
            woods = (z < 1.7 + 1.0 * fractal(u * 0.06, u * 0, 0)) & (facing > 1e-4) & (tb < t)
            green = np.array([0.2, 0.28, 0.13]) * random.uniform(0.7, 1.4) * random.uniform(0.9, 1.1, 3)
            if name != "beach":
                rgb = np.where(woods[..., None], green * (1 + 0.8 * fractal(u * 0.25, z * 0.25, 3))[..., None], rgb)
                lit, ground = np.where(woods, 1.0, lit), ground & ~woods
            tree, mask = _trees(random, u, z, int(random.integers(3, 8)), 7)
            mask &= (facing > 1e-4) & (tb < t)
            rgb = np.where(mask[..., None], tree, rgb)
            lit, ground = np.where(mask, 1.0, lit), ground & ~mask
    return Place(np.clip(rgb, 0, 1).astype(np.float32), ground, point, lit.astype(np.float32), indoors, name)
