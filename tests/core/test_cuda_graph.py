"""A recording that goes wrong: what it says, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch

from asda_fast.core.cuda_graph import record


@contextmanager
def ended_badly(*_: Any, **__: Any) -> Iterator[None]:
    """torch.cuda.graph where the device refused something: its end raises another error than its inside."""
    try:
        yield
    finally:
        raise RuntimeError("operation failed due to a previous error during capture")


def test_the_first_error_is_the_one_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", ended_badly)

    def step() -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match=r"^operation not permitted"):
        record(step)
    with pytest.raises(RuntimeError, match=r"^operation failed due to a previous error"):
        record(lambda: None)


@pytest.mark.cuda
def test_after_a_recording_that_failed_all_is_as_before(cuda: torch.device) -> None:
    value, before = torch.zeros(3, device=cuda), torch.cuda.current_stream()
    with pytest.raises(RuntimeError, match=r"not permitted|captur"):
        record(lambda: value.fill_(float(torch.rand(1, device=cuda).item())))
    assert torch.cuda.current_stream() == before
    assert torch.rand(3, device=cuda).isfinite().all() and value.eq(0).all()
    replay = record(lambda: value.add_(1))
    replay()
    assert value.tolist() == [1, 1, 1]
