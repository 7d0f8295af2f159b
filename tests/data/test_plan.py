"""The plan: matrices against hand-made numbers and HRNet's formulas, joints, sharding, independence of the draw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asda_fast.core.skeletons import COCO, LSP, MPII, Skeleton
from asda_fast.data import GlobalAug, People, draw
from asda_fast.data.crop import apply, crop_matrices, fit_aspect, invert
from asda_fast.data.people import box_of_joints
from asda_fast.data.plan import clamp, place

SIZE = (256, 192)


def crowd(count: int, seed: int = 0, skeleton: Skeleton = COCO, fit: str = "box") -> People:
    rng = np.random.default_rng(seed)
    joints = rng.uniform(20, 600, (count, len(skeleton.joints), 2)).astype(np.float32)
    visible = rng.integers(0, 3, joints.shape[:2]).astype(np.uint8)
    visible[:, :3] = 2
    box = box_of_joints(joints, visible).astype(np.float32)
    return People(
        skeleton=skeleton, files=["a.jpg"], file=np.zeros(count, np.int32), box=box,
        centre=box[:, :2] + box[:, 2:] / 2, scale=box[:, 2:].max(1) * np.float32(1.25 / 200),
        joints=np.where(visible[..., None] > 0, joints, 0), visible=visible, head=np.full(count, np.nan, np.float32),
        id=np.arange(count), image_id=np.arange(count),
        image_size=np.zeros((1, 2), np.int32), name="crowd", fit=fit,
    )  # fmt: skip


@pytest.mark.parametrize("skeleton", [COCO, MPII, LSP])
def test_skeletons_are_consistent(skeleton: Skeleton) -> None:
    names = skeleton.joints
    assert len(set(names)) == len(names)
    assert {(names[a], names[b]) for a, b in skeleton.pairs} | {(names[b], names[a]) for a, b in skeleton.pairs} == {
        (n, n.replace(*swap)) for swap in (("left", "right"), ("right", "left")) for n in names if swap[0] in n
    }
    for a, b in skeleton.edges:
        assert 0 <= a < len(names)
        assert 0 <= b < len(names)
    assert tuple(skeleton.swap[j] for j in skeleton.swap) == tuple(range(len(names)))


def test_matrix_by_hand() -> None:
    # A crop 64 high, 32 wide, of a 16-wide region centred on (100, 50): half a photo pixel to a crop pixel.
    centre, width = np.array([[100.0, 50.0]] * 3), np.array([16.0] * 3)
    turn, flip = np.array([0.0, 0.0, np.pi / 2]), np.array([False, True, False])
    matrix = crop_matrices(centre, width, turn, flip, (64, 32))
    np.testing.assert_allclose(matrix[0], [[0.5, 0, 92], [0, 0.5, 34]], atol=1e-12)
    np.testing.assert_allclose(matrix[1], [[-0.5, 0, 108], [0, 0.5, 34]], atol=1e-12)
    # A quarter turn: the crop's up axis points to the photo's right, as in HRNet.
    corner = apply(matrix[2:], np.array([[[16.0, 0.0], [16.0, 32.0]]]))[0]
    np.testing.assert_allclose(corner, [[116, 50], [100, 50]], atol=1e-12)


def test_aspect_is_the_smallest_rectangle_that_contains() -> None:
    np.testing.assert_allclose(fit_aspect(np.array([[30.0, 100.0], [100.0, 100.0]]), SIZE), [75.0, 100.0])


def test_invert() -> None:
    matrix = np.random.default_rng(0).normal(size=(5, 2, 3))
    points = np.random.default_rng(1).normal(size=(5, 7, 2))
    np.testing.assert_allclose(apply(invert(matrix), apply(matrix, points)), points, atol=1e-9)


def test_without_training_the_crop_is_the_region() -> None:
    people = crowd(5)
    plan = draw(people, SIZE, epoch=3, seed=1, train=False, aug=GlobalAug(), batch_size=2, drop_last=False)
    assert plan.row.tolist() == [0, 1, 2, 3, 4]
    assert not plan.flip.any()
    assert len(plan) == 3
    middle = apply(plan.matrix.astype(np.float64), np.full((5, 1, 2), [96.0, 128.0]))[:, 0]
    np.testing.assert_allclose(middle, people.centre, rtol=1e-5)
    ratio = plan.matrix[:, 0, 0]
    box = people.box[:, 2:] * 1.25
    np.testing.assert_allclose(ratio * 192, np.maximum(box[:, 0], box[:, 1] * 0.75), rtol=1e-5)
    np.testing.assert_allclose(plan.box[:, 2:], people.box[:, 2:] / ratio[:, None], rtol=1e-5)


def test_square_regions() -> None:
    people = crowd(4, skeleton=MPII, fit="square")
    plan = draw(people, (256, 256), epoch=0, seed=0, train=False, aug=None, batch_size=4, drop_last=False)
    np.testing.assert_allclose(plan.matrix[:, 0, 0] * 256, people.scale * 200, rtol=1e-5)
    plan = draw(people, SIZE, epoch=0, seed=0, train=False, aug=None, batch_size=4, drop_last=False)
    np.testing.assert_allclose(plan.matrix[:, 0, 0] * 192, people.scale * 200, rtol=1e-5)  # whatever the box


@pytest.mark.parametrize("distribution", ["uniform", "hrnet"])
def test_joints_follow_the_matrix_and_flips_rename_them(distribution: str) -> None:
    people = crowd(64)
    aug = GlobalAug(rotation=40, scale=0.3, half_body=0.5, distribution=distribution)
    plan = draw(people, SIZE, epoch=0, seed=0, train=True, aug=aug, batch_size=64, drop_last=True)
    assert plan.flip.any()
    assert plan.half.any()
    swap = list(COCO.swap)
    for i, row in enumerate(plan.row):
        back = apply(plan.matrix[i : i + 1].astype(np.float64), plan.joints[i : i + 1].astype(np.float64))[0]
        expected, visible = people.joints[row], people.visible[row]
        if plan.flip[i]:
            expected, visible = expected[swap], visible[swap]
        assert (plan.visible[i] == visible).all()
        known = visible > 0
        np.testing.assert_allclose(back[known], expected[known], atol=1e-2)
        assert (plan.joints[i][~known] == 0).all()


def test_ranges() -> None:
    people = crowd(4000)
    plain = draw(people, SIZE, epoch=0, seed=0, train=False, aug=None, batch_size=8, drop_last=False)
    size = np.abs(np.linalg.det(plain.matrix[:, :, :2])) ** 0.5

    def drawn(aug: GlobalAug) -> tuple[np.ndarray, np.ndarray]:
        plan = draw(people, SIZE, epoch=1, seed=0, train=True, aug=aug, batch_size=8, drop_last=False)
        linear = plan.matrix[:, :, :2]
        factor = np.abs(np.linalg.det(linear)) ** 0.5 / size[plan.row]
        return factor, np.degrees(np.arctan2(-linear[:, 0, 1], linear[:, 1, 1]))

    factor, degrees = drawn(GlobalAug(rotation=30, scale=0.25))
    assert 0.75 <= factor.min() < 0.76
    assert 1.24 < factor.max() <= 1.2501
    assert -30.001 <= degrees.min() < -29
    assert abs(degrees.mean()) < 1
    assert abs(degrees.std() - 60 / 12**0.5) < 0.5
    factor, degrees = drawn(GlobalAug(rotation=30, scale=0.25, distribution="hrnet", rotation_p=0.6))
    assert abs((np.abs(degrees) < 1e-3).mean() - 0.4) < 0.03
    assert np.abs(degrees).max() <= 60.001
    assert abs((factor > 1.2499).mean() - 0.159) < 0.02  # a sixth of the normal lies beyond one sigma, clipped
    turned = degrees[np.abs(degrees) > 1e-3]
    assert abs((np.abs(turned) > 59.99).mean() - 0.0455) < 0.015  # beyond two sigma
    assert abs((np.abs(turned) < 30).mean() - 0.683) < 0.03
    assert abs(turned.mean()) < 2


def test_each_choice_has_dice_of_its_own() -> None:
    people = crowd(4000)
    people.visible[:] = 2
    for distribution in ("uniform", "hrnet"):
        aug = GlobalAug(half_body=0.5, rotation_p=0.6, distribution=distribution)
        plan = draw(people, SIZE, epoch=0, seed=0, train=True, aug=aug, batch_size=8, drop_last=False)
        whole = place(people, plan.row, SIZE, epoch=0, seed=0, aug=None)
        linear = plan.matrix[:, :, :2]
        degrees = np.degrees(np.arctan2(-linear[:, 0, 1], linear[:, 1, 1]))
        size = np.abs(np.linalg.det(linear) / np.linalg.det(whole.matrix[:, :, :2])) ** 0.5
        turns = np.stack([plan.flip, np.abs(degrees) > 1e-3, degrees])
        assert np.abs(np.corrcoef([*turns, plan.half]) - np.eye(4)).max() < 0.06
        drawn = np.stack([*turns, size])[:, ~plan.half]
        assert np.abs(np.corrcoef(drawn) - np.eye(4)).max() < 0.08
        upper = people.joints[plan.row][:, list(COCO.upper)].mean(1)
        centre = apply(plan.matrix.astype(float), np.full((4000, 1, 2), [96.0, 128.0]))[:, 0]
        above = np.abs(centre - upper).max(1) < 0.1
        assert np.abs(np.corrcoef(np.stack([above, *turns])[:, plan.half])[0, 1:]).max() < 0.08


def test_defaults_are_the_paper_s_and_wrong_ones_are_named() -> None:
    assert (GlobalAug().flip, GlobalAug().rotation, GlobalAug().scale, GlobalAug().half_body) == (0.5, 30, 0.25, 0)
    for name, bad, good in (
        ("scale", (1.0, -0.1), 0.0),
        ("rotation", (181.0, -1.0), 180.0),
        ("flip", (1.1, -0.1), 1.0),
    ):
        for value in bad:
            with pytest.raises(ValueError, match=f"GlobalAug.{name}: expected"):
                GlobalAug(**{name: value})
        assert getattr(GlobalAug(**{name: good}), name) == good


class Narrow:
    """A source of people of whom it holds only so much."""

    def __init__(self, factor: list[float]) -> None:
        self.factor = np.array(factor)

    def zoom(self, rows, paths, matrix, size):
        return self.factor, {"upscaled": 1}


def test_a_crop_that_the_source_does_not_hold_is_narrowed_about_its_centre() -> None:
    """By half at most; beyond that it is the plain crop. Joints and boxes stay where they are in the photo."""
    people, rows = crowd(4), np.arange(4)
    people = replace(people, source=Narrow([1.0, 0.8, 0.5, 0.49]))
    aug = GlobalAug(flip=1.0)
    before = place(people, rows, SIZE, epoch=0, seed=0, aug=aug)
    after, counts = clamp(people, before, SIZE)
    assert counts == {"upscaled": 1, "narrowed": 2, "plain": 1}
    np.testing.assert_allclose(
        after.matrix[:3, :, :2], before.matrix[:3, :, :2] * [[[1.0]], [[0.8]], [[0.5]]], rtol=1e-5
    )
    middle = np.full((4, 1, 2), [96.0, 128.0])
    for points in ("middle", "joints", "box"):
        at = [middle if points == "middle" else getattr(p, points)[..., :2].reshape(4, -1, 2) for p in (before, after)]
        there = [apply(p.matrix.astype(float), q.astype(float)) for p, q in zip((before, after), at)]
        known = before.visible[:3] > 0 if points == "joints" else np.ones((3, 1), bool)
        np.testing.assert_allclose(there[1][:3][known], there[0][:3][known], atol=0.05)
    assert (after.joints[:3][before.visible[:3] == 0] == 0).all()
    np.testing.assert_allclose(after.box[:3, 2:], before.box[:3, 2:] / [[1.0], [0.8], [0.5]], rtol=1e-5)
    plain = place(people, rows[3:], SIZE, epoch=0, seed=0, aug=None)
    for name in ("matrix", "joints", "visible", "box", "flip", "half"):
        assert (getattr(after, name)[3:] == getattr(plain, name)).all(), name
        assert (getattr(after, name)[:1] == getattr(before, name)[:1]).all(), name
    assert clamp(replace(people, source=Narrow([1.0] * 4)), before, SIZE)[0] is before


def test_half_body_is_hrnets() -> None:
    people = crowd(300, seed=3)
    aug = GlobalAug(flip=0, rotation=0, scale=0, half_body=1.0)
    plan = draw(people, SIZE, epoch=0, seed=0, train=True, aug=aug, batch_size=300, drop_last=False)
    taken = []
    for i, row in enumerate(plan.row):
        known = np.flatnonzero(people.visible[row])
        assert plan.half[i] == (len(known) > 8)
        if not plan.half[i]:
            continue
        upper, lower = (people.joints[row][[j for j in known if (j in COCO.upper) == side]] for side in (True, False))
        fits = []
        for chosen in (upper, lower):
            if len(chosen) <= 2:  # too few to be a half
                fits.append(False)
                continue
            width, height = np.maximum(chosen.max(0) - chosen.min(0), 1)
            width = max(width, height * 0.75) * 1.5
            ratio = width / 192
            centre = plan.matrix[i][:, :2] @ [96, 128] + plan.matrix[i][:, 2]
            fits.append(
                np.allclose(centre, chosen.mean(0), atol=0.1) and np.isclose(ratio, plan.matrix[i, 0, 0], rtol=1e-4)
            )
        assert any(fits)
        if len(upper) > 2 and len(lower) > 2:
            taken.append(fits)
    share = np.mean(taken, axis=0)
    assert share.sum() == 1  # one of them
    assert abs(share[0] - 0.691) < 0.07  # HRNet's randn() < 0.5


def test_a_row_is_drawn_alike_whatever_surrounds_it() -> None:
    people, aug = crowd(37), GlobalAug(half_body=0.5)
    whole = draw(people, SIZE, epoch=5, seed=9, train=True, aug=aug, batch_size=4, drop_last=False)
    at = {int(row): i for i, row in enumerate(whole.row)}
    for world in (2, 3):
        for rank in range(world):
            part = draw(
                people,
                SIZE,
                epoch=5,
                seed=9,
                train=True,
                aug=aug,
                rank=rank,
                world=world,
                batch_size=5,
                drop_last=False,
            )
            for i, row in enumerate(part.row):
                assert (part.matrix[i] == whole.matrix[at[int(row)]]).all()
    alone = place(people, np.array([13]), SIZE, epoch=5, seed=9, aug=aug)
    assert (alone.matrix[0] == whole.matrix[at[13]]).all()
    assert (alone.joints[0] == whole.joints[at[13]]).all()
    other = draw(people, SIZE, epoch=6, seed=9, train=True, aug=aug, batch_size=4, drop_last=False)
    assert other.row.tolist() != whole.row.tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 5), st.integers(1, 9), st.booleans(), st.booleans())
def test_shards_neither_overlap_nor_lose(count: int, world: int, batch: int, drop: bool, train: bool) -> None:
    people = crowd(count)
    parts = [
        draw(
            people, SIZE, epoch=1, seed=2, train=train, aug=None, rank=r, world=world, batch_size=batch, drop_last=drop
        )
        for r in range(world)
    ]
    rows = np.concatenate([part.row for part in parts])
    assert len(np.unique(rows)) == len(rows)
    if drop:
        assert {len(part.row) for part in parts} == {count // (world * batch) * batch}
    else:
        assert len(rows) == count
    for part in parts:
        assert (
            np.concatenate([part.row[:0], *(part.row[part.step(s)] for s in range(len(part)))]).tolist()
            == part.row.tolist()
        )
        assert all(len(part.row[part.step(s)]) == batch for s in range(len(part) - 1))
    together = draw(people, SIZE, epoch=1, seed=2, train=train, aug=None, batch_size=batch * world, drop_last=drop)
    for step in range(max(len(part) for part in parts)):
        mine = [part.row[part.step(step)] for part in parts if step < len(part)]
        assert set(np.concatenate(mine)) == set(together.row[together.step(step)])


def test_mistakes() -> None:
    people = crowd(3)
    with pytest.raises(ValueError, match="rank"):
        draw(people, SIZE, epoch=0, seed=0, train=True, aug=None, rank=2, world=2, batch_size=1, drop_last=False)
    with pytest.raises(ValueError, match="distribution"):
        GlobalAug(distribution="normal")
    with pytest.raises(ValueError, match=r"People\.box"):
        People(**{**people.__dict__, "box": people.box[:2]})
