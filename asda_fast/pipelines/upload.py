"""Batches to the GPU, from pinned memory, without the host waiting for them."""

from __future__ import annotations

from collections import deque
from dataclasses import fields, replace

import torch

from asda_fast.core.batch import Batch


class Upload:
    """Copies batches to the GPU on a stream of its own. A pinned buffer is kept until its copy is through, and the
    caller's stream waits for the copy, the host never does."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self._under_way: deque[tuple[torch.cuda.Event, Batch]] = deque()

    def __call__(self, batch: Batch) -> Batch:
        while self._under_way and self._under_way[0][0].query():
            self._under_way.popleft()
        host = replace(
            batch, **{f.name: getattr(batch, f.name).pin_memory() for f in fields(batch) if f.name != "image"}
        )
        with torch.cuda.stream(self.stream):
            there = host.to(self.device, non_blocking=True)
        copied = self.stream.record_event()
        self._under_way.append((copied, host))
        caller = torch.cuda.current_stream(self.device)
        caller.wait_event(copied)
        for f in fields(there):
            getattr(there, f.name).record_stream(caller)  # allocated on our stream, used on the caller's
        return there
