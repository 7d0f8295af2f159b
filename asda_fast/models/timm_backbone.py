"""timm:NAME: any of timm's backbones with SimpleBaseline's head. Nothing is ever downloaded: weights come by `init`."""

from __future__ import annotations

import difflib
from typing import Any, Literal

import torch
from torch import Tensor, nn

from asda_fast.core.errors import UserError, short
from asda_fast.models.network import Network, State
from asda_fast.models.positions import resized
from asda_fast.models.resnet import small
from asda_fast.models.simcc_head import SimCCHead
from asda_fast.models.simple_baseline import USUAL, deconvolutions, simcc_head

STRIDES = (4, 8, 16, 32)


class TimmBaseline(nn.Module):
    """image [B, 3, H, W], normalised -> heatmaps [B, joints, H/4, W/4]: the backbone's last features (of a vision
    transformer its tokens as a map), and as many transposed convolutions as lead from their stride to 4.

    Args:
        backbone: timm's name of it.
        joints: heatmaps to predict.
        size: (height, width) of the crops, for backbones that are made for one size.
        planes: of the transposed convolutions.
        drop_path: the backbone's rate of stochastic depth.
        head: deconv, or simcc (RTMPose's, simcc_head.py).
    """

    heads = ("final_layer", "head.final_layer")
    optional = ("deconv_layers", "head")
    target = "hrnet"

    def __init__(
        self,
        backbone: str,
        joints: int = 17,
        size: tuple[int, int] | None = None,
        planes: int = 256,
        drop_path: float = 0.0,
        head: Literal["deconv", "simcc"] = "deconv",
    ) -> None:
        super().__init__()
        height, width = size or USUAL
        self.head: SimCCHead | None = None
        self.name, self.size = backbone, (height, width)
        self.backbone: Any = _create(backbone, self.size, drop_path)
        features = self._probe()
        stride = self.size[0] // features.shape[2]
        if stride not in STRIDES or (features.shape[2] * stride, features.shape[3] * stride) != self.size:
            raise UserError(
                f"model timm:{backbone}: expected features at stride {', '.join(map(str, STRIDES))} of a crop of "
                f"{self.size[0]}x{self.size[1]}, got {list(features.shape[1:])}"
            )
        if head == "simcc":
            self.head, self.target = simcc_head(features.shape[1], joints, self.size, stride), "simcc"
            return
        if head != "deconv":
            raise UserError(f"model: head: expected deconv or simcc, got {head!r}")
        count = STRIDES.index(stride)
        self.deconv_layers = deconvolutions(features.shape[1], planes, count)
        self.final_layer = nn.Conv2d(planes if count else features.shape[1], joints, 1)
        small(self.final_layer)

    def forward_features(self, image: Tensor) -> Tensor:
        features: list[Tensor] = self.backbone.forward_intermediates(
            image, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return features[-1]

    def forward(self, image: Tensor) -> Tensor:
        features = self.forward_features(image)
        if isinstance(self.head, SimCCHead):
            return self.head(features)
        return self.final_layer(self.deconv_layers(features))

    @torch.no_grad()
    def _probe(self) -> Tensor:
        mode = self.backbone.training
        try:
            self.backbone.eval()
            return self.forward_features(torch.zeros(1, 3, *self.size))
        except Exception as error:  # of sizes it cannot take, or no maps to give
            why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
            raise UserError(
                f"model timm:{self.name}: gives no feature map of a crop of {self.size[0]}x{self.size[1]}: {why}"
            ) from error
        finally:
            self.backbone.train(mode)

    def layer_of(self) -> dict[str, int]:
        """The depth of each parameter, by its name: timm's own groups of the backbone, the head above them."""
        from timm.models import group_parameters

        matcher = self.backbone.group_matcher(coarse=False)
        depth: dict[str, int] = group_parameters(self.backbone, matcher, reverse=True)
        top = max(depth.values()) + 1
        return {name: depth.get(name.removeprefix("backbone."), top) for name, _ in self.named_parameters()}

    def no_weight_decay(self) -> set[str]:
        """What timm's authors pull towards zero by no weight decay: tables of relative positions, temperatures."""
        spared = getattr(self.backbone, "no_weight_decay", set)
        return {f"backbone.{name}" for name in spared()}

    def adapt_state(self, state: State, own: State, size: tuple[int, int] | None = None) -> State:
        """A file of the backbone alone, as timm's are, under this network's names; positions at this crop's grid. size:
        (height, width) of the crops that the file was made for, where it says so."""
        if not any(key.startswith("backbone.") for key in state):
            state = {f"backbone.{key}" if f"backbone.{key}" in own else key: value for key, value in state.items()}
        key = "backbone.pos_embed"
        if key in state and key in own and state[key].ndim == own[key].ndim == 3:
            patch = self.backbone.patch_embed.patch_size
            height, width = self.size[0] // patch[0], self.size[1] // patch[1]
            theirs = size and (size[0] // patch[0], size[1] // patch[1])
            state = {**state, key: resized(state[key], (height, width), own[key].shape[1] - height * width, theirs)}
        return state


def network(name: str) -> Network:
    """The network "timm:NAME"."""

    def make(
        joints: int = 17,
        size: tuple[int, int] | None = None,
        planes: int = 256,
        drop_path: float = 0.0,
        head: Literal["deconv", "simcc"] = "deconv",
    ) -> TimmBaseline:
        return TimmBaseline(name, joints, size, planes, drop_path, head)

    return Network(make)


def _timm(name: str) -> Any:
    try:
        import timm
    except ImportError:
        raise UserError(f"model timm:{name}: needs the package timm (pip install timm)") from None
    except Exception as error:  # torchvision of another torch
        raise UserError(f"model timm:{name}: timm cannot be imported here: {error}") from error
    return timm


def _create(name: str, size: tuple[int, int], drop_path: float) -> Any:
    timm = _timm(name)
    if not name or not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=1)
        raise UserError(
            f"model {short(f'timm:{name}')}: timm {timm.__version__} has no such model"
            + (f"; did you mean timm:{close[0]}?" if close else "")
        )
    options: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}
    ways: list[dict[str, Any]] = [{}]
    card = timm.get_pretrained_cfg(name)
    if card is not None and card.fixed_input_size:  # transformers, whose positions have a size
        ways = [{"img_size": size, "dynamic_img_size": True}, {"img_size": size}, {}]
    for way in ways:
        try:
            model: Any = timm.create_model(name, pretrained=False, num_classes=0, **way, **options)
            break
        except TypeError as error:  # an option that this kind of model has not
            failed = error
    else:
        raise UserError(f"model timm:{name}: {failed}")
    if not hasattr(model, "prune_intermediate_layers"):
        raise UserError(f"model timm:{name}: gives no feature maps (timm {timm.__version__})")
    model.prune_intermediate_layers(1, prune_norm=False, prune_head=True)
    return model
