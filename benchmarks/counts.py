"""python -m benchmarks.counts: what one step asks of the host and the device, by counting, so that any machine will do.

    python -m benchmarks.counts [--json FILE] [--before FILE]

Operations, clones and the host's time of one step of each kind, of the updates alone and of the trainer's whole step,
and what is left of it to the host once it is a CUDA graph; the host's time to hold the pose network still for the
generator's step, its own forward left out; what a call of paste costs Python, its launch stubbed; the kernels'
instructions and registers (where NVRTC and nvdisasm are at hand); the bytes that paste writes for 128 crops of 256x192.

The networks are HRNet-W32 and the generator with one channel for each 32 (four) on small crops: as many operations,
each on next to nothing: CPU time, which on a CPU computes them too, is an upper bound of what launching them costs. It
is the best of some steps on one thread: a slow one is the machine's. `--before`: an earlier tree's JSON, whose rows
then stand beside these.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from asda_fast import models
from asda_fast.models.frozen import frozen
from asda_fast.train import setup
from asda_fast.train.adversarial import Networks, step_alone, step_alternate, step_joint
from asda_fast.train.graph import WARM_UP, GraphedStep
from benchmarks import kernel_counts, paste_launch
from benchmarks.common import Report, parser
from benchmarks.step import STEPS, batch_of, trainer_for

THIN = {"width": 1, "stem": 1}
THIN_GENERATOR = 16  # at 1 to 4, channels last, oneDNN (torch 2.13, CPU) writes past its memory


class Row(NamedTuple):
    what: str
    of: str
    unit: str
    value: float


class Count(TorchDispatchMode):
    """Operations by name, views left out: they launch nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not function.is_view:
            self.seen[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def host(function: Callable[[], object], rounds: int) -> float:
    """Milliseconds of CPU time of this thread and of autograd's, which works while this one waits."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        function()
        times.append((time.process_time() - start) * 1000)
    return min(times)


def players() -> Networks:
    pose, generator = models.build("hrnet_w32", **THIN), models.Generator(width=THIN_GENERATOR)
    adams = [torch.optim.Adam(network.parameters(), lr=1e-4, fused=True) for network in (pose, generator)]
    return Networks(pose, adams[0], generator, adams[1])


def updates(rounds: int) -> Iterator[Row]:
    """Of the two networks' updates alone. The first step of each kind makes the optimisers' state."""
    clean, target, weight = torch.rand(1, 3, 64, 64), torch.rand(1, 17, 16, 16), torch.ones(1, 17)

    def paste(placement: Tensor) -> Tensor:
        return clean + placement.mean((1, 2))[:, None, None, None]

    kinds: dict[str, Callable[[Networks], object]] = {
        "none": lambda game: step_alone(game, clean, target, weight),
        "joint": lambda game: step_joint(game, clean, paste, target, weight),
        "alternate": lambda game: step_alternate(game, clean, paste, target, weight),
    }
    for name, step in kinds.items():
        game = players()
        step(game)
        with Count() as count:
            step(game)
        yield Row("operations", f"updates, {name}", "", sum(count.seen.values()))
        yield Row("clones", f"updates, {name}", "", count.seen["clone"])
        yield Row("host's time", f"updates, {name}", "ms", round(host(lambda g=game, s=step: s(g), rounds), 1))  # type: ignore[misc]
    network, image = models.build("hrnet_w32", **THIN), torch.zeros(1)
    network.forward = lambda x: x
    yield Row("host's time", "holding the pose network still", "ms", round(host(lambda: frozen(network, image), 30), 2))


def whole_steps(rounds: int) -> Iterator[Row]:
    """Of the trainer's step, and of what is done besides the one launch where it is a graph."""
    common = {"dataset": "demo", "model": "hrnet_w32", "input": "64x64", "batch_size": 2, "augment": "asda"}
    common["model_options"] = [f"{name}={value}" for name, value in THIN.items()]
    for name in ("none", "sda", "joint", "alternate"):
        with mock.patch.dict(setup.GENERATOR_WIDTH, hrnet_w32=THIN_GENERATOR):
            trainer = trainer_for(STEPS[name], "eager", common, torch.device("cpu"))
        batch = batch_of(trainer, 1)
        graphed = GraphedStep(lambda batch, epoch: None, dict, print, lambda step: lambda: None)
        for _ in range(WARM_UP + 1):
            graphed(batch, 0)
        trainer.learn(batch)
        for way, run in (("", trainer.learn), (" as a graph", lambda b, g=graphed: g(b, 0))):  # type: ignore[misc]
            with Count() as count:
                run(batch)
            launches = sum(count.seen.values()) + bool(way)
            yield Row("operations", f"whole step, {name}{way}", "", launches)
            yield Row(
                "host's time", f"whole step, {name}{way}", "ms", round(host(lambda r=run, b=batch: r(b), rounds), 2)
            )  # type: ignore[misc]


def kernels() -> Iterator[Row]:
    try:
        compiler, _ = kernel_counts.Nvrtc(), kernel_counts.nvdisasm()
    except (AssertionError, SystemExit) as error:
        print(f"left out: the kernels ({error})")
        return
    for name in ("forward float32", "backward float32"):
        found = kernel_counts.measure(kernel_counts.KERNELS[name], "sm_90", compiler)
        yield Row("instructions a pixel and slot", f"kernel, {name}, sm_90", "", found["per pixel and slot"])
        yield Row("registers", f"kernel, {name}, sm_90", "", found["registers"])


def pastes() -> Iterator[Row]:
    for name, micro in paste_launch.measure().items():
        if not name.startswith("("):
            yield Row("host's time", f"a call of paste, {name}", "us", round(micro, 1))
    crops = 128 * 3 * 256 * 192
    for amp in (None, torch.bfloat16):
        kind = setup.paste_format(amp).out_dtype or torch.float32
        of = "without autocast" if amp is None else "under autocast"
        yield Row("written by paste", f"128 crops, {of}", "MB", round(crops * kind.itemsize / 1e6, 1))


def main() -> None:
    cli = parser((__doc__ or "").splitlines()[0])
    cli.add_argument("--before", type=Path, default=None, help="an earlier tree's counts, to stand beside these")
    options = cli.parse_args()
    torch.set_num_threads(1)
    rounds = 2 if options.quick else 12
    earlier = (
        [row for row in json.loads(options.before.read_text())["results"] if row["name"] == "now"]
        if options.before
        else []
    )
    old = {(row["params"]["count"], row["params"]["of"]): row["median"] for row in earlier}
    report = Report(1)
    for part in (updates(rounds), whole_steps(rounds), pastes(), kernels()):
        for row in part:
            params = {"count": row.what, "of": row.of}
            if (row.what, row.of) in old:
                report.add("before", params, row.unit, old[row.what, row.of])
            report.add("now", params, row.unit, row.value)
            was = f"  (before {old[row.what, row.of]:g})" if (row.what, row.of) in old else ""
            print(f"{row.of:46} {row.what:30} {row.value:g} {row.unit}{was}", flush=True)
    if options.json:
        report.save(options.json)


if __name__ == "__main__":
    main()
