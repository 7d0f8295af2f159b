"""What paste takes: the record of its constants, the pool, and what it refuses before a kernel runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

Triple = tuple[float, ...]  # one number per channel, RGB
FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class PasteFormat:
    """What paste writes, and how it samples, for whoever hands it on: paste's options. The layout is a bool, for older
    protocols of pickle, torch.save's among them, know no torch.memory_format."""

    out_dtype: torch.dtype | None = None
    channels_last: bool = False
    mips: bool = True

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


class PasteSpec(NamedTuple):
    """What one paste computes, besides its tensors. Hashable: a GPU's launch is prepared once for each."""

    mean: Triple
    std: Triple
    out_dtype: torch.dtype  # of the output; on the way back, of its gradient
    channels_last: bool  # the output's layout; the way back takes its gradient in any
    mips: bool  # sample smaller copies where a patch shrinks below half its size

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


class Pool(Protocol):
    """What paste takes of a pool: `asda_fast.PartPool` has it. Whoever makes one otherwise answers for `table` pointing
    into `texels` as PartPool describes: the kernels do not look."""

    @property
    def texels(self) -> Tensor: ...  # [T, 4] uint8
    @property
    def table(self) -> Tensor: ...  # [P, 4] int64


def sizes(image: Tensor) -> tuple[int, int, int]:
    """batch, height, width"""
    if image.dtype == torch.uint8:
        return image.shape[0], image.shape[1], image.shape[2]
    return image.shape[0], image.shape[2], image.shape[3]


def output(image: Tensor, out_dtype: torch.dtype, memory_format: torch.memory_format) -> Tensor:
    """[B, 3, H, W] to be written, on the image's device."""
    batch, height, width = sizes(image)
    return torch.empty((batch, 3, height, width), dtype=out_dtype, device=image.device, memory_format=memory_format)


def aligned(texels: Tensor) -> Tensor:
    """A texel is read as one word: a view into the middle of one is copied."""
    return texels.clone() if texels.data_ptr() % 4 else texels


_known: dict[tuple[Any, ...], PasteSpec] = {}  # what passed the checks before, by all that they look at


def checked(
    image: Tensor,
    pool: Pool,
    part: Tensor,
    matrix: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    out_dtype: torch.dtype | None,
    memory_format: torch.memory_format,
    mips: bool,
) -> PasteSpec:
    """The record of paste's arguments. Raises TypeError or ValueError that names what the kernels cannot take.

    A training step asks the same question every time, and asking costs more than a launch: the answer is kept."""
    key = None
    if not torch.compiler.is_compiling() and type(mean) is type(std) is tuple:
        try:
            texels, table = pool.texels, pool.table
            key = (
                image.dtype, image.shape, image.layout, image.device, part.dtype, part.shape, part.layout, part.device,
                matrix.dtype, matrix.shape, matrix.layout, matrix.device, texels.dtype, texels.shape,
                texels.is_contiguous(), texels.device, table.dtype, table.shape, table.is_contiguous(), table.device,
                mean, std, out_dtype, memory_format, mips, type(mips),
            )  # fmt: skip
            spec = _known.get(key)
            if spec is not None:
                return spec
        except (AttributeError, RuntimeError, TypeError):  # something that is no tensor, or that cannot be kept
            key = None
    _check(image, pool, part, matrix)
    spec = _make_spec(image, mean, std, out_dtype, memory_format, mips)
    if key is not None and all(type(value) in (int, float) for value in (*mean, *std)):
        if len(_known) >= 1024:
            _known.clear()
        _known[key] = spec
    return spec


def _make_spec(
    image: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    out_dtype: torch.dtype | None,
    memory_format: torch.memory_format,
    mips: bool,
) -> PasteSpec:
    """The record of these arguments for such an image (one that `_check` let pass); refuses them by their names."""
    mean, std = statistics(mean, std)
    dtype = out_dtype
    if dtype is None:
        dtype = torch.float32 if image.dtype == torch.uint8 else image.dtype
    elif image.dtype != torch.uint8 and dtype != image.dtype:
        raise TypeError(f"out_dtype: expected {image.dtype}, the dtype of a float image, got {out_dtype}")
    for name, value, plain in (("mean", mean, 0.0), ("std", std, 1.0)):
        if dtype == torch.uint8 and value != (plain,) * 3:
            raise ValueError(f"{name}: expected {(plain,) * 3} where out_dtype is uint8, got {value}")
    if dtype not in (*FLOATS, torch.uint8):
        raise TypeError(f"out_dtype: expected float64, float32, bfloat16, float16 or uint8, got {out_dtype}")
    if memory_format not in (torch.contiguous_format, torch.channels_last):
        raise ValueError(f"memory_format: expected contiguous_format or channels_last, got {memory_format}")
    if not isinstance(mips, bool):
        raise TypeError(f"mips: expected True or False, got {mips!r}")
    return PasteSpec(mean, std, dtype, memory_format == torch.channels_last, mips)


def _check(image: Tensor, pool: Pool, part: Tensor, matrix: Tensor) -> None:
    """Refuse tensors that the kernels cannot take, by the argument's name."""
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
    if image.dtype != torch.uint8 and image.dtype not in FLOATS:
        raise TypeError(f"image: expected float64, float32, bfloat16, float16 or uint8, got {image.dtype}")
    layout, channels = ("[B, H, W, 3] for uint8", -1) if image.dtype == torch.uint8 else ("[B, 3, H, W] for floats", 1)
    if image.ndim != 4 or image.shape[channels] != 3:
        raise ValueError(f"image: expected shape {layout}, got {list(image.shape)}")
    batch, height, width = sizes(image)
    if max(height, width) > 32768:
        raise ValueError(f"image: expected sides of at most 32768 pixels, got {height} x {width}")
    if part.dtype != torch.int64:
        raise TypeError(f"part: expected int64, got {part.dtype}")
    if part.ndim != 2 or part.shape[0] != batch:
        raise ValueError(f"part: expected shape [{batch}, N], got {list(part.shape)}")
    if matrix.dtype not in FLOATS:
        raise TypeError(f"matrix: expected a floating dtype, got {matrix.dtype}")
    if tuple(matrix.shape) != (*part.shape, 2, 3):
        raise ValueError(f"matrix: expected shape {[*part.shape, 2, 3]}, got {list(matrix.shape)}")
    for name, tensor in (("pool", pool.texels), ("pool", pool.table), ("part", part), ("matrix", matrix)):
        if tensor.device != image.device:
            raise ValueError(f"{name}: expected on {image.device}, where image is, got {tensor.device}")


def statistics(mean: Sequence[float], std: Sequence[float]) -> tuple[Triple, Triple]:
    """Of the images' colours, three finite numbers each, std's above 0. TypeError and ValueError name them."""
    mean, std = _triple("mean", mean), _triple("std", std)
    if not all(value > 0 for value in std):
        raise ValueError(f"std: expected 3 positive numbers, got {std}")
    return mean, std


def _triple(name: str, values: Sequence[float]) -> Triple:
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected 3 numbers, one per channel, got {values!r}") from None
    if len(numbers) != 3:
        raise ValueError(f"{name}: expected 3 numbers, one per channel, got {len(numbers)}")
    if not all(-math.inf < number < math.inf for number in numbers):
        raise ValueError(f"{name}: expected finite numbers, got {list(numbers)}")
    return numbers
