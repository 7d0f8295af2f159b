"""What every CUDA kernel shares: its sources, NVRTC through CuPy, launches on torch's current stream, block counters.

A kernel takes one parameter, a plain struct. Nothing here waits for the device. CuPy is imported at the first use.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

_lock = threading.Lock()
_loaded: list[Any] = []


def folder() -> Path:
    """The CUDA sources: inside the package in a wheel, beside it in an editable install."""
    package = Path(__file__).resolve().parent.parent
    for found in (package / "kernels", package.parent / "kernels"):
        if (found / "paste_math.h").is_file():
            return found
    raise FileNotFoundError(
        f"the CUDA sources are neither in {package / 'kernels'} nor in {package.parent / 'kernels'}"
    )


@functools.cache
def fingerprint(sources: Path) -> str:
    """A hash of all sources: CuPy's cache of compiled kernels does not look into included files."""
    digest = hashlib.sha256()
    for path in sorted(sources.iterdir()):
        if path.suffix in (".cu", ".cuh", ".h"):
            digest.update(path.name.encode() + path.read_bytes())
    return "0x" + digest.hexdigest()[:15]


def options() -> tuple[str, ...]:
    """What NVRTC is told for every kernel. No FMA contraction: the same bits as the CPU's kernels, and the tile masks
    of paste rely on it."""
    sources = folder()
    return ("-std=c++17", "-fmad=false", f"-I{sources}", f"-DASDA_SOURCES={fingerprint(sources)}")


def compile(code: str, options: tuple[str, ...], name: str, index: int) -> int:
    """The handle of the function `name` of `code` on device `index`."""
    try:
        import cupy
    except ImportError as error:
        raise ImportError(
            "paste on a GPU needs CuPy: pip install 'asda_fast[cuda13]' or 'asda_fast[cuda12]'"
        ) from error
    with cupy.cuda.Device(index):
        kernel = cupy.RawModule(code=code, options=options, backend="nvrtc").get_function(name).kernel
    _loaded.append(kernel)  # a handle is good for as long as its module is loaded
    return kernel.ptr


class Driver(NamedTuple):
    """The four calls that every launch makes."""

    launch: Callable[..., None]  # of cuLaunchKernel's arguments
    stream: Callable[[int], int]  # device -> handle of torch's current stream there
    device: Callable[[], int]  # the current one
    set_device: Callable[[int], None]


@functools.cache
def driver() -> Driver:
    from cupy.cuda import driver, runtime

    return Driver(driver.launchKernel, torch._C._cuda_getCurrentRawStream, torch.cuda.current_device, runtime.setDevice)


def launch(kernel: int, blocks: int, threads: int, params: bytes, index: int) -> None:
    """One launch of a handle from `compile` on device `index` and torch's current stream there."""
    call, stream, device, set_device = driver()
    held = ctypes.c_char_p(params)  # a list of one address: the driver copies the parameter before it returns
    before = device()
    set_device(index)  # also makes its context current: a thread of autograd's may not have one yet
    try:
        call(kernel, blocks, 1, 1, threads, 1, 1, 0, stream(index), ctypes.addressof(held), 0)
    finally:
        if before != index:
            set_device(before)


_counters: dict[tuple[int, int], Tensor] = {}  # (device, stream) -> zeros


def counters(index: int, count: int) -> Tensor:
    """[>= count] int32 zeros for the blocks of one launch to count themselves; the launch leaves zeros again.

    Kept per stream, because launches of one stream do not overlap, and in CuPy's memory, because torch's may belong to
    a CUDA graph that is being warmed up. A graph may be replayed on any stream: it gets its own (and one fill)."""
    call = driver()
    if call.device() != index:
        with torch.cuda.device(index):
            return counters(index, count)
    if torch.cuda.is_current_stream_capturing():
        return torch.zeros(count, dtype=torch.int32, device=torch.device("cuda", index))
    stream = call.stream(index)
    held = _counters.get((index, stream))
    if held is None or held.numel() < count:
        import cupy

        with _lock, _current(index, stream):
            held = _counters[index, stream] = torch.from_dlpack(cupy.zeros(max(count, 1024), dtype=cupy.int32))
    return held


@contextlib.contextmanager
def _current(index: int, stream: int) -> Iterator[None]:
    """Device `index` and `stream`, for torch and for CuPy: each has its own idea of what is current."""
    import cupy

    wrap = getattr(cupy.cuda.Stream, "from_external", None)  # CuPy 14 on; it warns of the older class
    external = cupy.cuda.ExternalStream(stream) if wrap is None else wrap(_Stream(stream))
    with torch.cuda.device(index), cupy.cuda.Device(index), external:
        yield


class _Stream(NamedTuple):
    """A stream's handle as the CUDA stream protocol asks for it."""

    handle: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.handle
