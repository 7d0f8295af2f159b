"""What a part hides: the opacity of a patch at and around every joint, for many placements at once, without pasting."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from asda_fast.adversary.candidates import pick
from asda_fast.adversary.scene import Scene
from asda_fast.augment.sampling import Slots
from asda_fast.parts.pool import PartPool

NEAR, FAR = 3 / 96, 7 / 96  # radii about a joint in crop sides: within its heatmap's Gaussian, and just outside


@dataclass
class Coverage:
    """B people, N slots, K placements of each, J joints. Opacities are 0 .. 1."""

    patch: Tensor  # [B, N, K, J, 2] the joint in the patch's frame: its middle is 0, its edges are +-1
    crop: Tensor  # [B, N, K, J, 2] the same distance in crop sides
    extent: Tensor  # [B, N, K, 2] width and height of the patch in crop sides
    joint: Tensor  # [B, N, K, J] opacity at the joint
    near: Tensor  # [B, N, K, J] mean opacity on a circle of NEAR about it
    far: Tensor  # [B, N, K, J] on a circle of FAR
    limbs: Tensor  # [B, N, K, J] mean opacity at the middles of the joint's limbs whose ends are both labelled
    type: Tensor  # [B, N], or [B, N, K] where each placement has a part of its own: the part's type, -1 of none

    @property
    def hidden(self) -> Tensor:
        """[B, N, K, J] how far the part touches a joint at all: the largest opacity of the three."""
        return torch.maximum(torch.maximum(self.joint, self.near), self.far)

    def at(self, best: Tensor) -> Coverage:
        """That of the placements `best` [B, N, G]."""
        return Coverage(**{n: v if v.dim() == 2 else pick(v, best) for n, v in vars(self).items()})


def coverage(scene: Scene, theta: Tensor, edges: tuple[tuple[int, int], ...], given: Slots | None = None) -> Coverage:
    """theta [B, N, K, 4] -> what the scene's parts (or those `given`, [B, N, K]) hide at each of the K placements.
    edges: the skeleton's limbs."""
    batch, slots, augmentation = scene.batch, given or scene.slots, scene.augmentation
    people, parts, count = theta.shape[:3]

    def repeated(value: Tensor) -> Tensor:
        each = value if value.dim() == 3 else value[..., None].expand(-1, -1, count)
        return each.reshape(people, -1)

    many = Slots(repeated(slots.part), repeated(slots.type), repeated(slots.mirror), theta.reshape(people, -1, 4))
    matrix = augmentation.matrices(batch, many, many.theta).view(people, parts, count, 2, 3)
    pool = augmentation.pool_on(batch.image.device)
    joints = batch.joints.shape[1]
    side = float(min(scene.size))
    points = torch.cat((around(batch.joints, side), middles(batch.joints, edges)), 1)  # [B, 13 J + E, 2]
    at = (matrix[..., :2] @ points.mT[:, None, None] + matrix[..., 2:]).mT  # [B, N, K, Q, 2] patch pixels
    alpha = opacity(pool, slots.part, at)
    rings = alpha[..., : 13 * joints].unflatten(-1, (joints, 13))
    limbs, meet = whole(edges, scene.weight > 0), membership(edges, joints, alpha.device)

    part = slots.part.view(people, parts, -1)  # [B, N, 1 or K]
    size = pool.size[part.clamp(min=0)].flip(-1).to(at.dtype)  # [B, N, 1 or K, 2] width, height
    scale = matrix[..., :2].det().abs().clamp(min=1e-12).rsqrt()[..., None] / side  # [B, N, K, 1] crop sides per pixel
    offset = at[..., : 13 * joints, :].unflatten(-2, (joints, 13))[..., 0, :] - size[..., None, :] / 2
    return Coverage(
        patch=offset / (size[..., None, :] / 2).clamp(min=0.5),
        crop=offset * scale[..., None],
        extent=size * scale,
        joint=rings[..., 0],
        near=rings[..., 1:5].mean(-1),
        far=rings[..., 5:].mean(-1),
        limbs=(alpha[..., 13 * joints :] * limbs[:, None, None]) @ meet / (limbs @ meet).clamp(min=1)[:, None, None],
        type=torch.where(slots.part >= 0, slots.type, -1),
    )


def around(joints: Tensor, side: float) -> Tensor:
    """[B, J, 2] -> [B, 13 J, 2]: each joint, four points at NEAR and eight at FAR about it."""
    ring = [(0.0, 0.0)]
    for radius, count in ((NEAR, 4), (FAR, 8)):
        turns = [2 * math.pi * i / count for i in range(count)]
        ring += [(radius * side * math.cos(turn), radius * side * math.sin(turn)) for turn in turns]
    x = torch.stack([joints[..., 0] + dx for dx, _ in ring], -1)  # no tensor of offsets: the host would wait for it
    y = torch.stack([joints[..., 1] + dy for _, dy in ring], -1)
    return torch.stack((x, y), -1).flatten(1, 2)


def middles(joints: Tensor, edges: tuple[tuple[int, int], ...]) -> Tensor:
    """[B, E, 2] the middle of each limb."""
    if not edges:
        return joints[:, :0]
    return torch.stack([(joints[:, a] + joints[:, b]) / 2 for a, b in edges], 1)


def whole(edges: tuple[tuple[int, int], ...], labelled: Tensor) -> Tensor:
    """labelled [B, J] -> [B, E] float, 1 of limbs whose ends both are."""
    if not edges:
        return labelled[:, :0].float()
    return torch.stack([labelled[:, a] & labelled[:, b] for a, b in edges], 1).float()


@functools.cache  # made once: a copy to the device is one that the host waits for
def membership(edges: tuple[tuple[int, int], ...], joints: int, device: torch.device) -> Tensor:
    """[E, J]: 1 where a limb meets a joint."""
    table = torch.zeros((len(edges), joints), dtype=torch.float32)
    for limb, pair in enumerate(edges):
        for joint in pair:
            table[limb, joint] = 1
    return table.to(device)


def opacity(pool: PartPool, part: Tensor, at: Tensor) -> Tensor:
    """Alpha 0 .. 1 of the texel under each point: part [B, N] (or [B, N, K]), at [B, N, (K,) ..., 2] patch pixels
    -> [B, N, (K,) ...].

    0 outside the patch and in an empty slot.
    """
    shape = (*part.shape, *[1] * (at.dim() - 1 - part.dim()))
    first, height, width, _ = (column.view(shape) for column in pool.table[part.clamp(min=0)].unbind(-1))
    x = at[..., 0].nan_to_num(-1.0).clamp(-1.0, 2.0**15).floor().long()  # NaN and far away are outside
    y = at[..., 1].nan_to_num(-1.0).clamp(-1.0, 2.0**15).floor().long()
    x, y = torch.minimum(x, width), torch.minimum(y, height)  # the border round the patch is transparent
    texel = first + (y + 1) * (width + 2) + x + 1
    return pool.texels[:, 3][texel].float() / 255 * (part >= 0).view(shape)
