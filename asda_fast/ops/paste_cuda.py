"""The CUDA kernels of paste: allocate, prepare, launch. `paste_arguments.py` checks.

One launch per direction, on torch's current stream of the tensors' device; nothing here waits for the device. What
the kernels refuse they write into host memory (`_report`): the next call raises for an index that the pool has not.

A call costs Python some microseconds, so all of a launch but the addresses is prepared once (`_prepare`).
"""

from __future__ import annotations

import functools
import struct
import threading
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from asda_fast.ops import nvrtc
from asda_fast.ops.paste_arguments import PasteSpec, aligned, output, sizes

# These mirror kernels/paste_tile.cuh; tests/ops/test_cuda_host.py runs the kernels with what is packed here.
WARPS = 8  # per block
TILE = 32  # pixels across a warp's tile
MAX_SLOTS = 32  # per launch
MAX_STRIPS = 64  # backward: blocks per image at most
BLOCKS = 1024  # backward: blocks per launch to aim at; a constant, so that the bits do not depend on the GPU

POINTERS = (
    "image", "texels", "table", "part", "matrix", "out", "v_out", "v_matrix", "v_image", "partial", "done", "report",
)  # fmt: skip
_NUMBERS = ("batch", "slots", "height", "width", "across", "tiles", "strips", "mips")
_TYPES = {
    torch.float64: "double",
    torch.float32: "float",
    torch.bfloat16: "asda::bfloat_t",
    torch.float16: "asda::half_t",
    torch.uint8: "asda::byte_t",
}
_addresses = struct.Struct(f"={len(POINTERS)}Q").pack
_lock = threading.Lock()


class Variant(NamedTuple):
    """What a kernel is compiled for."""

    direction: str  # "forward" | "backward"
    image: torch.dtype
    image_nhwc: bool
    out: torch.dtype
    out_nhwc: bool
    wide: bool  # whole groups of pixels, aligned; not for a uint8 output
    need_image: bool = False  # backward: d loss / d image as well

    @property
    def pixels(self) -> int:
        """Pixels of a row per thread."""
        return 8 if self.direction == "forward" and self.out.itemsize == 2 else 4

    def options(self) -> tuple[str, ...]:
        """What NVRTC is told."""
        return (
            *nvrtc.options(),
            f"-DASDA_IMAGE={_TYPES[self.image]}", f"-DASDA_IMAGE_NHWC={int(self.image_nhwc)}",
            f"-DASDA_OUT={_TYPES[self.out]}", f"-DASDA_OUT_NHWC={int(self.out_nhwc)}",
            f"-DASDA_WIDE={int(self.wide)}", f"-DASDA_NEED_IMAGE={int(self.need_image)}",
        )  # fmt: skip

    def source(self) -> str:
        return (nvrtc.folder() / f"paste_{self.direction}.cu").read_text(encoding="utf-8")


class LaunchConfig(NamedTuple):
    """The grid of a launch, and its parameter without the pointers."""

    blocks: int
    strips: int  # backward: blocks per image
    params: np.ndarray  # [] of `_layout`


class Prepared(NamedTuple):
    """All of a launch but the addresses."""

    device: int
    variant: Variant
    kernel: int  # its handle
    blocks: int
    strips: int
    rest: bytes  # of the parameter, behind its pointers


def forward(
    image: Tensor,  # [B, 3, H, W] float or [B, H, W, 3] uint8, any strides
    texels: Tensor,  # [T, 4] uint8
    table: Tensor,  # [P, 4] int64
    part: Tensor,  # [B, N] int64
    matrix: Tensor,  # [B, N, 2, 3] float32, or float64 where image or output is
    spec: PasteSpec,
) -> Tensor:
    """image with the parts laid over it, [B, 3, H, W] of `spec.out_dtype`."""
    slots = part.shape[1]
    if slots > MAX_SLOTS:
        below = _stages(image, texels, table, part, matrix, spec)
        last = slice(len(below) * MAX_SLOTS - MAX_SLOTS, None)
        return forward(below[-1], texels, table, part[:, last], matrix[:, last], spec)
    image, nhwc = _dense(image)
    texels, table, part, matrix = _inputs(texels, table, part, matrix)
    batch, height, width = sizes(image)
    out = output(image, spec.out_dtype, spec.memory_format)
    variant = Variant("forward", image.dtype, nhwc, spec.out_dtype, spec.channels_last, _aligned(image, out))
    launch = _prepare(_index(image), variant, batch, slots, height, width, table.shape[0], spec)
    _run(launch, (image, texels, table, part, matrix, out, None, None, None, None, None))
    return out


def backward(
    v_out: Tensor,  # [B, 3, H, W], any strides
    image: Tensor,
    texels: Tensor,
    table: Tensor,
    part: Tensor,
    matrix: Tensor,
    spec: PasteSpec,
    need_image: bool,
) -> tuple[Tensor, Tensor | None]:
    """(gradient by matrix [B, N, 2, 3], gradient by image like image, or None if not needed)."""
    slots = part.shape[1]
    if slots > MAX_SLOTS:
        below = _stages(image, texels, table, part, matrix, spec)
        v_parts: list[Tensor] = []
        v_stage: Tensor | None = v_out
        for i, stage in reversed(list(enumerate(below))):
            assert v_stage is not None
            some = slice(i * MAX_SLOTS, (i + 1) * MAX_SLOTS)
            given = (v_stage, stage, texels, table, part[:, some], matrix[:, some])
            v_part, v_stage = backward(*given, spec._replace(out_dtype=v_stage.dtype), i > 0 or need_image)
            v_parts.insert(0, v_part)
        return torch.cat(v_parts, 1), v_stage
    v_matrix = torch.empty(matrix.shape, dtype=matrix.dtype, device=matrix.device)
    v_image = torch.empty_like(image) if need_image else None
    if not (need_image or v_matrix.numel()):
        return v_matrix, None
    image, nhwc = _dense(image)
    texels, table, part, matrix = _inputs(texels, table, part, matrix)
    v_out, v_out_nhwc = _dense(v_out)
    dense = v_image
    if (
        v_image is not None and v_image.stride() != image.stride()
    ):  # an image of odd strides: computed dense, then copied
        dense = torch.empty_like(image)
    batch, height, width = sizes(image)
    aligned = _aligned(image, v_out) and (dense is None or _aligned(dense, dense))
    variant = Variant("backward", image.dtype, nhwc, v_out.dtype, v_out_nhwc, aligned, need_image)
    index = _index(image)
    launch = _prepare(index, variant, batch, slots, height, width, table.shape[0], spec)
    partial = v_matrix.new_empty(batch * launch.strips * slots * 6)
    done = nvrtc.counters(index, batch)
    _run(launch, (image, texels, table, part, matrix, None, v_out, v_matrix, dense, partial, done))
    if v_image is not None and dense is not None and dense is not v_image:
        v_image.copy_(dense)
    return v_matrix, v_image


def counters(device: torch.device, reset: bool) -> tuple[int, int]:
    """(slots skipped on `device` for a NaN or inf matrix, for an index that the pool has not). Waits for the device."""
    torch.cuda.synchronize(device)
    report, _ = _report(torch.cuda.current_device() if device.index is None else device.index)
    found = report[0], report[1]
    if reset:
        report[0] = report[1] = 0
    return found


def launch_config(
    variant: Variant, batch: int, slots: int, height: int, width: int, parts: int, spec: PasteSpec
) -> LaunchConfig:
    """Depends on shapes only, so that the bits do not depend on the GPU."""
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
    params = np.zeros((), _layout(torch.float64 if variant.out == torch.float64 else torch.float32))
    numbers = (batch, slots, height, width, across, across * down, strips, int(spec.mips))
    for name, value in zip(_NUMBERS, numbers):
        params[name] = value
    params["parts"] = parts
    params["scale"] = [1.0 / (255.0 * s) for s in spec.std]
    params["offset"] = [m / s for m, s in zip(spec.mean, spec.std)]
    return LaunchConfig(blocks, strips, params)


@functools.lru_cache(maxsize=1024)
def _prepare(
    index: int, variant: Variant, batch: int, slots: int, height: int, width: int, parts: int, spec: PasteSpec
) -> Prepared:
    variant = variant._replace(wide=variant.wide and width % variant.pixels == 0 and variant.out != torch.uint8)
    config = launch_config(variant, batch, slots, height, width, parts, spec)
    rest = config.params.tobytes()[8 * len(POINTERS) :]
    return Prepared(index, variant, _kernel(variant, index), config.blocks, config.strips, rest)


@functools.cache
def _kernel(variant: Variant, index: int) -> int:
    return nvrtc.compile(variant.source(), variant.options(), f"paste_{variant.direction}", index)


@functools.cache
def _layout(scalar: torch.dtype) -> np.dtype:
    """struct Paste of kernels/paste_tile.cuh."""
    real = "f8" if scalar == torch.float64 else "f4"
    fields: list[Any] = [(name, "u8") for name in POINTERS]
    fields += [("parts", "i8"), *((name, "i4") for name in _NUMBERS), ("scale", real, 3), ("offset", real, 3)]
    return np.dtype(fields, align=True)


def _run(launch: Prepared, tensors: tuple[Tensor | None, ...]) -> None:
    """tensors: as POINTERS, without the report."""
    index = launch.device
    report, address = _report(index)
    if report[2]:
        _raise_reported(report)
    if launch.blocks:
        params = _addresses(*[0 if t is None else t.data_ptr() for t in tensors], address) + launch.rest
        nvrtc.launch(launch.kernel, launch.blocks, WARPS * 32, params, index)


def _inputs(texels: Tensor, table: Tensor, part: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As the kernels read them: without gaps, and a texel as one word."""
    return aligned(texels).contiguous(), table.contiguous(), part.contiguous(), matrix.contiguous()


def _stages(
    image: Tensor, texels: Tensor, table: Tensor, part: Tensor, matrix: Tensor, spec: PasteSpec
) -> list[Tensor]:
    """More slots than one launch takes: what lies below slots 0, MAX_SLOTS, 2 MAX_SLOTS ..., unrounded."""
    exact = torch.float64 if spec.out_dtype == torch.float64 else torch.float32
    spec = spec._replace(out_dtype=exact, channels_last=False)
    below = [image]
    for first in range(0, part.shape[1] - MAX_SLOTS, MAX_SLOTS):
        some = slice(first, first + MAX_SLOTS)
        below.append(forward(below[-1], texels, table, part[:, some], matrix[:, some], spec))
    return below


def _dense(image: Tensor) -> tuple[Tensor, bool]:
    """(the image with [3, H, W] or [H, W, 3] without gaps per image, whether it is [H, W, 3]); copies if it must."""
    nhwc = image.dtype == torch.uint8  # the order of its dimensions
    if image.is_contiguous():
        return image, nhwc
    other = image.permute(0, 3, 1, 2) if nhwc else image.permute(0, 2, 3, 1)
    if other.is_contiguous():
        return image, not nhwc
    return image.contiguous(), nhwc


def _aligned(a: Tensor, b: Tensor) -> bool:
    return (a.data_ptr() | b.data_ptr()) % 16 == 0


def _index(tensor: Tensor) -> int:
    return tensor.get_device()


_reports: dict[int, tuple[memoryview, int]] = {}


def _report(index: int) -> tuple[memoryview, int]:
    """([3] int64 in page-locked host memory, its address), which device `index` writes into when it refuses a slot:
    counts of bad matrices and of bad indices, and 1 + (b << 32 | n) of the last bad index that nobody was told of."""
    held = _reports.get(index)
    if held is None:
        with _lock:  # one block only: a second one, made by another thread at once, would be freed under a kernel
            held = _reports.get(index)
            if held is None:
                block = torch.zeros(3, dtype=torch.int64, pin_memory=True)
                held = _reports[index] = (block.numpy().data, block.data_ptr())
    return held


def _raise_reported(report: memoryview) -> None:
    """Raise for what an earlier launch reported. Read from host memory without a wait: it may come a few calls late."""
    at = report[2] - 1
    report[2] = 0
    raise ValueError(
        "part: expected -1 (empty) or an index into the pool, but an earlier call on this GPU met another "
        f"at [{at >> 32}, {at & 0xFFFFFFFF}] (it left that slot empty; the error comes late because nothing waits)"
    )
