"""The facts of a machine, as a record that a test can make up. Drivers are asked in a process of its own."""

from __future__ import annotations

import contextlib
import ctypes.util
import glob
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any

from asda_fast.core.files import cache_folder

GIB = 1 << 30
PATIENCE = 15.0  # seconds: a driver that is ill may never answer
COMPILERS = ("c++", "g++", "clang++")
PACKAGES = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12",
            "nvidia-dali-cuda110", "nvidia-dali-cuda120", "nvidia-dali-cuda130", "nvidia-nvimgcodec-cu12",
            "nvidia-nvimgcodec-cu13")  # fmt: skip


@dataclass(frozen=True)
class Gpu:
    name: str
    capability: tuple[int, int]
    memory: int  # bytes


@dataclass(frozen=True)
class Space:
    """Bytes of a file system."""

    where: str
    free: int
    writable: bool = True


@dataclass(frozen=True)
class Machine:
    """All that the checks look at."""

    python: tuple[int, int, int]
    system: str  # "Linux x86_64"
    requires: tuple[str, ...]  # what asda_fast's metadata requires, extras too; () where it is not installed
    packages: dict[str, str]  # name -> version of what is installed
    torch_cuda: str | None = None  # what torch is built for; None: without CUDA
    extension: str | None = None  # the C++ module's file
    extension_error: str | None = None  # why it does not load
    compiler: str | None = None
    avx2: bool = True
    driver: str | None = None  # NVIDIA's, such as 580.65.06; "" where it does not say
    driver_cuda: tuple[int, int] | None = None  # the newest CUDA that it runs; None: no driver
    driver_error: str | None = None  # why it gives no GPUs
    gpus: tuple[Gpu, ...] = ()
    nvrtc: str | None = None  # a library that is no package
    cores: int = 1  # that this process may use
    quota: float | None = None  # cores that its container grants
    memory: int = 0  # bytes free; of the container where that is less
    shared: Space | None = None  # /dev/shm
    disk: Space = field(default_factory=lambda: Space(".", 0))  # the working folder
    cache: Space = field(default_factory=lambda: Space("~", 0))  # where the demo set's pool is kept


def look() -> Machine:
    """This machine, in about a second."""
    here = Path(__file__).resolve().parent
    built = here.parent / f"_C{sysconfig.get_config_var('EXT_SUFFIX') or '.so'}"
    extension = str(built) if built.is_file() else None
    driver = ask_driver()
    requires = _requires()
    names = {re.split(r"[^A-Za-z0-9._-]", line)[0] for line in requires} | {*PACKAGES, "asda_fast", "torch", "tyro"}
    return Machine(
        python=sys.version_info[:3],
        system=f"{platform.system()} {platform.machine()}",
        requires=requires,
        packages={name: version for name in sorted(names) if (version := _version(name))},
        torch_cuda=torch_cuda(),
        extension=extension,
        extension_error=_loads(extension) if extension else None,
        compiler=_compiler(),
        avx2=_avx2(),
        driver=_driver_version(),
        driver_cuda=tuple(driver["cuda"]) if driver.get("cuda") else None,
        driver_error=driver.get("error"),
        gpus=tuple(Gpu(gpu["name"], tuple(gpu["capability"]), gpu["memory"]) for gpu in driver.get("gpus", ())),
        nvrtc=_nvrtc(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        quota=_quota(),
        memory=_memory(),
        shared=_space("/dev/shm") if os.path.isdir("/dev/shm") else None,
        disk=_space(os.getcwd()),
        cache=_space(str(cache_folder())),
    )


def torch_cuda(file: Path | None = None) -> str | None:
    """The CUDA that the installed torch is built for, from its version.py: to import it takes seconds."""
    if file is None:
        spec = util.find_spec("torch")
        if spec is None or spec.origin is None:
            return None
        file = Path(spec.origin).with_name("version.py")
    try:
        found = re.search(r"^cuda\b[^=]*= *['\"]([\d.]+)['\"]", file.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return found[1] if found else None


def ask_driver() -> dict[str, Any]:
    """What cuda_probe.py prints, or {"error": why it does not}; {} where there is no driver."""
    return _ask([str(Path(__file__).with_name("cuda_probe.py"))])


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _requires() -> tuple[str, ...]:
    try:
        return tuple(metadata.requires("asda_fast") or ())
    except metadata.PackageNotFoundError:
        return ()


def _ask(command: list[str]) -> dict[str, Any]:
    """What a Python process prints as JSON; its end, where it does not end well, as {"error": ..}."""
    try:
        done = subprocess.run([sys.executable, "-I", *command], capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {PATIENCE:.0f} s"}
    if done.returncode:
        return {"error": ended(done.returncode, done.stderr)}
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"error": "an answer that is no JSON"}


def ended(code: int, said: str) -> str:
    """How a process ended, in words: its signal, or the last line that it said."""
    if code < 0:
        import signal

        with contextlib.suppress(ValueError):
            return f"died of {signal.Signals(-code).name}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (lines[-1] if lines else f"exit code {code}")[:200]


def _loads(extension: str) -> str | None:
    code = "import importlib.util as u, sys; s = u.spec_from_file_location('asda_fast._C', sys.argv[1]); "
    return _ask(["-c", code + "u.module_from_spec(s); print('{}')", extension]).get("error")


def _compiler() -> str | None:
    name = next((name for name in (os.environ.get("CXX"), *COMPILERS) if name and shutil.which(name)), None)
    if name is None:
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([name, "--version"], capture_output=True, text=True, timeout=PATIENCE).stdout
        return said.splitlines()[0] if said else name
    return name


def _avx2() -> bool:
    try:
        return " avx2" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _driver_version() -> str | None:
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return None
    found = re.search(r"\b(\d{3,}\.[\d.]+)\b", text)
    return found[1] if found else ""


def _nvrtc() -> str | None:
    """A library of NVRTC that the loader or CUDA's usual places know."""
    if found := ctypes.util.find_library("nvrtc"):
        return found
    roots = [os.environ.get(name) for name in ("CUDA_PATH", "CUDA_HOME", "CONDA_PREFIX")] + ["/usr/local/cuda"]
    for root in filter(None, roots):
        for place in ("lib64", "lib", "targets/x86_64-linux/lib"):
            if libraries := sorted(glob.glob(os.path.join(str(root), place, "libnvrtc.so*"))):
                return libraries[0]
    return None


def _read_number(*paths: str) -> float | None:
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            return float(Path(path).read_text().split()[0])
    return None


def _quota() -> float | None:
    """Cores that the control group grants (docker run --cpus 2): nothing else tells a process of them."""
    with contextlib.suppress(OSError, ValueError):
        granted, every = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
        return None if granted == "max" else float(granted) / float(every)
    quota = _read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period = _read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def _memory() -> int:
    free = 0
    with contextlib.suppress(OSError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
        free = int(found[1]) << 10 if found else 0
    limit = _read_number("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    used = _read_number("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")
    if limit is not None and used is not None and limit < 2**60:
        return min(free, max(0, int(limit - used))) if free else max(0, int(limit - used))
    return free


def _space(where: str) -> Space:
    """Of a folder, or of the nearest one above it that is there."""
    folder = Path(where)
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return Space(where, 0, False)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Space(where, free)
    except OSError:
        return Space(where, free, False)
