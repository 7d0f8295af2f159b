"""Placement against points computed by hand, and the reference mode against the released code's chain of operations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from asda_fast.augment.placement import MODES, body_diagonal, matrices

SIZE = (256, 192)  # 256 high, 192 wide


def place(theta, patch=(40, 20), person=(30.0, 40.0), box=(0.0, 0.0, 60.0, 80.0), size=SIZE, **kw):
    """One patch of 40 x 20 (h, w) whose person is 30 x 40 (w, h), on a target person twice as large."""
    theta = torch.tensor([[theta]], dtype=torch.float64)
    to = {"dtype": torch.float64}
    return matrices(
        theta, torch.tensor([[patch]]), torch.tensor([[person]], **to), torch.tensor([box], **to), size, **kw
    )[0, 0].numpy()


def apply(matrix, x, y):
    return matrix @ np.array([x, y, 1.0])


def inverse(matrix, x, y):
    return np.linalg.solve(matrix[:, :2], np.array([x, y]) - matrix[:, 2])


@pytest.mark.parametrize(
    ("theta", "crop", "patch"),
    [
        # (1, 0, 0, 0): upright, the patch's centre in the crop's centre, twice as large as stored
        ((1, 0, 0, 0), (96, 128), (10, 20)),
        ((1, 0, 0, 0), (96 - 20, 128 - 40), (0, 0)),
        ((1, 0, 0, 0), (96 + 20, 128 + 40), (20, 40)),
        # s = 2: four times as large as stored
        ((2, 0, 0, 0), (96 + 40, 128), (20, 20)),
        # tx = 1/2: half of half the width to the LEFT; ty = 1/4: a quarter of half the height UP; whatever s is
        ((1, 0, 0.5, 0), (96 - 48, 128), (10, 20)),
        ((1, 0, 0, 0.25), (96, 128 - 32), (10, 20)),
        ((2, 0, 0.5, 0.25), (96 - 48, 128 - 32), (10, 20)),
        # r = 90 degrees: clockwise as seen, so the patch's top middle comes to the right
        ((1, math.pi / 2, 0, 0), (96 + 40, 128), (10, 0)),
        ((1, math.pi / 2, 0, 0), (96, 128 + 20), (20, 20)),
    ],
)
def test_paper_points(theta, crop, patch):
    np.testing.assert_allclose(apply(place(theta), *crop), patch, atol=1e-9)


@pytest.mark.parametrize("r", [0.3, 1.0, -2.0])
def test_paper_rotation_is_isotropic_on_a_crop_that_is_not_square(r):
    linear = place((1, r, 0.3, -0.2))[:, :2] * 2  # times the life-size factor: a pure rotation is left
    np.testing.assert_allclose(linear @ linear.T, np.eye(2), atol=1e-12)
    assert np.linalg.det(linear) == pytest.approx(1)


def test_paper_mirror_turns_the_patch_about_its_own_centre():
    plain, turned = (place((1, 0.4, 0.1, 0.2), mirror=torch.tensor([[m]])) for m in (False, True))
    for point in ((96, 128), (50, 90)):
        x, y = apply(plain, *point)
        np.testing.assert_allclose(apply(turned, *point), (20 - x, y), atol=1e-12)


def test_person_not_known_takes_the_type_s_share_of_the_body():
    matrix = place((1, 0, 0, 0), person=(math.nan, math.nan), share=torch.tensor([[0.3]]))
    height = inverse(matrix, 0, 40)[1] - inverse(matrix, 0, 0)[1]
    assert height == pytest.approx(0.3 * math.hypot(60, 80) * 40 / math.hypot(40, 20))


def test_body_diagonal_is_of_the_box_widened_to_the_crop_s_aspect():
    box = torch.tensor([[0.0, 0.0, 60.0, 80.0], [0.0, 0.0, 10.0, 80.0], [0.0, 0.0, 60.0, 10.0]])
    assert body_diagonal(box, SIZE).tolist() == pytest.approx([100.0, 100.0, 100.0])


def test_gradient_reaches_r_tx_ty():
    theta = torch.tensor([[[1.1, 0.3, 0.1, -0.2]]], dtype=torch.float64, requires_grad=True)
    box = torch.tensor([[0.0, 0.0, 60.0, 80.0]], dtype=torch.float64)
    size, person = torch.tensor([[[40, 20]]]), torch.tensor([[[30.0, 40.0]]], dtype=torch.float64)
    for mode in ("paper", "reference"):
        share = torch.tensor([[0.3]], dtype=torch.float64)
        assert torch.autograd.gradcheck(
            lambda t, mode=mode, share=share: matrices(t, size, person, box, SIZE, mode, share=share), theta
        )


def released_chain(patch: torch.Tensor, theta, size, scale) -> torch.Tensor:
    """What the released code does to a patch [C, h, w], step by step, with torch's own functions: resize, put on a
    canvas with (h/2, w/2) taken as (x, y) of its centre, affine_grid + grid_sample with align_corners=True."""
    height, width = size
    _, r, tx, ty = theta
    c, h, w = patch.shape
    h2, w2 = round(h * scale), round(w * scale)
    small = F.interpolate(patch[None], (h2, w2), mode="bilinear", align_corners=False)
    canvas = torch.zeros(1, c, height, width, dtype=patch.dtype)
    left, top = width // 2 - h2 // 2, height // 2 - w2 // 2
    canvas[:, :, top : top + h2, left : left + w2] = small
    h_matrix = torch.tensor([[[math.cos(r), math.sin(r), tx], [-math.sin(r), math.cos(r), ty]]], dtype=patch.dtype)
    grid = F.affine_grid(h_matrix, [1, c, height, width], align_corners=True)
    return F.grid_sample(canvas, grid, align_corners=True)[0]


def sampled(patch: torch.Tensor, matrix: np.ndarray, size) -> torch.Tensor:
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) + 0.5 for n in size), indexing="ij")
    m = torch.from_numpy(matrix)
    q = torch.stack([m[i, 0] * x + m[i, 1] * y + m[i, 2] for i in range(2)], -1)
    grid = q / torch.tensor([patch.shape[2], patch.shape[1]]) * 2 - 1
    return F.grid_sample(patch[None], grid[None], align_corners=False)[0]


@pytest.mark.parametrize(
    "theta",
    [(1, 0, 0, 0), (1, 0, 0.4, 0), (1, 0, 0, -0.3), (1, math.pi / 2, 0, 0), (1, 0.7, 0.3, 0.2), (1, -1, -0.5, 0)],
)
def test_reference_mode_equals_the_released_code_s_chain(theta):
    ramp = torch.linspace(0.2, 1.0, 40 * 24, dtype=torch.float64).view(40, 24)
    patch = torch.stack([ramp, ramp.flip(1), torch.ones_like(ramp)])
    share = 2 * math.hypot(40, 24) / 100  # twice as large as stored, on a body diagonal of 100
    matrix = place(theta, patch=(40, 24), mode="reference", share=torch.tensor([[share]], dtype=torch.float64))
    mine, theirs = sampled(patch, matrix, SIZE), released_chain(patch, theta, SIZE, 2.0)
    difference = (mine - theirs).abs()
    # A resize followed by a warp interpolates twice: equal inside, softer by a pixel at the edge.
    inside = (theirs[2] > 0.999) & (mine[2] > 0.999)
    assert inside.sum() > 1000
    assert difference[:, inside].max() < 0.03
    assert abs(mine[2].sum() - theirs[2].sum()) < 0.02 * theirs[2].sum()


@pytest.mark.parametrize("mirror", [None, False, True])
@pytest.mark.parametrize("theta", [(1, 0, 0, 0), (0.8, 0.7, 0.3, -0.2), (1.3, -2.1, -0.5, 0.4)])
def test_reference_mode_point_by_point(theta, mirror):
    """A crop pixel through the released code's chain of coordinates, to the last digit: the picture above forgives a
    third of a pixel."""
    (height, width), (h, w), share = SIZE, (40, 24), 0.6
    s, r, tx, ty = theta
    scale = s * share * 100 / math.hypot(h, w)  # the body's diagonal is 100
    given = {"share": torch.tensor([[share]], dtype=torch.float64)}
    given |= {} if mirror is None else {"mirror": torch.tensor([[mirror]])}
    matrix = place(theta, patch=(h, w), mode="reference", **given)
    for column, row in ((0, 0), (191, 0), (0, 255), (60, 100)):  # pixels, as align_corners=True numbers them
        x, y = 2 * column / (width - 1) - 1, 2 * row / (height - 1) - 1
        x, y = math.cos(r) * x + math.sin(r) * y + tx, -math.sin(r) * x + math.cos(r) * y + ty
        on_canvas = (x + 1) / 2 * (width - 1) + 0.5, (y + 1) / 2 * (height - 1) + 0.5
        expected_x = (on_canvas[0] - width / 2) / scale + h / 2  # x and y exchanged, as released
        expected_y = (on_canvas[1] - height / 2) / scale + w / 2
        expected_x = w - expected_x if mirror else expected_x
        np.testing.assert_allclose(apply(matrix, column + 0.5, row + 0.5), (expected_x, expected_y), atol=1e-9)


def test_reference_mode_shears_on_a_crop_that_is_not_square():
    """REFERENCE.md 2.5: a bar asked to turn by 90 degrees comes out turned by less, and stretched."""
    share = torch.tensor([[0.5]], dtype=torch.float64)
    linear = place((1, math.pi / 4, 0, 0), mode="reference", share=share)[:, :2]
    assert abs(linear[0] @ linear[1]) > 1e-3  # the axes are not at right angles
    square = place((1, math.pi / 4, 0, 0), mode="reference", share=share, size=(256, 256))[:, :2]
    assert abs(square[0] @ square[1]) < 1e-12


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_matrices_are_of_theta_s_type(mode, dtype):
    theta, mirror = torch.ones((1, 2, 4), dtype=dtype), torch.tensor([[True, False]])
    size, box = torch.tensor([[[40, 20], [40, 20]]]), torch.tensor([[0.0, 0.0, 60.0, 80.0]], dtype=torch.float64)
    person = torch.tensor([[[30.0, 40.0], [math.nan, math.nan]]], dtype=torch.float64)
    share = torch.full((1, 2), 0.3, dtype=torch.float64)
    assert matrices(theta, size, person, box, SIZE, mode, share, mirror).dtype == dtype


def test_arguments_are_named():
    with pytest.raises(ValueError, match="mode"):
        place((1, 0, 0, 0), mode="other")
    with pytest.raises(ValueError, match="share"):
        place((1, 0, 0, 0), mode="reference")


@pytest.mark.parametrize("mode", MODES)
def test_a_person_without_area_gives_finite_gradients(mode):
    """An empty slot of the paste passes 0 back, and 0 times inf would be NaN in the generator for ever."""
    theta = torch.zeros((1, 1, 4), requires_grad=True)
    patch, person, box = torch.tensor([[[8, 8]]]), torch.tensor([[[8.0, 8.0]]]), torch.zeros((1, 4))
    matrix = matrices(theta + 1, patch, person, box, (64, 64), mode, share=torch.tensor([[0.3]]))
    (matrix * 0).sum().backward()
    assert torch.isfinite(matrix).all()
    assert torch.isfinite(theta.grad).all()


@pytest.mark.parametrize(("size", "outside"), [((96, 96), 1 / 9), ((256, 192), 1 / 6)])
def test_a_shift_turns_with_its_part_and_may_leave_the_crop(size, outside):
    """The shares that sampling.Ranges names: of centres that random places put outside of the crop."""
    height, width = size
    draw = torch.Generator().manual_seed(0)
    r, tx, ty = (2 * torch.rand(3, 20000, 1, generator=draw) - 1) * torch.tensor([math.pi / 2, 1, 1]).view(3, 1, 1)
    theta = torch.stack((torch.ones_like(r), r, tx, ty), -1)
    patch, box = torch.tensor([[20.0, 30.0]]).expand(20000, 1, 2), torch.tensor([[width / 2, height / 2, 30.0, 40.0]])
    matrix = matrices(theta, patch, patch, box.expand(20000, 4), size)[:, 0]
    centre = torch.linalg.solve(matrix[..., :2], torch.tensor([15.0, 10.0]) - matrix[..., 2])
    left = ((centre < 0) | (centre > torch.tensor([width, height]))).any(1)
    assert left.float().mean() == pytest.approx(outside, abs=0.012)
