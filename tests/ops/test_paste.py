"""What paste computes: hand tables, a plain-torch reference, float64 gradcheck of the shipping code, smaller copies."""

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
