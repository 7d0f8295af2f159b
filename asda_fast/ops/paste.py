"""paste: parts laid over images in one pass, differentiable by where they are laid."""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


class Pool(Protocol):
    """What paste takes of a pool: `asda_fast.PartPool` has it. Whoever makes one otherwise answers for `table` pointing
    into `texels` as PartPool describes: the kernels do not look."""

    @property
    def texels(self) -> Tensor: ...  # [T, 4] uint8
    @property
    def table(self) -> Tensor: ...  # [P, 4] int64


def paste(
    image: Tensor,  # [B, 3, H, W] float or [B, H, W, 3] uint8
    pool: Pool,
    part: Tensor,  # [B, N] int64
    matrix: Tensor,  # [B, N, 2, 3] float
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    out_dtype: torch.dtype | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
    mips: bool = True,
) -> Tensor:
    """Lay N parts over each image: out = out * (1 - alpha) + colour, slot by slot, later slots on top.

    Convention: RGB. Coordinates are continuous (x, y), pixel i covers [i, i + 1). A target pixel's centre
    (x + 0.5, y + 0.5) maps through `matrix` to the patch, whose premultiplied RGBA is sampled bilinearly; outside
    the patch it is transparent.

    image: float (float64, float32, bfloat16, float16), 0..1 normalised with `mean` and `std` already; or uint8,
        normalised here: (value / 255 - mean) / std. The patches' colours are normalised in the same way. With N = 0
        this is the normaliser. Any strides.
    part: index into `pool`, -1 = empty slot.
    matrix: [2, 3] per slot, target pixel -> patch pixel. A matrix with NaN or inf makes its slot empty; `skipped`
        counts them. The arithmetic is float32, float64 where image or output is.
    out_dtype: for uint8 images, float32 by default; a float image keeps its dtype.
    memory_format: of the output, torch.contiguous_format or torch.channels_last.
    mips: where a patch shrinks below half its size (its matrix' determinant is 4 or more), a smaller, area-averaged
        copy of it is sampled instead of skipping texels. The gradient is then that of the smaller copy; the choice of
        the copy, a step function of the matrix, contributes none. Turn it off to sample as affine_grid + grid_sample
        do; the `reference` mode does.

    Returns [B, 3, H, W]. Gradients flow to `matrix`, and to a float `image` that requires one; not to the pool, and
    not twice. The backward pass saves nothing but the inputs and has the same bits on every run and thread count.
    torch.func's transforms (grad, vmap) are not supported.

    An index past the pool is a ValueError on the CPU. On CUDA a check would wait for the device, so such a slot stays
    empty, is counted (`asda_fast.ops.skipped(device)` reads the count when you ask), and a later call raises the
    ValueError.

    Raises TypeError or ValueError that names the argument. Source: the paste of ASDA (ECCV 2020), section 3.2.
    """
    mean, std = _triple("mean", mean), _triple("std", std)
    out_dtype = _check(image, pool, part, matrix, std, out_dtype, memory_format, mips)
    image, matrix = image.resolve_neg(), matrix.resolve_neg()  # a lazily negated tensor's memory has the other sign
    wide = image.dtype == torch.float64 or out_dtype == torch.float64
    return Paste.apply(
        image,
        pool.texels,
        pool.table,
        part,
        matrix.to(torch.float64 if wide else torch.float32),
        mean,
        std,
        out_dtype,
        memory_format == torch.channels_last,
        mips,
    )


def skipped(device: torch.device | str = "cpu", reset: bool = False) -> dict[str, int]:
    """Slots that paste has left empty on `device` since the last reset although they were not -1: {"matrix": for NaN
    or inf in the matrix, "index": for an index past the pool}. Reading a GPU's counters waits for it."""
    device = torch.device(device)
    if device.type == "cpu":
        matrix, index = _kernels(device).counters(reset)
    else:
        counts = _kernels(device).counters(device)
        matrix, index = (int(v) for v in counts.tolist())
        if reset:
            counts.zero_()
    return {"matrix": matrix, "index": index}


class Paste(torch.autograd.Function):
    """The autograd function beneath `paste`: no checks, all arguments explicit (see `paste_forward`)."""

    @staticmethod
    def forward(ctx, image, texels, table, part, matrix, mean, std, out_dtype, channels_last, mips):
        ctx.save_for_backward(image, texels, table, part, matrix)
        ctx.constants = (mean, std, mips)
        call = _kernels(image.device).forward if _is_plain(image) else paste_forward
        return call(image, texels, table, part, matrix, mean, std, out_dtype, channels_last, mips)

    @staticmethod
    @once_differentiable
    def backward(ctx, v_out):
        return _gradients(ctx, v_out)


@torch.library.custom_op("asda_fast::paste_forward", mutates_args=())
def paste_forward(
    image: Tensor,
    texels: Tensor,
    table: Tensor,
    part: Tensor,
    matrix: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    out_dtype: torch.dtype,
    channels_last: bool,
    mips: bool,
) -> Tensor:
    """The registered kernel: image, pool tensors, part and matrix (float64 where image or output is, else float32)
    -> [B, 3, H, W] of `out_dtype`."""
    return _kernels(image.device).forward(image, texels, table, part, matrix, mean, std, out_dtype, channels_last, mips)


@torch.library.custom_op("asda_fast::paste_backward", mutates_args=())
def paste_backward(
    v_out: Tensor,
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
    """The registered kernel of the way back -> (v_matrix [B, N, 2, 3], v_image like image or of no elements)."""
    return _kernels(image.device).backward(v_out, image, texels, table, part, matrix, mean, std, mips, need_image)


@paste_forward.register_fake
def _(image, texels, table, part, matrix, mean, std, out_dtype, channels_last, mips):
    batch, height, width = _sizes(image)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty((batch, 3, height, width), dtype=out_dtype, device=image.device, memory_format=layout)


@paste_backward.register_fake
def _(v_out, image, texels, table, part, matrix, mean, std, mips, need_image):
    v_matrix = torch.empty(matrix.shape, dtype=matrix.dtype, device=matrix.device)
    return v_matrix, torch.empty_like(image) if need_image else image.new_empty(0)


def _setup_context(ctx, inputs, output):
    image, texels, table, part, matrix, mean, std, _, _, mips = inputs
    ctx.save_for_backward(image, texels, table, part, matrix)
    ctx.constants = (mean, std, mips)


def _gradients(ctx: Any, v_out: Tensor) -> tuple[Tensor | None, ...]:
    image, texels, table, part, matrix = ctx.saved_tensors
    mean, std, mips = ctx.constants
    need_image, need_matrix = ctx.needs_input_grad[0], ctx.needs_input_grad[4]
    # With a graph asked for, the registered op: it says that it has no derivative, where the kernel would say nothing.
    plain = _is_plain(v_out) and not torch.is_grad_enabled()
    call = _kernels(image.device).backward if plain else paste_backward
    v_out = v_out.resolve_neg()
    v_matrix, v_image = call(v_out, image, texels, table, part, matrix, mean, std, mips, need_image)
    return (v_image if need_image else None, None, None, None, v_matrix if need_matrix else None, *[None] * 5)


paste_forward.register_autograd(_gradients, setup_context=_setup_context)


def _is_plain(tensor: Tensor) -> bool:
    """Nobody watches this call (no compiler, no tracing mode, no subclass), so the kernel may be called without the
    dispatcher: a registered op in Python costs 50 us, as much as the whole paste of a batch takes on a large GPU."""
    return type(tensor) is Tensor and not torch.compiler.is_compiling() and not is_in_torch_dispatch_mode()


def _kernels(device: torch.device) -> Any:
    """The module of this device's kernels."""
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"image: expected a CPU or CUDA tensor, got device {device}")
    return _module(device.type)


@functools.cache
def _module(kind: str) -> Any:
    return importlib.import_module(f"asda_fast.ops.{kind}")


def _sizes(image: Tensor) -> tuple[int, int, int]:
    """batch, height, width"""
    if image.dtype == torch.uint8:
        return image.shape[0], image.shape[1], image.shape[2]
    return image.shape[0], image.shape[2], image.shape[3]


def _triple(name: str, values: Sequence[float]) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected 3 numbers, one per channel, got {values!r}") from None
    if len(numbers) != 3:
        raise ValueError(f"{name}: expected 3 numbers, one per channel, got {len(numbers)}")
    if not all(-math.inf < number < math.inf for number in numbers):
        raise ValueError(f"{name}: expected finite numbers, got {numbers}")
    return numbers


def _check(
    image: Tensor,
    pool: Pool,
    part: Tensor,
    matrix: Tensor,
    std: list[float],
    out_dtype: torch.dtype | None,
    memory_format: torch.memory_format,
    mips: bool,
) -> torch.dtype:
    """Refuse what the kernels cannot take, by the argument's name; returns the output's dtype."""
    for name, value in (("image", image), ("part", part), ("matrix", matrix)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: expected a Tensor, got {type(value).__name__}")
        if value.layout != torch.strided:
            raise TypeError(f"{name}: expected a dense Tensor, got layout {value.layout}")
    if not (isinstance(getattr(pool, "texels", None), Tensor) and isinstance(getattr(pool, "table", None), Tensor)):
        raise TypeError(f"pool: expected a PartPool, got {type(pool).__name__}")
    for name, tensor, dtype in (("texels", pool.texels, torch.uint8), ("table", pool.table, torch.int64)):
        if tensor.dtype != dtype or tensor.ndim != 2 or tensor.shape[1] != 4 or not tensor.is_contiguous():
            raise TypeError(
                f"pool: expected {name} as contiguous {dtype} [n, 4], got {tensor.dtype} {list(tensor.shape)}"
            )
    if image.dtype == torch.uint8:
        layout, channels = "[B, H, W, 3] for uint8", -1
        expected_out = torch.float32 if out_dtype is None else out_dtype
    else:
        if image.dtype not in _FLOATS:
            raise TypeError(f"image: expected float64, float32, bfloat16, float16 or uint8, got {image.dtype}")
        layout, channels = "[B, 3, H, W] for floats", 1
        expected_out = image.dtype
        if out_dtype not in (None, image.dtype):
            raise TypeError(f"out_dtype: expected {image.dtype}, the dtype of a float image, got {out_dtype}")
    if expected_out not in _FLOATS:
        raise TypeError(f"out_dtype: expected float64, float32, bfloat16 or float16, got {out_dtype}")
    if image.ndim != 4 or image.shape[channels] != 3:
        raise ValueError(f"image: expected shape {layout}, got {list(image.shape)}")
    batch, height, width = _sizes(image)
    if max(height, width) > 32768:
        raise ValueError(f"image: expected sides of at most 32768 pixels, got {height} x {width}")
    if part.dtype != torch.int64:
        raise TypeError(f"part: expected int64, got {part.dtype}")
    if part.ndim != 2 or part.shape[0] != batch:
        raise ValueError(f"part: expected shape [{batch}, N], got {list(part.shape)}")
    if matrix.dtype not in _FLOATS:
        raise TypeError(f"matrix: expected a floating dtype, got {matrix.dtype}")
    if tuple(matrix.shape) != (*part.shape, 2, 3):
        raise ValueError(f"matrix: expected shape {[*part.shape, 2, 3]}, got {list(matrix.shape)}")
    for name, tensor in (("pool", pool.texels), ("pool", pool.table), ("part", part), ("matrix", matrix)):
        if tensor.device != image.device:
            raise ValueError(f"{name}: expected on {image.device}, where image is, got {tensor.device}")
    if not all(value > 0 for value in std):
        raise ValueError(f"std: expected 3 positive numbers, got {tuple(std)}")
    if memory_format not in (torch.contiguous_format, torch.channels_last):
        raise ValueError(f"memory_format: expected contiguous_format or channels_last, got {memory_format}")
    if not isinstance(mips, bool):
        raise TypeError(f"mips: expected True or False, got {mips!r}")
    return expected_out
