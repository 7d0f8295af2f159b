"""python -m benchmarks.counts: what one step asks of the host and the device, by counting, so that any machine will do.

Operations, clones and copies of one step of each kind (HRNet-W32 and the generator on small crops: the counts do not
depend on their size), of the updates alone and of the trainer's whole step, and what is left of it to the host once it
is a CUDA graph; the host's time to hold the pose network still for the generator's step, its own forward left out; and
the bytes that paste writes for a batch of 128 crops of 256x192.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from asda_fast import models
from asda_fast.models.frozen import frozen
from asda_fast.train.adversarial import Networks, step_alone, step_alternate, step_joint
from asda_fast.train.graph import WARM_UP, GraphedStep
from asda_fast.train.setup import paste_format
from benchmarks.step import STEPS, batch_of, trainer_for

CLONES = ("clone",)
COPIES = ("copy_", "_to_copy")


class Count(TorchDispatchMode):
    """Operations by name, views left out: they launch nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not function.is_view:
            self.seen[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def players() -> Networks:
    pose, generator = models.build("hrnet_w32"), models.Generator()
    adams = [torch.optim.Adam(network.parameters(), lr=1e-4, fused=True) for network in (pose, generator)]
    return Networks(pose, adams[0], generator, adams[1])


def steps() -> dict[str, Count]:
    """The second step of each kind: the first makes the optimisers' state."""
    clean, target, weight = torch.rand(2, 3, 64, 64), torch.rand(2, 17, 16, 16), torch.ones(2, 17)

    def paste(placement: Tensor) -> Tensor:
        return clean + placement.mean((1, 2))[:, None, None, None]

    kinds = {
        "none": lambda: step_alone(game, clean, target, weight),
        "joint": lambda: step_joint(game, clean, paste, target, weight),
        "alternate": lambda: step_alternate(game, clean, paste, target, weight),
    }
    found = {}
    for name, step in kinds.items():
        game = players()
        step()
        with Count() as found[name]:
            step()
    return found


def whole_steps() -> dict[str, tuple[Count, Count]]:
    """The trainer's step, and what is done besides the one launch where it is a graph."""
    common = {"dataset": "demo", "model": "hrnet_w32", "input": "64x64", "batch_size": 2, "augment": "asda"}
    found = {}
    for name in ("none", "sda", "joint", "alternate"):
        trainer = trainer_for(STEPS[name], "eager", common, torch.device("cpu"))
        batch = batch_of(trainer, 2)
        graphed = GraphedStep(lambda batch, epoch: None, dict, print, lambda step: lambda: None)
        for _ in range(WARM_UP + 1):
            graphed(batch, 0)
        trainer.learn(batch)
        with Count() as eager:
            trainer.learn(batch)
        with Count() as replay:
            graphed(batch, 0)
        found[name] = eager, replay
    return found


def host_of_frozen(rounds: int = 30) -> float:
    """Milliseconds of CPU time, the best of many: what `frozen` does besides the network's own forward."""
    network, image = models.build("hrnet_w32"), torch.zeros(1)
    network.forward = lambda x: x
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        frozen(network, image)
        times.append((time.thread_time() - start) * 1000)
    return min(times)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--json", type=Path, default=None, help="write the counts here")
    options = cli.parse_args()
    rows: dict[str, dict[str, float]] = {}
    for name, count in steps().items():
        clones, copies = (sum(count.seen[kind] for kind in kinds) for kinds in (CLONES, COPIES))
        rows[name] = {"operations": sum(count.seen.values()), "clones": clones, "copies": copies}
    for name, (eager, replay) in whole_steps().items():
        row = {"operations": sum(eager.seen.values()), "with a graph": sum(replay.seen.values()) + 1}
        rows[f"{name}, whole step"] = row
    rows["frozen"] = {"host ms": round(host_of_frozen(), 2)}
    crops = 128 * 3 * 256 * 192
    for amp in (None, torch.bfloat16):
        kind = paste_format(amp).out_dtype or torch.float32
        rows[f"paste for {amp or torch.float32}".replace("torch.", "")] = {"MB written": crops * kind.itemsize / 1e6}
    for name, row in rows.items():
        print(f"{name:22s} {'  '.join(f'{key} {value:g}' for key, value in row.items())}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
