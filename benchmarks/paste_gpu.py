"""paste on a GPU: time on the device by replaying a CUDA graph, beside a copy that moves the same bytes.

    python -m benchmarks.paste --device cuda --json benchmarks/results/paste-GPU.json

A captured call has no Python in it, and what is timed is what a captured training step pays. Every call of a graph has
images and outputs of its own, 256 MB of them at least, so that no cache holds what the next call reads. `device copy`
moves as many bytes as the forward must (image in, result out; texels are not counted): its ratio to asda_fast is the
share of the device's bandwidth that paste reaches. `backward` gives the gradient to the matrices and reads only what
lies under a part; the copy beside it is the same as for `forward`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from asda_fast.ops.paste import paste, paste_backward
from benchmarks.common import Report, Timing
from benchmarks.paste_cases import MEAN, STD, make_pool, make_slots

WORKING_SET = 256 << 20  # bytes; several times a level-2 cache


class Kind(NamedTuple):
    image: torch.dtype
    out: torch.dtype
    layout: torch.memory_format

    @property
    def bytes(self) -> int:
        """Per pixel, in and out."""
        return 3 * (self.image.itemsize + self.out.itemsize)


KINDS = {
    "fp32": Kind(torch.float32, torch.float32, torch.contiguous_format),
    "bf16": Kind(torch.bfloat16, torch.bfloat16, torch.contiguous_format),
    "uint8 to bf16 channels_last": Kind(torch.uint8, torch.bfloat16, torch.channels_last),
}


class Replay:
    """Calls captured into one CUDA graph. `cuda` is torch.cuda, or what a test puts in its place."""

    def __init__(self, calls: list[Callable[[], Any]], cuda: Any = torch.cuda) -> None:
        self.cuda, self.count = cuda, len(calls)
        side = cuda.Stream()
        side.wait_stream(cuda.current_stream())
        with cuda.stream(side):  # compiles and fills caches, which a capture cannot
            for _ in range(2):
                calls[0]()
        cuda.current_stream().wait_stream(side)
        self.graph = cuda.CUDAGraph()
        with cuda.graph(self.graph):
            self.kept = [call() for call in calls]  # or every call would write into the same, still cached, memory

    def microseconds(self, replays: int = 10) -> float:
        """Of one call, on the device."""
        begin, end = self.cuda.Event(enable_timing=True), self.cuda.Event(enable_timing=True)
        self.cuda.synchronize()
        begin.record()
        for _ in range(replays):
            self.graph.replay()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1000 / (replays * self.count)


def calls(
    kind: Kind, batch: int, size: tuple[int, int], parts: int, device: str, least: int = WORKING_SET
) -> dict[str, list[Callable[[], Any]]]:
    """name of a row -> calls, as many as fill `least` bytes."""
    height, width = size
    pool = make_pool().to(device)
    part, matrix = (t.to(device) for t in make_slots(make_pool(), batch, parts, height, width))
    moved = kind.bytes * batch * height * width
    sets = max(2, -(-least // max(moved, 1)))
    pixels = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8, device=device)
    image = pixels if kind.image == torch.uint8 else pixels.permute(0, 3, 1, 2).to(kind.image).contiguous() / 255
    v_out = torch.randn((batch, 3, height, width), device=device).to(kind.out, memory_format=kind.layout)
    block = torch.empty(moved // 2, dtype=torch.uint8, device=device)

    def forward(given: Tensor) -> Callable[[], Tensor]:
        return lambda: paste(given, pool, part, matrix, MEAN, STD, kind.out, kind.layout)

    def backward(given: Tensor, v_given: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
        rest = (pool.texels, pool.table, part, matrix, MEAN, STD, True, False)
        return lambda: paste_backward(v_given, given, *rest)

    def copy(given: Tensor) -> Callable[[], Tensor]:
        return given.clone

    images = [image.clone() for _ in range(sets)]
    out: dict[str, list[Callable[[], Any]]] = {
        "device copy": [copy(block.clone()) for _ in range(sets)],
        "forward": [forward(given) for given in images],
    }
    if parts:
        out["backward"] = [backward(given, v_out.clone()) for given in images]
    return out


def measure(
    report: Report,
    batches: list[int],
    sizes: list[tuple[int, int]],
    parts: list[int],
    device: str,
    replay: Callable[[list[Callable[[], Any]]], Replay] = Replay,
    samples: int = 10,
    least: int = WORKING_SET,
) -> Iterator[str]:
    """Adds the rows of the whole matrix to `report`; yields a line for each."""
    for batch in batches:
        for size in sizes:
            for name, kind in KINDS.items():
                for count in parts:
                    timings: dict[str, Timing] = {}
                    with torch.no_grad():
                        for row, functions in calls(kind, batch, size, count, device, least).items():
                            graph = replay(functions)
                            timings[row] = Timing(tuple(graph.microseconds() for _ in range(samples)))
                            del graph
                    copied = timings.pop("device copy")
                    for mode, timing in timings.items():
                        params = {"batch": batch, "size": f"{size[0]}x{size[1]}", "dtype": name, "parts": count}
                        report.add("asda_fast", {**params, "mode": mode}, "us", timing)
                        report.add("device copy", {**params, "mode": mode}, "us", copied)
                        yield (
                            f"B={batch:<4}{size[0]}x{size[1]:<5}{name:28}N={count} {mode:9}"
                            f"{timing.median:9.1f} us  (iqr {timing.iqr:.1f})  copy {copied.median:8.1f} us"
                            f"  {100 * copied.median / timing.median:5.1f} % of a copy"
                        )
