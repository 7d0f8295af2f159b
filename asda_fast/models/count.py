"""Parameters and multiply-adds of a network, true and as the tables of papers count them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


class Cost(NamedTuple):
    """Multiply-adds for one image: of convolutions, linear layers and what a module says in `products`."""

    true: int
    printed: int  # convolutions as HRNet's and SimpleBaseline's tables count; their "GFLOPs" are 2^30 of these
    layers: int  # as mmcv's tool counts: layers, not the products between tokens; its "GFLOPs" are 10^9 of these

    def giga(self, counted: str) -> float:
        """In the "G" of the tables that count by "hrnet" or by "layers"."""
        return self.printed / 2**30 if counted == "hrnet" else self.layers / 1e9


@torch.no_grad()
def multiply_adds(model: nn.Module, size: tuple[int, int]) -> Cost:
    """What one image of `size` costs; `model` may be on the meta device, then nothing is computed.

    The printed way takes a transposed convolution as if its kernel were applied at every *output* pixel, which is four
    times what a stride of 2 costs.
    """
    products = printed = layers = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal products, printed, layers
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            at = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
            layers += module.weight.numel() * at.shape[-2] * at.shape[-1]
            printed += module.weight.numel() * output.shape[-2] * output.shape[-1]
        elif isinstance(module, nn.Linear):
            layers += module.in_features * output.numel()
        elif hasattr(module, "products"):
            products += module.products(inputs[0])  # type: ignore[operator]

    hooks = [m.register_forward_hook(count) for m in model.modules()]
    mode = model.training
    try:
        device = next(model.parameters()).device
        model.eval()(torch.zeros(1, 3, *size, device=device))
    finally:
        model.train(mode)
        for hook in hooks:
            hook.remove()
    return Cost(layers + products, printed, layers)
