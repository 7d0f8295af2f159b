"""python -m benchmarks.paste_once: a few pastes, there and back, for a profiler to look at (make gpu-check: ncu)."""

from __future__ import annotations

import torch

from asda_fast import PartPool, paste


def main(batch: int = 128, side: int = 256, device: str = "cuda") -> None:
    draw = torch.Generator().manual_seed(0)
    patches = [torch.randint(0, 256, (120, 80, 4), dtype=torch.uint8, generator=draw) for _ in range(16)]
    pool = PartPool.from_patches(patches).to(device)
    image = torch.rand(batch, 3, side, side, generator=draw).to(device)
    part = torch.randint(0, 16, (batch, 3), generator=draw).to(device)
    matrix = torch.eye(2, 3).expand(batch, 3, 2, 3).clone()
    matrix[..., 2] = -side / 2 * torch.rand(batch, 3, 2, generator=draw)
    matrix = matrix.to(device).requires_grad_()
    for _ in range(3):
        paste(image, pool, part, matrix).square().mean().backward()
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
