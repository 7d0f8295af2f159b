"""Learned positions of a vision transformer's tokens, for another grid of them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def resized(table: Tensor, grid: tuple[int, int], prefix: int = 0, own: tuple[int, int] | None = None) -> Tensor:
    """[1, P + h * w, C] -> [1, prefix + H * W, C] for a grid of (H, W), bicubic; of P tokens before the map, those that
    are wanted are kept, and lacking ones are zero. own: the table's grid; else a square, or 4 high to 3 wide."""
    count = table.shape[1]
    if own is not None and count - own[0] * own[1] in range(6):  # a class token, one of distillation, registers
        shapes = [(count - own[0] * own[1], own)]
    else:
        shapes = [(before, shape) for before in (prefix, 0, 1, 2, 5) if (shape := grid_of(count - before)) is not None]
    if not shapes:
        return table  # its shape says that it does not fit
    before, (height, width) = shapes[0]
    head, rest = table[:, : min(before, prefix)], table[:, before:]
    if head.shape[1] < prefix:
        head = torch.cat((head, head.new_zeros(1, prefix - head.shape[1], table.shape[2])), 1)
    if (height, width) != tuple(grid):
        maps = rest.float().reshape(1, height, width, -1).permute(0, 3, 1, 2)
        maps = F.interpolate(maps, tuple(grid), mode="bicubic", antialias=True)
        rest = maps.permute(0, 2, 3, 1).reshape(1, grid[0] * grid[1], -1).to(table.dtype)
    return torch.cat((head, rest), 1)


def grid_of(tokens: int) -> tuple[int, int] | None:
    """(height, width) of so many tokens: a square, or 4 to 3; None for neither."""
    if tokens < 1:
        return None
    side = math.isqrt(tokens)
    if side * side == tokens:
        return side, side
    unit = math.isqrt(tokens // 12)
    return (4 * unit, 3 * unit) if 12 * unit * unit == tokens else None
