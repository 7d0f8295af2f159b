"""The CPU kernels of paste: allocation and one call into the C++ module. `paste_arguments.py` checks."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from asda_fast import _C
from asda_fast.ops.paste_arguments import PasteSpec, Triple, aligned, output

portable = False  # True: the plain C++ rows instead of AVX2 (the same bits; tests compare the two)

_DTYPES = {torch.float64: 0, torch.float32: 1, torch.bfloat16: 2, torch.float16: 3, torch.uint8: 4}
_lock = threading.Lock()
_bad_matrices = 0


def forward(
    image: Tensor,  # [B, 3, H, W] float or [B, H, W, 3] uint8, any strides
    texels: Tensor,  # [T, 4] uint8
    table: Tensor,  # [P, 4] int64
    part: Tensor,  # [B, N] int64
    matrix: Tensor,  # [B, N, 2, 3] float32, or float64 where image or output is
    spec: PasteSpec,
) -> Tensor:
    """image with the parts laid over it, [B, 3, H, W] of `spec.out_dtype`."""
    shape, strides = _layout(image, part)
    texels, out = aligned(texels), output(image, spec.out_dtype, spec.memory_format)
    part, matrix = part.contiguous(), matrix.contiguous()
    bad_matrix, bad_index = _C.paste_forward(
        image.data_ptr(), _DTYPES[image.dtype], strides, out.data_ptr(), _DTYPES[spec.out_dtype], out.stride(),
        *_common(texels, table, part, matrix, shape, spec),
    )  # fmt: skip
    if bad_index >= 0:
        b, n = divmod(bad_index, shape[1])
        value = int(part[b, n])
        raise ValueError(f"part: expected -1 (empty) or an index below {table.shape[0]}, got {value} at [{b}, {n}]")
    if bad_matrix:
        global _bad_matrices
        with _lock:
            _bad_matrices += bad_matrix
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
    shape, strides = _layout(image, part)
    texels = aligned(texels)
    part, matrix = part.contiguous(), matrix.contiguous()
    v_matrix = torch.empty_like(matrix)
    v_image = torch.empty_like(image) if need_image else None
    v_image_at, v_image_stride = (0, strides) if v_image is None else (v_image.data_ptr(), v_image.stride())
    _C.paste_backward(
        v_out.data_ptr(), _DTYPES[v_out.dtype], v_out.stride(), image.data_ptr(), _DTYPES[image.dtype], strides,
        v_matrix.data_ptr(), v_image_at, v_image_stride, *_common(texels, table, part, matrix, shape, spec),
    )  # fmt: skip
    return v_matrix, v_image


def counters(device: torch.device, reset: bool) -> tuple[int, int]:
    """(slots skipped for a NaN or inf matrix, 0): an index that the pool has not is an error on the CPU."""
    global _bad_matrices
    with _lock:
        count = _bad_matrices
        if reset:
            _bad_matrices = 0
    return count, 0


def _layout(image: Tensor, part: Tensor) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    """(batch, slots, height, width) and the image's strides as batch, channel, row, pixel."""
    size, stride = image.shape, image.stride()
    if image.dtype == torch.uint8:  # [B, H, W, 3]
        return (size[0], part.shape[1], size[1], size[2]), (stride[0], stride[3], stride[1], stride[2])
    return (size[0], part.shape[1], size[2], size[3]), (stride[0], stride[1], stride[2], stride[3])


def _common(
    texels: Tensor, table: Tensor, part: Tensor, matrix: Tensor, shape: tuple[int, int, int, int], spec: PasteSpec
) -> tuple[int, int, int, int, int, tuple[int, int, int, int], Triple, Triple, bool, bool, int, bool]:
    return (
        texels.data_ptr(), table.data_ptr(), table.shape[0], part.data_ptr(), matrix.data_ptr(), shape, spec.mean,
        spec.std, matrix.dtype == torch.float64, spec.mips, torch.get_num_threads(), portable,
    )  # fmt: skip
