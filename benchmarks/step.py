"""python -m benchmarks.step: what one adversarial training step costs, in each mode, beside the way it was released.

`released` is the released code's step on this project's networks: every step runs the generator and the pose network
anew for each of the two updates, pastes with affine_grid + grid_sample + blend (plain torch), and computes
the pose network's weight gradients in the generator's step too. Decoding is left out: benchmarks.loader has that.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from asda_fast import models
from asda_fast.core.batch import MEAN, STD
from asda_fast.ops import paste_reference as reference
from asda_fast.ops.paste import paste
from asda_fast.parts.pool import PartPool
from asda_fast.train.adversarial import Networks, pose_loss, step_alone, step_alternate, step_joint
from benchmarks.common import Report, interleave, parser


def scene(batch: int, size: tuple[int, int], device: str) -> tuple[Tensor, PartPool, Tensor, Tensor, Tensor]:
    """image [B, H, W, 3] uint8, pool, part [B, 1], target [B, 17, h, w], weight [B, 17]; patches of 40 to 80 pixels."""
    draw = torch.Generator().manual_seed(0)
    patches = [torch.randint(0, 256, (s, s, 4), dtype=torch.uint8, generator=draw) for s in range(40, 81, 4)]
    image = torch.randint(0, 256, (batch, *size, 3), dtype=torch.uint8, generator=draw).to(device)
    part = torch.randint(0, len(patches), (batch, 1), generator=draw).to(device)
    target = torch.rand(batch, 17, size[0] // 4, size[1] // 4, generator=draw).to(device)
    return image, PartPool.from_patches(patches).to(device), part, target, torch.ones(batch, 17, device=device)


def matrices(placement: Tensor, size: tuple[int, int]) -> Tensor:
    """(r, tx, ty) of the first part type -> [B, 1, 2, 3]: enough of a placement to carry the gradient."""
    r, tx, ty = placement[:, 0].float().unbind(-1)
    c, s = r.cos(), r.sin()
    x, y = (1 + tx) * size[1] / 2, (1 + ty) * size[0] / 2
    rows = torch.stack((c, s, 30 - c * x - s * y, -s, c, 30 + s * x - c * y), -1)
    return rows.view(-1, 1, 2, 3)


def main() -> None:
    options = parser(__doc__ or "").parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    gpu = options.device.startswith("cuda")
    name, width, size, batch = ("hrnet_w32", 64, (256, 256), 32) if gpu else ("hrnet_tiny", 16, (128, 128), 16)
    image, pool, part, target, weight = scene(batch, size, options.device)
    layout = torch.channels_last
    patches, _ = reference.stack(pool)

    def networks() -> Networks:
        nets = [models.build(name), models.Generator(width=width)]
        nets = [net.to(options.device, memory_format=layout) for net in nets]
        adams = [torch.optim.Adam(net.parameters(), lr=1e-4, fused=True) for net in nets]
        return Networks(nets[0], adams[0], nets[1], adams[1], torch.bfloat16 if gpu else None)

    torch.manual_seed(0)
    first = networks()
    modes = {mode: copy.deepcopy(first) for mode in ("none", "alternate", "joint", "released")}
    for mode in modes.values():  # a deep copy's optimiser must hold the copy's weights
        mode.pose_optimizer = torch.optim.Adam(mode.pose.parameters(), lr=1e-4, fused=True)
        mode.generator_optimizer = torch.optim.Adam(mode.generator.parameters(), lr=1e-4, fused=True)
    nothing = torch.empty((batch, 0), dtype=torch.int64, device=options.device)
    no_matrix = torch.empty((batch, 0, 2, 3), device=options.device)

    def clean() -> Tensor:
        return paste(image, pool, nothing, no_matrix, MEAN, STD, memory_format=layout)

    def pasted(placement: Tensor) -> Tensor:
        return paste(image, pool, part, matrices(placement, size), MEAN, STD, memory_format=layout)

    def released() -> None:
        game = modes["released"]
        for network, optimizer, sign in (
            (game.pose, game.pose_optimizer, 1),
            (game.generator, game.generator_optimizer, -1),
        ):
            with game.autocast(image.device):
                placement = game.generator(clean())
            placement = placement.detach() if network is game.pose else placement
            picture = reference.paste(clean(), patches, part, matrices(placement, size), MEAN, STD)
            with game.autocast(image.device):
                heatmaps = game.pose(picture)
            optimizer.zero_grad(set_to_none=True)
            (sign * pose_loss(heatmaps, target, weight)).backward()
            optimizer.step()

    contestants: dict[str, Callable[[], object]] = {
        "released": released,
        "alternate": lambda: step_alternate(modes["alternate"], clean(), pasted, target, weight),
        "joint": lambda: step_joint(modes["joint"], clean(), pasted, target, weight),
        "none": lambda: step_alone(modes["none"], clean(), target, weight),
    }
    report = Report(threads=options.threads, device=options.device)
    timings = interleave(contestants, seconds=10 if options.quick else 60, device=options.device)
    print(f"{name} {size[0]}x{size[1]}, batch {batch}, one part, on {options.device}")
    for mode, timing in timings.items():
        report.add(mode, {"model": name, "batch": batch, "size": f"{size[0]}x{size[1]}"}, "ms", timing)
        ratio = timing.median / timings["released"].median
        print(f"  {mode:10s} {timing.median:8.1f} ms +- {timing.iqr:.1f}   {ratio:5.2f} of released")
    if options.json:
        report.save(options.json)


if __name__ == "__main__":
    main()
