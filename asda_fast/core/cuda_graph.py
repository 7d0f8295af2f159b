"""Record what a function asks of a GPU, once, and have it done again by one launch.

A graph does again what the device was told, with the same tensors: what Python decides anew stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

Record = Callable[[Callable[[], None]], Callable[[], None]]  # tests put another in place of `record`


def record(step: Callable[[], None]) -> Callable[[], None]:
    """Record `step` without running it; gives what runs it. What cannot be recorded raises as it does within the step,
    and leaves stream and random numbers as they were."""
    import torch

    graph, first = torch.cuda.CUDAGraph(), list[Exception]()
    try:
        # A recording that cannot be ended does not put the stream back. thread_local: the loader's threads go on.
        with (
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(graph, capture_error_mode="thread_local"),
        ):
            try:
                step()
            except Exception as error:
                first.append(error)
                raise
    except Exception as error:
        with suppress(Exception):  # where torch takes the generator for recording from then on, a fresh one is not
            generator = torch.cuda.default_generators[torch.cuda.current_device()]
            generator.graphsafe_set_state(generator.clone_state())
        # Ending a recording that went wrong raises once more, and says nothing of why.
        raise first[0] if first else error from None
    return graph.replay
