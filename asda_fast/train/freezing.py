"""Parts of a network that do not learn: their weights get no gradient, their statistics and dropout stand still."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from asda_fast.core.errors import UserError
from asda_fast.core.registry import nearest


def freeze(network: nn.Module, parts: Sequence[str]) -> list[str]:
    """Weights under these names ask for no gradient from now on. A line of each part: what it is, and how much.

    parts: a module or a tensor ("backbone.blocks.0"), or how names begin ("backbone.blocks." and so on). UserError for
    one that nothing has.
    """
    lines, whole = [], sum(p.numel() for p in network.parameters())
    for part in parts:
        held = {name: p for name, p in network.named_parameters() if _under(name, part)}
        if not held:
            near = nearest(
                part, [name for name, m in network.named_modules() if name and next(m.parameters(), None) is not None]
            )
            tops = ", ".join(dict.fromkeys(name.split(".")[0] for name, _ in network.named_parameters()))
            raise UserError(f"freeze: no weights in the network are named {part!r}; it has {tops}{near}")
        for p in held.values():
            p.requires_grad_(False)
        count = sum(p.numel() for p in held.values())
        lines.append(f"freeze: {part}: {len(held)} tensors, {count / 1e6:.3f} of {whole / 1e6:.3f} M parameters")
    return lines


def hold(network: nn.Module, parts: Sequence[str]) -> None:
    """The frozen parts of a network that was just put into training stay as in evaluation."""
    for name, module in network.named_modules() if parts else ():
        if name and any(_under(name, part) for part in parts):
            module.eval()


def _under(name: str, part: str) -> bool:
    return name == part or name.startswith(part if part.endswith(".") else f"{part}.")
