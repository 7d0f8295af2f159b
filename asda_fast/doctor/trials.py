"""Trying it: each in a process of its own with a time limit, since a broken library takes its process down."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from asda_fast.doctor.checks import Check, Status, on_gpu
from asda_fast.doctor.machine import Machine, ended

LIMIT = 180.0  # seconds: a first CUDA context, a first import from a network disk
_PASTE = """
import torch, asda_fast
pool = asda_fast.PartPool.from_patches([torch.full((8, 8, 4), 255, dtype=torch.uint8)]).to("{device}")
image = torch.zeros(1, 32, 32, 3, dtype=torch.uint8, device="{device}")
part = torch.zeros(1, 1, dtype=torch.int64, device="{device}")
matrix = torch.tensor([[[[1.0, 0, -4], [0, 1.0, -4]]]], device="{device}")
out = asda_fast.paste(image, pool, part, matrix)
assert out[0, 0, 6, 6] > 0.99 and out[0, 0, 20, 20] == 0, "the part does not lie where it should"
"""
_LOAD = """
import asda_fast
people = asda_fast.data.load("demo")
loader = asda_fast.make_loader(people, size=(64, 64), batch_size=4, pipeline="{name}", device="{device}")
batch = next(iter(loader))
assert batch.image.shape == (4, 64, 64, 3) and batch.image.float().std() > 1, "an empty batch"
"""


def trials(machine: Machine) -> dict[str, str]:
    """name -> Python code of what this machine should be able to do."""
    devices = ["cpu", "cuda"] if on_gpu(machine) else ["cpu"]
    found = {"try torch": "import torch" + ("; assert torch.cuda.is_available(), 'sees no GPU'" * (len(devices) > 1))}
    found |= {f"try paste, {device}": _PASTE.format(device=device) for device in devices}
    found["try native, cpu"] = _LOAD.format(name="native", device="cpu")
    if any(name.startswith("nvidia-dali") for name in machine.packages):
        found |= {f"try dali, {device}": _LOAD.format(name="dali", device=device) for device in devices}
    return found


def run(machine: Machine) -> list[Check]:
    return [attempt(name, code) for name, code in trials(machine).items()]


def attempt(name: str, code: str, limit: float = LIMIT) -> Check:
    """Run `code`; a trial of DALI that fails leaves the native pipeline, all others are needed."""
    status: Status = "caution" if "dali" in name else "broken"
    begun = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=limit, env=environment
        )
    except subprocess.TimeoutExpired:
        return Check(name, status, f"no end in {limit:.0f} s")
    if done.returncode:
        return Check(name, status, ended(done.returncode, done.stderr))
    return Check(name, "ok", f"works, {time.monotonic() - begun:.1f} s")
