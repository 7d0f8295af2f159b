"""SimpleBaseline (Xiao et al., ECCV 2018): a ResNet and three transposed convolutions, with the published key names."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from asda_fast.core.errors import UserError
from asda_fast.models.network import Adapter, Foreign, Network, Published, State, from_mmpose, joints_of
from asda_fast.models.resnet import ResNet, small
from asda_fast.models.simcc_head import SimCCHead

USUAL = (256, 192)  # crop of a network that is made without one


class SimpleBaseline(ResNet):
    """image [B, 3, H, W], normalised -> heatmaps [B, joints, H/4, W/4]. H and W are multiples of 32.

    head: "deconv", the paper's, or "simcc", RTMPose's (simcc_head.py), for crops of `size` (height, width).
    """

    heads = ("final_layer", "head.final_layer")
    optional = ("deconv_layers", "head")
    target = "hrnet"

    def __init__(
        self,
        joints: int = 17,
        depth: int = 50,
        width: int = 64,
        planes: int = 256,
        head: Literal["deconv", "simcc"] = "deconv",
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(depth, width)
        self.head: SimCCHead | None = None
        if head == "simcc":
            self.head, self.target = simcc_head(self.features, joints, size or USUAL, 32), "simcc"
            return
        if head != "deconv":
            raise UserError(f"model: head: expected deconv or simcc, got {head!r}")
        self.deconv_layers = deconvolutions(self.features, planes, 3)
        self.final_layer = nn.Conv2d(planes, joints, 1)
        small(self.final_layer)

    def forward(self, image: Tensor) -> Tensor:
        features = self.forward_features(image)
        if isinstance(self.head, SimCCHead):
            return self.head(features)
        return self.final_layer(self.deconv_layers(features))


def simcc_head(inputs: int, joints: int, size: tuple[int, int], stride: int) -> SimCCHead:
    """RTMPose's head for features at this stride of crops of `size`."""
    return SimCCHead(inputs, joints, size, (size[0] // stride, size[1] // stride))


def deconvolutions(inputs: int, planes: int, count: int) -> nn.Sequential:
    """So many transposed convolutions, each of which doubles the resolution: [B, inputs, h, w] -> [B, planes, ..]."""
    parts: list[nn.Module] = []
    for i in range(count):
        deconv = nn.ConvTranspose2d(planes if i else inputs, planes, 4, 2, 1, bias=False)
        small(deconv)
        parts += [deconv, nn.BatchNorm2d(planes), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


def read_published(state: State) -> Foreign:
    """SimpleBaseline's own files, mmpose's, and bare ResNets (torchvision's, for ImageNet)."""
    state, by = from_mmpose(state)
    joints = joints_of(state, "final_layer.weight")
    if not any(key.startswith("deconv_layers.") for key in state):
        return Foreign(by + "ResNet", state)
    if joints is None:
        return Foreign(by + "SimpleBaseline", state)
    third = len({key.split(".")[1] for key in state if key.startswith("layer3.")})
    depth = {6: 50, 23: 101, 36: 152}.get(third, third)
    return Foreign(by + "SimpleBaseline", state, {"model": f"simple_r{depth}", "joints": joints})


FILES = Adapter(r"(?:backbone\.)?layer4\.0\.conv1\.weight", read_published)
PAPER = "SimpleBaseline, ECCV 2018; HRNet, table 1"

R50 = Network(SimpleBaseline, {"depth": 50}, (Published(34.0, 8.9, (256, 192), PAPER),), FILES)
R101 = Network(SimpleBaseline, {"depth": 101}, (Published(53.0, 12.4, (256, 192), PAPER),), FILES)
R152 = Network(
    SimpleBaseline,
    {"depth": 152},
    (Published(68.6, 15.7, (256, 192), PAPER), Published(68.6, 35.6, (384, 288), PAPER)),
    FILES,
)
