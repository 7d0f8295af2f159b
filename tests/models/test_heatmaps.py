"""Heatmaps and their decoding against loops written from the papers' descriptions."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from asda_fast.models import heatmaps as targets


def hrnet_target(x: float, y: float, visible: float, size: tuple[int, int], sigma: int) -> tuple[np.ndarray, float]:
    """HRNet's generate_target for one joint, pixel by pixel; x, y are pixel indices."""
    height, width = size[0] // 4, size[1] // 4
    mx, my, reach = int(x / 4 + 0.5), int(y / 4 + 0.5), 3 * sigma
    target = np.zeros((height, width), np.float32)
    outside = mx - reach >= width or my - reach >= height or mx + reach + 1 < 0 or my + reach + 1 < 0
    if outside or not visible:
        return target, 0.0
    for v in range(max(0, my - reach), min(height, my + reach + 1)):
        for u in range(max(0, mx - reach), min(width, mx + reach + 1)):
            target[v, u] = math.exp(-((u - mx) ** 2 + (v - my) ** 2) / (2 * sigma**2))
    return target, 1.0


@pytest.mark.parametrize("sigma", [2, 3])
def test_hrnet_targets_equal_the_loop(sigma: int) -> None:
    rng = np.random.default_rng(0)
    size = (96, 64)
    index = np.concatenate([rng.uniform(-60, 150, (40, 2)), [[0, 0], [63, 95], [-4, -4], [1.9, 2.0], [2.0, -1.9]]])
    index[-3:] = [[-2.5, 10], [-27.9, 5], [63 + 26, 40]]  # between the rounding's sides, at the limits of the cut-off
    visible = rng.integers(0, 3, len(index))
    joints = torch.tensor(index + 0.5, dtype=torch.float64)[None]
    found, weight = targets.heatmaps(joints, torch.tensor(visible)[None], size, sigma=sigma)
    assert found.shape == (1, len(index), 24, 16)
    assert found.dtype == weight.dtype == torch.float32
    for j, (x, y) in enumerate(index):
        expected, one = hrnet_target(x, y, visible[j], size, sigma)
        assert weight[0, j] == one, (x, y)
        np.testing.assert_allclose(found[0, j].numpy(), expected, atol=1e-6)


def udp_target(x: float, y: float, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """UDP's target for one joint, pixel by pixel, as mmpose and ViTPose make it; x, y are pixel indices."""
    height, width = size[0] // 4, size[1] // 4
    ax, ay = x / ((size[1] - 1) / (width - 1)), y / ((size[0] - 1) / (height - 1))
    mx, my = int(ax + 0.5), int(ay + 0.5)
    target = np.zeros((height, width), np.float32)
    if mx - 6 >= width or my - 6 >= height or mx + 7 < 0 or my + 7 < 0:
        return target, 0.0
    for v in range(max(0, my - 6), min(height, my + 7)):
        for u in range(max(0, mx - 6), min(width, mx + 7)):
            target[v, u] = math.exp(-((u - ax) ** 2 + (v - ay) ** 2) / 8)
    return target, 1.0


def test_udp_targets_equal_the_loop() -> None:
    index = np.concatenate([np.random.default_rng(0).uniform(-40, 130, (40, 2)), [[0, 0], [63, 95]]])
    found, weight = targets.heatmaps(torch.tensor(index + 0.5)[None], torch.ones(1, 42), (96, 64), kind="udp")
    for j, (x, y) in enumerate(index):
        expected, one = udp_target(x, y, (96, 64))
        assert weight[0, j] == one, (x, y)
        np.testing.assert_allclose(found[0, j].numpy(), expected, atol=1e-5)
    assert found[0, 40, 0, 0] == found[0, 41, -1, -1] == 1  # the corners meet


def test_occluded_joints_are_full_positives() -> None:
    joints = torch.full((1, 3, 2), 32.5)
    target, weight = targets.heatmaps(joints, torch.tensor([[0, 1, 2]]), (64, 64))
    assert weight.tolist() == [[0, 1, 1]]
    assert torch.equal(target[0, 1], target[0, 2])
    assert target[0, 0].sum() == 0
    assert target[0, 1].max() == 1


def test_kinds_are_checked() -> None:
    one = torch.zeros(1, 1, 2)
    with pytest.raises(ValueError, match="kind: expected 'hrnet' or 'udp', got 'x'"):
        targets.heatmaps(one, one[..., 0], (64, 64), kind="x")
    with pytest.raises(ValueError, match="kind: expected one of quarter, dark, udp, got 'x'"):
        targets.decode(torch.zeros(1, 1, 8, 8), kind="x")


def test_quarter_equals_the_loop() -> None:
    maps = torch.randn(3, 40, 12, 9, generator=torch.Generator().manual_seed(0))
    maps[0, 0] = -1  # nothing positive: pixel (0, 0)
    maps[0, 1] = 0
    maps[0, 1, 5, 4] = 2  # equal neighbours: no step
    xy, score = targets.decode(maps, "quarter")
    for b in range(3):
        for j in range(40):
            m = maps[b, j].numpy()
            y, x = np.unravel_index(m.argmax(), m.shape)
            dx = dy = 0.0
            if m.max() <= 0:
                x = y = 0
            if 1 < x < 9 - 1 and 1 < y < 12 - 1:
                dx = 0.25 * np.sign(m[y, x + 1] - m[y, x - 1])
                dy = 0.25 * np.sign(m[y + 1, x] - m[y - 1, x])
            assert xy[b, j].tolist() == [4 * (x + dx) + 0.5, 4 * (y + dy) + 0.5]
            assert score[b, j] == m.max()


def dark(m: np.ndarray) -> np.ndarray:
    """DARK's post-processing of one map, with OpenCV's blur: indices x, y."""
    h, w = m.shape
    y, x = np.unravel_index(m.argmax(), m.shape)
    padded = np.zeros((h + 10, w + 10), np.float32)
    padded[5:-5, 5:-5] = m
    blurred = cv2.GaussianBlur(padded, (11, 11), 0)[5:-5, 5:-5]
    log = np.log(np.maximum(blurred * m.max() / blurred.max(), 1e-10))
    if not (1 < x < w - 2 and 1 < y < h - 2):
        return np.array([x, y], float)
    gradient = 0.5 * np.array([log[y, x + 1] - log[y, x - 1], log[y + 1, x] - log[y - 1, x]])
    dxy = 0.25 * (log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1])
    dxx = 0.25 * (log[y, x + 2] - 2 * log[y, x] + log[y, x - 2])
    dyy = 0.25 * (log[y + 2, x] - 2 * log[y, x] + log[y - 2, x])
    hessian = np.array([[dxx, dxy], [dxy, dyy]])
    if np.linalg.det(hessian) == 0:
        return np.array([x, y], float)
    return np.array([x, y]) - np.linalg.solve(hessian, gradient)


def test_dark_equals_the_loop() -> None:
    rng = np.random.default_rng(0)
    maps = np.zeros((1, 30, 24, 20), np.float32)
    v, u = np.mgrid[:24, :20]
    for j in range(30):
        x, y = rng.uniform(0, 19), rng.uniform(0, 23)
        maps[0, j] = np.exp(-((u - x) ** 2 + (v - y) ** 2) / 8) + 0.02 * rng.random((24, 20))
    xy, _ = targets.decode(torch.tensor(maps), "dark")
    expected = np.stack([4 * dark(m) + 0.5 for m in maps[0]])
    np.testing.assert_allclose(xy[0].numpy(), expected, atol=2e-3)


def test_udp_targets_decode_exactly_and_hrnet_ones_within_their_rounding() -> None:
    joints = 20 + 88 * torch.rand(8, 17, 2, generator=torch.Generator().manual_seed(0))
    ones = torch.ones(8, 17)
    udp, _ = targets.heatmaps(joints, ones, (128, 128), kind="udp")
    assert (targets.decode(udp, "udp")[0] - joints).abs().max() < 0.05
    rounded, _ = targets.heatmaps(joints, ones, (128, 128))
    for kind in ("quarter", "dark"):
        error = targets.decode(rounded, kind)[0] - joints
        assert error.abs().max() < 2 + 1e-4
        assert error.mean().abs() < 0.1  # no bias of its own


def test_flipped_heatmaps_come_back() -> None:
    pairs = ((0, 1), (2, 3))
    joints = 20 + 88 * torch.rand(4, 5, 2, generator=torch.Generator().manual_seed(0))
    ones = torch.ones(4, 5)
    mirrored = joints[:, [1, 0, 3, 2, 4]].clone()
    mirrored[..., 0] = 128 - mirrored[..., 0]
    for kind, shift in (("udp", False), ("hrnet", True)):
        straight, _ = targets.heatmaps(joints, ones, (128, 128), kind=kind)
        there, _ = targets.heatmaps(mirrored, ones, (128, 128), kind=kind)
        back = targets.flip_heatmaps(there, pairs, shift)
        if kind == "udp":
            torch.testing.assert_close(back, straight)
        else:  # rounding may fall the other way in the mirror: at most one heatmap pixel
            a, b = (targets.decode(m, "quarter")[0] for m in (back, straight))
            assert (a - b).abs().max() <= 4
            assert (a - b)[..., 0].mean().abs() < 1.1  # unshifted it would be a whole heatmap pixel


def test_to_photo_takes_a_matrix_of_any_type() -> None:
    matrix = torch.tensor([[[2.0, 0, 1], [0, 3, 5]]], dtype=torch.float64)
    assert targets.to_photo(torch.ones(1, 1, 2), matrix).tolist() == [[[3, 8]]]
    assert targets.to_photo(torch.ones(1, 1, 2), matrix).dtype == torch.float32


def test_to_photo() -> None:
    xy = torch.tensor([[[1.0, 2.0], [0.0, 0.0]]])
    matrix = torch.tensor([[[2.0, 1.0, 10.0], [0.0, 3.0, 20.0]]])
    assert targets.to_photo(xy, matrix).tolist() == [[[14.0, 26.0], [10.0, 20.0]]]


def test_no_newton_step_from_a_saddle() -> None:
    """Up along y, down along x: the step of the formula would lead away from the peak."""
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    saddle = torch.exp(-((x - 9.6) ** 2) / 8 + (y - 9.7) ** 2 / 60)[None, None]
    cell = torch.tensor([[[9, 9]]])
    assert targets.newton(saddle, cell, 1.0).tolist() == [[[0, 0]]]
    peak = torch.exp(-((x - 9.4) ** 2) / 8 - (y - 9.3) ** 2 / 60)[None, None]
    assert targets.newton(peak, cell, 1.0)[0, 0].tolist() == pytest.approx([0.4, 0.3], abs=0.05)


def test_unlabelled_joints_may_be_nan() -> None:
    joints = torch.tensor([[[8.0, 8.0], [torch.nan, torch.nan]]])
    target, weight = targets.heatmaps(joints, torch.tensor([[2, 0]]), (32, 32))
    assert weight.tolist() == [[1, 0]]
    assert torch.isfinite(target).all()
    assert (target[0, 1] == 0).all()
    with pytest.raises(ValueError, match="sigma: expected a positive number, got 0"):
        targets.heatmaps(joints, torch.tensor([[2, 0]]), (32, 32), sigma=0)


@pytest.mark.parametrize("kind", ["dark", "udp"])
def test_a_newton_step_stays_near_its_peak(kind: str) -> None:
    """On noise the published step goes anywhere, hundreds of cells away."""
    noise = torch.rand(8, 17, 64, 48, generator=torch.Generator().manual_seed(0))
    cell = noise.flatten(2).argmax(-1)
    step = torch.tensor([191 / 47, 255 / 63] if kind == "udp" else [4.0, 4.0])
    peak = torch.stack((cell % 48, cell // 48), -1) * step + 0.5
    assert ((targets.decode(noise, kind)[0] - peak).abs() <= step * targets.LONGEST + 1e-3).all()


def test_what_is_no_heatmap_is_named() -> None:
    with pytest.raises(TypeError, match=r"heatmap: expected a Tensor, got list \(an hourglass"):
        targets.decode([torch.zeros(1, 1, 8, 8)])
    with pytest.raises(ValueError, match="sides of at least 5"):
        targets.decode(torch.zeros(1, 1, 4, 8))
