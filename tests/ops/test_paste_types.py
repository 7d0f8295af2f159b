"""Types and layouts of paste: the same bits on every path and thread count, halves rounded as by torch, bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asda_fast import PartPool, paste
from asda_fast.ops import paste_reference as reference

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def solid(h: int, w: int, colour=(255, 0, 0, 255)) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (h, w, 4)).copy()


def one(matrix) -> torch.Tensor:
    return torch.tensor(matrix, dtype=torch.float64).view(1, 1, 2, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.uint8])
@pytest.mark.parametrize("width", [64, 45])
def test_same_bits_everywhere(scene, threads, portable, dtype, width):
    """AVX2 or portable, one thread or several, run after run."""
    s = scene(17, 6, 40, width, torch.float32)  # two threads take whole images here, three take blocks of rows
    image = (s.image * 40 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    image = image if dtype == torch.uint8 else s.image.to(dtype)
    v_out = torch.randn(s.image.shape, generator=torch.Generator().manual_seed(1)).to(paste_dtype(dtype))
    seen = []
    for plain in (False, True):
        portable(plain)
        for count in (1, 2, 3, 3):
            torch.set_num_threads(count)
            leaf = image.clone().requires_grad_() if image.is_floating_point() else image
            matrix = s.matrix.clone().requires_grad_()
            out = paste(leaf, s.pool, s.part, matrix, MEAN, STD)
            wanted = (matrix, leaf) if leaf.requires_grad else (matrix,)
            seen.append((out, *torch.autograd.grad(out, wanted, v_out)))
    for other in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], other))


def paste_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype == torch.uint8 else dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_accumulate_in_float32(scene, dtype):
    """One rounding at the end: as if pasted in float32."""
    s = scene(3, 5, 40, 50, torch.float32)
    image = s.image.to(dtype)
    out = paste(image, s.pool, s.part, s.matrix, MEAN, STD)
    assert out.dtype == dtype
    assert torch.equal(out, paste(image.float(), s.pool, s.part, s.matrix, MEAN, STD).to(dtype))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["planar", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.uint8])
@pytest.mark.parametrize("width", [48, 45])
def test_bytes_in_any_type_out(scene, portable, dtype, layout, width):
    """From uint8 straight to what is asked for, in either layout: the bits of pasting to float32 and casting after."""
    s = scene(3, 5, 40, width, torch.float32)
    image = (s.image * 60 + 128).clamp(0, 255).to(torch.uint8)
    statistics = ((0.0,) * 3, (1.0,) * 3) if dtype == torch.uint8 else (MEAN, STD)
    for planar in (True, False):
        nhwc = image.permute(0, 2, 3, 1)
        nhwc = nhwc if planar else nhwc.contiguous()
        for plain in (False, True):
            portable(plain)
            whole = paste(nhwc, s.pool, s.part, s.matrix, *statistics)
            cast = (whole * 255).round().to(dtype) if dtype == torch.uint8 else whole.to(dtype)
            out = paste(nhwc, s.pool, s.part, s.matrix.requires_grad_(), *statistics, dtype, layout)
            assert out.dtype == dtype
            assert out.is_contiguous(memory_format=layout)
            assert torch.equal(out, cast)
            assert out.requires_grad == (dtype != torch.uint8)
    assert not torch.equal(cast, image.to(dtype)) or dtype != torch.uint8


def test_uint8_out_takes_what_it_is_given(portable):
    """Every byte passes unchanged; what a pool of too bright a colour makes is cut at 255."""
    pool = PartPool.from_patches([solid(1, 1, (255, 255, 255, 0))])
    image = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    part, far = torch.zeros(1, 1, dtype=torch.int64), one([[1, 0, -12.5], [0, 1, -12.5]]).float()
    bright = PartPool.from_patches([solid(1, 1, (255, 255, 255, 255))])
    bright.texels[:, 3] = 0  # adds its colour without covering
    for plain in (False, True):
        portable(plain)
        for layout in (torch.contiguous_format, torch.channels_last):
            out = paste(image, pool, part, far, out_dtype=torch.uint8, memory_format=layout)
            assert torch.equal(out.permute(0, 2, 3, 1), image)
            out = paste(image, bright, part, far, out_dtype=torch.uint8, memory_format=layout)
            assert int(out[0, 0].amax()) == 255
            assert (out.permute(0, 2, 3, 1) >= image).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_differentiate_in_float32(scene, dtype):
    s = scene(3, 5, 40, 50, torch.float32)
    image, v_out = s.image.to(dtype), torch.randn(s.image.shape).to(dtype)
    results = []
    for leaf, gradient in ((image, v_out), (image.float(), v_out.float())):
        leaf, matrix = leaf.requires_grad_(), s.matrix.clone().requires_grad_()
        out = paste(leaf, s.pool, s.part, matrix, MEAN, STD)
        results.append(torch.autograd.grad(out, (matrix, leaf), gradient))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1].to(dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_conversion_is_torchs(portable, dtype):
    """Every half value in, and float values of every kind out, rounded as torch rounds them."""
    pool = PartPool.from_patches([solid(1, 1)])
    empty = torch.zeros(1, 0, dtype=torch.int64)
    every = torch.arange(65536, dtype=torch.int32).to(torch.int16).view(dtype)
    image = every.expand(3, 65536).reshape(1, 3, 64, 1024)
    cover = (
        torch.full((1, 1), 0),
        one([[1, 0, -500], [0, 1, -30]]).float(),
    )  # touches one pixel: all rows near it convert
    for plain in (False, True):
        portable(plain)
        for part, matrix in ((empty, torch.zeros(1, 0, 2, 3)), cover):
            out = paste(image, pool, part, matrix)
            same = (out == image) | (out.isnan() & image.isnan())
            assert int((~same).sum()) <= 3
    numbers = torch.randn(1, 3, 32, 64) * torch.logspace(-9, 6, 64)
    bytes_ = torch.randint(0, 256, (1, 40, 56, 3), dtype=torch.uint8)
    tiny = (1e-4, 3e-6, 7e2)  # subnormal halves, overflow
    for plain in (False, True):
        portable(plain)
        wide = paste(bytes_, pool, empty, torch.zeros(1, 0, 2, 3), std=tiny)
        assert torch.equal(
            paste(bytes_, pool, empty, torch.zeros(1, 0, 2, 3), std=tiny, out_dtype=dtype), wide.to(dtype)
        )
    assert torch.equal(paste(numbers.to(dtype), pool, empty, torch.zeros(1, 0, 2, 3)), numbers.to(dtype))


def test_uint8_is_normalised():
    """N = 0 is the normaliser: (value / 255 - mean) / std, planar."""
    image = torch.randint(0, 256, (2, 17, 23, 3), dtype=torch.uint8)
    pool = PartPool.from_patches([solid(1, 1)])
    part, matrix = torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, 0, 2, 3)
    exact = (image.double() / 255 - torch.tensor(MEAN, dtype=torch.float64)) / torch.tensor(STD, dtype=torch.float64)
    exact = exact.permute(0, 3, 1, 2)
    assert torch.allclose(paste(image, pool, part, matrix, MEAN, STD).double(), exact, atol=1e-6)
    wide = paste(image, pool, part, matrix, MEAN, STD, out_dtype=torch.float64)
    assert torch.allclose(wide, exact, atol=1e-14)
    assert paste(image, pool, part, matrix, out_dtype=torch.bfloat16).dtype == torch.bfloat16


def test_uint8_with_parts(scene):
    s = scene(3, 4, 37, 50, torch.float64)
    image = torch.randint(0, 256, (3, 37, 50, 3), dtype=torch.uint8)
    normal = reference.normalise(image, MEAN, STD, torch.float64)
    patches, _ = reference.stack(s.pool, torch.float64)
    expected = reference.paste(normal, patches, s.part, s.matrix, MEAN, STD)
    matrix = s.matrix.float().requires_grad_()
    out = paste(image, s.pool, s.part, matrix, MEAN, STD, mips=False)
    assert torch.allclose(out.double(), expected, atol=1e-3)
    out.sum().backward()
    assert matrix.grad.abs().sum() > 0


def test_layouts(scene):
    """Input of any strides, output in either memory format, expanded gradients: the same numbers."""
    s = scene(2, 4, 40, 30, torch.float32)
    plain = paste(s.image, s.pool, s.part, s.matrix, MEAN, STD)
    wide = torch.empty(2, 3, 80, 90)[:, :, ::2, ::3].copy_(s.image)
    last = s.image.contiguous(memory_format=torch.channels_last)
    for image in (wide, last, s.image.transpose(0, 1).contiguous().transpose(0, 1)):
        assert torch.equal(paste(image, s.pool, s.part, s.matrix, MEAN, STD), plain)
        out = paste(image, s.pool, s.part, s.matrix, MEAN, STD, memory_format=torch.channels_last)
        assert out.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(out, plain)
    part = s.part.repeat(1, 2)[:, ::2].contiguous()[:, : s.part.shape[1]]
    strided = torch.stack([part, part], -1)[..., 0]
    matrix = torch.stack([s.matrix, s.matrix], -1)[..., 0]
    assert torch.equal(
        paste(s.image, s.pool, strided, matrix, MEAN, STD), paste(s.image, s.pool, part, s.matrix, MEAN, STD)
    )
    leaves = [s.matrix.clone().requires_grad_(), s.matrix.clone().requires_grad_()]
    paste(s.image, s.pool, s.part, leaves[0]).sum().backward()  # an expanded v_out
    paste(last, s.pool, s.part, leaves[1], memory_format=torch.channels_last).backward(torch.ones_like(last))
    assert torch.equal(leaves[0].grad, leaves[1].grad)
