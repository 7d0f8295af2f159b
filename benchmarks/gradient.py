"""python -m benchmarks.gradient: how far the gradient that the paper's generator learns from reaches.

    python -m benchmarks.gradient --weights pose.safetensors --root DATA/lspet --pool pool.safetensors

The gradient of D's loss by where a part is pasted is compared with central differences of the same loss, over a
thousandth of a pixel up to many pixels, in float64, for held-out people with one part each at a random place. The
cosine of the two says which share of the gradient's direction is still true so far away; a
difference over a thousandth of a pixel checks that the gradient is exact.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asda_fast import data, models
from asda_fast.augment import build
from asda_fast.core.batch import Batch
from asda_fast.models.heatmaps import heatmaps
from asda_fast.ops import PasteFormat
from asda_fast.parts.pool import PartPool
from asda_fast.pipelines.loader import make_loader
from benchmarks.common import Report, parser

STEPS = (0.001, 0.25, 1.0, 4.0, 16.0)  # pixels


class Landscape:
    """D's loss of each person [B] as a function of how far the part is moved [B, 2] (x, y) in pixels."""

    def __init__(self, pose: torch.nn.Module, batch: Batch, pool: PartPool, size: int) -> None:
        self.pose, self.batch, self.size = pose.double().eval(), batch, size
        self.augmentation = build("asda", pool, paste_format=PasteFormat(out_dtype=torch.float64))
        self.slots = self.augmentation.draw(batch, 0)
        target, self.weight = heatmaps(batch.joints, batch.visible, (size, size))
        self.target = target.double()

    def __call__(self, move: Tensor) -> Tensor:
        shift = -2 / self.size * move[:, None]  # +tx moves a part to the left, in half crops
        theta = torch.cat((self.slots.theta[..., :2].double(), self.slots.theta[..., 2:].double() + shift), -1)
        image = self.augmentation.render(self.batch, self.slots, theta).image
        error = (self.pose(image) - self.target) * self.weight[:, :, None, None]  # models.loss rounds to float32
        return 0.5 * error.square().mean((1, 2, 3))

    def gradient(self) -> Tensor:
        """[B, 2], by backward."""
        move = torch.zeros(len(self.batch), 2, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(self(move).sum(), move)[0]

    @torch.no_grad()
    def difference(self, step: float) -> Tensor:
        """[B, 2], central differences over `step` pixels either way."""
        sides = []
        for axis in range(2):
            move = torch.zeros(len(self.batch), 2, dtype=torch.float64)
            move[:, axis] = step
            sides.append((self(move) - self(-move)) / (2 * step))
        return torch.stack(sides, 1)


def main() -> None:
    p = parser(__doc__ or "")
    p.add_argument("--weights", type=Path, required=True, help="of the pose network D (benchmarks.game writes them)")
    p.add_argument("--root", type=Path, required=True, help="LSP-extended")
    p.add_argument("--pool", type=Path, required=True)
    p.add_argument("--size", type=int, default=96)
    p.add_argument("--people", type=int, default=96)
    options = p.parse_args()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    people = data.load("lsp", options.root, split="val")
    people = people.select(np.arange(min(options.people, len(people))))
    pool = PartPool.load(options.pool)
    found: dict[float, list[Tensor]] = {step: [] for step in STEPS}
    exact = []
    with make_loader(people, (options.size, options.size), batch_size=16, train=False, threads=1) as loader:
        for batch in loader:
            landscape = Landscape(models.load(options.weights), batch, pool, options.size)
            exact.append(landscape.gradient())
            for step in STEPS:
                found[step].append(landscape.difference(step))
    report, gradient = Report(threads=options.threads), torch.cat(exact)
    print(f"{len(gradient)} people; step in pixels, cosine with the gradient, length of the gradient over it")
    for step in STEPS:
        difference = torch.cat(found[step])
        cosine = float((gradient * difference).sum() / (gradient.norm() * difference.norm()))
        length = float(gradient.norm() / difference.norm())
        params = {"people": len(gradient), "size": options.size, "step in pixels": step}
        report.add("gradient", params, "cosine", cosine)
        report.add("gradient", params, "length ratio", length)
        print(f"  {step:7.3f}  {cosine:7.4f}  {length:6.3f}")
    if options.json:
        report.save(options.json)


if __name__ == "__main__":
    main()
