"""asda_fast.Adversary in a loop that is not ours: another network, another loss, any batch."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asda_fast import Adversary
from asda_fast.adversary.critic import Critic
from asda_fast.augment.asda import generator_theta
from asda_fast.augment.sampling import Ranges, Slots
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
