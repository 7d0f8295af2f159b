"""python -m benchmarks.adversary: what a training step costs with each adversary, beside a plain step.

Of hrnet_tiny at 96x96 and HRNet-W32 at 256x192; images, joints and parts are random, since no cost depends on them. On
a CPU it is processor time (the sum over threads).
"""

from __future__ import annotations

import time

import numpy as np
import torch

from asda_fast import models
from asda_fast.adversary import Cover, Critic, Placer, Scene, Search
from asda_fast.augment import build
from asda_fast.augment.asda import generator_theta
from asda_fast.core.batch import Batch
from asda_fast.core.skeletons import COCO
from asda_fast.ops import PasteFormat
from asda_fast.parts.pool import PartPool
from asda_fast.train.adversarial import Networks, step_against, step_alone, step_alternate, step_joint
from benchmarks.common import Report, Timing, interleave, parser
from benchmarks.game import ARMS

# D, crop, batch (in eighths of it some adversaries judge), width of G
CASES = (("hrnet_tiny", (96, 96), 32, 16), ("hrnet_w32", (256, 192), 8, 64))
PEOPLE = 4096  # in the table


def make_scene(size: tuple[int, int], count: int, pose: torch.nn.Module, device: str, pairs: bool) -> Scene:
    """`count` people that fill their crops (pairs: half as many, twice), one part each of half their height."""
    count = count // 2 if pairs else count
    draw = np.random.default_rng(0)
    patches = [draw.integers(0, 256, (size[0] // 2, size[1] // 3, 4), dtype=np.uint8) for _ in range(26)]
    names = tuple(f"type-{i}" for i in range(26))
    pool = PartPool.from_patches(patches, type=np.arange(26), types=names)
    joints = torch.from_numpy(draw.uniform(0, 1, (count, 17, 2)).astype(np.float32))
    batch = Batch(
        image=torch.from_numpy(draw.integers(0, 256, (count, *size, 3), dtype=np.uint8)),
        joints=joints * torch.tensor([size[1], size[0]]),
        visible=torch.full((count, 17), 2, dtype=torch.uint8),
        row=torch.arange(count),
        matrix=torch.eye(3)[:2].expand(count, 2, 3).clone(),
        box=torch.tensor([[size[1] / 2, size[0] / 2, size[1] / 1.25, size[0] / 1.25]]).expand(count, 4).clone(),
        flip=torch.zeros(count, dtype=torch.bool),
        half=torch.zeros(count, dtype=torch.bool),
    ).to(device)
    augmentation = build("asda", pool, paste_format=PasteFormat(channels_last=True))
    scene = Scene.of(batch.twice() if pairs else batch, augmentation, pose)
    scene.pairs = pairs
    return scene


def make_adversary(arm: str, device: str, candidates: int) -> Placer | None:
    kind, options = ARMS[arm]
    if "candidates" in options:
        options = {**options, "candidates": candidates}
    if kind == "critic":
        return Critic(26, 17, COCO.edges, people=PEOPLE, device=device, **options)
    return {"cover": Cover, "search": Search}[kind](COCO.edges, **options) if kind in ("cover", "search") else None


class Step:
    """One arm's training step, with networks of its own."""

    def __init__(self, arm: str, case: tuple[str, tuple[int, int], int, int], device: str, candidates: int) -> None:
        name, size, count, width = case
        torch.manual_seed(0)
        amp = torch.bfloat16 if device.startswith("cuda") else None

        def network(made: torch.nn.Module) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
            made = made.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
            return made, torch.optim.Adam(made.parameters(), lr=1e-4, fused=True)

        self.networks = Networks(*network(models.build(name, joints=17)), amp=amp)
        if arm.startswith("generator"):
            made = network(models.Generator(width=width))
            self.networks.generator, self.networks.generator_optimizer = made
        self.scene = make_scene(size, count, self.networks.pose, device, "pairs" in arm)
        self.scene.amp = amp
        self.arm = arm
        self.adversary = None if arm in ("none", "generator joint") else make_adversary(arm, device, candidates)

    def __call__(self) -> None:
        scene, target, weight = self.scene, self.scene.target, self.scene.weight
        if self.networks.generator is not None:
            step = step_joint if self.arm == "generator joint" else step_alternate
            clean = scene.augmentation.clean(scene.batch)
            step(self.networks, clean, lambda out: scene.render(generator_theta(out, scene.slots)), target, weight)
        elif self.arm == "none":
            step_alone(self.networks, scene.augmentation.clean(scene.batch), target, weight)
        elif self.adversary is None:
            step_alone(self.networks, scene.render(scene.slots.theta), target, weight)
        else:
            step_against(self.networks, self.adversary, scene)


def processor_time(steps: dict[str, Step], rounds: int) -> dict[str, Timing]:
    """Milliseconds of processor time a step, in turn: on a shared machine a clock on the wall counts the neighbours."""
    samples: dict[str, list[float]] = {arm: [] for arm in steps}
    for turn in range(rounds + 1):  # the first warms up
        for arm, step in steps.items():
            began = time.process_time()
            step()
            if turn:
                samples[arm].append((time.process_time() - began) * 1000)
    return {arm: Timing(tuple(values)) for arm, values in samples.items()}


def main() -> None:
    out = parser(__doc__ or "")
    out.add_argument("--only", nargs="+", default=None, metavar="ARM", help=f"of {list(ARMS)}")
    out.add_argument("--model", choices=[case[0] for case in CASES], help="only this case [both]")
    out.add_argument("--candidates", type=int, default=64, help="placements that cover and critic score for a part")
    out.add_argument("--batch", type=int, help="people [32 of hrnet_tiny, 8 of hrnet_w32]")
    out.add_argument("--rounds", type=int, default=None, help="steps of each arm, in turn [10, with --quick 3]")
    options = out.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    gpu = options.device.startswith("cuda")
    report = Report(threads=options.threads, device=options.device)
    arms = ("none", *(options.only or (*ARMS, "generator joint")))
    for case in CASES:
        if options.model not in (None, case[0]):
            continue
        name, size, count, width = case
        count = options.batch or count
        case = (name, size, count, width)
        steps = {arm: Step(arm, case, options.device, options.candidates) for arm in arms}
        rounds = options.rounds or (3 if options.quick else 10)
        timings = interleave(dict(steps), seconds=120, device="cuda") if gpu else processor_time(steps, rounds)
        print(f"{name} {size[0]}x{size[1]}, batch {count}, on {options.device}")
        plain = timings["none"].median
        params = {"model": name, "size": f"{size[0]}x{size[1]}", "batch": count, "candidates": options.candidates}
        for arm, timing in timings.items():
            ratio = round(timing.median / plain, 3)
            report.add(arm, params, "ms", timing)
            report.add(arm, params, "of a plain step", ratio)
            print(f"  {arm:26s} {timing.median:9.1f} ms +- {timing.iqr:6.1f}   {ratio:5.2f}", flush=True)
        if options.json:
            report.save(options.json)


if __name__ == "__main__":
    main()
