"""asda_fast.Adversary: what its state holds, who may take it, and that it travels."""

# ruff: noqa: F811 # the fixture is every test's parameter

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asda_fast import Adversary
from asda_fast.adversary.critic import Critic
from asda_fast.augment.sampling import Ranges
from asda_fast.parts.pool import PartPool

from .test_component import JOINTS, SIZE, batches, network, play, pool  # noqa: F401 # a fixture


def test_a_state_without_a_scale_is_of_losses_above_zero(pool: PartPool) -> None:
    """Older states have no running |loss|."""
    adversary = Adversary(pool, joints=JOINTS)
    play(adversary)
    state = copy.deepcopy(adversary.state_dict())
    state["placer"]["sums"] = state["placer"]["sums"][:2]
    again = Adversary(pool, joints=JOINTS)
    again.load_state_dict(state)
    assert isinstance(again.placer, Critic) and isinstance(adversary.placer, Critic)
    assert torch.equal(again.placer.sums, adversary.placer.sums)


def test_it_is_pickled_between_paste_and_learn(pool: PartPool) -> None:
    given: dict[str, Any] = {"joints": np.int64(JOINTS), "seed": np.int64(3), "parts": np.int64(2)}
    adversary = Adversary(pool, "generator", edges=((a, a + 1) for a in range(3)), **given)
    image, points, _ = next(batches(1))
    adversary.paste(image, network(), lambda maps: maps.mean((2, 3)), keypoints=points)
    again = pickle.loads(pickle.dumps(adversary))
    assert all(torch.equal(a, b) for a, b in zip(play(adversary, 1), play(again, 1)))


@pytest.mark.parametrize(("other", "message"), [
    ({"parts": 2}, r"parts \[1, 1\], got \[2, 2\]"), ({"verify": 2}, "verify 1, got 2"),
    ({"part_choices": 2}, "part_choices 1, got 2"), ({"joints": 3}, "joints 5, got 3"),
    ({"people": 9}, "people 0, got 9"), ({"seed": 3}, "seed 0, got 3"), ({"candidates": 32}, "candidates 64, got 32"),
    ({"explore": 0.5}, "explore 0.3, got 0.5"),
    ({"edges": [(0, 1)]}, r"edges \[\], got \[\[0, 1\]\]"), ({"p": 0.5}, "p 1.0, got 0.5"),
    ({"jitter": 0.5}, "jitter 0.0, got 0.5"), ({"patch_flip": 0.5}, "patch_flip 0.0, got 0.5"),
    ({"ranges": Ranges(tx=(0, 1))}, "ranges {'s"), ({"mode": "reference"}, "mode paper, got reference"),
    ({"mean": (0.5, 0, 0)}, "mean "), ({"std": (0.5, 1, 1)}, "std "), ({"types": ["part"]}, r"drawn None, got \["),
])  # fmt: skip
def test_the_state_of_other_options_is_refused(pool: PartPool, other: dict[str, Any], message: str) -> None:
    """Else a critic learns from lessons of another shape, without a word where they can be broadcast."""
    state = Adversary(pool, **{"joints": JOINTS, **other}).state_dict()
    with pytest.raises(ValueError, match=f"^adversary: expected a state with {message}"):
        Adversary(pool, joints=JOINTS).load_state_dict(state)
    easier, plain = (Adversary(pool, joints=JOINTS, verify=2, solvable=weight) for weight in (1.0, 0.0))
    with pytest.raises(ValueError, match=r"^adversary: expected a state with solvable 0.0, got 1.0"):
        plain.load_state_dict(easier.state_dict())
    for wrong in (None, {"way": "critic", "options": None}):
        with pytest.raises(ValueError, match=r"^adversary: expected a state of state_dict, got"):
            Adversary(pool, joints=JOINTS).load_state_dict(wrong)  # type: ignore[arg-type]
    state = Adversary(pool, joints=JOINTS).state_dict()
    slower = Adversary(pool, joints=JOINTS, rate=1e-5)
    slower.load_state_dict(state)
    assert isinstance(slower.placer, Critic) and slower.placer.optimizer.param_groups[0]["lr"] == 1e-5
    del state["placer"]
    with pytest.raises(ValueError, match=r"^adversary: expected a whole state"):
        Adversary(pool, joints=JOINTS).load_state_dict(state)


def test_a_state_with_numpys_numbers_loads_with_weights_only(pool: PartPool, tmp_path: Path) -> None:
    types = np.array(["arm", "leg"])
    patches = [np.full((8, 8, 4), 255, np.uint8)] * 2
    named = PartPool.from_patches(patches, type=[0, 1], types=types)  # type: ignore[arg-type]
    options: dict[str, Any] = {"explore": np.float64(0.2), "rate": np.float32(1e-3), "solvable": np.float64(0.5)}
    adversary = Adversary(named, joints=JOINTS, verify=2, **options, parts=np.array([1, 2]))
    torch.save(adversary.state_dict(), tmp_path / "state.pt")
    again = Adversary(named, joints=JOINTS, verify=2, **options, parts=(1, 2))  # type: ignore[arg-type]
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))


def test_a_refused_state_changes_nothing(pool: PartPool) -> None:
    learnt, adversary = (Adversary(pool, joints=JOINTS) for _ in range(2))
    play(learnt)
    state = learnt.state_dict()
    del state["batches"]
    before = copy.deepcopy(adversary.state_dict()["placer"]["rise"])
    with pytest.raises(ValueError, match=r"^adversary: expected a whole state"):
        adversary.load_state_dict(state)
    assert all(torch.equal(value, before[name]) for name, value in adversary.state_dict()["placer"]["rise"].items())
