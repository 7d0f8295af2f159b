"""python -m benchmarks.step: what one training step costs, of every kind, beside the same without a paste.

    python -m benchmarks.step --device cuda --model hrnet_w32 --size 256x192 --batch 128 --json FILE

A step is the trainer's own, from the crops on the device to the sums: targets, draws, generator, paste, network, both
updates. `released` is the released code's way on the same networks: each of the two updates runs both networks anew,
the paste is affine_grid + grid_sample + blend in plain torch, and the generator's update computes the pose network's
weight gradients too. On a GPU each step is timed eager, compiled and as a CUDA graph (GPU milliseconds), with its
memory (all that torch reserved for it); on a CPU it is the process's CPU time, which other programs on the machine
disturb less. Decoding is benchmarks.loader's.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asda_fast.augment.asda import generator_theta
from asda_fast.core.batch import MEAN, STD, Batch
from asda_fast.core.hardware import choose_device
from asda_fast.ops import paste_reference
from asda_fast.train import adversarial
from asda_fast.train.checkpoint import RunFolder
from asda_fast.train.console import Console
from asda_fast.train.distributed import Ranks
from asda_fast.train.graph import WARM_UP
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.setup import prepare
from asda_fast.train.trainer import Trainer
from benchmarks.common import Report, interleave, parser

STEPS: dict[str, dict[str, Any]] = {
    "none": {"augment": "none"},
    "sda": {"augment": "sda"},
    "joint": {"update": "joint"},
    "joint, generator at half": {"update": "joint", "generator_input": "half"},
    "alternate": {"update": "alternate"},
    "alternate, generator at half": {"update": "alternate", "generator_input": "half"},
    "search": {"adversary": "search", "verify": 2},
    "cover": {"adversary": "cover"},
    "critic": {"adversary": "critic"},
}
MAIN = ("none", "joint", "sda", "alternate")  # in every way; the others eager
WAYS: dict[str, dict[str, Any]] = {
    "eager": {"cuda_graph": "off"}, "compiled": {"cuda_graph": "off", "compile": True}, "graph": {"cuda_graph": "auto"},
}  # fmt: skip


class Heard(Console):
    """Keeps what would be said: why there is no graph, for one."""

    def __init__(self) -> None:
        super().__init__(enabled=False)
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def trainer_for(options: dict[str, Any], way: str, common: dict[str, Any], device: torch.device) -> Trainer:
    recipe = Recipe.from_dict({**common, **options}).resolved()
    run = RunOptions(device=device.type, pipeline="native", **WAYS[way])
    console, ranks = Heard(), Ranks(0, 1, device)
    torch.manual_seed(0)
    trainer = Trainer(recipe, run, prepare(recipe, run, ranks, console.say), RunFolder(Path("unused")), ranks, console)
    trainer.parts.networks.pose.train()
    return trainer


def batch_of(trainer: Trainer, count: int) -> Batch:
    """`count` of the demo's people, some of them more than once."""
    with closing(trainer.parts):
        batches = list(trainer.parts.loader)

    def tiled(values: list[Tensor]) -> Tensor:
        all_of = torch.cat(values)
        return torch.cat([all_of] * -(-count // len(all_of)))[:count]

    whole = Batch(**{f.name: tiled([getattr(b, f.name) for b in batches]) for f in fields(Batch)})
    return replace(whole, box=whole.box.contiguous())


def released(trainer: Trainer, batch: Batch) -> Callable[[], None]:
    """The step of the released code, with the networks of `trainer`."""
    game, augmentation = trainer.parts.networks, trainer.parts.augmentation
    pool = augmentation.pool_on(batch.image.device)
    patches, _ = paste_reference.stack(pool)
    size = (batch.image.shape[1], batch.image.shape[2])

    def step() -> None:
        target, weight = game.coding.encode(batch.joints, batch.visible, size)
        slots = augmentation.draw(batch, 0)
        for network, optimizer, sign in (
            (game.pose, game.pose_optimizer, 1),
            (game.generator, game.generator_optimizer, -1),
        ):
            clean = augmentation.clean(batch)
            with game.autocast(batch.image.device):
                placement = game.generator(clean)
            placement = placement.detach() if network is game.pose else placement
            matrix = augmentation.matrices(batch, slots, generator_theta(placement, slots))
            picture = paste_reference.paste(clean.float(), patches, slots.part, matrix, MEAN, STD)
            with game.autocast(batch.image.device):
                found = game.pose(picture)
            optimizer.zero_grad(set_to_none=True)
            (sign * game.coding.loss(found, target, weight)).backward()
            optimizer.step()

    return step


def pieces(trainer: Trainer, batch: Batch) -> dict[str, Callable[[], object]]:
    """What a joint step is made of, each alone: name -> one call."""
    game, augmentation = trainer.parts.networks, trainer.parts.augmentation
    size, device = (batch.image.shape[1], batch.image.shape[2]), batch.image.device
    target, weight = game.coding.encode(batch.joints, batch.visible, size)
    clean, slots = augmentation.clean(batch), augmentation.draw(batch, 0)
    upward = torch.randn_like(clean)

    def draw() -> object:
        return game.coding.encode(batch.joints, batch.visible, size), augmentation.draw(batch, 0)

    def generator() -> None:
        with game.autocast(device):
            placement = game.generator(clean)
        game.generator_optimizer.zero_grad(set_to_none=True)
        placement.sum().backward()
        game.generator_optimizer.step()

    def paste() -> None:
        theta = slots.theta.clone().requires_grad_()
        augmentation.render(batch, slots, theta, 0).image.backward(upward)

    return {
        "targets and draws": draw,
        "clean crops": lambda: augmentation.clean(batch),
        "generator, there and back": generator,
        "paste, there and back": paste,
        "network, there and back": lambda: adversarial.step_alone(game, clean, target, weight),
    }


def as_done(trainer: Trainer, way: str) -> str:
    """The way that the steps go: a trainer whose graph failed goes on without one."""
    if way != "graph" or getattr(trainer.step, "replay", None) is not None:
        return way
    console = trainer.console
    return f"eager ({console.said[-1] if isinstance(console, Heard) and console.said else 'no graph'})"


def cpu_clock(function: Callable[[], object]) -> float:
    """Milliseconds of CPU time, of all threads of the process."""
    start = time.process_time()
    function()
    return (time.process_time() - start) * 1000


def plan(gpu: bool, names: list[str]) -> list[tuple[str, str]]:
    """(step, way) of all that is timed, the most important first: a run that is cut short has told most."""
    ways = ("eager", "graph") if gpu else ("eager",)
    main, others = [n for n in names if n in MAIN], [n for n in names if n not in MAIN]
    found = [(name, way) for way in ways for name in main] + [(name, "eager") for name in others]
    return found + ([(name, "compiled") for name in main if name in ("none", "joint")] if gpu else [])


def main() -> None:
    cli = parser(__doc__ or "")
    cli.add_argument("--model", default=None, help="pose network [hrnet_w32 on a GPU, else hrnet_tiny]")
    cli.add_argument("--size", default=None, help="crop as HxW [256x192, of hrnet_tiny 128x128]")
    cli.add_argument("--batch", type=int, default=None, help="people [128 on a GPU, else 16; of hrnet_w32 4]")
    cli.add_argument("--steps", nargs="+", choices=[*STEPS, "released"], default=None, help="only these")
    options = cli.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    gpu = device.type == "cuda"
    model = options.model or ("hrnet_w32" if gpu else "hrnet_tiny")
    size = options.size or ("128x128" if model == "hrnet_tiny" else "256x192")
    count = options.batch or (128 if gpu else 16 if model == "hrnet_tiny" else 4)
    names = options.steps or (["none", "joint"] if options.quick else [*STEPS, "released"])
    common = {"dataset": "demo", "model": model, "input": size, "batch_size": min(count, 8), "augment": "asda"}
    batch = batch_of(trainer_for({"augment": "none"}, "eager", common, device), count)
    params = {"model": model, "batch": count, "size": size}
    report = Report(threads=options.threads, device=options.device)
    unit = "GPU ms" if gpu else "CPU ms"

    def made(name: str, way: str) -> tuple[Trainer, Callable[[], object]]:
        trainer = trainer_for(STEPS["joint"] if name == "released" else STEPS[name], way, common, device)
        trainer.parts.close()
        return trainer, released(trainer, batch) if name == "released" else lambda: trainer.learn(batch)

    def measure(contestants: dict[str, Callable[[], object]], **more: str) -> dict[str, float]:
        how: dict[str, Any] = (
            {"warmup": 5, "seconds": 1.5} if gpu else {"clock": cpu_clock, "seconds": 120, "rounds": 5}
        )
        how |= {"least": 1, "rounds": 1} if options.quick else {}
        timings = interleave(contestants, device=options.device, **how)
        for name, timing in timings.items():
            report.add(name, {**params, **more}, unit, timing)
            print(f"  {name:28s} {timing.median:9.1f} {unit} +- {timing.iqr:.1f}  {more.get('way', '')}", flush=True)
        if options.json:
            report.save(options.json)
        return {name: timing.median for name, timing in timings.items()}

    print(f"{model} {size}, batch {count}, on {options.device}", flush=True)
    if gpu:  # one at a time: a graph keeps the memory of its whole step
        for name, way in plan(gpu, names):
            gc.collect()  # a trainer and its graph hold each other, and the graph its memory
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_reserved()
            trainer, step = made(name, way)
            for _ in range(WARM_UP + 2):
                step()
            way = as_done(trainer, way)
            measure({name: step}, way=way)
            report.add(name, {**params, "way": way}, "MiB", (torch.cuda.max_memory_reserved() - before) / 2**20)
            del trainer, step
    else:
        measure({name: made(name, way)[1] for name, way in plan(gpu, names)})
    half = trainer_for(STEPS["joint, generator at half"], "eager", common, device)
    half.parts.close()
    print("the parts of a joint step, generator at half resolution")
    took = measure(pieces(half, batch), part_of="joint, generator at half")
    for name, value in took.items():
        print(f"  {name:28s} {value / sum(took.values()):6.1%}")


if __name__ == "__main__":
    main()
