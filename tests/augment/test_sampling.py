"""The samplers: known answers, distributions, and that a draw depends on (seed, epoch, row) only."""

from __future__ import annotations

import math
import re
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy import stats

from asda_fast.augment.sampling import Ranges, Rules, index, sample
from asda_fast.core.batch import Batch
from asda_fast.core.random import below, philox, random_bits, uniform, uniforms
from asda_fast.parts.pool import PartPool
from asda_fast.parts.types import TYPES


def make_batch(rows, half=(), flip=(), visible=17) -> Batch:
    count = len(rows)
    shown = torch.zeros((count, 17), dtype=torch.uint8)
    shown[:, :visible] = 2
    return Batch(
        image=torch.zeros((count, 64, 48, 3), dtype=torch.uint8),
        joints=torch.zeros((count, 17, 2)),
        visible=shown,
        row=torch.tensor(rows, dtype=torch.int64),
        matrix=torch.eye(3)[:2].expand(count, 2, 3).clone(),
        box=torch.tensor([[24.0, 32.0, 30.0, 50.0]]).expand(count, 4).clone(),
        flip=torch.tensor([i in flip for i in range(count)]),
        half=torch.tensor([i in half for i in range(count)]),
    )


@pytest.fixture(scope="module")
def pool() -> PartPool:
    kinds = {"Left-arm": 5, "Right-arm": 3, "Face": 11, "All": 1}  # interleaved, so that sorting matters
    types = [TYPES.index(name) for name, count in kinds.items() for _ in range(count)]
    order = np.random.default_rng(0).permutation(len(types))
    patches = [np.full((4 + i, 5, 4), 255, np.uint8) for i in range(len(types))]
    return PartPool.from_patches(patches, type=[types[i] for i in order], types=TYPES)


def test_philox_known_answers():
    """The published vectors of Random123 (kat_vectors, philox 4x32 10), as far as this counter and key reach."""
    zero = philox(torch.tensor([0]), torch.tensor([0]), 0, 0)[0]
    assert [f"{int(v):08x}" for v in zero] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    # against an independent implementation in plain Python integers
    rng = np.random.default_rng(1)
    for _ in range(20):
        row, stream, seed, epoch = (int(v) for v in rng.integers(0, [2**62, 2**31, 2**62, 2**40]))
        got = philox(torch.tensor([row]), torch.tensor([stream]), seed, epoch)[0].tolist()
        c, k = [row % 2**32, row >> 32, stream, 0], [(seed ^ (seed >> 32) * 0x9E3779B9) % 2**32, epoch % 2**32]
        for _ in range(10):
            p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
            c = [(p1 >> 32) ^ c[1] ^ k[0], p1 % 2**32, (p0 >> 32) ^ c[3] ^ k[1], p0 % 2**32]
            k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
        assert got == c
        assert philox(torch.tensor([row]), torch.tensor([stream]), seed, torch.tensor(epoch))[0].tolist() == c


@pytest.mark.parametrize(("seed", "epoch", "stream"), [(0, 0, 0), (7, 2, 3), (2**63 + 5, 1, 0), (-1, 4, 1)])
def test_uniforms_are_philox_4x64(seed, epoch, stream):
    """Against plain Python integers: key (seed, epoch), counter (block, 0, 0, stream), 53 bits of each word. numpy
    counts up before it draws, so the first block is 1."""
    expected = []
    for block in (1, 2, 3):
        c, k = [block, 0, 0, stream], [seed % 2**64, epoch]
        for _ in range(10):
            p0, p1 = c[0] * 0xD2E7470EE14C6C93, c[2] * 0xCA5A826395121157
            c = [(p1 >> 64) ^ c[1] ^ k[0], p1 % 2**64, (p0 >> 64) ^ c[3] ^ k[1], p0 % 2**64]
            k = [(k[0] + 0x9E3779B97F4A7C15) % 2**64, (k[1] + 0xBB67AE8584CAA73B) % 2**64]
        expected += [(word >> 11) * 2.0**-53 for word in c]
    found = uniforms(4, seed=seed, epoch=epoch, stream=stream, per_row=3)
    assert found.shape == (4, 3)
    assert found.ravel().tolist() == expected


def test_uniform_stays_in_its_half_open_range():
    ends = torch.tensor([0, 1, 2**31, 2**32 - 1])
    assert uniform(ends).tolist()[0] == 0
    assert uniform(ends).max() < 1
    assert uniform(ends, 0.7, 1.3).max() < 1.3
    assert uniform(ends, 0.7, 1.3).min() >= np.float32(0.7)
    assert uniform(ends, 2.0, 2.0).tolist() == [2.0] * 4
    assert below(ends, 26).tolist() == [0, 0, 13, 25]


def test_uniformity_and_independence_of_the_streams():
    u = uniform(random_bits(torch.arange(20000), 6, seed=3, epoch=1)).numpy()
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    assert np.abs(np.corrcoef(u.T) - np.eye(6)).max() < 0.03
    next_epoch = uniform(random_bits(torch.arange(20000), 6, seed=3, epoch=2)).numpy()
    other_stream = uniform(random_bits(torch.arange(20000), 6, seed=3, epoch=1, stream=1)).numpy()
    for other in (next_epoch, other_stream, np.roll(u, 1, 0)):
        assert np.abs([np.corrcoef(a, b)[0, 1] for a, b in zip(u.T, other.T)]).max() < 0.03


def test_type_then_patch_then_theta_are_uniform(pool):
    ranges = Ranges(s=(0.5, 2.0), r=(-1.0, 0.5), tx=(-0.25, 0.75), ty=(0.0, 0.1))
    slots = sample(pool, make_batch(range(20000)), 2, seed=1, epoch=0, ranges=ranges)
    type_, part = slots.type.flatten().numpy(), slots.part.flatten().numpy()
    assert (pool.type.numpy()[part] == type_).all()
    used, counts = np.unique(type_, return_counts=True)
    assert [TYPES[i] for i in used] == ["Left-arm", "Right-arm", "All", "Face"]
    assert stats.chisquare(counts).pvalue > 1e-4  # though the pool has 11 faces and one All
    for kind in used:
        _, counts = np.unique(part[type_ == kind], return_counts=True)
        assert len(counts) == (pool.type == kind).sum()
        assert len(counts) == 1 or stats.chisquare(counts).pvalue > 1e-4
    for i, (low, high) in enumerate((ranges.s, ranges.r, ranges.tx, ranges.ty)):
        assert stats.kstest(slots.theta[..., i].flatten().numpy(), "uniform", (low, high - low)).pvalue > 1e-4
    flat = torch.cat((slots.theta.flatten(1), slots.part.float()), 1).numpy()
    assert np.abs(np.corrcoef(flat.T) - np.eye(flat.shape[1])).max() < 0.03  # slots do not know of each other


def test_a_draw_depends_on_seed_epoch_and_row_only(pool):
    rows = list(range(200))
    whole = sample(pool, make_batch(rows), 3, seed=7, epoch=4)
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(200)]
    for world in (1, 2, 3):  # any division over ranks, workers and batches, in any order
        for rank in range(world):
            mine = shuffled[rank::world]
            for first in range(0, len(mine), 16):
                some = mine[first : first + 16]
                got = sample(pool, make_batch(some), 3, seed=7, epoch=4)
                assert torch.equal(got.part, whole.part[some])
                assert torch.equal(got.theta, whole.theta[some])
    fewer = sample(pool, make_batch(rows), 1, seed=7, epoch=4)
    assert torch.equal(fewer.part, whole.part[:, :1])  # N does not move the slots before it
    for other in ({"seed": 8, "epoch": 4}, {"seed": 7, "epoch": 5}, {"seed": 7 + 2**32, "epoch": 4}):
        assert not torch.equal(sample(pool, make_batch(rows), 3, **other).part, whole.part)


def test_number_of_parts_probability_and_rules(pool):
    batch = make_batch(range(4000))
    number = (sample(pool, batch, (1, 4), seed=0, epoch=0).part >= 0).sum(1)
    assert stats.chisquare(np.bincount(number.numpy())[1:]).pvalue > 1e-4
    assert number.min() == 1
    assert number.max() == 4
    some = sample(pool, batch, 1, seed=0, epoch=0, rules=Rules(probability=0.25)).part >= 0
    assert abs(some.float().mean().item() - 0.25) < 0.03
    assert (sample(pool, batch, 0, seed=0, epoch=0).part).shape == (4000, 0)

    batch = make_batch(range(4), half=(1,))
    assert (sample(pool, batch, 2, seed=0, epoch=0).part >= 0).all(1).tolist() == [True, False, True, True]
    kept = sample(pool, batch, 2, seed=0, epoch=0, rules=Rules(skip_half_body=False)).part
    assert (kept >= 0).all()
    few = sample(pool, make_batch(range(4), visible=7), 2, seed=0, epoch=0, rules=Rules(min_joints=8))
    assert (few.part == -1).all()
    enough = sample(pool, make_batch(range(4), visible=8), 2, seed=0, epoch=0, rules=Rules(min_joints=8))
    assert (enough.part >= 0).all()
    nobody = sample(pool, make_batch(range(4), visible=0), 2, seed=0, epoch=0, rules=Rules(min_joints=1))
    assert (nobody.part == -1).all()


def test_types_can_be_restricted(pool):
    rules = Rules(types=("Face", "All"))
    slots = sample(pool, make_batch(range(500)), 1, seed=0, epoch=0, rules=rules)
    assert {TYPES[i] for i in slots.type.flatten().tolist()} == {"Face", "All"}
    with pytest.raises(ValueError, match=r"'Hat'.*Left-arm, Right-arm, All, Face"):
        index(pool, ("Hat",))
    with pytest.raises(ValueError, match="no patches"):
        index(PartPool.from_patches([], types=TYPES, type=[]))


def test_left_stays_left_when_the_person_is_flipped(pool):
    """A flipped crop gets the same unmirrored patches; only patch_flip mirrors, then filling a side from the other."""
    rows = list(range(2000))
    plain = sample(pool, make_batch(rows), 1, seed=0, epoch=0)
    flipped = sample(pool, make_batch(rows, flip=set(rows)), 1, seed=0, epoch=0)
    assert torch.equal(plain.part, flipped.part)
    assert not flipped.mirror.any()

    slots = sample(pool, make_batch(rows), 1, seed=0, epoch=0, rules=Rules(patch_flip=0.5))
    assert 0.4 < slots.mirror.float().mean() < 0.6
    source = pool.type[slots.part]
    sides = {TYPES.index("Left-arm"): TYPES.index("Right-arm"), TYPES.index("Right-arm"): TYPES.index("Left-arm")}
    for type_, mirror, cut in zip(slots.type.flatten().tolist(), slots.mirror.flatten(), source.flatten().tolist()):
        assert cut == (sides.get(type_, type_) if mirror else type_)


def test_a_mirror_has_dice_of_its_own(pool):
    slots = sample(pool, make_batch(range(20000)), 1, seed=0, epoch=0, rules=Rules(patch_flip=0.5))
    drawn = torch.cat((slots.theta[:, 0], slots.part, slots.mirror), 1).double().numpy()
    assert np.abs(np.corrcoef(drawn.T)[-1, :-1]).max() < 0.03


def test_slots_and_index_go_to_a_device(pool):
    for made in (sample(pool, make_batch(range(3)), 2, seed=0, epoch=0), index(pool)):
        moved = made.to("meta")
        for field in fields(made):
            here, there = getattr(made, field.name), getattr(moved, field.name)
            assert (there.device.type, there.dtype, there.shape) == ("meta", here.dtype, here.shape)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"s": (0.0, 1.0)}, "Ranges.s: expected 0 < low <= high, got (0.0, 1.0)"),
        ({"r": (1.0, 0.0)}, "Ranges.r: expected low <= high, got (1.0, 0.0)"),
        ({"tx": (-math.inf, 1.0)}, "Ranges.tx: expected low <= high"),
        ({"ty": (0.0, math.inf)}, "Ranges.ty: expected low <= high"),
        ({"ty": (0.0, math.nan)}, "Ranges.ty: expected low <= high"),
    ],
)
def test_ranges_that_are_none(given, line):
    with pytest.raises(ValueError, match=re.escape(line)):
        Ranges(**given)
    assert Ranges(s=(0.5, 0.5), r=(0.0, 0.0), tx=(-2.0, -1.0)).s == (0.5, 0.5)


def test_a_side_that_the_pool_lacks_is_not_mirrored():
    only = PartPool.from_patches([np.full((4, 4, 4), 255, np.uint8)], type=[TYPES.index("Left-arm")], types=TYPES)
    slots = sample(only, make_batch(range(50)), 1, seed=0, epoch=0, rules=Rules(patch_flip=1.0))
    assert not slots.mirror.any()


def test_defaults_are_the_documented_ones():
    assert Ranges().s == (0.7, 1.3)
    assert Ranges().r == (-math.pi / 2, math.pi / 2)
    assert Rules().min_joints == 0


def test_bad_number_of_parts(pool):
    for parts in (-1, (3, 1), (-1, 2)):
        with pytest.raises(ValueError, match="parts"):
            sample(pool, make_batch(range(2)), parts, seed=0, epoch=0)


def test_same_bits_on_both_devices(pool, cuda):
    batch = make_batch(range(512))
    here = sample(pool, batch, (0, 4), seed=5, epoch=2)
    there = sample(pool.to(cuda), replace(batch).to(cuda), (0, 4), seed=5, epoch=2)
    for name in ("part", "type", "mirror", "theta"):
        assert torch.equal(getattr(here, name), getattr(there, name).cpu())
