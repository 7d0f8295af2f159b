"""asda_fast.Adversary in a loop that is not ours: another network, another loss, any batch."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asda_fast import Adversary
from asda_fast.adversary.critic import Critic
from asda_fast.augment.asda import generator_theta
from asda_fast.augment.sampling import Slots
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
    ("critic", {"verify": 2}), ("critic", {"verify": 2, "part_choices": 3}), ("generator", {}),
])  # fmt: skip
def test_every_way_in_a_loop_of_ones_own_and_again_from_its_state(
    pool: PartPool, way: Any, options: dict[str, Any], joints: int
) -> None:
    """Uint8 (but for the generator) and float, losses by person and by joint; from its state it goes on alike."""

    def fresh() -> Adversary:
        return Adversary(pool, way, joints=joints, parts=2, seed=4, **options)

    adversary = fresh()
    play(adversary, kind=torch.float32 if way == "generator" else torch.uint8, each=joints > 0)
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


def test_what_is_hard_and_solvable_by_a_teacher(pool: PartPool) -> None:
    """A teacher that loses twice what the network loses leaves, at weight 1, the easiest of the places."""
    model, (image, points, _) = network().eval(), next(batches(1))

    def paste(**options: Any) -> Tensor:
        teacher = (lambda x: model(x) * 2**0.5) if "solvable" in options else None
        adversary = Adversary(pool, "search", joints=JOINTS, verify=8, **options)
        return losses(model(adversary.paste(image, model, losses, keypoints=points, teacher=teacher)))

    def losses(maps: Tensor) -> Tensor:
        return maps.detach().square().mean((1, 2, 3))

    assert (paste(solvable=1.0) < paste()).all()
    torch.testing.assert_close(paste(solvable=0.25), paste())


def test_the_generator_climbs_by_the_loops_own_loss(pool: PartPool) -> None:
    """Its weights move, the network's do not, nor do its batch-norm statistics."""
    model, adversary = network(), Adversary(pool, "generator", parts=1, rate=1e-2)
    assert adversary.generator is not None
    before = [copy.deepcopy(net.state_dict()) for net in (model, adversary.generator)]
    image, _, target = next(batches(1))

    def losses(maps: Tensor) -> Tensor:
        return (maps - target).square().mean((2, 3)).mean(1)

    with torch.no_grad():  # the loop's own mode is none of its business
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


@pytest.mark.parametrize("way", ["critic", "generator"])
@pytest.mark.parametrize("verify", [None, 2])
def test_losses_that_overflow_are_not_learnt(pool: PartPool, way: Any, verify: int | None) -> None:
    """Half precision gives them now and then; taken in once, a critic would be of NaN for good."""
    adversary = Adversary(pool, way, joints=JOINTS, verify=verify if way == "critic" else None)
    for scale in (1.0, torch.inf, torch.nan, 1.0):
        image, points, _ = next(batches(1))
        adversary.paste(image, network(), lambda maps, k=scale: maps.square().mean((2, 3)) * k, keypoints=points)
        adversary.learn(torch.rand(4, JOINTS) * scale)
    state = adversary.state_dict()
    nets = [state["generator"]] if way == "generator" else [state["placer"]["rise"], state["placer"]["baseline"]]
    assert all(value.isfinite().all() for net in nets for value in net.values())


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("value", [torch.nan, -torch.inf, 1e38])
def test_a_loss_that_overflows_is_no_lesson(pool: PartPool, pairs: bool, value: float) -> None:
    """Of one joint of one image (of pairs: of the second); the others' are. A sum of 1e38s overflows as well."""
    adversary = Adversary(pool, joints=JOINTS, pairs=pairs)
    image, points, _ = next(batches(1))
    if pairs:
        image, points = image[:2].repeat(2, 1, 1, 1), points[:2].repeat(2, 1, 1)
    adversary.paste(image, keypoints=points)
    losses = torch.ones(4, JOINTS)
    losses[2, 3] = value
    adversary.learn(losses)
    assert isinstance(adversary.placer, Critic)
    taught = torch.ones(2 if pairs else 4, JOINTS)
    taught[0 if pairs else 2, 3] = 0
    replay = adversary.placer.replay
    assert torch.equal(replay.ring["weight"][: replay.filled], taught)
    assert adversary.placer.usual().tolist() == [1.0] * JOINTS


@pytest.mark.parametrize("offset", [0.5, -0.5, 0.0])
def test_hard_is_hard_below_zero_too(offset: float) -> None:
    """Likelihoods fall below 0: what is hidden must cost more all the same. At random .04 of the joints are hidden."""
    patch = np.full((40, 30, 4), 255, np.uint8)
    adversary = Adversary(PartPool.from_patches([patch]), joints=JOINTS, candidates=32, seed=3, device="cpu")
    hidden = []
    for step in range(40):
        points = torch.rand(16, JOINTS, 2, generator=torch.Generator().manual_seed(step)) * 50 + 7
        pasted = adversary.paste(torch.zeros(16, 3, 64, 64), keypoints=points)
        x, y = points.round().long().unbind(-1)
        under = (pasted[torch.arange(16)[:, None], 0, y, x] > 0.3).float()
        adversary.learn(under + offset)
        hidden.append(float(under.mean()))
    assert np.mean(hidden[-15:]) > 0.15, "as often hidden as where the losses are above 0"


def test_losses_of_zero_are_no_end(pool: PartPool) -> None:
    """A first batch that is solved already, or a hinge: the critic goes on learning from the next one."""
    adversary = Adversary(pool, joints=JOINTS)
    for step, (image, points, _) in enumerate(batches(5)):
        adversary.paste(image, keypoints=points)
        adversary.learn(torch.rand(4, JOINTS) * (step > 1))
    assert isinstance(adversary.placer, Critic)
    assert all(weight.isfinite().all() for weight in adversary.placer.chooser.parameters())
    assert adversary.placer.scale() > 0


@pytest.mark.parametrize(("way", "options"), [("cover", {}), ("critic", {}), ("search", {"verify": 3})])
def test_autocast_is_the_networks_alone(pool: PartPool, way: Any, options: dict[str, Any]) -> None:
    """In bfloat16 a joint of a large crop is a pixel or two beside itself; the network is asked in bfloat16."""
    plain, cast = (Adversary(pool, way, joints=JOINTS, **options) for _ in range(2))
    draw = torch.Generator().manual_seed(0)
    image, points = torch.rand(48, 3, 256, 256, generator=draw), torch.rand(48, JOINTS, 2, generator=draw) * 256
    kinds: list[torch.dtype] = []

    def losses(maps: Tensor) -> Tensor:
        kinds.append(maps.dtype)
        return maps.float().mean((2, 3)) * 0  # of which nothing hangs

    expected = plain.paste(image, network(), losses, keypoints=points)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cast.paste(image, network(), losses, keypoints=points), expected)
        cast.learn(torch.ones(48, JOINTS))
    plain.learn(torch.ones(48, JOINTS))
    assert set(kinds) == ({torch.float32, torch.bfloat16} if way == "search" else set())
    assert torch.equal(
        cast.paste(image, network(), losses, keypoints=points), plain.paste(image, network(), losses, keypoints=points)
    )


def test_a_generator_learns_in_half_precision(pool: PartPool) -> None:
    """Its gradients are below float16's smallest number where nothing scales them: whole layers would stand still."""
    image, points, _ = next(batches(1))
    adversary = Adversary(pool, "generator", joints=JOINTS)
    assert adversary.generator is not None
    before = copy.deepcopy(adversary.generator.state_dict())
    with torch.autocast("cpu", torch.float16):
        for _ in range(8):
            adversary.paste(image, network(), lambda maps: maps.mean((2, 3)) * 1e-4, keypoints=points)
            adversary.learn(torch.ones(4, JOINTS))
    for name, weight in adversary.generator.named_parameters():
        if name.endswith("conv1.weight"):
            assert (weight != before[name]).float().mean() > 0.9, name
    again = Adversary(pool, "generator", joints=JOINTS)
    again.load_state_dict(adversary.state_dict())
    assert again.state_dict()["scaler"] == adversary.state_dict()["scaler"]
    assert again.state_dict()["scaler"]["_growth_tracker"] == 8, "no step was left out"


def test_a_network_judged_in_autocast_still_learns(pool: PartPool) -> None:
    """Torch before 2.10 kept the weights that the judging had cast without a gradient, for the loop's own pass."""
    image, points, target = next(batches(1))
    model, adversary = network(), Adversary(pool, "search", joints=JOINTS)

    def losses(maps: Tensor) -> Tensor:
        return ((maps - target) ** 2).mean((2, 3))

    with torch.autocast("cpu", torch.bfloat16):
        losses(model(adversary.paste(image, model, losses, keypoints=points))).mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_a_generator_of_ones_own_places_exactly(pool: PartPool) -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.place = nn.Parameter(torch.tensor([0.3, 0.1234567, -0.7654321]))

        def forward(self, image: Tensor) -> Tensor:
            return self.place.expand(len(image), 1, 3).to(torch.get_autocast_dtype("cpu"))

    slots = Slots(*[torch.zeros(2, 1, dtype=torch.int64)] * 2, torch.zeros(2, 1, dtype=torch.bool), torch.ones(2, 1, 4))
    assert generator_theta(Fixed()(torch.zeros(2, 3, 8, 8)), slots).dtype == torch.float32
    assert generator_theta(torch.zeros(2, 1, 3, dtype=torch.float64), slots).dtype == torch.float64
    image, points, _ = next(batches(1))
    few = Adversary(pool, "generator", joints=JOINTS, generator=nn.Sequential(nn.Flatten(), nn.LazyLinear(6)))
    with pytest.raises(ValueError, match=r"^generator: expected it to give \[4, 1, 3\], got \[4, 6\]"):
        few.paste(image, network(), lambda maps: maps.mean((2, 3)), keypoints=points)


@pytest.mark.parametrize("way", ["critic", "generator"])
def test_no_draw_is_taken_from_the_loop(pool: PartPool, way: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on the CPU nor on any GPU, where torch.manual_seed reaches all generators at once."""
    reached: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", reached.append)
    state = torch.get_rng_state()
    Adversary(pool, way, joints=JOINTS, seed=7)
    assert torch.equal(torch.get_rng_state(), state) and not reached


def test_edges_may_be_an_array(pool: PartPool) -> None:
    assert Adversary(pool, "cover", joints=3, edges=np.array([[0, 1], [1, 2]])).limbs == ((0, 1), (1, 2))


def test_the_jitter_follows_from_the_seed(pool: PartPool) -> None:
    image = torch.rand(4, 3, SIZE, SIZE)
    first, second = (Adversary(pool, "random", seed=seed, jitter=0.5) for seed in (1, 2))
    slots = first.module.paste.draw_from(first.module.batch(image), 0, 0)
    a, b = (
        each.module.render(each.module.batch(image), image, slots, slots.theta, 0).image for each in (first, second)
    )
    assert not torch.equal(a, b)


def test_a_seed_below_zero_is_another(pool: PartPool) -> None:
    image = torch.rand(4, 3, SIZE, SIZE)
    first, second = (Adversary(pool, "random", seed=seed).paste(image) for seed in (-1, 0))
    assert not torch.equal(first, second)


def test_a_joint_that_is_not_labelled_decides_nothing(pool: PartPool) -> None:
    image, points, _ = next(batches(1))
    labelled = torch.cat((points, torch.tensor([2.0, 2, 2, 2, 0]).expand(4, JOINTS)[..., None]), 2)
    model, found = network(), []
    for weight in (1.0, 1e3, torch.nan):
        scale = torch.tensor([1.0, 1, 1, 1, weight])
        adversary = Adversary(pool, "search", joints=JOINTS, verify=8)
        found.append(adversary.paste(image, model, lambda m, k=scale: m.square().mean((2, 3)) * k, keypoints=labelled))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_one_keypoint_is_no_size(pool: PartPool) -> None:
    """Parts are scaled to the image then, not to a box of two pixels."""
    image, points = torch.zeros(4, 3, SIZE, SIZE), torch.full((4, JOINTS, 2), torch.nan)
    points[:, 0] = 20
    alone = Adversary(pool, "random", joints=JOINTS).paste(image, keypoints=points)
    assert torch.equal(alone, Adversary(pool, "random").paste(image))


def test_a_network_with_a_part_called_module_is_asked_as_a_whole(pool: PartPool) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module, self.asked = network(), 0

        def forward(self, image: Tensor) -> Tensor:
            self.asked += 1
            return torch.as_tensor(self.module(image)) * 2

    for way, options in (("search", {"verify": 3}), ("generator", {})):
        model, image = Wrapped(), next(batches(1))[0]
        adversary = Adversary(pool, way, **options)  # type: ignore[arg-type]
        adversary.paste(image, model, lambda maps: maps.square().mean((1, 2, 3)))
        adversary.learn(torch.ones(4))
        assert model.asked == (3 if way == "search" else 1)


@pytest.mark.parametrize("way", ["random", "critic"])
def test_where_people_are_gets_no_gradient(pool: PartPool, way: Any) -> None:
    image, points, _ = next(batches(1))
    pasted = Adversary(pool, way, joints=JOINTS).paste(image, keypoints=points.requires_grad_())
    assert not pasted.requires_grad


def test_the_loop_may_work_on_the_pasted_image_in_place(pool: PartPool) -> None:
    """The generator climbs by the image that it made, not by what became of it."""
    found = []
    for in_place in (False, True):
        model, adversary = network(), Adversary(pool, "generator", joints=JOINTS, rate=1e-2)
        for image, points, target in batches(2):

            def losses(maps: Tensor, target: Tensor = target) -> Tensor:
                return (maps - target).square().mean((2, 3))

            pasted = adversary.paste(image, model, losses, keypoints=points)
            loss = losses(model(pasted.sub_(0.5).div_(0.2) if in_place else (pasted - 0.5) / 0.2))
            adversary.learn(loss)
        found.append(adversary.state_dict()["generator"])
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


@pytest.mark.parametrize("way", ["critic", "generator"])
def test_in_a_process_whose_floats_are_doubles(pool: PartPool, way: Any) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        adversary = Adversary(pool, way, joints=JOINTS)
        image, points, _ = next(batches(1))
        adversary.paste(image.float(), network().float(), lambda maps: maps.mean((2, 3)), keypoints=points)
        adversary.learn(torch.rand(4, JOINTS))
    finally:
        torch.set_default_dtype(torch.float32)
