"""Mirroring photo and labels gives the mirrored crop and joints, for every skeleton that can be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asda_fast.core.skeletons import SKELETONS, Skeleton, from_names
from asda_fast.data import GlobalAug
from asda_fast.data.people import DTYPES, People
from asda_fast.pipelines.loader import make_loader

HIGH, WIDE = 90, 120
ODD = replace(from_names("odd", [f"p{joint}" for joint in range(26)]), pairs=((3, 25), (24, 0), (7, 8), (10, 1)))


def opposite(skeleton: Skeleton) -> list[int]:
    """The joint on the other side: by its name where that says a side, else by the table."""
    names = list(skeleton.joints)
    found = []
    for joint, name in enumerate(names):
        other = name.replace("left", "?").replace("right", "left").replace("?", "right")
        found.append(names.index(other) if other != name else skeleton.swap[joint])
    return found


def people(photo: Path, skeleton: Skeleton, joints: np.ndarray, box: list[float]) -> People:
    corner, side = np.array([box[:2]]), np.array([box[2:]])
    columns = {
        "file": [0], "box": [box], "centre": corner + side / 2, "scale": side.max(axis=1) / 160, "joints": joints[None],
        "visible": [[2] * len(joints)], "head": [np.nan], "id": [1], "image_id": [1], "image_size": [(HIGH, WIDE)],
    }  # fmt: skip
    arrays = {name: np.asarray(value, dtype=DTYPES[name]) for name, value in columns.items()}
    return People(skeleton=skeleton, files=[str(photo)], name="one", **arrays)


@pytest.mark.parametrize("skeleton", [*SKELETONS.values(), ODD], ids=lambda s: s.name)
def test_a_mirrored_photo_gives_the_mirrored_crop_and_joints(tmp_path: Path, skeleton: Skeleton) -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (HIGH // 6, WIDE // 6, 3), dtype=np.uint8).repeat(6, 0).repeat(6, 1)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[:, ::-1]).save(tmp_path / "b.png")
    joints = rng.uniform((35, 15), (85, 75), (len(skeleton.joints), 2))
    mirrored = np.empty_like(joints)
    mirrored[opposite(skeleton)] = (WIDE, 0) + joints * (-1, 1)  # the left hand is a right hand in a mirror
    crops = []
    for name, xy, box, flip in (
        ("a", joints, [30.0, 10, 60, 70], 1.0),
        ("b", mirrored, [WIDE - 90.0, 10, 60, 70], 0.0),
    ):
        table = people(tmp_path / f"{name}.png", skeleton, xy, box)
        aug = GlobalAug(flip=flip, rotation=0, scale=0)
        with make_loader(
            table, train=True, size=(64, 64), batch_size=1, pipeline="native", seed=0, aug=aug, threads=1
        ) as loader:
            crops.append(next(iter(loader)))
    one, two = crops
    np.testing.assert_allclose(one.joints[0].numpy(), two.joints[0].numpy(), atol=1e-3)
    assert np.abs(one.image[0].numpy().astype(int) - two.image[0].numpy()).max() <= 2  # of bilinear weights in 1/64
    assert one.image.float().std() > 20
