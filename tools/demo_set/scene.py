"""One photo: people, place, camera and light -> picture, LIP-20 labels, persons, keypoints with true visibility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tools.demo_set import dress, places, shapes
from tools.demo_set.body import Bodies
from tools.demo_set.raster import Camera, draw
from tools.demo_set.shade import Surface, develop, light

SUPER = 2  # pixels are rendered twice as fine along each side and averaged
# how far in front of a joint's centre its own surface may lie (metres), in the order of KEYPOINTS
DEEP = np.array([0.05, 0.05, 0.05, 0.06, 0.06, 0.13, 0.13, 0.09, 0.09, 0.075, 0.075, 0.19, 0.19, 0.11, 0.11, 0.1, 0.1])
AROUND = np.array(
    [0.02, 0.016, 0.016, 0.03, 0.03, 0.1, 0.1, 0.07, 0.07, 0.05, 0.05, 0.15, 0.15, 0.09, 0.09, 0.07, 0.07]
)
FURNITURE = ("crate", "bush", "lamppost", "bench", "fence", "bin", "ball")


@dataclass
class Photo:
    image: np.ndarray  # [H, W, 3] uint8 RGB
    labels: np.ndarray  # [H, W] uint8 LIP-20
    persons: np.ndarray  # [H, W] uint8: 0 nobody, k the k-th person
    keypoints: np.ndarray  # [N, 17, 2] continuous pixels
    visible: np.ndarray  # [N, 17] uint8: 0 outside, 1 occluded, 2 visible
    place: str


def _people(random: np.random.Generator, b: Bodies) -> list[dress.Dressed]:
    count = int(random.choice([1, 2, 3], p=[0.66, 0.25, 0.09]))
    facing = random.choice([0.0, 180.0], p=[0.84, 0.16])
    out = []
    for k in range(count):
        yaw = facing + random.normal(0, 42) + (random.choice([0, 180]) if k and random.random() < 0.2 else 0)
        if k == 0:
            at = (0.0, 0.0)
        else:  # near enough to touch or to stand in the way: the hard case
            side = 1 if k == 1 else -1
            at = (side * random.uniform(0.38, 0.85), random.uniform(-0.35, 0.8))
        out.append(dress.sample(random, b, k + 1, float(yaw), at))
    return out


def _camera(random: np.random.Generator, people: list[dress.Dressed], size: tuple[int, int]) -> Camera:
    """Frame the group: mostly head to foot, sometimes cut at the knees."""
    cloud = np.concatenate([m.points for p in people for m in p.meshes[:1]])
    low, high = cloud.min(0), cloud.max(0)
    middle = (low + high) / 2
    fill = random.uniform(0.8, 0.96)
    if random.random() < 0.14:
        fill = random.uniform(1.15, 1.5)
        middle[2] = high[2] - 0.46 * (high[2] - low[2]) / fill
    focal = size[0] * random.uniform(1.2, 2.6)
    height = np.clip(random.normal(1.35, 0.4), 0.35, 2.6)
    angle = random.normal(0, 0.16)
    distance = 4.0
    for _ in range(6):
        eye = np.array([middle[0] + distance * np.sin(angle), middle[1] - distance * np.cos(angle), height])
        camera = Camera.looking(eye, middle, focal, size, random.normal(0, 0.0))
        spot = camera.project(cloud[::7])
        extent = max(np.ptp(spot[:, 1]) / size[0], np.ptp(spot[:, 0]) / size[1])
        distance = float(np.clip(distance * extent / fill, 1.2, 14))
    target = middle + np.array([random.normal(0, 0.04), 0, random.normal(0, 0.03)]) * (high[2] - low[2])
    return Camera.looking(eye, target, focal, size, random.normal(0, 0.035))


def _objects(
    random: np.random.Generator, people: list[dress.Dressed], camera: Camera, indoors: bool
) -> list[shapes.Mesh]:
    out: list[shapes.Mesh] = []
    for p in people:
        if p.seat > 0.15:
            x, y, _ = p.hips
            tint, wide = random.uniform(0.12, 0.7, 3), random.uniform(0.42, 1.1)
            out.append(shapes.solid(shapes.box((x, y + 0.02, p.seat / 2), (wide, 0.4, p.seat)), tint))
    toward = camera.position - people[0].hips
    toward[2] = 0
    toward /= np.linalg.norm(toward)
    aside = np.array([toward[1], -toward[0], 0])
    if random.random() < 0.3:
        kind = str(random.choice(["crate", "bench", "bin", "ball", "fence"] if indoors else FURNITURE))
        reach = random.uniform(0.55, 1.1)
        out += shapes.things(random, kind, people[0].hips + toward * reach + aside * random.normal(0, 0.3))
    for _ in range(int(random.integers(0, 3))):
        kind = str(random.choice(["crate", "bench", "bin"] if indoors else FURNITURE))
        away = people[0].hips - toward * random.uniform(0.8, 3) + aside * random.uniform(-2, 2)
        out += shapes.things(random, kind, away)
    return out


def render(random: np.random.Generator, b: Bodies, size: tuple[int, int]) -> Photo:
    """A random photo of `size` (height, width)."""
    people = _people(random, b)
    camera = _camera(random, people, size)
    fine = camera.scaled(SUPER)
    place = places.build(random, camera).scaled(SUPER)
    meshes = [m for p in people for m in p.meshes] + _objects(random, people, camera, place.indoors)
    points = np.concatenate([m.points for m in meshes])
    starts = np.cumsum([0] + [len(m.points) for m in meshes])
    faces = np.concatenate([m.faces + s for m, s in zip(meshes, starts)]).astype(np.int32)
    owner = np.repeat(np.arange(len(meshes)), [len(m.faces) for m in meshes])
    depth, triangle, weights = draw(fine.project(points), faces, fine.size)

    hit = triangle >= 0
    piece = np.where(hit, owner[triangle], -1)
    corner, share = faces[triangle[hit]], weights[hit]
    normal = np.einsum("pkc,pk->pc", np.concatenate([m.normals for m in meshes])[corner], share)
    at = np.einsum("pkc,pk->pc", points[corner], share)
    albedo, folds, gloss = place.rgb.copy(), np.zeros(fine.size, np.float32), np.zeros(fine.size, np.float32)
    labels, persons = np.zeros(fine.size, np.uint8), np.zeros(fine.size, np.uint8)
    for i, mesh in enumerate(meshes):
        mask = piece == i
        if not mask.any():
            continue
        f = np.einsum("pkc,pk->pc", mesh.fields[faces[triangle[mask]] - starts[i]], weights[mask])
        labels[mask], albedo[mask], folds[mask], gloss[mask] = mesh.paint(f)
        persons[mask] = mesh.person
    flat = np.zeros((*fine.size, 3), np.float32)
    flat[place.ground] = [0, 0, 1]
    where = place.point.copy()
    flat[hit], where[hit] = normal, at
    surface = Surface(
        albedo, flat, where, np.where(hit, depth, np.inf), folds, gloss, hit, place.ground & ~hit, place.lit
    )
    shaded = light(random, surface, points, faces, camera.position, place.indoors)
    image = develop(random, shaded, hit, SUPER)
    labels, persons = (_vote(m) for m in (labels, persons))
    both = (labels > 0) & (persons > 0)  # the two votes may differ along an outline
    labels, persons = (np.where(both, m, 0).astype(np.uint8) for m in (labels, persons))
    keypoints, visible = _keypoints(people, fine, depth, piece, meshes)
    return Photo(image, labels, persons, keypoints / SUPER, visible, place.name)


def _vote(fine: np.ndarray) -> np.ndarray:
    """[SUPER H, SUPER W] ids -> [H, W]: the id most of the fine pixels have, ties to the first."""
    blocks = [fine[i::SUPER, j::SUPER] for i in range(SUPER) for j in range(SUPER)]
    stack = np.stack(blocks)
    votes = (stack[:, None] == stack[None]).sum(1)
    return np.take_along_axis(stack, votes.argmax(0)[None], 0)[0]


def _keypoints(people, camera: Camera, depth, piece, meshes) -> tuple[np.ndarray, np.ndarray]:
    """Projected joints and their visibility: enough of the surface round the joint is in front, and nothing else is."""
    high, wide = camera.size
    person_of = np.array([m.person for m in meshes] + [0])
    places_, seen = [], []
    for k, p in enumerate(people):
        spot = camera.project(p.joints)
        body = p.meshes[0].points
        skin = camera.project(body)
        columns, rows = skin[:, 0].astype(int), skin[:, 1].astype(int)
        inside = (columns >= 0) & (columns < wide) & (rows >= 0) & (rows < high)
        front = np.zeros(len(body), bool)
        front[inside] = skin[inside, 2] < depth[rows[inside], columns[inside]] + 0.02
        flags = np.zeros(17, np.uint8)
        for j in range(17):
            x, y, z = spot[j]
            if not (0 <= x < wide and 0 <= y < high and z > 0.1):
                continue
            near = np.linalg.norm(body - p.joints[j], axis=1)
            ring = near < max(AROUND[j], np.partition(near, 12)[12])
            share = front[ring].mean()
            r, c = int(y), int(x)
            own = person_of[piece[r, c]] == k + 1
            clear = own and depth[r, c] > z - DEEP[j]
            flags[j] = 2 if share > 0.14 and clear else 1
        places_.append(np.where(flags[:, None] > 0, spot[:, :2], 0.0))
        seen.append(flags)
    return np.array(places_), np.array(seen)
