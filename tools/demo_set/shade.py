"""Light and film: sun or lamp with shadows, sky light with ambient occlusion, folds of cloth, lens and sensor."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from tools.demo_set.noise import fractal
from tools.demo_set.raster import draw

MAP = 640  # shadow map, pixels a side


@dataclass
class Surface:
    """What each fine pixel sees: [H, W, ...]."""

    albedo: np.ndarray  # sRGB 0..1
    normal: np.ndarray
    point: np.ndarray  # world
    depth: np.ndarray  # inf where no mesh
    folds: np.ndarray
    gloss: np.ndarray
    mesh: np.ndarray  # bool
    ground: np.ndarray  # bool
    lit: np.ndarray  # 0 for what shines by itself


def _axes(direction: np.ndarray) -> np.ndarray:
    aside = np.cross(direction, [0.1, 0.9, 0.3])
    aside /= np.linalg.norm(aside)
    return np.stack([aside, np.cross(direction, aside), -direction])


@njit(cache=True)
def _taps(depth, u, v, w, jitter, radius):  # pragma: no cover (compiled)
    """Share of 10 points of a turned spiral round (u, v) where the map is no nearer to the light than w."""
    out = np.zeros(len(u), np.float32)
    for i in range(len(u)):
        for k in range(10):
            r, a = radius * np.sqrt((k + 0.5) / 10), 2.4 * k + jitter[i]
            column, row = int(u[i] + r * np.cos(a)), int(v[i] + r * np.sin(a))
            inside = 0 <= column < depth.shape[1] and 0 <= row < depth.shape[0]
            if not inside or depth[row, column] > w[i]:
                out[i] += 0.1
    return out


def _shadow(
    points: np.ndarray, faces: np.ndarray, sun: np.ndarray, where: np.ndarray, random, soft: float
) -> np.ndarray:
    """Share of `sun` (direction to the light) that reaches `where` [P, 3]: 0..1, with a blurred rim."""
    axes = _axes(sun)
    local = points @ axes.T
    centre, reach = (local.min(0) + local.max(0)) / 2, np.ptp(local[:, :2], axis=0).max() * 0.52 + 0.05
    screen = np.concatenate(
        [(local[:, :2] - centre[:2]) / reach * (MAP / 2) + MAP / 2, local[:, 2:] - local[:, 2].min() + 1], 1
    )
    depth, _, _ = draw(screen, faces, (MAP, MAP))
    depth = np.where(np.isfinite(depth), depth, 1e6).astype(np.float32)
    spot = where @ axes.T
    u = ((spot[:, 0] - centre[0]) / reach * (MAP / 2) + MAP / 2).astype(np.float32)
    v = ((spot[:, 1] - centre[1]) / reach * (MAP / 2) + MAP / 2).astype(np.float32)
    w = spot[:, 2] - local[:, 2].min() + 1 - 0.03
    w = w.astype(np.float32)
    jitter = random.random(len(where), dtype=np.float32) * 6.28
    return _taps(depth, u, v, w, jitter, soft * MAP / (2 * reach))


def _occlusion(s: Surface) -> np.ndarray:
    """Ambient occlusion from the depth buffer: a pixel behind the blurred depth around it lies in a hollow."""
    far = np.where(s.mesh, s.depth, np.nan)
    scene = np.where(s.mesh, s.depth, np.nanmax(far) + 0.2 if s.mesh.any() else 5.0).astype(np.float32)
    hollow = np.zeros_like(scene)
    for sigma, weight in ((3, 1.8), (9, 1.3)):
        hollow += weight * np.clip(scene - cv2.GaussianBlur(scene, (0, 0), sigma), 0, 0.12)
    return np.where(s.mesh, np.clip(1 - 4.0 * hollow, 0.35, 1), 1.0)


def light(random, s: Surface, points: np.ndarray, faces: np.ndarray, eye: np.ndarray, indoors: bool) -> np.ndarray:
    """Linear radiance [H, W, 3]."""
    azimuth, high = random.uniform(-2.4, 2.4), random.uniform(0.9, 1.35) if indoors else random.uniform(0.45, 1.2)
    sun = np.array([np.sin(azimuth) * np.cos(high), -np.cos(azimuth) * np.cos(high), np.sin(high)])
    overcast = random.random() < 0.3
    power = random.uniform(0.35, 0.7) if indoors or overcast else random.uniform(0.9, 1.5)
    warm = random.uniform(-0.06, 0.12)
    tint = np.array([1 + warm, 1.0, 1 - 1.2 * warm]) * power
    sky = np.array([0.52, 0.54, 0.57]) * random.uniform(0.85, 1.15) * (1.25 if overcast or indoors else 1.0)
    floor = np.array([0.34, 0.32, 0.29])
    linear = s.albedo.astype(np.float32) ** 2.2

    normal = s.normal.copy()
    px, py, pz = (s.point[..., i].astype(np.float32) for i in range(3))
    cloth = s.mesh & (s.folds > 0)
    x, y, z = px[cloth], py[cloth], pz[cloth]
    bump = np.stack([fractal(x * 0.8 + y * 0.5 + 0.13 * k, z * 0.8 + 0.37 * k, k) for k in range(3)], -1)
    normal[cloth] += (s.folds[cloth] * 0.9)[..., None] * bump
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)

    need = s.mesh | (s.ground & (np.abs(px) < 9) & (np.abs(py) < 12))
    reach: np.ndarray = np.ones(s.depth.shape, np.float32)
    soft = random.uniform(0.05, 0.12) if overcast or indoors else random.uniform(0.012, 0.035)
    reach[need] = _shadow(points, faces, sun, s.point[need], random, soft)
    contact: np.ndarray = np.ones_like(reach)
    floorish = need & s.ground
    contact[floorish] = _shadow(points, faces, np.array([0.05, 0.02, 0.998]), s.point[floorish], random, 0.2)
    contact = 0.45 + 0.55 * contact
    reach, contact = (cv2.GaussianBlur(m, (0, 0), 1.2) for m in (reach, contact))

    facing = normal @ sun
    direct = np.where(s.mesh, np.clip((facing + 0.12) / 1.12, 0, 1), max(sun[2], 0.0)) * reach
    up = np.where(s.mesh, normal[..., 2] * 0.5 + 0.5, 1.0)[..., None]
    ambient = (floor + (sky - floor) * up) * (_occlusion(s) * np.where(s.ground, contact, 1.0))[..., None]
    half = eye - s.point[s.mesh]
    half = half / np.maximum(np.linalg.norm(half, axis=-1, keepdims=True), 1e-6) + sun
    half /= np.maximum(np.linalg.norm(half, axis=-1, keepdims=True), 1e-6)
    shine = np.zeros_like(reach)
    shine[s.mesh] = s.gloss[s.mesh] * np.clip((normal[s.mesh] * half).sum(-1), 0, 1) ** 28 * reach[s.mesh]
    out = linear * (ambient + direct[..., None] * tint) + shine[..., None] * tint
    other = ~(s.mesh | s.ground)  # walls and trees: even light; sky and windows shine
    wall = linear * (0.55 * sky + 0.45 * tint * 0.8 + 0.1) * 1.15
    glow = linear * (1.0 if not indoors else 1.25)
    backdrop = np.where(s.lit[..., None] > 0, wall * s.lit[..., None] + glow * (1 - s.lit[..., None]), glow)
    return np.where(other[..., None], backdrop, out).astype(np.float32)


def develop(random, radiance: np.ndarray, mesh: np.ndarray, factor: int) -> np.ndarray:
    """Depth of field, averaging to the final size, exposure, colour cast, vignette, noise: uint8 [H, W, 3]."""
    blur = random.uniform(0.4, 4.0)
    keep = cv2.GaussianBlur(mesh.astype(np.float32), (0, 0), 0.8)[..., None]
    hole = (~mesh).astype(np.float32)[..., None]
    weight = cv2.GaussianBlur(hole, (0, 0), blur)[..., None]  # people must not bleed into the blurred background
    back = cv2.GaussianBlur(radiance * hole, (0, 0), blur) / np.maximum(weight, 1e-3)
    sharp = np.where(weight > 1e-3, back, radiance)
    out: np.ndarray = radiance * keep + sharp * (1 - keep)
    h, w = out.shape[0] // factor, out.shape[1] // factor
    out = cv2.resize(out, (w, h), interpolation=cv2.INTER_AREA)
    bright = np.percentile(out.mean(-1), 75)
    out = out * random.uniform(0.3, 0.46) / max(bright, 0.12)
    y, x = np.mgrid[0:h, 0:w]
    edge = ((x / w - 0.5) ** 2 + (y / h - 0.5) ** 2) * 2
    out = out * (1 - random.uniform(0, 0.3) * edge)[..., None] * random.normal(1, 0.03, 3)
    out = np.clip(out, 0, None)
    out = out / (1 + np.maximum(out - 0.75, 0) * 0.8)  # highlights roll off
    code = np.clip(out, 0, 1) ** (1 / 2.2)
    code = code + random.normal(0, random.uniform(0.003, 0.016), (h, w, 1)) + random.normal(0, 0.004, (h, w, 3))
    return np.clip(np.round(code * 255), 0, 255).astype(np.uint8)
