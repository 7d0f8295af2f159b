"""The generator of the demo set: rasteriser by hand tables; determinism and sizes where `anny` is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tools.demo_set.noise import fractal
from tools.demo_set.poses import ARMS, LEGS, TEMPLATES, sample
from tools.demo_set.raster import Camera, draw


def test_rasteriser_keeps_the_nearer_triangle_and_interpolates_in_perspective() -> None:
    points = np.array([[0, 0, 1.0], [8, 0, 1.0], [0, 8, 1.0], [0, 0, 0.5], [4, 0, 0.5], [0, 4, 0.5]])
    depth, triangle, weights = draw(points, np.array([[0, 1, 2], [3, 4, 5]], np.int32), (8, 8))
    assert triangle[0, 0] == 1
    assert triangle[0, 6] == 0
    assert triangle[7, 7] == -1
    assert depth[0, 0] == pytest.approx(0.5)
    assert np.allclose(weights[triangle >= 0].sum(1), 1, atol=1e-6)
    tilted = np.array([[0, 0, 1.0], [8, 0, 3.0], [0, 8, 1.0]])  # 1/z is linear on the screen: z at x = 4.5 by hand
    depth, _, _ = draw(tilted, np.array([[0, 1, 2]], np.int32), (8, 8))
    assert depth[0, 4] == pytest.approx(1 / (1 + 4.5 / 8 * (1 / 3 - 1)))


def test_camera_projects_its_own_rays_back_to_the_pixels() -> None:
    camera = Camera.looking(np.array([1.0, -4, 1.5]), np.array([0.0, 0, 1]), 200.0, (48, 64), roll=0.1)
    spots = camera.project(camera.position + camera.rays().reshape(-1, 3).astype(np.float64) * 3)
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5)
    assert np.allclose(spots[:, 0], x.ravel(), atol=1e-3)
    assert np.allclose(spots[:, 1], y.ravel(), atol=1e-3)
    assert np.allclose(spots[:, 2], 3, atol=1e-5)


def test_noise_is_periodic_and_the_same_for_any_shape() -> None:
    x = np.linspace(-2, 2, 50)
    assert np.allclose(fractal(x, 0 * x), fractal(x + 1, 0 * x + 3), atol=2e-2)
    assert np.allclose(fractal(x, x), fractal(x[:, None], x[:, None])[:, 0])


def test_poses_name_rows_that_exist_and_keep_joint_limits() -> None:
    for row in TEMPLATES.values():
        assert {row[1], row[2]} <= set(ARMS)
        assert {row[3], row[4]} <= set(LEGS)
    for seed in range(50):
        pose = sample(np.random.default_rng(seed))
        for elevation, _, flexion, _ in pose.arms.values():
            assert 0 <= elevation <= 175
            assert 0 <= flexion <= 150
        for thigh, _, knee, _ in pose.legs.values():
            assert -35 <= thigh <= 120
            assert 0 <= knee <= 145


def test_same_seed_same_photo() -> None:
    pytest.importorskip("anny", reason="anny makes the bodies: pip install anny")
    from tools.demo_set.writer import photo, records

    one, two = photo(3, "train", 5, (96, 80)), photo(3, "train", 5, (96, 80))
    assert one.image.shape == (96, 80, 3)
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.labels, two.labels)
    assert np.array_equal(one.keypoints, two.keypoints)
    other = photo(4, "train", 5, (96, 80))
    assert not np.array_equal(one.image, other.image)
    for record in records(one, 1, 10):
        json.dumps(record)
        assert len(record["keypoints"]) == 51


def test_command_names_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.demo_set", "--out", str(tmp_path), "--size", "big"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.strip() == "error: --size: expected HxW such as 256x256, got 'big'"
