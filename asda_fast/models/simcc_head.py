"""RTMPose's head (Jiang et al., 2023): features -> scores of the bins of x and y (simcc.py), with its key names."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asda_fast.models.resnet import small
from asda_fast.models.simcc import SPLIT


class ScaleNorm(nn.Module):
    """x over its own length, times one learned number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = width**-0.5
        self.g = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x / (x.norm(dim=-1, keepdim=True) * self.scale).clamp(min=1e-5) * self.g


class Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class GatedAttention(nn.Module):
    """Joints ask one another: [B, J, width] -> the same (the gated attention unit of Hua et al., 2022)."""

    def __init__(self, width: int, inner: int, keys: int) -> None:
        super().__init__()
        self.inner, self.keys = inner, keys
        self.o = nn.Linear(inner, width, bias=False)
        self.uv = nn.Linear(width, 2 * inner + keys, bias=False)
        self.gamma = nn.Parameter(torch.rand(2, keys))
        self.beta = nn.Parameter(torch.rand(2, keys))
        self.ln = ScaleNorm(width)
        self.res_scale = Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        u, v, base = F.silu(self.uv(self.ln(x))).split((self.inner, self.inner, self.keys), -1)
        q, k = (base[:, :, None] * self.gamma + self.beta).unbind(2)
        shares = F.relu(q @ k.mT / self.keys**0.5).square()  # [B, J, J]
        return self.res_scale(x) + self.o(u * (shares @ v))


class SimCCHead(nn.Module):
    """[B, inputs, h, w] -> [B, joints, X + Y] for crops of `size` (height, width), whose features are `grid`.

    Features of another grid (of a smaller crop) are brought to it.
    """

    def __init__(
        self, inputs: int, joints: int, size: tuple[int, int], grid: tuple[int, int], hidden: int = 256, keys: int = 128
    ) -> None:
        super().__init__()
        self.grid, self.size = grid, (int(size[0]), int(size[1]))
        self.final_layer = nn.Conv2d(inputs, joints, 7, 1, 3)
        self.mlp = nn.Sequential(ScaleNorm(grid[0] * grid[1]), nn.Linear(grid[0] * grid[1], hidden, bias=False))
        self.gau = GatedAttention(hidden, 2 * hidden, keys)
        self.cls_x = nn.Linear(hidden, SPLIT * size[1], bias=False)
        self.cls_y = nn.Linear(hidden, SPLIT * size[0], bias=False)
        small(self.final_layer)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)

    def forward(self, features: Tensor) -> Tensor:
        if tuple(features.shape[2:]) != self.grid:
            features = F.interpolate(features, self.grid, mode="bilinear")
        x = self.gau(self.mlp(self.final_layer(features).flatten(2)))
        return torch.cat((self.cls_x(x), self.cls_y(x)), -1)
