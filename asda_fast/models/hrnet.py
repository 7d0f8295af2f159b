"""HRNet for pose (Sun et al., CVPR 2019) with the published key names, for any width, depth and number of stages.

Key names: conv1 bn1 conv2 bn2 layer1 transition1 stage2 transition2 stage3 transition3 stage4 final_layer; the very
last module fuses into its finest branch only (`fuse_layers.0`). W48-s7 appends stages 5 to 7, each like stage 4.
"""

from __future__ import annotations

from torch import Tensor, nn

from asda_fast.core.errors import UserError
from asda_fast.models.network import Adapter, Foreign, Network, Published, State, from_mmpose, joints_of
from asda_fast.models.resnet import BasicBlock, Bottleneck, initialise, layer, small


class FuseModule(nn.Module):
    """Parallel branches at strides 4, 8, .. then every output is the sum of all branches at its own resolution."""

    def __init__(self, widths: list[int], blocks: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(layer(BasicBlock, w, w, blocks) for w in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(fuse(widths, source, target) for source in range(len(widths)))  # type: ignore[misc]
            for target in range(outputs)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        outputs = []
        for target, row in enumerate(self.fuse_layers):
            y = None
            for source, way in enumerate(row):  # type: ignore[arg-type, var-annotated]
                z = xs[source] if source == target else way(xs[source])
                y = z if y is None else y + z
            outputs.append(self.relu(y))
        return outputs


def fuse(widths: list[int], source: int, target: int) -> nn.Module | None:
    """The way from branch `source` to branch `target`: 1x1 and upsampling, nothing, or strided 3x3s."""
    if source == target:
        return None  # an empty slot keeps the published numbering of the keys
    inner, outer = widths[source], widths[target]
    if source > target:
        up = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return nn.Sequential(nn.Conv2d(inner, outer, 1, bias=False), nn.BatchNorm2d(outer), up)
    steps = [down(inner, inner) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, down(inner, outer, relu=False))


def down(inputs: int, outputs: int, relu: bool = True) -> nn.Sequential:
    """A 3x3 convolution at stride 2."""
    parts = [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*parts, *([nn.ReLU(inplace=True)] if relu else []))


def transition(before: list[int], after: list[int]) -> nn.ModuleList:
    """From one stage's branches to the next one's: adapt widths, add one coarser branch."""
    ways: list[nn.Module | None] = []
    for i, width in enumerate(after):
        if i >= len(before):
            ways.append(nn.Sequential(down(before[-1], width)))
        elif before[i] == width:
            ways.append(None)
        else:
            parts = (nn.Conv2d(before[i], width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
            ways.append(nn.Sequential(*parts))
    return nn.ModuleList(ways)  # type: ignore[arg-type]


class HRNet(nn.Module):
    """image [B, 3, H, W], normalised -> heatmaps [B, joints, H/4, W/4]. H and W are multiples of 32.

    Args:
        joints: heatmaps to predict.
        width: planes of the finest branch (32, 48; each coarser branch has twice as many).
        modules: fuse modules of stages 2, 3, 4, ..; a stage beyond the fourth keeps four branches (W48-s7).
        blocks: residual blocks per branch of a module.
        stem: planes of the two strided convolutions and of layer1's bottlenecks.
        layer1: number of those bottlenecks.
    """

    heads = ("final_layer",)
    optional = ("stage5", "stage6", "stage7")  # of W48-s7; the published bodies end with stage 4

    def __init__(
        self,
        joints: int = 17,
        width: int = 32,
        modules: tuple[int, ...] = (1, 4, 3),
        blocks: int = 4,
        stem: int = 64,
        layer1: int = 4,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.conv2 = nn.Conv2d(stem, stem, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = layer(Bottleneck, stem, stem, layer1)
        widths = [stem * Bottleneck.expansion]
        self.stages = len(modules)
        for i, count in enumerate(modules):
            before, widths = widths, [width << b for b in range(min(i + 2, 4))]
            if before != widths:  # stages 5 .. 7 of W48-s7 follow a stage of their own shape
                self.add_module(f"transition{i + 1}", transition(before, widths))
            final = i == len(modules) - 1
            outputs = [1 if final and m == count - 1 else len(widths) for m in range(count)]
            self.add_module(f"stage{i + 2}", nn.Sequential(*(FuseModule(widths, blocks, o) for o in outputs)))
        self.final_layer = nn.Conv2d(width, joints, 1)
        initialise(self)
        small(self.final_layer)

    def forward_features(self, image: Tensor) -> Tensor:
        """The finest branch of the last stage, [B, width, H/4, W/4]. H and W are multiples of 32."""
        if image.shape[-2] % 32 or image.shape[-1] % 32:
            raise UserError(f"input: HRNet takes multiples of 32 only, got {list(image.shape[-2:])}")
        x = self.relu(self.bn1(self.conv1(image)))
        x = self.relu(self.bn2(self.conv2(x)))
        xs = [self.layer1(x)]
        for i in range(self.stages):
            ways = getattr(self, f"transition{i + 1}", None)
            if ways is not None:
                xs = [xs[b] if way is None else way(xs[min(b, len(xs) - 1)]) for b, way in enumerate(ways)]
            xs = getattr(self, f"stage{i + 2}")(xs)
        return xs[0]

    def forward(self, image: Tensor) -> Tensor:
        return self.final_layer(self.forward_features(image))


def read_published(state: State) -> Foreign:
    """HRNet's own files for pose (also of the W48-s7 kind) and for ImageNet, mmpose's, and any with these keys."""
    state, by = from_mmpose(state)
    joints = joints_of(state, "final_layer.weight")
    first = state.get("stage4.0.branches.0.0.conv1.weight")
    head = any(key.startswith("final_layer.") for key in state)
    kind = "HRNet for ImageNet" if any("incre_modules" in key for key in state) else "HRNet" if head else "HRNet body"
    if joints is None or first is None or first.ndim != 4:
        return Foreign(by + kind, state)
    width = int(first.shape[0])
    tail = "_s7" if any(key.startswith("stage7.") for key in state) else ""
    name = "hrnet_tiny" if width == 16 else f"hrnet_w{width}{tail}"
    return Foreign(by + kind, state, {"model": name, "joints": joints})


FILES = Adapter(r"(?:backbone\.)?stage4\.0\.branches\.0\.0\.conv1\.weight", read_published)
PAPER = "HRNet, CVPR 2019, tables 1 and 4"

TINY = Network(HRNet, {"width": 16, "modules": (1, 1, 1), "blocks": 1, "stem": 16, "layer1": 1}, adapt=FILES)
W32 = Network(
    HRNet,
    {"width": 32},
    (
        Published(28.5, 7.10, (256, 192), PAPER),
        Published(28.5, 9.5, (256, 256), PAPER),
        Published(28.5, 16.0, (384, 288), PAPER),
    ),
    FILES,
)
W48 = Network(
    HRNet, {"width": 48}, (Published(63.6, 14.6, (256, 192), PAPER), Published(63.6, 32.9, (384, 288), PAPER)), FILES
)
W48_S7 = Network(HRNet, {"width": 48, "modules": (1, 4, 3, 3, 3, 3)}, adapt=FILES)
