"""The CUDA kernels of paste: compile (NVRTC through CuPy), allocate, launch. Arguments are checked in `paste.py`.

One launch per direction, on torch's current stream of the tensors' device; nothing here waits for the device. What
the kernels refuse they write into host memory (`_report`): the next call raises for an index past the pool.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

# These mirror kernels/paste_tile.cuh; tests/ops/test_cuda_host.py runs the kernels with what is packed here.
WARPS = 8  # per block
TILE = 32  # pixels across a warp's tile
MAX_SLOTS = 32  # per launch
MAX_STRIPS = 64  # backward: blocks per image at most
BLOCKS = 1024  # backward: blocks per launch to aim at; a constant, so that the bits do not depend on the GPU

_NAMES = {
    torch.float64: "double",
    torch.float32: "float",
    torch.bfloat16: "asda::bfloat_t",
    torch.float16: "asda::half_t",
    torch.uint8: "asda::byte_t",
}
_POINTERS = (
    "image", "texels", "table", "part", "matrix", "out", "v_out", "v_matrix", "v_image", "partial", "done", "report",
)  # fmt: skip
_NUMBERS = ("batch", "slots", "height", "width", "across", "tiles", "strips", "mips")
_lock = threading.Lock()


class Variant(NamedTuple):
    """What a kernel is compiled for."""

    direction: str  # "forward" | "backward"
    image: torch.dtype
    image_nhwc: bool
    out: torch.dtype
    out_nhwc: bool
    wide: bool  # whole groups of pixels, aligned
    need_image: bool = False  # backward: d loss / d image as well

    @property
    def pixels(self) -> int:
        """Pixels of a row per thread."""
        return 8 if self.direction == "forward" and self.out.itemsize == 2 else 4

    def options(self) -> tuple[str, ...]:
        """What NVRTC is told. No FMA contraction: the same bits as the CPU's kernels, and the tile masks rely on it."""
        folder = kernels()
        return (
            "-std=c++17", "-fmad=false", f"-I{folder}", f"-DASDA_SOURCES={_fingerprint(folder)}",
            f"-DASDA_IMAGE={_NAMES[self.image]}", f"-DASDA_IMAGE_NHWC={int(self.image_nhwc)}",
            f"-DASDA_OUT={_NAMES[self.out]}", f"-DASDA_OUT_NHWC={int(self.out_nhwc)}",
            f"-DASDA_WIDE={int(self.wide)}", f"-DASDA_NEED_IMAGE={int(self.need_image)}",
        )  # fmt: skip

    def source(self) -> str:
        return (kernels() / f"paste_{self.direction}.cu").read_text(encoding="utf-8")


class Launch(NamedTuple):
    """One launch, all but the pointers."""

    params: np.ndarray  # [] of `_layout`: the kernel's only parameter
    blocks: int


def forward(
    image: Tensor,  # [B, 3, H, W] float or [B, H, W, 3] uint8, any strides
    texels: Tensor,  # [T, 4] uint8
    table: Tensor,  # [P, 4] int64
    part: Tensor,  # [B, N] int64
    matrix: Tensor,  # [B, N, 2, 3] float32, or float64 where image or output is
    mean: Sequence[float],
    std: Sequence[float],
    out_dtype: torch.dtype,
    channels_last: bool,
    mips: bool,
) -> Tensor:
    """image with the parts laid over it, [B, 3, H, W] of `out_dtype`."""
    if part.shape[1] > MAX_SLOTS:
        below = _stages(image, texels, table, part, matrix, mean, std, out_dtype, mips)
        last = slice(len(below) * MAX_SLOTS - MAX_SLOTS, None)
        rest = (part[:, last], matrix[:, last], mean, std, out_dtype, channels_last, mips)
        return forward(below[-1], texels, table, *rest)
    image, image_nhwc = _dense(image)
    batch, height, width = _sizes(image)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    out = torch.empty((batch, 3, height, width), dtype=out_dtype, device=image.device, memory_format=layout)
    variant = Variant("forward", image.dtype, image_nhwc, out_dtype, channels_last, False)
    variant = variant._replace(wide=_is_wide(variant, width, image, out))
    launch = plan(variant, batch, part.shape[1], height, width, table.shape[0], tuple(mean), tuple(std), mips)
    _run(variant, launch, image=image, out=out, **_inputs(texels, table, part, matrix))
    return out


def backward(
    v_out: Tensor,  # [B, 3, H, W], any strides
    image: Tensor,
    texels: Tensor,
    table: Tensor,
    part: Tensor,
    matrix: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    mips: bool,
    need_image: bool,
) -> tuple[Tensor, Tensor]:
    """(gradient by matrix [B, N, 2, 3], gradient by image like image, or of no elements if not needed)."""
    if part.shape[1] > MAX_SLOTS:
        below = _stages(image, texels, table, part, matrix, mean, std, v_out.dtype, mips)
        v_parts: list[Tensor] = []
        for i, stage in reversed(list(enumerate(below))):
            some = slice(i * MAX_SLOTS, (i + 1) * MAX_SLOTS)
            rest = (part[:, some], matrix[:, some], mean, std, mips, i > 0 or need_image)
            v_part, v_out = backward(v_out, stage, texels, table, *rest)
            v_parts.insert(0, v_part)
        return torch.cat(v_parts, 1), v_out
    v_matrix = torch.empty(matrix.shape, dtype=matrix.dtype, device=matrix.device)
    v_image = torch.empty_like(image) if need_image else image.new_empty(0)
    if not (need_image or v_matrix.numel()):
        return v_matrix, v_image
    image, image_nhwc = _dense(image)
    v_out, v_out_nhwc = _dense(v_out)
    dense = v_image
    if need_image and v_image.stride() != image.stride():  # an image of odd strides: computed dense, then copied
        dense = torch.empty_like(image)
    batch, height, width = _sizes(image)
    variant = Variant("backward", image.dtype, image_nhwc, v_out.dtype, v_out_nhwc, False, need_image)
    variant = variant._replace(wide=_is_wide(variant, width, image, v_out, dense))
    slots = part.shape[1]
    launch = plan(variant, batch, slots, height, width, table.shape[0], tuple(mean), tuple(std), mips)
    partial = v_matrix.new_empty(batch * int(launch.params["strips"]) * slots * 6)
    _run(
        variant, launch, image=image, v_out=v_out, v_matrix=v_matrix, v_image=dense, partial=partial,
        done=_counters(image.device, batch), **_inputs(texels, table, part, matrix),
    )  # fmt: skip
    if dense is not v_image:
        v_image.copy_(dense)
    return v_matrix, v_image


def counters(device: torch.device) -> Tensor:
    """[2] int64 in host memory: slots skipped on `device` for a NaN or inf matrix, and for an index past the pool.

    Waits for the device."""
    torch.cuda.synchronize(device)
    return torch.from_numpy(_report(_index(device))[:2])


@functools.lru_cache(maxsize=1024)
def plan(
    variant: Variant,
    batch: int,
    slots: int,
    height: int,
    width: int,
    parts: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    mips: bool,
) -> Launch:
    """The grid of a launch and its parameter without the pointers (kept: copy it). Depends on shapes only."""
    params = np.zeros((), _layout(torch.float64 if variant.out == torch.float64 else torch.float32))
    rows = variant.pixels  # of a warp's tile
    if variant.direction == "forward":  # a block is two warp tiles across and four down
        across, down = -(-width // (2 * TILE)), -(-height // (WARPS // 2 * rows))
        strips, blocks = 1, batch * across * down
    else:
        across, down = -(-width // TILE), -(-height // rows)
        strips = max(1, min(MAX_STRIPS, BLOCKS // max(batch, 1), -(-across * down // WARPS)))
        blocks = batch * strips
    if blocks >= 2**31:
        raise ValueError(f"image: expected a batch that fits 2**31 blocks of a GPU, got {batch} x {height} x {width}")
    numbers = (batch, slots, height, width, across, across * down, strips, int(mips))
    for name, value in zip(_NUMBERS, numbers):
        params[name] = value
    params["parts"] = parts
    params["scale"] = [1.0 / (255.0 * s) for s in std]
    params["offset"] = [m / s for m, s in zip(mean, std)]
    return Launch(params, blocks)


def kernels() -> Path:
    """The folder of the CUDA sources: inside the package in a wheel, beside it in an editable install."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "kernels", package.parent / "kernels"):
        if (folder / "paste_math.h").is_file():
            return folder
    raise FileNotFoundError(
        f"the CUDA sources are neither in {package / 'kernels'} nor in {package.parent / 'kernels'}"
    )


@functools.cache
def _fingerprint(folder: Path) -> str:
    """A hash of all sources: CuPy's cache of compiled kernels does not look into included files."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".cu", ".cuh", ".h"):
            digest.update(path.name.encode() + path.read_bytes())
    return "0x" + digest.hexdigest()[:15]


@functools.cache
def _layout(scalar: torch.dtype) -> np.dtype:
    """struct Paste of kernels/paste_tile.cuh."""
    real = "f8" if scalar == torch.float64 else "f4"
    fields: list[Any] = [(name, "u8") for name in _POINTERS]
    fields += [("parts", "i8"), *((name, "i4") for name in _NUMBERS), ("scale", real, 3), ("offset", real, 3)]
    return np.dtype(fields, align=True)


@functools.cache
def _kernel(variant: Variant) -> Any:
    try:
        import cupy
    except ImportError as error:
        raise ImportError(
            "paste on a GPU needs CuPy: pip install 'asda_fast[cuda13]' or 'asda_fast[cuda12]'"
        ) from error
    module = cupy.RawModule(code=variant.source(), options=variant.options(), backend="nvrtc")
    return module.get_function(f"paste_{variant.direction}")


def _run(variant: Variant, launch: Launch, **tensors: Tensor) -> None:
    device = tensors["image"].device
    index = _index(device)
    _raise_reported(index)
    if launch.blocks == 0:
        return
    params = launch.params.copy()
    for name, tensor in tensors.items():
        params[name] = tensor.data_ptr()
    params["report"] = _report(index).ctypes.data
    stream = torch.cuda.current_stream(device).cuda_stream
    with _current(index, stream):
        _kernel(variant)((launch.blocks,), (WARPS * 32,), (params,))


def _inputs(texels: Tensor, table: Tensor, part: Tensor, matrix: Tensor) -> dict[str, Tensor]:
    if texels.data_ptr() % 4:
        texels = texels.clone()
    return {
        "texels": texels.contiguous(),
        "table": table.contiguous(),
        "part": part.contiguous(),
        "matrix": matrix.contiguous(),
    }


def _stages(image, texels, table, part, matrix, mean, std, out_dtype, mips) -> list[Tensor]:
    """More slots than one launch takes: what lies below slots 0, MAX_SLOTS, 2 MAX_SLOTS ..., unrounded."""
    exact = torch.float64 if out_dtype == torch.float64 else torch.float32
    below = [image]
    for first in range(0, part.shape[1] - MAX_SLOTS, MAX_SLOTS):
        some = slice(first, first + MAX_SLOTS)
        below.append(forward(below[-1], texels, table, part[:, some], matrix[:, some], mean, std, exact, False, mips))
    return below


def _dense(image: Tensor) -> tuple[Tensor, bool]:
    """(the image with [3, H, W] or [H, W, 3] without gaps per image, whether it is [H, W, 3]); copies if it must."""
    planar = image.permute(0, 3, 1, 2) if image.dtype == torch.uint8 else image
    if planar.is_contiguous():
        return image, False
    if not planar.permute(0, 2, 3, 1).is_contiguous():
        image = image.contiguous()
    return image, image.dtype == torch.uint8 or not image.is_contiguous()


def _sizes(image: Tensor) -> tuple[int, int, int]:
    batch = image.shape[0]
    return (batch, *image.shape[1:3]) if image.dtype == torch.uint8 else (batch, *image.shape[2:])


def _is_wide(variant: Variant, width: int, *tensors: Tensor) -> bool:
    return width % variant.pixels == 0 and all(t.data_ptr() % 16 == 0 for t in tensors)


def _index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index


_reports: dict[int, np.ndarray] = {}


def _report(index: int) -> np.ndarray:
    """[3] int64 in page-locked host memory, which device `index` writes into when it refuses a slot: counts of bad
    matrices and of bad indices, and 1 + (b << 32 | n) of the last bad index that nobody was told of."""
    with _lock:  # one block only: a second one, made by another thread at once, would be freed under a kernel
        if index not in _reports:
            _reports[index] = torch.zeros(3, dtype=torch.int64, pin_memory=True).numpy()
        return _reports[index]


def _raise_reported(index: int) -> None:
    """Raise for what an earlier launch reported. Reads host memory without a wait: it may come a few calls late."""
    report = _report(index)
    at = int(report[2]) - 1
    if at < 0:
        return
    report[2] = 0
    raise ValueError(
        "part: expected -1 (empty) or an index into the pool, but an earlier call on this GPU met one past the pool "
        f"at [{at >> 32}, {at & 0xFFFFFFFF}] (it left that slot empty; the error comes late because nothing waits)"
    )


_done: dict[tuple[int, int], Tensor] = {}  # (device, stream) -> zeros


def _counters(device: torch.device, batch: int) -> Tensor:
    """[>= batch] int32 zeros for the blocks of one launch to count themselves; the launch leaves zeros again.

    Kept per stream, because launches of one stream do not overlap, and in CuPy's memory, because torch's may belong to
    a CUDA graph that is being warmed up. A graph may be replayed on any stream: it gets its own (and one fill)."""
    with torch.cuda.device(device):
        capturing = torch.cuda.is_current_stream_capturing()
    if capturing:
        return torch.zeros(batch, dtype=torch.int32, device=device)
    index, stream = _index(device), torch.cuda.current_stream(device).cuda_stream
    with _lock:
        held = _done.get((index, stream))
        if held is None or held.numel() < batch:
            import cupy

            with _current(index, stream):
                held = torch.from_dlpack(cupy.zeros(max(batch, 1024), dtype=cupy.int32))
            _done[index, stream] = held
        return held


@contextlib.contextmanager
def _current(index: int, stream: int) -> Iterator[None]:
    """Device `index` and `stream`, for torch and for CuPy: each has its own idea of what is current."""
    import cupy

    with torch.cuda.device(index), cupy.cuda.Device(index), _cupy_stream(stream):
        yield


def _cupy_stream(handle: int) -> Any:
    import cupy

    wrap = getattr(cupy.cuda.Stream, "from_external", None)  # CuPy 14 on; it warns of the older class
    return cupy.cuda.ExternalStream(handle) if wrap is None else wrap(_Stream(handle))


class _Stream(NamedTuple):
    """A stream's handle as the CUDA stream protocol asks for it."""

    handle: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.handle
