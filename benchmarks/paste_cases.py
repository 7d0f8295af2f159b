"""The problems that benchmarks.paste times, and every contestant's way to solve them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asda_fast.ops import paste
from asda_fast.ops.paste_reference import normalise, stack
from asda_fast.ops.paste_reference import paste as reference
from asda_fast.parts.pool import PartPool

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "uint8": torch.uint8}


def make_pool(patches: int = 64, low: int = 40, high: int = 120) -> PartPool:
    """Random textures in soft ellipses: opaque inside, as a cut-out part is."""
    rng = np.random.default_rng(0)
    out = []
    for h, w in rng.integers(low, high + 1, (patches, 2)):
        y, x = np.mgrid[:h, :w]
        radius = np.hypot((y + 0.5) / h * 2 - 1, (x + 0.5) / w * 2 - 1)
        alpha = np.clip((1 - radius) * 12, 0, 1) * 255
        out.append(np.dstack([rng.integers(0, 256, (h, w, 3)), alpha]).astype(np.uint8))
    return PartPool.from_patches(out)


def make_slots(pool: PartPool, batch: int, parts: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """part [B, N] and matrix [B, N, 2, 3]."""
    rng = torch.Generator().manual_seed(1)
    part = torch.randint(0, len(pool), (batch, parts), generator=rng)
    scale = 0.7 + 0.6 * torch.rand(batch, parts, generator=rng)
    turn = (2 * torch.rand(batch, parts, generator=rng) - 1) * math.pi
    centre = torch.rand(batch, parts, 2, generator=rng) * torch.tensor([width, height])
    linear = torch.stack([turn.cos(), turn.sin(), -turn.sin(), turn.cos()], -1).view(batch, parts, 2, 2)
    linear = linear / scale[..., None, None]
    middle = pool.size.cpu()[part].flip(-1) / 2
    shift = middle - (linear @ centre[..., None])[..., 0]
    return part, torch.cat([linear, shift[..., None]], -1)


class Case:
    """One problem, and every contestant's way to do it."""

    def __init__(self, batch: int, size: tuple[int, int], parts: int, dtype: str, device: str) -> None:
        pool = make_pool()
        height, width = size
        self.pool = pool.to(device)
        self.bytes = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8, device=device)
        self.out_dtype = torch.float32 if dtype == "uint8" else DTYPES[dtype]
        if dtype == "uint8":
            self.image = self.bytes
        else:
            self.image = normalise(self.bytes, MEAN, STD).to(self.out_dtype)
        part, matrix = make_slots(pool, batch, parts, height, width)
        self.part, self.matrix = part.to(device), matrix.to(device).requires_grad_()
        self.patches = stack(self.pool, self.out_dtype)[0]
        self.v_out = torch.randn((batch, 3, height, width), device=device).to(self.out_dtype)

    def ours(self, image: Tensor) -> Tensor:
        return paste(image, self.pool, self.part, self.matrix, MEAN, STD)

    def reference(self, image: Tensor) -> Tensor:
        if image.dtype == torch.uint8:
            image = normalise(image, MEAN, STD)
        return reference(image, self.patches, self.part, self.matrix, MEAN, STD)

    def kornia(self, image: Tensor) -> Tensor:
        """warp_affine (which takes the inverse of what it applies, and pixel centres at integers) + blend."""
        from kornia.geometry.transform import warp_affine

        if image.dtype == torch.uint8:
            image = normalise(image, MEAN, STD)
        mean = torch.tensor(MEAN, device=image.device).view(1, 3, 1, 1).to(image.dtype)
        std = torch.tensor(STD, device=image.device).view(1, 3, 1, 1).to(image.dtype)
        last = torch.tensor([0.0, 0, 1], device=image.device).expand(image.shape[0], 1, 3)
        half = torch.tensor([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], device=image.device)
        for n in range(self.part.shape[1]):
            full = torch.cat([self.matrix[:, n], last], 1)
            forward = torch.linalg.inv(torch.linalg.inv(half) @ full @ half)[:, :2].to(image.dtype)
            rgba = warp_affine(self.patches[self.part[:, n]], forward, tuple(image.shape[2:]), align_corners=True)
            alpha = rgba[:, 3:]
            image = image * (1 - alpha) + (rgba[:, :3] - alpha * mean) / std
        return image

    def modes(self, call: Callable[[Tensor], Tensor]) -> dict[str, Callable[[], Any]]:
        """mode -> what is timed, for one contestant."""
        leaf = self.image.clone().requires_grad_() if self.image.is_floating_point() else None

        def forward() -> Tensor:
            with torch.no_grad():
                return call(self.image)

        kept: list[Tensor] = []

        def backward() -> Any:
            if not kept:
                kept.append(call(self.image))
            return torch.autograd.grad(kept[0], self.matrix, self.v_out, retain_graph=True)

        def both() -> Any:
            return torch.autograd.grad(call(self.image), self.matrix, self.v_out)

        def both_image() -> Any:
            return torch.autograd.grad(call(leaf), (self.matrix, leaf), self.v_out)

        out = {"forward": forward, "backward": backward, "both": both}
        return out if leaf is None else {**out, "both+image": both_image}


def contestants(case: Case, compiled: bool, kornia: bool) -> dict[str, Callable[[Tensor], Tensor]]:
    out: dict[str, Callable[[Tensor], Tensor]] = {"asda_fast": case.ours, "reference": case.reference}
    if compiled:
        torch._dynamo.reset()
        out["reference compiled"] = torch.compile(case.reference, fullgraph=True, dynamic=False)
    if kornia:
        out["kornia"] = case.kornia
    return out


def check(case: Case, peers: dict[str, Callable[[Tensor], Tensor]]) -> None:
    """Like is compared with like: all contestants make the same picture, to rounding."""
    tolerance = 0.1 if case.out_dtype == torch.bfloat16 else 1e-3
    with torch.no_grad():
        ours = case.ours(case.image).float()
        for name, call in peers.items():
            if "compiled" not in name:
                difference = float((call(case.image).float() - ours).abs().mean())
                if not difference < tolerance:
                    raise SystemExit(f"{name} disagrees with asda_fast: {difference:.2g} on average")
