"""Paste again in plain torch: affine_grid, grid_sample, blend. It shares no code with the kernels, so it is the
tests' independent opinion, and written as a careful user would write it, it is the benchmark's peer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def stack(pool: Any, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """All patches of a pool, premultiplied and padded to one size: ([P, 4, h, w] in 0..1, on the pool's device).

    Returns also their sizes [P, 2] int64. Made once, as a user would; it does not count as part of the op.
    """
    size = pool.size.cpu()
    high, wide = (int(v) for v in size.amax(0))
    out = torch.zeros((len(pool), 4, high, wide), dtype=dtype)
    for i, (h, w) in enumerate(size.tolist()):
        straight = torch.as_tensor(pool.patch(i)).to(torch.float64)  # [h, w, 4], 0..255
        colour = torch.floor(straight[..., :3] * straight[..., 3:] / 255 + 0.5)  # premultiplied bytes, as in the pool
        out[i, :, :h, :w] = (torch.cat([colour, straight[..., 3:]], -1) / 255).permute(2, 0, 1).to(dtype)
    return out.to(pool.device), pool.size


def normalise(image: Tensor, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 [B, H, W, 3] -> (value / 255 - mean) / std as [B, 3, H, W]."""
    centre = torch.tensor(mean, dtype=dtype, device=image.device).view(1, 3, 1, 1) * 255
    spread = torch.tensor(std, dtype=dtype, device=image.device).view(1, 3, 1, 1) * 255
    planar = image.permute(0, 3, 1, 2).to(dtype, memory_format=torch.contiguous_format)
    return planar.sub_(centre).div_(spread)


def paste(
    image: Tensor,  # [B, 3, H, W] float, normalised
    patches: Tensor,  # [P, 4, h, w] of `stack`
    part: Tensor,  # [B, N] int64, -1 = empty
    matrix: Tensor,  # [B, N, 2, 3] target pixel -> patch pixel
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
) -> Tensor:
    """The same result as `asda_fast.paste(..., mips=False)`, to rounding."""
    batch, _, height, width = image.shape
    patch_height, patch_width = patches.shape[2:]
    centre = torch.tensor(mean, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    spread = torch.tensor(std, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    usable = (part >= 0) & torch.isfinite(matrix).all(-1).all(-1)  # [B, N]
    matrix = torch.where(usable[..., None, None], matrix, torch.zeros_like(matrix))
    # affine_grid speaks of [-1, 1] on both sides: x = (xn + 1) * W / 2 in the target, u = (un + 1) * w / 2 in the patch
    from_unit = torch.tensor(
        [[width / 2, 0, width / 2], [0, height / 2, height / 2], [0, 0, 1]], dtype=matrix.dtype, device=matrix.device
    )
    to_unit = torch.tensor([[2 / patch_width], [2 / patch_height]], dtype=matrix.dtype, device=matrix.device)
    shift = torch.tensor([[0.0, 0, 1], [0, 0, 1]], dtype=matrix.dtype, device=matrix.device)
    theta = (matrix @ from_unit) * to_unit - shift  # [B, N, 2, 3]
    out = image
    for n in range(part.shape[1]):
        grid = F.affine_grid(theta[:, n], [batch, 4, height, width], align_corners=False)
        source = patches[part[:, n].clamp(min=0)]
        rgba = F.grid_sample(source, grid.to(source.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)
        rgba = rgba * usable[:, n].view(-1, 1, 1, 1)
        alpha = rgba[:, 3:]
        out = out * (1 - alpha) + (rgba[:, :3] - alpha * centre) / spread
    return out
