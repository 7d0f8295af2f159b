"""The paste benchmark: what it times on a GPU (with a stand-in for one), and that it runs on a CPU."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import common, paste, paste_gpu

    return SimpleNamespace(common=common, paste=paste, gpu=paste_gpu)


class Cuda:
    """As much of torch.cuda as Replay uses. Its clock moves only when a graph is replayed."""

    def __init__(self, milliseconds: float) -> None:
        self.now, self.cost, self.log = 0.0, milliseconds, []
        cuda = self

        class Stream:
            def wait_stream(self, other):
                cuda.log.append("wait")

        class CUDAGraph:
            def replay(self):
                cuda.log.append("replay")
                cuda.now += cuda.cost

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self):
                self.at = cuda.now

            def synchronize(self):
                cuda.log.append("synchronise")

            def elapsed_time(self, end):
                return end.at - self.at

        self.Stream, self.CUDAGraph, self.Event = Stream, CUDAGraph, Event

    def current_stream(self):
        return self.Stream()

    def synchronize(self):
        self.log.append("synchronise")

    @contextlib.contextmanager
    def _within(self, word):
        self.log.append(word)
        yield
        self.log.append(f"end of {word}")

    def stream(self, stream):
        return self._within("side stream")

    def graph(self, graph):
        return self._within("capture")


def test_replay(modules):
    """Warmed up outside, captured once each, then only replayed; the time is divided by all the calls."""
    cuda = Cuda(milliseconds=1.5)
    calls = [lambda i=i: cuda.log.append(f"call {i}") or torch.zeros(i + 1) for i in range(3)]
    replay = modules.gpu.Replay(calls, cuda)
    captured = ["capture", "call 0", "call 1", "call 2", "end of capture"]
    assert cuda.log == ["wait", "side stream", "call 0", "call 0", "end of side stream", "wait", *captured]
    assert [len(kept) for kept in replay.kept] == [1, 2, 3], "outputs live on, so that each call has its own memory"
    cuda.log.clear()
    assert replay.microseconds(replays=4) == pytest.approx(1500 / 3)
    assert cuda.log == ["synchronise", *["replay"] * 4, "synchronise"]


def test_matrix(modules):
    """Every kind, N and direction, with the copy of the same bytes beside it."""
    report = modules.common.Report(1)
    seen = []

    def replay(calls):
        results = [call() for call in calls]
        seen.append(results)
        return SimpleNamespace(microseconds=lambda: 10.0 * len(seen[-1]))

    lines = list(modules.gpu.measure(report, [2], [(16, 24)], [0, 3], "cpu", replay, samples=2, least=50_000))
    assert len(lines) == 3 * (1 + 2)
    assert all("100.0 % of a copy" in line for line in lines)
    rows = report.as_dict()["results"]
    assert {row["name"] for row in rows} == {"asda_fast", "device copy"}
    assert {(r["params"]["dtype"], r["params"]["parts"], r["params"]["mode"]) for r in rows} == {
        (kind, parts, mode)
        for kind in modules.gpu.KINDS
        for parts in (0, 3)
        for mode in ("forward", "backward")[: 1 + (parts > 0)]
    }
    modules.common.validate(report.as_dict())
    copies, forwards = seen[0], seen[1]  # fp32, N = 0
    assert len(copies) == len(forwards) == 3, "as many as fill the working set"
    pixels = 2 * 3 * 16 * 24
    assert copies[0].numel() == pixels * 4, "a copy reads and writes what paste reads and writes"
    assert forwards[0].shape == (2, 3, 16, 24)
    last = seen[-2][0]  # uint8 -> bfloat16 channels_last, N = 3
    assert last.dtype == torch.bfloat16
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert seen[-3][0].numel() == pixels * 3 // 2


def test_runs_on_a_cpu(modules, monkeypatch, tmp_path, capsys):
    """The real thing, small: all contestants agree, the file has the form."""
    path = tmp_path / "paste.json"
    small = ["--batches", "2", "--sizes", "32x40", "--parts", "1", "--dtypes", "fp32,uint8", "--seconds", "0.05"]
    monkeypatch.setattr(sys, "argv", ["paste", "--json", str(path), *small])
    modules.paste.main()
    modules.common.validate(json.loads(path.read_text()))
    assert "asda_fast" in capsys.readouterr().out


def test_launch_cost_runs_anywhere(modules, monkeypatch, tmp_path, capsys):
    path = tmp_path / "launch.json"
    monkeypatch.setattr(sys, "argv", ["paste", "--launch-cost", "--json", str(path)])
    monkeypatch.setattr(modules.paste.paste_launch, "CALLS", 2)
    modules.paste.main()
    rows = json.loads(path.read_text())["results"]
    assert {row["unit"] for row in rows} == {"us"}
    assert len(rows) == 6
    assert all(row["median"] > 0 for row in rows)
