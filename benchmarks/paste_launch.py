"""What a call of paste on a GPU costs Python: the whole way from `paste` to the driver, the launch itself stubbed out.

    python -m benchmarks.paste --launch-cost

Runs anywhere: CPU tensors take the way of the CUDA kernels, and the calls that reach the driver return at once. The
rows in brackets are what torch itself takes for such a call: an autograd function that allocates as much and does
nothing. Microseconds of CPU time per call; the best of many rounds, because a slow round is the machine's.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from asda_fast.ops import nvrtc, paste, paste_cuda
from asda_fast.parts.pool import PartPool

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CALLS = 200  # per round


@contextlib.contextmanager
def stubbed() -> Iterator[list[int]]:
    """paste of CPU tensors goes as far as the driver; yields the blocks of every launch that was asked for."""
    seen: list[int] = []
    counts = torch.zeros(4096, dtype=torch.int32)
    report = torch.zeros(3, dtype=torch.int64).numpy().data

    def launch(handle: int, blocks: int, *rest: int) -> None:
        seen.append(blocks)

    driver = nvrtc.Driver(launch, lambda device: 0, lambda: -1, lambda device: None)
    with contextlib.ExitStack() as stack:
        for target, name, stand_in in (
            (sys.modules["asda_fast.ops.paste"], "_kernels", lambda image: paste_cuda),
            (nvrtc, "compile", lambda *what: 1),
            (nvrtc, "driver", lambda: driver),
            (nvrtc, "counters", lambda device, count: counts),
            (paste_cuda, "_report", lambda device: (report, 0)),
        ):
            stack.enter_context(mock.patch.object(target, name, stand_in))
        yield seen
    paste_cuda._prepare.cache_clear()
    paste_cuda._kernel.cache_clear()


class Nothing(torch.autograd.Function):
    """What an autograd function of paste's arguments costs when it only allocates."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, texels: Tensor, table: Tensor, part: Tensor, matrix: Tensor) -> Tensor:
        ctx.save_for_backward(image, texels, table, part, matrix)
        return torch.empty_like(image)

    @staticmethod
    def backward(ctx: Any, v_out: Tensor) -> tuple[Tensor | None, ...]:
        matrix = ctx.saved_tensors[4]
        return None, None, None, None, torch.empty_like(matrix)


def calls() -> dict[str, Callable[[], Any]]:
    """name -> one call, of a batch of 32 with 3 slots (the images are small: Python does not look at their pixels)."""
    pool = PartPool.from_patches([torch.zeros((20, 20, 4), dtype=torch.uint8)])
    photo = torch.zeros((32, 16, 16, 3), dtype=torch.uint8)
    image, v_out = torch.zeros((32, 3, 16, 16)), torch.zeros((32, 3, 16, 16))
    part, matrix = torch.zeros((32, 3), dtype=torch.int64), torch.zeros((32, 3, 2, 3))
    learned = matrix.clone().requires_grad_()
    inputs = (pool.texels, pool.table, part, learned)
    return {
        "float32": lambda: paste(image, pool, part, matrix, MEAN, STD),
        "uint8 -> bfloat16 channels_last": lambda: paste(
            photo, pool, part, matrix, MEAN, STD, torch.bfloat16, torch.channels_last
        ),
        "float32, learned": lambda: paste(image, pool, part, learned, MEAN, STD),
        "(learned, torch alone)": lambda: Nothing.apply(image, *inputs),
        "float32, learned, and back": lambda: torch.autograd.grad(
            paste(image, pool, part, learned, MEAN, STD), learned, v_out
        ),
        "(and back, torch alone)": lambda: torch.autograd.grad(Nothing.apply(image, *inputs), learned, v_out),
    }


def measure(rounds: int = 40) -> dict[str, float]:
    """name -> microseconds of CPU time of one call."""
    best: dict[str, float] = {}
    with stubbed():
        for name, call in calls().items():
            for _ in range(CALLS):
                call()
            times = []
            for _ in range(rounds):
                start = time.thread_time()
                for _ in range(CALLS):
                    call()
                times.append((time.thread_time() - start) / CALLS * 1e6)
            best[name] = min(times)
    return best
