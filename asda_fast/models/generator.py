"""The adversary: from a crop to one placement per part type (paper, section 3.3), key names of the released code."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asda_fast.core.errors import UserError
from asda_fast.models.checkpoints import read
from asda_fast.models.foreign import networks_in
from asda_fast.models.network import Adapter, Foreign, State
from asda_fast.models.resnet import ResNet
from asda_fast.models.weights import load_into

RELEASED_TYPES = 25  # the paper's 26 less Glove, our last
SHIFT = 2.4  # tx and ty reach +-1.2 in units of half the crop: a part can leave it


class Generator(ResNet):
    """image [B, 3, H, W], normalised, clean -> placement [B, types, 3] = (r, tx, ty), radians and half crops.

    The last layer starts at zero, so that training begins at (0, 0, 0): every part upright in the crop's centre. The
    scale is not predicted: it would grow until the part covers the person (paper, section 3.3).

    Args:
        types: part types (26 in the paper, 25 in the released code).
        width: planes of the ResNet's first layer, 64 in the paper; the demo takes fewer.
        depth: of the ResNet.
        init: a checkpoint to start from: torchvision's ResNet-18, or a generator (the released one has 25 types).
        half_input: look at the crop at half resolution, a quarter of the arithmetic.
    """

    heads = ("fc_locs",)

    def __init__(
        self,
        types: int = 26,
        width: int = 64,
        depth: int = 18,
        init: str | Path | None = None,
        half_input: bool = False,
    ) -> None:
        super().__init__(depth, width)
        self.types, self.half_input = types, half_input
        hidden = 2 * width * types
        self.fc_locs = nn.Sequential(
            nn.Conv2d(self.features, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, 3 * types, 1, groups=types),
        )
        nn.init.zeros_(self.fc_locs[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.fc_locs[2].bias)  # type: ignore[arg-type]
        if init is not None:
            load_into(self, init, part="generator")

    @staticmethod
    def of(path: str | Path) -> Generator:
        """The generator in a checkpoint, its width and types read off its tensors. UserError where there is none."""
        checkpoint = read(path, "generator")
        states = [f.foreign.state for f in networks_in(checkpoint, "generator")]
        if checkpoint.config is not None:
            states = list(checkpoint.states.values())
        state = next((s for s in states if all(k in s and s[k].ndim == 4 for k in _SIZES)), None)
        if state is None:
            raise UserError(
                f"{path}: holds no generator (the last.pt of a run with augment asda and adversary generator does)"
            )
        outputs, width = (len(state[key]) for key in _SIZES)
        half = (checkpoint.config or {}).get("generator_input") == "half"
        generator = Generator(max(1, outputs // 3), width, half_input=half)
        load_into(generator, checkpoint, part="generator", complete=True)
        return generator.eval()

    @staticmethod
    def adapt_state(state: State, own: State, size: tuple[int, int] | None = None) -> State:
        """The first 25 of a larger generator's outputs from the released one, the others as they are in `own`."""
        state = dict(state)
        for layer in ("fc_locs.0", "fc_locs.2"):
            for key in (f"{layer}.weight", f"{layer}.bias"):
                given, wanted = state.get(key), own[key]
                if given is None or given.ndim == 0 or given.shape[1:] != wanted.shape[1:]:
                    continue
                each, odd = divmod(len(given), RELEASED_TYPES)
                if each and not odd and len(wanted) % each == 0 and len(wanted) > len(given):
                    state[key] = torch.cat((given.to(wanted), wanted[len(given) :]))
        return state

    def forward(self, image: Tensor) -> Tensor:
        if self.half_input:
            image = F.avg_pool2d(image, 2)
        pooled = self.forward_features(image).mean((2, 3), keepdim=True)
        u = self.fc_locs(pooled).float().sigmoid().view(-1, self.types, 3) - 0.5
        r, tx, ty = u.unbind(-1)  # scaled one by one: a tensor of factors would be a copy that the host waits for
        return torch.stack((r * math.pi, tx * SHIFT, ty * SHIFT), -1)  # r in +-pi/2


_SIZES = ("fc_locs.2.weight", "conv1.weight")  # [3 types, ..] and [width, ..]


def read_published(state: State) -> Foreign:
    """The released generator has the names here."""
    return Foreign("ASDA generator", state)


FILES = Adapter(r"fc_locs\.2\.weight", read_published)
