"""Candidate placements: within their ranges, each with the slot's own size, from streams that nobody else draws of."""

from __future__ import annotations

import torch

from asda_fast.adversary.candidates import CANDIDATES, CHANCE, JUDGED, MEASURE, PARTS, candidates, centre
from asda_fast.augment.sampling import Ranges, Slots

RANGES = Ranges(s=(0.5, 0.6), r=(-0.2, -0.1), tx=(0.0, 0.1), ty=(0.7, 0.8))


def slots_of(people: int, parts: int) -> Slots:
    theta = torch.rand(people, parts, 4, generator=torch.Generator().manual_seed(0)) + 5
    part = torch.zeros(people, parts, dtype=torch.int64)
    return Slots(part, part, part > 0, theta)


def test_each_number_is_in_its_own_range_and_the_size_is_the_slot_s() -> None:
    slots, row = slots_of(50, 2), torch.arange(50)
    theta = candidates(slots, row, 8, RANGES, seed=3, epoch=1, stream=CANDIDATES)
    assert theta.shape == (50, 2, 8, 4)
    assert torch.equal(theta[..., 0], slots.theta[:, :, None, 0].expand(50, 2, 8))
    for i, (low, high) in enumerate((RANGES.r, RANGES.tx, RANGES.ty), 1):
        drawn = theta[..., i]
        assert low <= drawn.min() < low + 0.01 and high - 0.01 < drawn.max() <= high
    assert len(theta[..., 1].unique()) > 790  # none twice, but by chance
    rest = Slots(slots.part[20:], slots.type[20:], slots.mirror[20:], slots.theta[20:])
    alone = candidates(rest, row[20:], 8, RANGES, seed=3, epoch=1, stream=CANDIDATES)
    assert torch.equal(alone, theta[20:])


def test_epochs_seeds_and_streams_draw_apart() -> None:
    slots, row = slots_of(20, 1), torch.arange(20)
    assert len({CANDIDATES, CHANCE, MEASURE, JUDGED, PARTS}) == 5
    drawn = [
        candidates(slots, row, 4, RANGES, seed, epoch, stream)
        for seed, epoch, stream in ((0, 0, CANDIDATES), (1, 0, CANDIDATES), (0, 1, CANDIDATES), (0, 0, MEASURE))
    ]
    for i, one in enumerate(drawn):
        assert not any(torch.equal(one, other) for other in drawn[:i])


def test_the_centre_is_upright() -> None:
    slots = slots_of(3, 2)
    assert torch.equal(centre(slots)[..., 0], slots.scale)
    assert (centre(slots)[..., 1:] == 0).all()
