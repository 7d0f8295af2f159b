"""What all benchmarks share: interleaved timing, peak memory, the machine, and the one JSON form.

{"machine": {...}, "versions": {...}, "commit": "...", "results": [{"name", "params", "unit", "median", "iqr"}, ...]}

    report = Report(threads=2)
    timings = interleave({"ours": f, "peer": g}, seconds=10)
    for name, t in timings.items():
        report.add(name, {"batch": 32}, "ms", t)
    report.save("benchmarks/results/NAME-amd-epyc-2threads.json")
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib.metadata
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "numpy", "opencv-python-headless", "simplejpeg", "nvidia-dali-cuda130", "cupy-cuda13x", "kornia")


@dataclass(frozen=True)
class Timing:
    """Samples of one contestant, in `unit` of the caller's choice (interleave gives ms)."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def iqr(self) -> float:
        """Distance between the quartiles: the spread that one outlier cannot make."""
        if len(self.samples) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return high - low


def interleave(
    contestants: dict[str, Callable[[], Any]],
    *,
    seconds: float = 5.0,
    rounds: int = 30,
    least: int = 3,
    warmup: int = 1,
    device: str = "cpu",
    clock: Callable[[Callable[[], Any]], float] | None = None,
) -> dict[str, Timing]:
    """Time every contestant once per round, so that a slow minute of the machine hits all of them.

    The order rotates from round to round. A contestant stops after `rounds` rounds, or, with at least `least`, once it
    has used its share of `seconds`. Milliseconds per call; on CUDA by events around ten calls. `clock`: another way to
    measure a call.
    """
    clock = clock or (_cuda_clock if device.startswith("cuda") else _wall_clock)
    for function in contestants.values():
        for _ in range(warmup):
            function()
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    share = seconds * 1000 / max(1, len(contestants))
    for turn in range(rounds):
        names = [n for n in contestants if len(samples[n]) < least or sum(samples[n]) < share]
        if not names:
            break
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            samples[name].append(clock(contestants[name]))
    return {name: Timing(tuple(values)) for name, values in samples.items()}


def _wall_clock(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    result = function()
    took = (time.perf_counter() - start) * 1000
    del result  # freeing the output is part of nobody's time
    return took


def _cuda_clock(function: Callable[[], Any], calls: int = 10) -> float:
    """Per call of a queue of calls: the GPU does not wait for Python between them, unless Python is the slower."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    begin.record()
    for _ in range(calls):
        function()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / calls


def peak_memory(function: Callable[[], Any], device: str = "cpu") -> float:
    """MiB that one call needs on top of what was there before it: resident memory on Linux, torch's count on CUDA."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    if platform.system() != "Linux":
        return float("nan")
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # free memory that malloc holds back would hide an allocation
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    except OSError:  # some containers forbid it
        return float("nan")
    before = _status("VmRSS")
    function()
    return _status("VmHWM") - before


def _status(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    return float("nan")


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


@dataclass
class Report:
    """The results of one benchmark run, and the machine they were measured on."""

    threads: int | None = None
    device: str = "cpu"
    results: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, params: dict[str, Any], unit: str, value: Timing | Sequence[float] | float) -> None:
        """One row. `value`: a Timing, or samples, or one number (a memory peak, say), in `unit`."""
        if not isinstance(value, Timing):
            value = Timing(tuple(value) if isinstance(value, Sequence) else (float(value),))
        row = {"name": name, "params": params, "unit": unit}
        self.results.append({**row, "median": round(value.median, 5), "iqr": round(value.iqr, 5)})

    def as_dict(self) -> dict[str, Any]:
        machine: dict[str, Any] = {"cpu": cpu_name(), "threads": self.threads or torch.get_num_threads()}
        if self.device.startswith("cuda"):
            machine["gpu"] = torch.cuda.get_device_name()
        versions = {"python": platform.python_version()}
        for package in PACKAGES:
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
        return {"machine": machine, "versions": versions, "commit": commit(), "results": self.results}

    def save(self, path: str | Path) -> None:
        validate(self.as_dict())
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(self.as_dict(), indent=1) + "\n")


def commit() -> str:
    """Short hash of the tree that was measured; "+" after it if compiled or Python sources were changed since."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        sources = ["asda_fast", "csrc", "kernels"]
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *sources], cwd=ROOT, check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed else "")


def validate(data: Any) -> None:
    """ValueError unless `data` has the one form of every benchmark's JSON."""
    if not isinstance(data, dict) or set(data) != {"machine", "versions", "commit", "results"}:
        raise ValueError("expected the keys machine, versions, commit, results")
    if not data["results"]:
        raise ValueError("results: expected at least one row")
    for row in data["results"]:
        if set(row) != {"name", "params", "unit", "median", "iqr"}:
            raise ValueError(f"results: expected name, params, unit, median, iqr in every row, got {sorted(row)}")
        if not isinstance(row["params"], dict) or not all(isinstance(row[k], (int, float)) for k in ("median", "iqr")):
            raise ValueError(f"results: wrong types in {row}")
        if not all(isinstance(value, (str, int, float)) for value in row["params"].values()):
            raise ValueError(f"results: expected plain values in params, got wrong ones in {row}")


def parser(description: str) -> argparse.ArgumentParser:
    """The options every benchmark has."""
    out = argparse.ArgumentParser(description=description)
    out.add_argument("--device", default="cpu", help="cpu or cuda")
    out.add_argument("--threads", type=int, default=None, help="CPU threads (default: torch's own setting)")
    out.add_argument("--json", type=Path, default=None, help="write the results here")
    out.add_argument("--quick", action="store_true", help="fewer cases and rounds")
    return out
