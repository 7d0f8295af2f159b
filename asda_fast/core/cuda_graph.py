"""Record what a function asks of a GPU, once, and have it done again by one launch.

A graph does again what the device was told, with the same tensors: what Python decides anew stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable

Record = Callable[[Callable[[], None]], Callable[[], None]]  # tests put another in place of `record`


def record(step: Callable[[], None]) -> Callable[[], None]:
    """Record `step` without running it; gives what runs it. Errors of what cannot be recorded are RuntimeErrors."""
    import torch

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # the loader's threads go on meanwhile
        step()
    return graph.replay
