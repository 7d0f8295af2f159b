"""paste: parts laid over images in one pass, differentiable by where they are laid."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from asda_fast.ops.paste_arguments import PasteSpec, Pool, checked, output


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
    out_dtype: for uint8 images, float32 by default, with the bits of casting after; or uint8, without mean and std:
        the value * 255 rounded to the nearest even, and no gradient. A float image keeps its dtype.
    memory_format: of the output, torch.contiguous_format or torch.channels_last.
    mips: where a patch shrinks below half its size (its matrix' determinant is 4 or more), a smaller, area-averaged
        copy of it is sampled instead of skipping texels. The gradient is then that of the smaller copy; the choice of
        the copy, a step function of the matrix, contributes none. Turn it off to sample as affine_grid + grid_sample
        do; the `reference` mode does.

    Returns [B, 3, H, W]. Gradients flow to `matrix`, and to a float `image` that requires one; not to the pool, and
    not twice. The backward pass saves nothing but the inputs and has the same bits on every run and thread count.
    torch.func's transforms (grad, vmap) are not supported, and forward-mode gradients are refused.

    An index that is neither -1 nor of the pool is a ValueError on the CPU. On CUDA a check would wait for the device,
    so such a slot stays empty, is counted (`asda_fast.ops.skipped(device)` reads the count when you ask), and a later
    call raises the ValueError.

    Raises TypeError or ValueError that names the argument. Source: the paste of ASDA (ECCV 2020), section 3.2.
    """
    if not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active():
        raise NotImplementedError("paste: expected to be called plainly, got a call within a transform of torch.func")
    spec = checked(image, pool, part, matrix, mean, std, out_dtype, memory_format, mips)
    image, matrix = image.resolve_neg(), matrix.resolve_neg()  # a lazily negated tensor's memory has the other sign
    wide = image.dtype == torch.float64 or spec.out_dtype == torch.float64
    if matrix.dtype != (exact := torch.float64 if wide else torch.float32):
        matrix = matrix.to(exact)
    if spec.out_dtype == torch.uint8:
        matrix = matrix.detach()
    if _is_plain(image) and not (torch.is_grad_enabled() and (matrix.requires_grad or image.requires_grad)):
        return _kernels(image).forward(image, pool.texels, pool.table, part, matrix, spec)
    return Paste.apply(image, pool.texels, pool.table, part, matrix, *spec)


def skipped(device: torch.device | str = "cpu", reset: bool = False) -> dict[str, int]:
    """Slots that paste has left empty on `device` since the last reset although they were not -1: {"matrix": for NaN
    or inf in the matrix, "index": for one that the pool has not}. Reading a GPU's counters waits for it."""
    device = torch.device(device)
    matrix, index = _module(device.type).counters(device, reset)
    return {"matrix": matrix, "index": index}


class Paste(torch.autograd.Function):
    """The autograd function beneath `paste`: no checks, all arguments explicit (see `paste_forward`)."""

    @staticmethod
    def forward(ctx, image, texels, table, part, matrix, mean, std, out_dtype, channels_last, mips):
        ctx.save_for_backward(image, texels, table, part, matrix)
        ctx.spec = PasteSpec(tuple(mean), tuple(std), out_dtype, channels_last, mips)
        if not _is_plain(image):
            return paste_forward(image, texels, table, part, matrix, *ctx.spec)
        return _kernels(image).forward(image, texels, table, part, matrix, ctx.spec)

    @staticmethod
    def backward(ctx, v_out):  # not torch's once_differentiable: _gradients refuses the second time, in 10 us less
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
    spec = PasteSpec(tuple(mean), tuple(std), out_dtype, channels_last, mips)
    return _kernels(image).forward(image, texels, table, part, matrix, spec)


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
    spec = PasteSpec(tuple(mean), tuple(std), v_out.dtype, False, mips)
    call = _kernels(image).backward
    v_matrix, v_image = call(v_out, image, texels, table, part, matrix, spec, need_image)
    return v_matrix, image.new_empty(0) if v_image is None else v_image


@paste_forward.register_fake
def _(image, texels, table, part, matrix, mean, std, out_dtype, channels_last, mips):
    return output(image, out_dtype, torch.channels_last if channels_last else torch.contiguous_format)


@paste_backward.register_fake
def _(v_out, image, texels, table, part, matrix, mean, std, mips, need_image):
    v_matrix = torch.empty(matrix.shape, dtype=matrix.dtype, device=matrix.device)
    return v_matrix, torch.empty_like(image) if need_image else image.new_empty(0)


def _setup_context(ctx, inputs, output):
    image, texels, table, part, matrix, mean, std, _, _, mips = inputs
    ctx.save_for_backward(image, texels, table, part, matrix)
    ctx.spec = PasteSpec(tuple(mean), tuple(std), output.dtype, False, mips)


def _gradients(ctx: Any, v_out: Tensor) -> tuple[Tensor | None, ...]:
    image, texels, table, part, matrix = ctx.saved_tensors
    need_image, _, _, _, need_matrix, *_ = ctx.needs_input_grad
    # With a graph asked for, the registered op: it says that it has no derivative, where the kernel would say nothing.
    v_out = v_out.resolve_neg()
    if _is_plain(v_out) and not torch.is_grad_enabled():
        call = _kernels(image).backward
        v_matrix, v_image = call(v_out, image, texels, table, part, matrix, ctx.spec, need_image)
    else:
        given = (v_out, image, texels, table, part, matrix)
        v_matrix, v_image = paste_backward(*given, ctx.spec.mean, ctx.spec.std, ctx.spec.mips, need_image)
    return (v_image if need_image else None, None, None, None, v_matrix if need_matrix else None, *[None] * 5)


paste_forward.register_autograd(_gradients, setup_context=_setup_context)


def _is_plain(tensor: Tensor) -> bool:
    """Nobody watches this call (no compiler, no tracing mode, no subclass, no forward-mode gradient), so the kernel may
    be called without the dispatcher: a registered op in Python costs 50 us, as much as the whole paste of a batch takes
    on a large GPU."""
    return (
        type(tensor) is Tensor
        and not torch.compiler.is_compiling()
        and not is_in_torch_dispatch_mode()
        and not torch.jit.is_tracing()
        and forward_ad._current_level < 0
    )


def _kernels(image: Tensor) -> Any:
    """The module of this tensor's device's kernels."""
    return _module("cuda" if image.is_cuda else image.device.type)


@functools.cache
def _module(kind: str) -> Any:
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"image: expected a CPU or CUDA tensor, got device {kind}")
    return importlib.import_module(f"asda_fast.ops.paste_{kind}")
