"""ViTPose (Xu et al., NeurIPS 2022): a plain vision transformer and a light decoder, with the published key names.

backbone.{patch_embed.proj pos_embed blocks.N last_norm}, keypoint_head.{deconv_layers final_layer}. Files of mmpose 1
have other names for the same. A bare transformer (MAE's, ImageNet's) starts one: its positions are brought to the grid.
"""

from __future__ import annotations

import re
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asda_fast.core.errors import UserError
from asda_fast.models.network import Adapter, Foreign, Network, Published, State, Training, joints_of
from asda_fast.models.positions import grid_of, resized
from asda_fast.models.resnet import small
from asda_fast.models.simcc_head import SimCCHead
from asda_fast.models.simple_baseline import USUAL, deconvolutions

PATCH = 16


class DropPath(nn.Module):
    """Leaves a residual branch out for a share of the people while it trains, and makes up for it."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand((len(x), 1, 1), device=x.device) >= self.rate
        return x * (kept / (1 - self.rate)).to(x.dtype)


class Attention(nn.Module):
    """Every token asks every other: [B, N, C] -> [B, N, C]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c))

    def products(self, x: Tensor) -> int:
        """Multiply-adds of an image beside the layers': of queries with keys, and of shares with values."""
        return 2 * x.shape[1] ** 2 * x.shape[2]


class Mlp(nn.Module):
    """To four times the width and back."""

    def __init__(self, width: int, ratio: int = 4) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, ratio * width)
        self.fc2 = nn.Linear(ratio * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention and a perceptron, each normalised before and added."""

    def __init__(self, width: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """Patches of 16 x 16 as tokens; the published padding of 2 moves them, and adds none for multiples of 16."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH, 2)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image)


class Transformer(nn.Module):
    """image [B, 3, H, W] -> features [B, width, H/16, W/16]. `pos_embed` has one position more than patches, as of a
    class token: it is added to all."""

    def __init__(self, grid: tuple[int, int], width: int, depth: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.grid = grid
        self.patch_embed = PatchEmbed(width)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid[0] * grid[1], width))
        rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.blocks = nn.Sequential(*(Block(width, heads, rate) for rate in rates))
        self.last_norm = nn.LayerNorm(width, eps=1e-6)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image)
        b, c, height, width = x.shape
        positions: Tensor = self.pos_embed
        if (height, width) != self.grid:
            positions = resized(positions, (height, width), prefix=1, own=self.grid)
        x = x.flatten(2).transpose(1, 2) + positions[:, 1:] + positions[:, :1]
        x = self.last_norm(self.blocks(x))
        return x.transpose(1, 2).reshape(b, c, height, width)


class Classic(nn.Module):
    """Two transposed convolutions and a 1x1: [B, inputs, h, w] -> [B, joints, 4 h, 4 w]."""

    def __init__(self, inputs: int, joints: int, planes: int) -> None:
        super().__init__()
        self.deconv_layers = deconvolutions(inputs, planes, 2)
        self.final_layer = nn.Conv2d(planes, joints, 1)
        small(self.final_layer)

    def forward(self, features: Tensor) -> Tensor:
        return self.final_layer(self.deconv_layers(features))


class Simple(nn.Module):
    """Four times as large, then a 3x3."""

    def __init__(self, inputs: int, joints: int) -> None:
        super().__init__()
        self.final_layer = nn.Conv2d(inputs, joints, 3, 1, 1)
        small(self.final_layer)

    def forward(self, features: Tensor) -> Tensor:
        return self.final_layer(F.interpolate(features.relu(), scale_factor=4.0, mode="bilinear"))


class ViTPose(nn.Module):
    """image [B, 3, H, W], normalised -> heatmaps [B, joints, H/4, W/4]. H and W are multiples of 16.

    Args:
        joints: heatmaps to predict.
        size: (height, width) of the crops: the positions' grid. Other crops are looked at with positions in between.
        width, depth, heads: of the transformer.
        drop_path: share of residual branches left out in the last block, growing from 0 in the first.
        head: classic (two transposed convolutions), simple (upsampling) or simcc (RTMPose's head, see simcc_head).
        planes: of the transposed convolutions.
    """

    heads = ("keypoint_head.final_layer",)
    optional = ("keypoint_head", "backbone.last_norm")
    target = "udp"

    def __init__(
        self,
        joints: int = 17,
        size: tuple[int, int] | None = None,
        width: int = 768,
        depth: int = 12,
        attention_heads: int = 12,
        drop_path: float = 0.3,
        head: Literal["classic", "simple", "simcc"] = "classic",
        planes: int = 256,
    ) -> None:
        super().__init__()
        height, across = size or USUAL
        if height % PATCH or across % PATCH:
            raise UserError(f"input: ViTPose takes multiples of {PATCH} only, got {height}x{across}")
        if width % attention_heads:
            raise UserError(f"model: attention_heads: expected a divisor of width {width}, got {attention_heads}")
        if not 0 <= drop_path < 1:
            raise UserError(f"model: drop_path: expected 0 up to, not including, 1, got {drop_path}")
        grid = (height // PATCH, across // PATCH)
        self.backbone = Transformer(grid, width, depth, attention_heads, drop_path)
        self.keypoint_head: nn.Module
        if head == "simcc":
            self.keypoint_head, self.target = SimCCHead(width, joints, (height, across), grid), "simcc"
        elif head in ("classic", "simple"):
            self.keypoint_head = Classic(width, joints, planes) if head == "classic" else Simple(width, joints)
        else:
            raise UserError(f"model: head: expected classic, simple or simcc, got {head!r}")

    def forward(self, image: Tensor) -> Tensor:
        return self.keypoint_head(self.backbone(image))

    def layer_of(self) -> dict[str, int]:
        """The depth of each parameter, by its name: patches and positions 0, a block above the other, then the rest."""
        top = len(self.backbone.blocks) + 1
        found = {}
        for name, _ in self.named_parameters():
            block = re.match(r"backbone\.blocks\.(\d+)\.", name)
            first = name.startswith("backbone.patch_embed.") or name == "backbone.pos_embed"
            found[name] = 0 if first else int(block[1]) + 1 if block else top
        return found

    def adapt_state(self, state: State, own: State, size: tuple[int, int] | None = None) -> State:
        """A bare transformer's file under these names; positions of another crop brought to this grid. size: (height,
        width) of the crops that the file was made for, where it says so."""
        if not any(key.startswith("backbone.") for key in state):
            state = {f"backbone.{key}" if f"backbone.{key}" in own else key: value for key, value in state.items()}
        table = state.get("backbone.pos_embed")
        if table is not None and table.ndim == 3:
            theirs = size and (size[0] // PATCH, size[1] // PATCH)
            state = {**state, "backbone.pos_embed": resized(table, self.backbone.grid, prefix=1, own=theirs)}
        return state


MMPOSE = (
    (r"^head\.", "keypoint_head."),
    (r"^backbone\.patch_embed\.projection\.", "backbone.patch_embed.proj."),
    (r"^backbone\.layers\.(\d+)\.ln([12])\.", r"backbone.blocks.\1.norm\2."),
    (r"^backbone\.layers\.(\d+)\.ffn\.layers\.0\.0\.", r"backbone.blocks.\1.mlp.fc1."),
    (r"^backbone\.layers\.(\d+)\.ffn\.layers\.1\.", r"backbone.blocks.\1.mlp.fc2."),
    (r"^backbone\.layers\.", "backbone.blocks."),
    (r"^backbone\.ln1\.", "backbone.last_norm."),
)
NAMES = {384: "vitpose_s", 768: "vitpose_b", 1024: "vitpose_l", 1280: "vitpose_h"}


def read_published(state: State) -> Foreign:
    """ViTPose's own files, and mmpose 1's, whose positions have no class token's before them."""
    by = ""
    if any(key.startswith("backbone.layers.") for key in state):
        by, renamed = "mmpose, ", {}
        for key, value in state.items():
            for pattern, name in MMPOSE:
                key = re.sub(pattern, name, key)
            renamed[key] = value
        state = renamed
    table, joints = state.get("backbone.pos_embed"), joints_of(state, "keypoint_head.final_layer.weight")
    if table is None or table.ndim != 3 or joints is None:
        return Foreign(by + "ViTPose's transformer", state)
    tokens, width = table.shape[1:]
    grid = grid_of(tokens) if by else grid_of(tokens - 1)
    if by and grid is not None:
        state = {**state, "backbone.pos_embed": torch.cat((torch.zeros_like(table[:, :1]), table), 1)}
    if grid is None or width not in NAMES:
        return Foreign(by + "ViTPose", state)
    classic = any(key.startswith("keypoint_head.deconv_layers.") for key in state)
    build = {"model": NAMES[width], "joints": joints, "input": f"{PATCH * grid[0]}x{PATCH * grid[1]}"}
    return Foreign(by + "ViTPose", state, {**build, "options": {"head": "classic" if classic else "simple"}})


FILES = Adapter(r"backbone\.(?:blocks|layers)\.0\.attn\.qkv\.weight", read_published)
PRINTED = "ViTPose, by its get_flops"


def _network(width: int, depth: int, heads: int, drop: float, decay: float, millions: float, giga: float) -> Network:
    options = {"width": width, "depth": depth, "attention_heads": heads, "drop_path": drop}
    training = Training("adamw", lr=5e-4, weight_decay=0.1, layer_decay=decay, warmup="500", clip_gradient=1.0)
    printed = (Published(millions, giga, USUAL, PRINTED, counted="layers"),)
    return Network(ViTPose, options, printed, FILES, training)


S = _network(384, 12, 12, 0.1, 0.8, 24.29, 5.26)
B = _network(768, 12, 12, 0.3, 0.75, 89.99, 17.85)
L = _network(1024, 24, 16, 0.5, 0.8, 308.54, 59.78)
H = _network(1280, 32, 16, 0.55, 0.85, 637.21, 122.85)
