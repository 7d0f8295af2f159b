"""Parameters and multiply-adds of a network, ours and as their authors printed them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Published:
    """What a paper prints: millions of parameters, "GFLOPs" at an input, and where."""

    parameters: float
    gflops: float
    size: tuple[int, int]
    source: str


HRNET, BASELINE = "HRNet, CVPR 2019, tables 1 and 4", "SimpleBaseline, ECCV 2018; HRNet, table 1"
PUBLISHED: dict[str, tuple[Published, ...]] = {
    "hrnet_w32": (
        Published(28.5, 7.10, (256, 192), HRNET),
        Published(28.5, 9.5, (256, 256), HRNET),
        Published(28.5, 16.0, (384, 288), HRNET),
    ),
    "hrnet_w48": (Published(63.6, 14.6, (256, 192), HRNET), Published(63.6, 32.9, (384, 288), HRNET)),
    "simple_r50": (Published(34.0, 8.9, (256, 192), BASELINE),),
    "simple_r101": (Published(53.0, 12.4, (256, 192), BASELINE),),
    "simple_r152": (Published(68.6, 15.7, (256, 192), BASELINE), Published(68.6, 35.6, (384, 288), BASELINE)),
    "hourglass_8": (Published(25.1, 14.3, (256, 192), "HRNet, table 1, of Newell's network"),),
}


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


class Cost(NamedTuple):
    """Multiply-adds of the convolutions for one image."""

    true: int
    printed: int  # as HRNet's and SimpleBaseline's tables count; their "GFLOPs" are 2^30 of these


@torch.no_grad()
def multiply_adds(model: nn.Module, size: tuple[int, int]) -> Cost:
    """What one image of `size` costs; `model` may be on the meta device, then nothing is computed.

    The printed way takes a transposed convolution as if its kernel were applied at every *output* pixel, which is four
    times what a stride of 2 costs.
    """
    true = printed = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal true, printed
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            at = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
            true += module.weight.numel() * at.shape[-2] * at.shape[-1]
            printed += module.weight.numel() * output.shape[-2] * output.shape[-1]

    hooks = [m.register_forward_hook(count) for m in model.modules()]
    mode = model.training
    try:
        device = next(model.parameters()).device
        model.eval()(torch.zeros(1, 3, *size, device=device))
    finally:
        model.train(mode)
        for hook in hooks:
            hook.remove()
    return Cost(true, printed)
