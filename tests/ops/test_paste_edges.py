"""What paste meets at its edges: no parts, thousands, matrices that no augmentation makes; what it keeps and needs."""

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

INF, NAN = math.inf, math.nan


def solid(h: int, w: int, colour=(255, 0, 0, 255)) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (h, w, 4)).copy()


def one(matrix) -> torch.Tensor:
    return torch.tensor(matrix, dtype=torch.float64).view(1, 1, 2, 3)


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
