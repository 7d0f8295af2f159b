"""asda_fast.Adversary: every mistake of a loop is one line that names the argument."""

# ruff: noqa: F811 # the fixture is every test's parameter

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asda_fast import Adversary
from asda_fast.parts.pool import PartPool

from .test_component import JOINTS, SIZE, batches, network, play, pool  # noqa: F401 # a fixture


@pytest.mark.parametrize(("make", "message"), [
    (lambda pool: Adversary(pool, "clever"), "way: expected one of random, cover"),  # type: ignore[arg-type]
    (lambda pool: Adversary(pool, "random", verify=2), "verify: expected way search, cover or critic"),
    (lambda pool: Adversary(pool, joints=2, edges=[(0, 2)]), "edges: expected pairs of joints below 2"),
    (lambda pool: Adversary(pool, joints=-1), "joints: expected a number of at least 0"),
    (lambda pool: Adversary(pool, "critic", verify=64), "verify: expected less than candidates"),
    (lambda pool: Adversary(pool, "cover", verify=0), "verify: expected a number of at least 1"),
    (lambda pool: Adversary(pool, "random", part_choices=2), "part_choices: expected way search, cover or critic"),
    (lambda pool: Adversary(pool, part_choices=0), "part_choices: expected a number of at least 1"),
    (lambda pool: Adversary(pool, "search", part_choices=5), "part_choices: expected at most 4 .the random places"),
    (lambda pool: Adversary(pool, "critic", solvable=1.0), "solvable: expected way search, .* verify 2 or more"),
    (lambda pool: Adversary(pool, "generator", solvable=1.0), "solvable: expected way search, .* got generator"),
    (lambda pool: Adversary(pool, "search", solvable=-1.0), "solvable: expected a number of at least 0, got -1.0"),
    (lambda pool: Adversary(pool, rate=0.0), "rate: expected more than 0"),
    (lambda pool: Adversary(pool, rate="x"), "rate: expected a number, got 'x'"),  # type: ignore[arg-type]
    (lambda pool: Adversary(pool, "search", rate=1.0), "rate: expected way critic or generator beside it, got search"),
    (lambda pool: Adversary(pool, explore=True), "explore: expected a number, got True"),
    (lambda pool: Adversary(pool, "cover", explore=0.1), "explore: expected way critic beside it, got cover"),
    (lambda pool: Adversary(pool, candidates=64.0), "candidates: expected a number of at least 1"),  # type: ignore[arg-type]
    (lambda pool: Adversary(pool, candidates=0), "candidates: expected a number of at least 1, got 0"),
    (lambda pool: Adversary(pool, "random", candidates=7), "candidates: expected way cover or critic beside it"),
    (lambda pool: Adversary(pool, pairs="no"), "pairs: expected True or False, got 'no'"),  # type: ignore[arg-type]
    (lambda pool: Adversary(pool, device="nope"), "device: expected one of torch's, such as cuda:0, got 'nope'"),
    (lambda pool: Adversary(pool, joints=3, edges=[(0, 1.5)]), "edges: expected pairs"),  # type: ignore[list-item]
    (lambda pool: Adversary(pool, joints=3, edges=[3]), "edges: expected pairs"),  # type: ignore[list-item]
    (lambda pool: Adversary(pool, joints=3, edges=None), "edges: expected pairs of joints below 3, got None"),  # type: ignore[arg-type]
    (lambda pool: Adversary(pool, "generator", generator=3), "generator: expected a network"),  # type: ignore[arg-type]
    (lambda pool: Adversary(pool, seed="a"), "seed: expected a whole number"),  # type: ignore[arg-type]
    (lambda pool: Adversary(pool, seed=2**70), "seed: expected a number of 64 bits"),
    (lambda pool: Adversary(pool, joints=torch.tensor(2.5)), "joints: expected a number of at least 0"),  # type: ignore[arg-type]
    (lambda pool: Adversary(pool, joints=3, edges=torch.tensor([[0.0, 1.9]])), "edges: expected pairs"),  # type: ignore[arg-type]
    (lambda pool: Adversary(pool, rate=torch.inf), "rate: expected more than 0, got inf"),
    (lambda pool: Adversary(pool, "generator", generator=nn.ReLU()), "generator: expected a network with weights"),
    (lambda pool: Adversary(pool, device="cuda:99"), "device: "),
])  # fmt: skip
def test_a_wrong_option_is_named(pool: PartPool, make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        make(pool)


class Several(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 3)

    def forward(self, image: Tensor) -> Any:
        return (image, image)


def test_a_wrong_unit_is_said_until_it_is_right(pool: PartPool) -> None:
    """Also after a resume."""
    image, points, _ = next(batches(1))
    adversary = Adversary(pool, joints=JOINTS)
    for again in range(3):
        if again == 2:
            play(adversary)
            state, adversary = adversary.state_dict(), Adversary(pool, joints=JOINTS)
            adversary.load_state_dict(state)
        with pytest.raises(ValueError, match=r"keypoints: expected pixels of the image"):
            adversary.paste(image, keypoints=points / SIZE)


def test_a_wrong_call_is_named(pool: PartPool) -> None:
    image, points, _ = next(batches(1))
    with pytest.raises(ValueError, match=r"keypoints: expected pixels of the image, got values up to 0.99"):
        Adversary(pool, joints=JOINTS).paste(image, keypoints=points / SIZE)
    with pytest.raises(ValueError, match=r"keypoints: expected \[4, 5, 2 or 3\], got \[4, 4, 2\]"):
        Adversary(pool, joints=JOINTS).paste(image, keypoints=points[:, 1:])
    with pytest.raises(ValueError, match=r"keypoints: expected those of 5 joints, got none"):
        Adversary(pool, joints=JOINTS).paste(image)
    with pytest.raises(ValueError, match=r"image: expected 0..1 after undoing mean .* got 0.*..255"):
        Adversary(pool, "random").paste(image * 255)
    with pytest.raises(ValueError, match=r"boxes: expected pixels of the image, got values up to 0.9"):
        Adversary(pool, "random").paste(image, boxes=torch.tensor([[0.1, 0.1, 0.9, 0.9]] * 4))
    with pytest.raises(TypeError, match=r"image: expected a tensor \[B, 3, H, W\], got \[3, 48, 48\]"):
        Adversary(pool, "random").paste(image[0])
    with pytest.raises(ValueError, match=r"network, losses: search asks the network"):
        Adversary(pool, "search").paste(image)
    with pytest.raises(TypeError, match=r"network: expected something to call, got str"):
        Adversary(pool, "search").paste(image, "x", torch.mean)  # type: ignore[arg-type]
    for rows in (["a"] * 4, torch.ones(4, dtype=torch.bool)):
        with pytest.raises((TypeError, ValueError), match=r"index: expected \[4\] whole numbers"):
            Adversary(pool, people=3).paste(image, index=rows)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"teacher: expected a network beside solvable, got none"):
        Adversary(pool, "search", solvable=1.0).paste(image, network(), torch.mean)
    with pytest.raises(ValueError, match=r"teacher: expected solvable above 0 beside it, got 0"):
        Adversary(pool, "search").paste(image, network(), torch.mean, teacher=network())
    with pytest.raises(ValueError, match=r"image: expected float for the generator"):
        Adversary(pool, "generator").paste((image * 255).to(torch.uint8), network(), torch.mean)
    with pytest.raises(ValueError, match=r"image: expected at least one"):
        Adversary(pool, "random").paste(image[:0])
    for index, came in (([0, 1, 2, 3], r"of 3 people, got \[0, 1, 2, 3\]"), ([0, 1, 2, -1], "of 3 people")):
        with pytest.raises(ValueError, match=f"index: expected rows {came}"):
            Adversary(pool, people=3).paste(image, index=torch.tensor(index))
    blind = Adversary(pool, "generator")
    blind.paste(image, network(), lambda maps: maps.detach().mean((1, 2, 3)))
    with pytest.raises(ValueError, match=r"losses: expected a gradient to the image"):
        blind.learn(torch.ones(4))
    with pytest.raises(ValueError, match=r"learn: expected once after each paste"):
        Adversary(pool).learn(torch.zeros(4))
    adversary = Adversary(pool, joints=JOINTS)
    adversary.paste(image, keypoints=points)
    with pytest.raises(ValueError, match=r"keypoints: expected those"):
        adversary.paste(image)  # fails: its losses are not the last one's
    with pytest.raises(ValueError, match=r"learn: expected once after each paste"):
        adversary.learn(torch.zeros(4))
    adversary.paste(image, keypoints=points)
    with pytest.raises(ValueError, match=r"learn: expected the loss of each person \[4\] .* got \[\]"):
        adversary.learn(torch.tensor(1.0))
    adversary.learn(torch.ones(4))  # with those that were meant
    elsewhere = Adversary(pool, joints=JOINTS, device="meta")
    with pytest.raises(ValueError, match=r"image: expected it on meta .* got cpu"):
        elsewhere.paste(image, keypoints=points)
    for way in ("critic", "generator"):
        with torch.inference_mode(), pytest.raises(ValueError, match=f"^paste: {way} learns, .* use torch.no_grad"):
            Adversary(pool, way).paste(image, network(), torch.mean)
    with pytest.raises(TypeError, match=r"response: expected numbers \[B, J\], got str"):
        Adversary(pool, "cover", joints=JOINTS).paste(image, keypoints=points, response="x")  # type: ignore[arg-type]
    several = Adversary(pool, "generator", generator=Several())
    with pytest.raises(ValueError, match=r"generator: expected it to give \[4, 1, 3\], got tuple"):
        several.paste(image, network(), lambda maps: maps.mean((2, 3)))
    with pytest.raises(ValueError, match=r"adversary: expected the state of critic, got 'random'"):
        adversary.load_state_dict(Adversary(pool, "random").state_dict())
