"""What paste computes: hand tables, a plain-torch reference, float64 gradcheck of the shipping code, the same bits."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from asda_fast import PartPool, paste
from asda_fast.ops import paste_reference as reference
from asda_fast.ops import skipped
from asda_fast.ops.paste import paste_backward

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
INF, NAN = math.inf, math.nan


def solid(h: int, w: int, colour=(255, 0, 0, 255)) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (h, w, 4)).copy()


def one(matrix) -> torch.Tensor:
    return torch.tensor(matrix, dtype=torch.float64).view(1, 1, 2, 3)


IDENTITY = [[1, 0, 0], [0, 1, 0]]

# patch (h, w), matrix, the red channel of a black 3 x 4 image after an opaque red patch was laid
HAND = [
    ("identity 1x1", (1, 1), IDENTITY, [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
    ("identity 2x3", (2, 3), IDENTITY, [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]),
    ("moved right by 1", (1, 1), [[1, 0, -1], [0, 1, 0]], [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
    ("moved down by 2", (1, 1), [[1, 0, 0], [0, 1, -2]], [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]),
    ("half a pixel right", (1, 1), [[1, 0, -0.5], [0, 1, 0]], [[0.5, 0.5, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
    ("quarter, both ways", (1, 1), [[1, 0, -0.25], [0, 1, -0.25]],
     [[0.5625, 0.1875, 0, 0], [0.1875, 0.0625, 0, 0], [0, 0, 0, 0]]),
    ("twice as large", (1, 1), [[0.5, 0, 0], [0, 0.5, 0]],
     [[0.5625, 0.5625, 0.1875, 0], [0.5625, 0.5625, 0.1875, 0], [0.1875, 0.1875, 0.0625, 0]]),
    ("mirrored", (1, 2), [[-1, 0, 4], [0, 1, 0]], [[0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]),
    ("quarter turn", (1, 3), [[0, 1, 0], [1, 0, 0]], [[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]),
    ("wholly outside", (2, 2), [[1, 0, 50], [0, 1, 0]], [[0] * 4] * 3),
]  # fmt: skip


@pytest.mark.parametrize(("size", "matrix", "red"), [case[1:] for case in HAND], ids=[case[0] for case in HAND])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hand_table(size, matrix, red, dtype):
    pool = PartPool.from_patches([solid(*size)])
    out = paste(
        torch.zeros(1, 3, 3, 4, dtype=dtype), pool, torch.zeros(1, 1, dtype=torch.int64), one(matrix), mips=False
    )
    assert torch.allclose(out[0, 0], torch.tensor(red, dtype=dtype), atol=1e-6)
    assert not out[0, 1:].any()


def test_blend_order_and_colours():
    """Grey 0.5, then half-transparent red, then opaque green on the left pixel only; colours are normalised."""
    pool = PartPool.from_patches([solid(1, 2, (255, 0, 0, 128)), solid(1, 1, (0, 255, 0, 255))])
    image = torch.full((1, 3, 1, 2), 0.5, dtype=torch.float64)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    normal = (image - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    matrix = torch.tensor([IDENTITY, IDENTITY], dtype=torch.float64)[None]
    out = paste(normal, pool, torch.tensor([[0, 1]]), matrix, mean, std)
    a = 128 / 255
    right = [0.5 * (1 - a) + a, 0.5 * (1 - a), 0.5 * (1 - a)]
    expected = torch.tensor([[0.0, right[0]], [1.0, right[1]], [0.0, right[2]]], dtype=torch.float64)
    expected = (expected - torch.tensor(mean)[:, None]) / torch.tensor(std)[:, None]
    assert torch.allclose(out[0, :, 0], expected, atol=1e-6)
    swapped = paste(normal, pool, torch.tensor([[1, 0]]), matrix, mean, std)
    assert not torch.allclose(swapped, out)


def test_hand_gradient():
    """One white texel a quarter left of pixel 1's centre: out = 1 - |u - 0.5| there, so d out / d tx = -1."""
    pool = PartPool.from_patches([solid(1, 1, (255, 255, 255, 255))])
    matrix = one([[1, 0, -0.75], [0, 1, 0.125]]).requires_grad_()
    image = torch.zeros(1, 3, 1, 2, dtype=torch.float64, requires_grad=True)
    out = paste(image, pool, torch.zeros(1, 1, dtype=torch.int64), matrix)
    # pixel 1: u = 0.75, weight 0.75; pixel 0: u = -0.25, weight 0.25; v = 0.625: weight 0.875
    assert torch.allclose(out[0, 0, 0], torch.tensor([0.25, 0.75], dtype=torch.float64) * 0.875)
    v_matrix, v_image = torch.autograd.grad(out[0, 0, 0, 1], (matrix, image))
    expected = [[-1.5 * 0.875, -0.5 * 0.875, -0.875], [-1.5 * 0.75, -0.5 * 0.75, -0.75]]
    assert torch.allclose(v_matrix[0, 0], torch.tensor(expected, dtype=torch.float64))
    assert torch.allclose(v_image[0, 0, 0], torch.tensor([0, 1 - 0.75 * 0.875], dtype=torch.float64))


@pytest.mark.parametrize("scale", [(0.5, 2.0), (0.01, 0.012), (90.0, 100.0)], ids=["usual", "0.01", "100"])
@pytest.mark.parametrize(
    ("batch", "slots", "height", "width"), [(3, 1, 64, 48), (2, 8, 33, 45), (1, 3, 1, 7), (2, 2, 61, 1)]
)
def test_reference_float64(scene, scale, batch, slots, height, width):
    s = scene(batch, slots, height, width, torch.float64, scale)
    check_reference(s, 1e-9, 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_reference_float32(scene, seed):
    """Texels are noise of full contrast, so a coordinate's rounding (1e-5 of a texel) is what the tolerance covers; a
    rounding across a texel's edge flips single terms of the gradient."""
    check_reference(scene(2, 5, 70, 83, torch.float32, seed=seed), 5e-4, 2e-3)


@pytest.mark.parametrize("seed", range(40))
def test_any_shape(scene, portable, seed):
    """Sizes around the eight pixels of a vector and the 32 rows of a block, any number of slots: the numbers of
    the reference in float64, and the same bits from both paths in float32."""
    rng = np.random.default_rng(seed)
    batch, slots, height, width = rng.integers((1, 1, 1, 1), (4, 6, 70, 40)).tolist()
    check_reference(scene(batch, slots, height, width, torch.float64, seed=seed), 1e-9, 1e-9)
    s = scene(batch, slots, height, width, torch.float32, seed=seed)
    seen = []
    for plain in (False, True):
        portable(plain)
        image, matrix = s.image.clone().requires_grad_(), s.matrix.clone().requires_grad_()
        out = paste(image, s.pool, s.part, matrix, MEAN, STD)
        seen.append((out, *torch.autograd.grad(out.square().sum(), (image, matrix))))
    assert all(torch.equal(a, b) for a, b in zip(*seen))


def check_reference(s, tolerance: float, gradient_tolerance: float) -> None:
    image, matrix = s.image.requires_grad_(), s.matrix.requires_grad_()
    patches, _ = reference.stack(s.pool, image.dtype)
    ours = paste(image, s.pool, s.part, matrix, MEAN, STD, mips=False)
    expected = reference.paste(image, patches, s.part, matrix, MEAN, STD)
    assert torch.allclose(ours, expected, atol=tolerance, rtol=0)
    v_out = torch.randn(ours.shape, dtype=ours.dtype, generator=torch.Generator().manual_seed(0))
    for name, a, b in zip(
        ("matrix", "image"), *(torch.autograd.grad(o, (matrix, image), v_out) for o in (ours, expected))
    ):
        largest = b.abs().amax().clamp(min=1)
        assert torch.allclose(a, b, atol=gradient_tolerance * float(largest), rtol=0), name


def off_the_grid(s, margin: float = 1e-4) -> bool:
    """No sample coordinate is within `margin` of a texel's centre line, where bilinear sampling has a kink."""
    height, width = s.image.shape[2:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], -1).to(s.matrix)
    u = torch.einsum("bnij,hwj->bnhwi", s.matrix, points) - 0.5
    return bool(((u - u.round()).abs() > margin).all())


@pytest.mark.parametrize("mips", [False, True])
def test_gradcheck(scene, mips):
    """Numerical against analytical gradients of the code that ships (kernels/paste_math.h in float64)."""
    scale = (0.6, 1.6) if not mips else (2.2, 3.0)
    found = (scene(2, 3, 6, 7, torch.float64, scale, seed, high=9) for seed in range(1000))
    s = next(s for s in found if off_the_grid(s, 1e-3) and (s.part >= 0).sum() >= 5)
    image, matrix = s.image.requires_grad_(), s.matrix.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda i, m: paste(i, s.pool, s.part, m, MEAN, STD, mips=mips), (image, matrix), eps=1e-6, atol=1e-5, rtol=1e-4
    )


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


def test_no_parts(scene):
    s = scene(2, 0, 9, 11, torch.float32)
    image = s.image.requires_grad_()
    out = paste(image, s.pool, s.part, s.matrix)
    assert torch.equal(out, image)
    out.backward(torch.ones_like(out))
    assert torch.equal(image.grad, torch.ones_like(out))
    empty = torch.zeros(0, 3, 4, 4)
    assert paste(empty, s.pool, torch.zeros(0, 2, dtype=torch.int64), torch.zeros(0, 2, 2, 3)).shape == (0, 3, 4, 4)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("where", range(6))
def test_bad_matrix_is_an_empty_slot(scene, bad, where):
    s = scene(2, 3, 30, 40, torch.float32)
    part = s.part.clamp(min=0)
    matrix = s.matrix.clone()
    matrix[1, 1].view(-1)[where] = bad
    matrix.requires_grad_()
    without = part.clone()
    without[1, 1] = -1
    skipped("cpu", reset=True)
    out = paste(s.image, s.pool, part, matrix)
    assert skipped("cpu") == {"matrix": 1, "index": 0}
    assert torch.equal(out, paste(s.image, s.pool, without, s.matrix))
    (v_matrix,) = torch.autograd.grad(out.sum(), matrix)
    assert v_matrix.isfinite().all()
    assert not v_matrix[1, 1].any()


@pytest.mark.parametrize("value", [1e-30, 1e8, 1e20, 3e38, -3e38])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_huge_matrices_do_no_harm(scene, value, dtype):
    s = scene(1, 6, 20, 30, dtype)
    matrix = s.matrix.clone()
    for i in range(6):
        matrix[0, i].view(-1)[i] = value
    matrix = matrix.requires_grad_()
    out = paste(s.image, s.pool, s.part.clamp(min=0), matrix)
    (v_matrix,) = torch.autograd.grad(out.sum(), matrix)
    assert out.isfinite().all()
    assert v_matrix.isfinite().all()


def test_degenerate_matrix(scene):
    """All zeros: one texel everywhere."""
    pool = PartPool.from_patches([solid(2, 2, (0, 255, 0, 255))])
    out = paste(torch.zeros(1, 3, 8, 9), pool, torch.zeros(1, 1, dtype=torch.int64), one([[0, 0, 1], [0, 0, 1]]))
    assert torch.equal(out[0, 1], torch.ones(8, 9))


def test_many_slots():
    """B * N = 4096 * 8, in small images."""
    rng = np.random.default_rng(0)
    pool = PartPool.from_patches([rng.integers(0, 256, (5, 4, 4), dtype=np.uint8) for _ in range(3)])
    image = torch.randn(4096, 3, 4, 4)
    part = torch.randint(-1, 3, (4096, 8))
    matrix = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(4096, 8, 2, 3) + 0.3 * torch.randn(4096, 8, 2, 3)
    matrix.requires_grad_()
    patches, _ = reference.stack(pool)
    out = paste(image, pool, part, matrix, mips=False)
    expected = reference.paste(image, patches, part, matrix)
    assert torch.allclose(out, expected, atol=1e-4)
    ours, theirs = (torch.autograd.grad(o.square().sum(), matrix)[0] for o in (out, expected))
    assert ((ours - theirs).abs() > 1e-2).float().mean() < 1e-3  # a coordinate on a texel's edge may fall either way


def test_backward_saves_only_inputs(scene):
    s = scene(2, 3, 20, 20, torch.float32)
    matrix = s.matrix.requires_grad_()
    out = paste(s.image, s.pool, s.part, matrix)
    inputs = {t.data_ptr() for t in (s.image, s.pool.texels, s.pool.table, s.part, matrix)}
    assert {t.data_ptr() for t in out.grad_fn.saved_tensors} <= inputs


@pytest.mark.skipif(sys.platform != "linux", reason="reads the resident set's high-water mark")
def test_peak_memory():
    """Forward + backward at B=32, N=8, 256x256: the output (24 MiB), the matrix gradient and at most 1 MB."""
    script = """
import torch
from benchmarks.common import peak_memory
from benchmarks.paste_cases import Case
calls = Case(32, (256, 256), 8, "fp32", "cpu")
both = calls.modes(calls.ours)["both"]
both()
print(peak_memory(both))
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    peak = float(done.stdout)
    if math.isnan(peak):
        pytest.skip("this system does not let a process reset its high-water mark")
    assert peak <= 24 + 32 * 8 * 6 * 4 / 2**20 + 1


def test_gradient_to_image_is_optional(scene):
    s = scene(1, 2, 12, 12, torch.float32)
    mean, std = [0.0] * 3, [1.0] * 3
    args = (s.image, s.pool.texels, s.pool.table, s.part, s.matrix, mean, std, True)
    v_matrix, v_image = paste_backward(torch.ones_like(s.image), *args, False)
    assert v_image.numel() == 0
    again, v_image = paste_backward(torch.ones_like(s.image), *args, True)
    assert torch.equal(v_matrix, again)
    assert v_image.shape == s.image.shape


def test_mips_average_instead_of_skipping():
    """A fine checkerboard at a tenth of its size: grey with mips, aliased noise without."""
    y, x = np.mgrid[:160, :160]
    board = np.dstack([((x + y) % 2 * 255)] * 3 + [np.full_like(x, 255)]).astype(np.uint8)
    pool = PartPool.from_patches([board])
    matrix = one([[10.5, 0, 0], [0, 10.5, 0]])
    args = (torch.zeros(1, 3, 20, 20, dtype=torch.float64), pool, torch.zeros(1, 1, dtype=torch.int64), matrix)
    inner = (slice(None), slice(None), slice(2, 12), slice(2, 12))
    assert (paste(*args)[inner] - 0.5).abs().max() < 0.01
    assert (paste(*args, mips=False)[inner] - 0.5).abs().max() > 0.1


def test_mips_keep_the_place_and_chain_the_gradient():
    """The level is another patch under a rescaled matrix: the same picture as pasting that level by hand."""
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (6, 5, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    patch = np.dstack([smooth, np.full(smooth.shape[:2], 255, np.uint8)])  # 48 x 40
    pool = PartPool.from_patches([patch])
    first, h, w, _ = pool.table[0].tolist()
    begin = first + (h + 2) * (w + 2)  # level 1: 24 x 20
    level = pool.texels[begin : begin + 26 * 22].view(26, 22, 4)[1:-1, 1:-1].numpy()
    half = PartPool.from_patches([level], mips=False)
    image, part = torch.zeros(1, 3, 16, 16, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.int64)
    matrix = one([[2.4, 0.3, -2], [-0.3, 2.4, 1]]).requires_grad_()
    ours = paste(image, pool, part, matrix)
    by_hand = paste(image, half, part, matrix / 2)
    assert torch.allclose(ours, by_hand)
    a, b = (torch.autograd.grad(out.square().sum(), matrix)[0] for out in (ours, by_hand))
    assert torch.allclose(a, b)


def wild_matrix(rng: np.random.Generator, kind: int, height: int, width: int, size: tuple[int, int]) -> np.ndarray:
    """Matrices that stretch, shear, flatten or shrink far beyond what an augmentation does, aimed at the image."""
    linear = rng.standard_normal((2, 2)) * np.exp(rng.uniform(-6, 4, (2, 2)))
    if kind == 1:  # nearly singular: all pixels of a line fall on one texel
        linear[1] = linear[0] * rng.uniform(-2, 2) + rng.standard_normal(2) * 1e-6
    elif kind == 2:  # axis-aligned, zeros included
        linear[rng.integers(2), rng.integers(2)] = 0
    elif kind == 3:
        linear *= 1e4
    target = np.floor(rng.uniform(0, 1, 2) * (width, height)) + 0.5  # a pixel's centre: one at least is painted
    source = rng.uniform(0, 1, 2) * (size[1], size[0])
    return np.concatenate([linear, (source - linear @ target)[:, None]], 1).astype(np.float32)


@pytest.mark.parametrize("plain", [False, True], ids=["avx2", "portable"])
@pytest.mark.parametrize("kind", range(4))
def test_no_pixel_of_a_parallelogram_is_missed(portable, plain, kind):
    """The rows' intervals are only an optimisation: what is painted is what the definition says, for any matrix."""
    portable(plain)
    rng = np.random.default_rng(kind)
    height, width, size = 37, 53, (9, 14)
    pool = PartPool.from_patches([solid(*size, (255, 255, 255, 255))])
    matrices = np.stack([wild_matrix(rng, kind, height, width, size) for _ in range(300)])
    out = paste(
        torch.zeros(300, 3, height, width), pool, torch.zeros(300, 1, dtype=torch.int64),
        torch.from_numpy(matrices)[:, None], mips=False,
    )  # fmt: skip
    x, y = np.arange(width, dtype=np.float32) + np.float32(0.5), np.arange(height, dtype=np.float32) + np.float32(0.5)
    half = np.float32(0.5)

    def block_coordinate(row):  # [300, H, W], the operations of paste_math.h in their order
        m = matrices[:, row, :, None, None]
        return m[:, 0] * x + (m[:, 1] * y[:, None] + (m[:, 2] + half))

    u, v = block_coordinate(0), block_coordinate(1)
    weight_u, weight_v = np.clip(np.minimum(u, size[1] + 1 - u), 0, 1), np.clip(np.minimum(v, size[0] + 1 - v), 0, 1)
    inside = (u >= 0) & (u < size[1] + 1) & (v >= 0) & (v < size[0] + 1)
    expected = np.where(inside, weight_u * weight_v, 0)
    assert np.abs(out[:, 0].numpy() - expected).max() < 1e-5
    assert inside.any(axis=(1, 2)).mean() > 0.9
