"""SimpleBaseline (Xiao et al., ECCV 2018): a ResNet and three transposed convolutions, with the published key names."""

from __future__ import annotations

from torch import Tensor, nn

from asda_fast.models.resnet import ResNet, small


class SimpleBaseline(ResNet):
    """image [B, 3, H, W], normalised -> heatmaps [B, joints, H/4, W/4]. H and W are multiples of 32."""

    def __init__(self, joints: int = 17, depth: int = 50, width: int = 64, planes: int = 256) -> None:
        super().__init__(depth, width)
        parts: list[nn.Module] = []
        inputs = self.features
        for _ in range(3):
            deconv = nn.ConvTranspose2d(inputs, planes, 4, 2, 1, bias=False)
            small(deconv)
            parts += [deconv, nn.BatchNorm2d(planes), nn.ReLU(inplace=True)]
            inputs = planes
        self.deconv_layers = nn.Sequential(*parts)
        self.final_layer = nn.Conv2d(planes, joints, 1)
        small(self.final_layer)

    def forward(self, image: Tensor) -> Tensor:
        return self.final_layer(self.deconv_layers(self.forward_features(image)))
