"""A small folder of photos in COCO form, made here, for tests that need files but no real ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

PHOTOS, HEIGHT, WIDTH = 13, 96, 128


def scene(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Soft shapes and a little noise: compresses like a photo. uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x * rng.uniform(0.02, 0.2) + y * rng.uniform(0.02, 0.2) + rng.uniform(0, 6)) for _ in range(9)]
    image = 128 + 40 * np.stack([sum(waves[3 * c : 3 * c + 3]) for c in range(3)], axis=2)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def write_photos(root: Path, count: int = PHOTOS) -> Path:
    """root/train2017/*.jpg with two people each, and their annotations."""
    (root / "annotations").mkdir(parents=True)
    (root / "train2017").mkdir()
    images, annotations = [], []
    for number in range(count):
        name = f"{number:03d}.jpg"
        (root / "train2017" / name).write_bytes(simplejpeg.encode_jpeg(scene(number), quality=92))
        images.append({"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH})
        for person in range(2):
            keypoints = [v for j in range(17) for v in (10 + 3 * j + 20 * person, 20 + 4 * j, 2)]
            annotations.append(
                {"id": 2 * number + person, "image_id": number, "category_id": 1, "iscrowd": 0,
                 "bbox": [5 + 20 * person, 10, 70, 80], "area": 3000, "keypoints": keypoints}
            )  # fmt: skip
    table = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (root / "annotations" / "person_keypoints_train2017.json").write_text(json.dumps(table))
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of its own for each test: tests break files in it."""
    return write_photos(tmp_path / "photos")
