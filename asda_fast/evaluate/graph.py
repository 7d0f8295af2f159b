"""A network's forward as one CUDA graph: HRNet-W32's is some thousand launches, more than a batch takes on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from asda_fast.core.cuda_graph import Record
from asda_fast.core.errors import first_line

WARM_UP = 2  # calls of one shape before the recording: they compile kernels and choose convolutions
AGREE = 0.01  # of the output's length: convolutions add up in any order


class GraphedForward:
    """`forward`, a function of one tensor, that becomes a graph when it is warm. The first replay is compared with it.

    Batches of another shape go through `forward`. say: hears why there is no graph, once.
    """

    def __init__(self, forward: Callable[[Tensor], Tensor], record: Record, say: Callable[[str], None]) -> None:
        self.forward, self.record, self.say = forward, record, say
        self.replay: Callable[[], None] | None = None
        self._off, self._checked, self._warm = False, False, 0
        self._shape: torch.Size | None = None
        self._given, self._made = torch.empty(0), torch.empty(0)

    def __call__(self, given: Tensor) -> Tensor:
        """The result is the caller's own."""
        if self.replay is None and given.shape != self._shape:
            self._shape, self._warm = given.shape, 0
        if self._off or given.shape != self._shape or self._warm < WARM_UP:
            self._warm += 1
            return self.forward(given)
        if self._checked:
            return self._replayed(given)
        expected = self.forward(given)
        try:
            self._record(given)
            found = self._replayed(given)
        except Exception as error:  # whatever a network of one's own may do that a graph cannot; no memory for both
            self._give_up(f"cannot be recorded ({first_line(error)})")
            return expected
        off = float(torch.linalg.vector_norm(found - expected)) / max(float(torch.linalg.vector_norm(expected)), 1e-30)
        if off <= AGREE:  # not so where one is not finite
            self._checked = True
        else:
            self._give_up(f"does not do what the network does (off by {off:.2g})")
        return expected

    def _record(self, given: Tensor) -> None:
        own = given.clone()

        def step() -> None:
            self._made = self.forward(own)

        self._given, self.replay = own, self.record(step)

    def _replayed(self, given: Tensor) -> Tensor:
        assert self.replay is not None
        self._given.copy_(given)
        self.replay()
        return self._made.clone()

    def _give_up(self, why: str) -> None:
        self._off, self.replay, self._given, self._made = True, None, torch.empty(0), torch.empty(0)
        self.say(f"cuda_graph: the network {why}; going on without a graph")
