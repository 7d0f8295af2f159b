"""Stacked hourglass (Newell et al., ECCV 2016), with the key names of the implementation that the ASDA code builds on.

Residuals are pre-activated (normalise, ReLU, convolve) with biased convolutions, as in the original Torch7 model.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from asda_fast.core.errors import UserError
from asda_fast.models.network import Adapter, Foreign, Network, Published, State, joints_of
from asda_fast.models.resnet import initialise, small


class BnReluConv(nn.Module):
    """Normalise, ReLU, convolve."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.relu(self.bn(x)))


class ConvBlock(nn.Module):
    """1x1 to half the width, 3x3, 1x1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.cbr1 = BnReluConv(inputs, outputs // 2)
        self.cbr2 = BnReluConv(outputs // 2, outputs // 2, 3)
        self.cbr3 = BnReluConv(outputs // 2, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.cbr3(self.cbr2(self.cbr1(x)))


class Skip(nn.Module):
    """The identity, or a 1x1 convolution where the width changes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = None if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x if self.conv is None else self.conv(x)


class Residual(nn.Module):
    """A pre-activated bottleneck and its shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.cb = ConvBlock(inputs, outputs)
        self.skip = Skip(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.cb(x) + self.skip(x)


def residuals(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(width, width) for _ in range(count)))


class Hourglass(nn.Module):
    """Down `depth` times by two and up again, with a branch that stays at every resolution."""

    def __init__(self, width: int, depth: int, count: int) -> None:
        super().__init__()
        self.skip = residuals(width, count)
        self.afterpool = residuals(width, count)
        if depth > 1:
            self.hg = Hourglass(width, depth - 1, count)
        else:
            self.num1res = residuals(width, count)
        self.lowres = residuals(width, count)
        self.deepest = depth == 1

    def forward(self, x: Tensor) -> Tensor:
        low = self.afterpool(F.max_pool2d(x, 2))
        low = self.num1res(low) if self.deepest else self.hg(low)
        return self.skip(x) + F.interpolate(self.lowres(low), scale_factor=2.0, mode="nearest")


class StackedHourglass(nn.Module):
    """image [B, 3, H, W], normalised -> heatmaps [B, joints, H/4, W/4] of the last stack in evaluation mode; in
    training the list of all stacks' heatmaps, each of which is to be supervised. H and W are multiples of 64.

    Args:
        joints: heatmaps to predict.
        stacks: hourglasses in a row (2 or 8 in the paper).
        width: planes throughout.
        count: residuals at each place.
        depth: of one hourglass.
    """

    heads = ("chantojoints", "jointstochan")
    leads_nowhere = ("lin2", "jointstochan")  # ASDA's files have one more of each, after the last stack

    def __init__(self, joints: int = 16, stacks: int = 8, width: int = 256, count: int = 1, depth: int = 4) -> None:
        super().__init__()
        self.depth = depth
        self.start = BnReluConv(3, width // 4, 7, 2)
        self.res1 = Residual(width // 4, width // 2)
        self.res2 = Residual(width // 2, width // 2)
        self.res3 = Residual(width // 2, width)
        self.hourglass = nn.ModuleList(Hourglass(width, depth, count) for _ in range(stacks))
        self.Residual = nn.ModuleList(residuals(width, count) for _ in range(stacks))
        self.lin1 = nn.ModuleList(BnReluConv(width, width) for _ in range(stacks))
        self.chantojoints = nn.ModuleList(nn.Conv2d(width, joints, 1) for _ in range(stacks))
        # The way from a stack into the next one. Files of the ASDA code also hold the last one's, which leads nowhere.
        self.lin2 = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(stacks - 1))
        self.jointstochan = nn.ModuleList(nn.Conv2d(joints, width, 1) for _ in range(stacks - 1))
        initialise(self)
        for head in self.chantojoints:
            small(head)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        multiple = 4 << self.depth
        if image.shape[-2] % multiple or image.shape[-1] % multiple:
            raise UserError(f"input: an hourglass takes multiples of {multiple} only, got {list(image.shape[-2:])}")
        x = F.max_pool2d(self.res1(self.start(image)), 2)
        x = self.res3(self.res2(x))
        outputs = []
        for i, hourglass in enumerate(self.hourglass):
            y = self.lin1[i](self.Residual[i](hourglass(x)))
            outputs.append(self.chantojoints[i](y))
            if i + 1 < len(self.hourglass):
                x = x + self.lin2[i](y) + self.jointstochan[i](outputs[-1])
        return outputs if self.training else outputs[-1]


def read_published(state: State) -> Foreign:
    """Files of the ASDA code, which keeps the network in an attribute `hourglass`, and any with the keys here."""
    kind = "hourglass"
    if any(key.startswith("hourglass.hourglass.") for key in state):
        state, kind = {key.removeprefix("hourglass."): value for key, value in state.items()}, "hourglass, ASDA"
    joints = joints_of(state, "chantojoints.0.weight")
    stacks = len({key.split(".")[1] for key in state if key.startswith("chantojoints.")})
    return Foreign(kind, state, None if joints is None else {"model": f"hourglass_{stacks}", "joints": joints})


FILES = Adapter(r"(?:hourglass\.)?hourglass\.0\.skip\.0\.cb\.cbr1\.conv\.weight", read_published)

TWO = Network(StackedHourglass, {"stacks": 2}, adapt=FILES)
EIGHT = Network(
    StackedHourglass,
    {"stacks": 8},
    (Published(25.1, 14.3, (256, 192), "HRNet, table 1, of Newell's network"),),
    FILES,
)
