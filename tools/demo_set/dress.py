"""A person in clothes: body surface pushed out where cloth lies, and sheets for skirts, hair, hats, glasses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from tools.demo_set import outfit as wear
from tools.demo_set import poses
from tools.demo_set.body import Bodies, normals, rotation
from tools.demo_set.noise import fractal
from tools.demo_set.outfit import FIELDS, Outfit
from tools.demo_set.poses import Pose
from tools.demo_set.shapes import Mesh, ball, grid_faces, plain, tube


@dataclass
class Dressed:
    meshes: list[Mesh]  # placed in the world; the first is the body
    joints: np.ndarray  # [17, 3] world
    pose: Pose
    outfit: Outfit
    seat: float  # height of the seat below the hips, 0 if none is needed
    hips: np.ndarray  # [3]


def sample(random: np.random.Generator, b: Bodies, person: int, yaw: float, at: tuple[float, float]) -> Dressed:
    """A random dressed person standing (or sitting, jumping) at ground place `at`, turned by `yaw` degrees."""
    child = bool(random.random() < 0.16)
    female = bool(random.random() < 0.5)
    age = (
        random.uniform(0.27, 0.45)
        if child
        else random.choice([random.uniform(0.5, 0.75), random.uniform(0.75, 1.0)], p=[0.75, 0.25])
    )
    weight = float(np.clip(random.normal(0.5, 0.22), 0.08, 0.98))
    phenotype = {
        "gender": float(random.uniform(0.85, 1) if female else random.uniform(0, 0.15)),
        "age": float(age),
        "muscle": float(random.uniform(0.25, 0.85)),
        "weight": weight,
        "height": float(np.clip(random.normal(0.5, 0.2), 0.1, 0.95)),
        "proportions": float(random.uniform(0.3, 0.9)),
    }
    o = wear.sample(random, female, child)
    pose = poses.sample(random, room=8 * max(0.0, weight - 0.4) + (4 if o.upper_label == wear.COAT else 0))
    rest, heads = b.rest(phenotype)
    return build(b, o, pose, rest, heads, person, yaw, at, float(random.uniform(0.1, 0.35)))


def build(b: Bodies, o: Outfit, pose: Pose, rest, heads, person: int, yaw: float, at, lift: float) -> Dressed:
    f = b.coordinates
    eye = b.template_heads[b.index["eye.L"]]
    nose = np.asarray(b.regress[0] @ b.template).ravel()
    cover = wear.coverage(o, f, eye)
    soft = {k: wear.smooth_cover(m, b.smoother) for k, m in cover.items()}
    cloth = np.maximum.reduce([soft["lower"], soft["upper"], soft["shoe"]])
    worn = rest.copy()
    for _ in range(9):  # cloth bridges hollows: the smoothed surface, kept from shrinking by the offset below
        worn += 0.7 * cloth[:, None] * (b.smoother @ worn - worn)
    for _ in range(10):
        worn += 0.8 * soft["shoe"][:, None] * (b.smoother @ worn - worn)
    out = normals(worn, b.faces)
    hair = {"bald": 0, "short": 0.012, "medium": 0.026, "afro": 0.055, "long": 0.02, "bun": 0.014, "tail": 0.014}[
        o.style
    ]
    above = np.clip(wear.hairline(f["x"], f["y"], f["z"], eye) / 0.05, 0, 1)
    hang = 1 + np.clip((f["l"] - 0.5) / 1.4, 0, 1) * 0.9  # trousers fall wider toward the ankle
    push = soft["upper"] * (o.thick[0] + 0.004) + soft["lower"] * (o.thick[1] * hang + 0.003) * (
        1 - 0.5 * soft["upper"]
    )
    push = push + soft["shoe"] * 0.011 + soft["sock"] * 0.003 + soft["hair"] * hair * above**0.6
    push = np.where(soft["hat"] > 0.02, np.maximum(push * 0.4, 0.02 * soft["hat"]), push)
    worn = worn + out * push[:, None]

    transforms = b.transforms(heads, pose)
    posed = b.skin(worn, b.weights, transforms)
    bare = b.skin(rest, b.weights, transforms)
    joints = np.asarray(b.regress @ bare)
    turn = rotation(np.array([0.0, 0, 1]), yaw)
    ground = posed[:, 2].min()
    shift = np.array([at[0], at[1], 0.0]) - turn @ np.array([joints[11:13, 0].mean(), joints[11:13, 1].mean(), ground])
    shift[2] += lift if pose.airborne else 0.0

    def place(points: np.ndarray) -> np.ndarray:
        return points @ turn.T + shift

    fields = np.stack([f[k] for k in FIELDS], 1).astype(np.float32)

    def paint(pixels: np.ndarray):
        return wear.paint(o, {k: pixels[:, i] for i, k in enumerate(FIELDS)}, eye, nose)

    faces = b.faces
    if o.loft:  # legs well inside a skirt would only poke through it
        inside = (f["l"] > 0.12) & (f["l"] < o.loft_end - 0.22) & (f["t"] < 0.05) & (f["armL"] + f["armR"] < 0.5)
        if o.loft == "coat":
            inside &= False
        faces = faces[~inside[faces].all(1)]
    meshes = [Mesh(place(posed), faces, fields, paint, person)]
    for points, tri, weights, uv, brush in _extras(b, o, rest, worn, heads):
        world = place(b.skin(points, weights, transforms))
        meshes.append(Mesh(world, tri, uv.astype(np.float32), brush, person))
    hips = place(joints)[11:13].mean(0)
    return Dressed(meshes, place(joints), pose, o, float(hips[2] - 0.1) if pose.seat else 0.0, hips)


def _bind(b: Bodies, count: int, **bones) -> sparse.csr_matrix:
    """Sparse weights [count, bones] from bone name -> weight (scalar or [count])."""
    dense = np.zeros((count, len(b.bones)))
    for name, w in bones.items():
        dense[:, b.index[name.replace("__", ".").replace("_L", ".L").replace("_R", ".R")]] = w
    return sparse.csr_matrix(dense / dense.sum(1, keepdims=True))


def _extras(b: Bodies, o: Outfit, rest, worn, heads):
    """(rest points, faces, weights, fields, paint) of what is not the body's own surface."""
    at = b.index
    if o.loft:
        yield _skirt(b, o, worn, heads)
    eye = (heads[at["eye.L"]] + heads[at["eye.R"]]) / 2
    half = heads[at["eye.L"]][0]
    size = half / 0.031  # head size against the average
    scalp = rest[(b.coordinates["head"] > 0.5)]
    top, back = scalp[:, 2].max(), scalp[:, 1].max()
    side = np.abs(scalp[:, 0]).max() * 0.93
    middle = np.array([0, (eye[1] + back) / 2 + 0.012, (top + eye[2]) / 2])

    def strands(f):
        return o.hair * (1 + 0.5 * fractal(f[:, 0] * 2.3, f[:, 2] * 0.5, 3))[:, None]

    if o.style == "long":
        angle = np.linspace(-2.0, 2.0, 26)
        fall = np.linspace(0, 1, 12)
        end = heads[at["neck01"]][2] - 0.1
        a, t = np.meshgrid(angle, fall)
        tight = 1 + 0.1 * np.sin(t * 3) - 0.22 * smooth01(t, 0.25, 0.7) + 0.3 * smooth01(t, 0.7, 1)
        start = top - 0.05 * size - 0.03 * np.abs(a / 2)
        points = np.stack(
            [
                np.sin(a) * (side + 0.014) * tight,
                middle[1] + np.cos(a) * (back - middle[1] + 0.02) * tight,
                start + t * (end - start),
            ],
            -1,
        ).reshape(-1, 3)
        w = smooth01(t.ravel(), 0.55, 1) * 0.55
        yield (
            points,
            grid_faces(12, 26, False),
            _bind(b, len(points), head=1 - w, spine01=w),
            points,
            plain(wear.HAIR, strands, 0.5, 0.12),
        )
    if o.style in ("bun", "tail"):
        if o.style == "bun":
            shape = ball(
                (0, back + 0.025, (top + eye[2]) / 2 + 0.03), (0.05 * size, 0.045 * size, 0.048 * size), bumps=0.1
            )
        else:
            t = np.linspace(0, 1, 9)
            path = np.stack(
                [
                    0.02 * np.sin(3 * t),
                    back + 0.012 + 0.075 * np.sin(np.minimum(t * 2.4, 1.9)),
                    (top + eye[2]) / 2 + 0.03 - 0.3 * t**1.4,
                ],
                1,
            )
            shape = tube(path, 0.03 * size * np.array([0.5, 1, 1.15, 1.15, 1.1, 1, 0.85, 0.6, 0.1]))
        yield shape[0], shape[1], _bind(b, len(shape[0]), head=1.0), shape[0], plain(wear.HAIR, strands, 0.3, 0.12)
    if o.hat is not None and o.hat_style in ("cap", "brim"):
        full = o.hat_style == "brim"
        angle = np.linspace(-np.pi if full else -1.15, np.pi if full else 1.15, 40)
        a, r = np.meshgrid(angle, np.linspace(0.9, 1, 4))
        reach = (r - 0.9) / 0.1 * ((0.085 if full else 0.075 * np.cos(a * 1.3)) * size)
        z = eye[2] + 0.058 * size - 0.16 * reach + 0.1 * (middle[1] - eye[1]) * (np.cos(a) - 1) * 0.5
        points = np.stack(
            [np.sin(a) * (side + reach), middle[1] - np.cos(a) * (middle[1] - eye[1] + 0.02 + reach), z], -1
        ).reshape(-1, 3)
        yield (
            points,
            grid_faces(4, 40, False),
            _bind(b, len(points), head=1.0),
            points,
            plain(wear.HAT, o.hat.second if not full else o.hat.first),
        )
    if o.glasses:
        parts = []
        for s in (-1, 1):
            parts.append(ball((s * half, eye[1] - 0.016, eye[2] - 0.002), (0.027 * size, 0.007, 0.02 * size), 9, 16))
            arm = np.stack(
                [
                    np.linspace(s * (half + 0.024), s * (side - 0.004), 4),
                    np.linspace(eye[1] - 0.01, eye[1] + 0.09, 4),
                    np.full(4, eye[2] + 0.008),
                ],
                1,
            )
            parts.append(tube(arm, np.full(4, 0.0035), 6))
        bridge = np.stack([np.linspace(-0.012, 0.012, 3), np.full(3, eye[1] - 0.019), np.full(3, eye[2] + 0.004)], 1)
        parts.append(tube(bridge, np.full(3, 0.004), 6))
        points, tri = merge(parts)
        yield points, tri, _bind(b, len(points), head=1.0), points, plain(wear.GLASSES, (0.03, 0.03, 0.04), 0, 0.7)
    if o.scarf is not None:
        neck = heads[at["neck01"]]
        ring = np.linspace(0, 2 * np.pi, 25)
        rough = 0.02 * fractal(ring / 6.3, ring * 0 + 0.3, 1)
        width = 0.055 + 0.25 * (side - 0.03)
        path = np.stack(
            [
                np.sin(ring) * (width + 0.03),
                neck[1] - np.cos(ring) * (width + 0.024) - 0.006,
                neck[2] + 0.018 - 0.03 * np.cos(ring) + rough,
            ],
            1,
        )
        parts = [tube(path, np.full(25, 0.033), 10)]
        t = np.linspace(0, 1, 6)
        chest = worn[
            (b.coordinates["t"] > 0.45) & (np.abs(b.coordinates["x"]) < 0.1) & (b.coordinates["head"] < 0.3), 1
        ].min()
        tail = np.stack(
            [
                0.05 + 0.02 * t,
                np.interp(t, [0, 0.35, 1], [path[0, 1] - 0.01, chest - 0.018, chest - 0.022]),
                neck[2] - 0.02 - 0.28 * t,
            ],
            1,
        )
        shape = tube(tail, np.full(6, 0.036), 10)
        shape[0][:, 1] = (shape[0][:, 1] - np.repeat(tail[:, 1], 10)) * 0.4 + np.repeat(tail[:, 1], 10)
        points, tri = merge([*parts, shape])
        uv = np.stack([points[:, 0] + points[:, 1], points[:, 2]], 1)
        yield (
            points,
            tri,
            _bind(b, len(points), neck01=0.35, spine01=0.65),
            uv,
            plain(wear.SCARF, lambda f: o.scarf.paint(f[:, 0], f[:, 1]), 0.6),
        )


def smooth01(x, a, c):
    t = np.clip((x - a) / (c - a), 0, 1)
    return t * t * (3 - 2 * t)


def merge(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    start = np.cumsum([0] + [len(p) for p, _ in parts[:-1]])
    return np.concatenate([p for p, _ in parts]), np.concatenate([f + s for (_, f), s in zip(parts, start)]).astype(
        np.int32
    )


def _skirt(b: Bodies, o: Outfit, worn, heads):
    """Rings round hips and legs, skinned to pelvis and thighs; a coat's is open in front."""
    at, f = b.index, b.coordinates
    hip, knee, ankle = (heads[at[n + ".L"]][2] for n in ("upperleg01", "lowerleg01", "foot"))
    waist = hip + (0.1 if o.loft == "skirt" else 0.08) * (hip - ankle) / 0.8
    end = hip + o.loft_end * (knee - hip) if o.loft_end <= 1 else knee + (o.loft_end - 1) * (ankle - knee)
    rows, columns = 16, 56
    levels = np.linspace(waist, end, rows)
    trunk = worn[(f["armL"] + f["armR"] < 0.5) & (f["head"] < 0.3)]
    rx, front, behind = (np.zeros(rows) for _ in range(3))
    for k, z in enumerate(levels):
        away = np.abs(trunk[:, 2] - z)
        band = trunk[away < max(0.025, np.partition(away, 24)[24])]
        ease = 0.012 + (0.012 if o.loft == "coat" else 0.0) + o.flare * k / rows
        rx[k], front[k], behind[k] = np.abs(band[:, 0]).max() + ease, band[:, 1].min() - ease, band[:, 1].max() + ease
    if o.loft_end > 0.7:  # free cloth hangs from the hips: it does not follow the shins back in
        front, behind = np.minimum.accumulate(front), np.maximum.accumulate(behind)
    rx = np.maximum.accumulate(rx)
    gap = 0.3 if o.loft == "coat" else 0.0
    angle = np.linspace(gap, 2 * np.pi - gap, columns, endpoint=bool(gap))
    a, i = np.meshgrid(angle, np.arange(rows))
    pleat = 1 + 0.035 * np.sin(a * 11) * i / rows
    y = (front + behind)[i] / 2 - np.cos(a) * (behind - front)[i] / 2 * pleat
    points = np.stack([np.sin(a) * rx[i] * pleat, y, levels[i]], -1).reshape(-1, 3)
    z = points[:, 2]
    leg = 0.92 * smooth01(hip + 0.03 - z, 0, 0.45 * (hip - knee))
    left = smooth01(points[:, 0] / rx[i].ravel(), -0.55, 0.55)
    low = 0.8 * smooth01(knee - z, -0.06, 0.2)
    up = leg * (1 - low)
    weights = _bind(
        b,
        len(points),
        root=1 - leg,
        upperleg01_L=up * left,
        upperleg01_R=up * (1 - left),
        lowerleg01_L=leg * low * left,
        lowerleg01_R=leg * low * (1 - left),
    )
    fabric = o.lower if o.loft == "skirt" else o.upper
    label = {"skirt": wear.SKIRT, "dress": wear.DRESS, "coat": wear.COAT}[o.loft]
    uv = np.stack([(a.ravel() - np.pi) * 0.16, z], 1)
    low_edge = end

    def tint(p):
        rgb = fabric.paint(p[:, 0], p[:, 1])
        return rgb * np.where(p[:, 1] < low_edge + 0.02, 0.75, 1.0)[:, None]

    return points, grid_faces(rows, columns, not gap), weights, uv, plain(label, tint, 0.6, 0.03)
