"""asda_fast.Adversary in a loop that is not ours: another network, another loss, any batch."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asda_fast import Adversary
from asda_fast.parts.pool import PartPool

JOINTS, SIZE = 5, 48


@pytest.fixture(scope="module")
def pool() -> PartPool:
    draw = torch.Generator().manual_seed(3)
    patches = [torch.randint(0, 256, (16, 12, 4), dtype=torch.uint8, generator=draw) for _ in range(6)]
    for patch in patches:
        patch[..., 3] = 255
    return PartPool.from_patches(patches)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, 2, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, JOINTS, 5, 2, 2), nn.AdaptiveAvgPool2d(4)
    )


def batches(count: int, kind: torch.dtype = torch.float32) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    for _ in range(count):
        image = torch.rand(4, 3, SIZE, SIZE, generator=draw)
        image = (image * 255).to(torch.uint8) if kind == torch.uint8 else image
        points = torch.rand(4, JOINTS, 2, generator=draw) * SIZE
        yield image, points, torch.rand(4, JOINTS, 4, 4, generator=draw)


def play(adversary: Adversary, steps: int = 3, kind: torch.dtype = torch.float32, each: bool = True) -> list[Tensor]:
    model, images = network(), []
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for image, points, target in batches(steps, kind):

        def losses(maps: Any, target: Tensor = target) -> Tensor:
            return ((maps - target) ** 2).mean((2, 3) if each else (1, 2, 3))

        ask = (lambda x: model(x.float() / 255)) if kind == torch.uint8 else model
        pasted = adversary.paste(image, ask, losses, keypoints=points if adversary.joints else None)
        assert pasted.shape == image.shape and pasted.dtype == image.dtype and not pasted.requires_grad
        loss = losses(ask(pasted))
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        adversary.learn(loss)
        images.append(pasted)
    return images


@pytest.mark.parametrize("joints", [JOINTS, 0])
@pytest.mark.parametrize(("way", "options"), [
    ("random", {}), ("cover", {}), ("cover", {"verify": 2}), ("search", {"verify": 3}), ("critic", {}),
    ("critic", {"verify": 2}), ("generator", {}),
])  # fmt: skip
def test_every_way_in_a_loop_of_ones_own_and_again_from_its_state(
    pool: PartPool, way: Any, options: dict[str, Any], joints: int
) -> None:
    """Uint8 and float, losses by person and by joint; a copy that takes its state goes on alike."""

    def fresh() -> Adversary:
        return Adversary(pool, way, joints=joints, parts=2, seed=4, **options)

    adversary = fresh()
    play(adversary, kind=torch.uint8, each=joints > 0)
    state = copy.deepcopy(adversary.state_dict())
    again = fresh()
    again.load_state_dict(state)
    first, second = play(adversary), play(again)
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    for (image, *_), pasted in zip(batches(3), first):
        assert (pasted != image).any((1, 2, 3)).all()


def test_search_takes_the_hardest_and_leaves_the_network_as_it_is(pool: PartPool) -> None:
    model, adversary = network(), Adversary(pool, "search", joints=JOINTS, verify=8)
    before = copy.deepcopy(model.state_dict())
    image, points, _ = next(batches(1))

    def losses(maps: Tensor) -> Tensor:
        return maps.square().mean((1, 2, 3))

    hard = losses(model.eval()(adversary.paste(image, model, losses, keypoints=points)))
    model.train()
    easy = [losses(model.eval()(Adversary(pool, "random", seed=seed).paste(image))) for seed in range(8)]
    assert hard.mean() > torch.stack(easy).mean()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_the_generator_climbs_by_the_loops_own_loss(pool: PartPool) -> None:
    """Its weights move, the network's do not, nor do its batch-norm statistics."""
    model, adversary = network(), Adversary(pool, "generator", parts=1, rate=1e-2)
    assert adversary.generator is not None
    before = [copy.deepcopy(net.state_dict()) for net in (model, adversary.generator)]
    image, _, target = next(batches(1))

    def losses(maps: Tensor) -> Tensor:
        return (maps - target).square().mean((2, 3)).mean(1)

    adversary.paste(image, model, losses)
    adversary.learn(torch.ones(4))
    assert all(torch.equal(value, before[0][name]) for name, value in model.state_dict().items())
    moved = adversary.generator.state_dict()
    assert any(not torch.equal(moved[name], value) for name, value in before[1].items() if "fc_locs" in name)


def test_cover_hides_what_the_network_is_sure_of(pool: PartPool) -> None:
    image = torch.zeros(4, 3, SIZE, SIZE)
    points = torch.tensor([[8.0, 8.0], [40.0, 40.0]]).expand(4, 2, 2)
    for sure, (x, y) in enumerate(((8, 8), (40, 40))):
        adversary = Adversary(pool, "cover", joints=2, candidates=128)
        response = torch.eye(2)[sure].expand(4, 2)
        pasted = adversary.paste(image, keypoints=points, boxes=torch.tensor([[4.0, 4, 44, 44]] * 4), response=response)
        assert (pasted[:, :, y, x] != 0).any(1).all()


@pytest.mark.parametrize(("make", "message"), [
    (lambda pool: Adversary(pool, "clever"), "way: expected one of random, cover"),  # type: ignore[arg-type]
    (lambda pool: Adversary(pool, "random", verify=2), "verify: expected way search, cover or critic"),
    (lambda pool: Adversary(pool, joints=2, edges=[(0, 2)]), "edges: expected pairs of joints below 2"),
    (lambda pool: Adversary(pool, joints=-1), "joints: expected a number of at least 0"),
    (lambda pool: Adversary(pool, "critic", verify=64), "verify: expected less than candidates"),
])  # fmt: skip
def test_a_wrong_option_is_named(pool: PartPool, make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        make(pool)


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
    with pytest.raises(ValueError, match=r"learn: expected once after each paste"):
        Adversary(pool).learn(torch.zeros(4))
    adversary = Adversary(pool, joints=JOINTS)
    adversary.paste(image, keypoints=points)
    with pytest.raises(ValueError, match=r"learn: expected the loss of each person \[4\] .* got \[\]"):
        adversary.learn(torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"adversary: expected the state of critic, got 'random'"):
        adversary.load_state_dict(Adversary(pool, "random").state_dict())
