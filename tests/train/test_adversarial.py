"""Who learns what from one batch: each mode against the same thing computed the long way."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from asda_fast.adversary import Choice, Placer
from asda_fast.augment import Augmented
from asda_fast.models.loss import pose_loss
from asda_fast.train import adversarial
from asda_fast.train.adversarial import Networks


class Pose(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 5, 3, 2, 1))


class Shift(nn.Module):
    """A generator small enough to follow by hand: [B, 3, H, W] -> [B, 1, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.BatchNorm2d(4), nn.Flatten(1), nn.LazyLinear(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)[:, None]


@pytest.fixture
def scene():
    torch.manual_seed(0)
    clean, target, weight = torch.randn(4, 3, 16, 16), torch.rand(4, 5, 4, 4), torch.ones(4, 5)
    weight[0, 2] = 0
    pose, generator = Pose(), Shift()
    generator(clean)
    pose.train(), generator.train()
    bump = torch.linspace(-1, 1, 16)

    def paste(placement: Tensor | None) -> Tensor:  # a smooth differentiable stand-in for the real op
        assert placement is not None
        wave = torch.sin(bump[None, :] * 3 + placement[:, 0, 1:2]) + torch.cos(bump[None, :] + placement[:, 0, :1])
        return clean + wave[:, None, None, :] * placement[:, 0, 2][:, None, None, None].cos()

    return clean, paste, target, weight, pose, generator


def players_for(pose: nn.Module, generator: nn.Module | None, lr: float = 0.1) -> Networks:
    optimizers = [torch.optim.SGD(net.parameters(), lr) if net is not None else None for net in (pose, generator)]
    return Networks(pose, optimizers[0], generator, optimizers[1])


def moved(before: nn.Module, after: nn.Module, lr: float = 0.1) -> list[Tensor]:
    """The gradients that plain SGD must have applied."""
    return [(a - b) / lr for a, b in zip(before.parameters(), after.parameters())]


def close(found: list[Tensor], expected: list[Tensor]) -> None:
    assert any(e.abs().max() > 1e-6 for e in expected), "a zero gradient would prove nothing"
    for f, e in zip(found, expected):
        torch.testing.assert_close(f, e, atol=1e-5, rtol=1e-3)


def test_loss_is_half_the_weighted_square() -> None:
    prediction, target = torch.zeros(1, 2, 1, 2), torch.tensor([[[[1.0, 3.0]], [[2.0, 2.0]]]])
    assert pose_loss(prediction, target, torch.tensor([[1.0, 0.0]])).item() == pytest.approx(0.5 * (1 + 9) / 4)
    assert pose_loss([prediction, prediction], target, torch.ones(1, 2)).item() == pytest.approx(18 / 4)


def test_alternate_equals_the_long_way(scene) -> None:
    clean, paste, target, weight, pose, generator = scene
    pose_1, generator_1 = copy.deepcopy(pose), copy.deepcopy(generator)
    # The long way. D: the placement is a constant.
    image = paste(generator_1(clean)).detach()
    grad_d = torch.autograd.grad(pose_loss(pose_1(image), target, weight), list(pose_1.parameters()))
    with torch.no_grad():
        for p, g in zip(pose_1.parameters(), grad_d):
            p -= 0.1 * g
    # G: uphill through the new D.
    fresh = copy.deepcopy(generator)
    loss = pose_loss(pose_1(paste(fresh(clean))), target, weight)
    grad_g = [-g for g in torch.autograd.grad(loss, list(fresh.parameters()))]

    pose_0, generator_0 = copy.deepcopy(pose), copy.deepcopy(generator)
    outcome = adversarial.step_alternate(players_for(pose, generator), clean, paste, target, weight)
    close(moved(pose_0, pose), list(grad_d))
    close(moved(generator_0, generator), grad_g)
    assert outcome.loss_g.item() == pytest.approx(-loss.item(), rel=1e-5)


def test_generator_step_leaves_the_pose_network_untouched(scene) -> None:
    clean, paste, target, weight, pose, generator = scene
    alone = copy.deepcopy(pose)
    with torch.no_grad():
        image = paste(copy.deepcopy(generator)(clean))
    adversarial.step_alone(players_for(alone, None), image, target, weight)
    adversarial.step_alternate(players_for(pose, generator), clean, paste, target, weight)
    # After a whole alternate step D is, to the last bit, where its own step alone takes it: weights and statistics.
    for (name, a), b in zip(alone.state_dict().items(), pose.state_dict().values()):
        assert torch.equal(a, b), name
    assert pose[1].num_batches_tracked.item() == 1


def test_joint_is_one_gradient_with_two_signs(scene) -> None:
    clean, paste, target, weight, pose, generator = scene
    pose_1, generator_1 = copy.deepcopy(pose), copy.deepcopy(generator)
    loss = pose_loss(pose_1(paste(generator_1(clean))), target, weight)
    grads = torch.autograd.grad(loss, [*pose_1.parameters(), *generator_1.parameters()])
    n = len(list(pose.parameters()))
    pose_0, generator_0 = copy.deepcopy(pose), copy.deepcopy(generator)
    outcome = adversarial.step_joint(players_for(pose, generator), clean, paste, target, weight)
    close(moved(pose_0, pose), list(grads[:n]))
    close(moved(generator_0, generator), [-g for g in grads[n:]])
    assert outcome.loss_d.item() == pytest.approx(loss.item()) == pytest.approx(-outcome.loss_g.item())


def test_frozen_gives_the_image_its_gradient_and_keeps_the_mode(scene) -> None:
    clean, _, target, weight, pose, _ = scene
    for mode in (True, False):
        pose.train(mode)
        image = clean.clone().requires_grad_()
        reference = copy.deepcopy(pose)
        expected = torch.autograd.grad(pose_loss(reference(image), target, weight), image)[0]
        pose_loss(adversarial.frozen(pose, image), target, weight).backward()
        torch.testing.assert_close(image.grad, expected)
        assert all(p.grad is None for p in pose.parameters())


class Recorder(Placer):
    """Chooses by a formula, and keeps what it is told."""

    def choose(self, scene, explore: bool) -> Choice:
        assert explore
        return Choice(torch.full((4, 1, 1, 1), 0.5), memory="kept", slots="parts")

    def learn(self, scene, choice, losses) -> None:
        self.told = (choice, losses)


def test_against_an_adversary_d_learns_the_chosen_image_and_it_is_told_the_losses(scene) -> None:
    clean, _, target, weight, pose, _ = scene

    def paste(theta, slots):
        assert slots == "parts"  # those that were chosen with their places
        return Augmented(clean + theta)

    chosen = SimpleNamespace(target=target, weight=weight, paste=paste)
    alone = copy.deepcopy(pose)
    adversary = Recorder()
    outcome, pasted = adversarial.step_against(players_for(pose, None), adversary, chosen)
    adversarial.step_alone(players_for(alone, None), clean + 0.5, target, weight)
    assert all(torch.equal(a, b) for a, b in zip(alone.state_dict().values(), pose.state_dict().values()))
    choice, losses = adversary.told
    assert torch.equal(pasted.image, clean + 0.5)
    assert choice.memory == "kept" and losses.shape == (4, 5) and losses[0, 2] == 0
    assert losses.mean().item() == pytest.approx(outcome.loss_d.item())


class Counted(nn.BatchNorm2d):
    """A batch norm of one's own, which counts its calls in a buffer."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * self.calls


def test_frozen_copies_nothing_but_buffers_that_it_does_not_know() -> None:
    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(function.overloadpacket)
            return function(*args, **(kwargs or {}))

    image = torch.randn(2, 3, 16, 16)
    for norm, copies in ((nn.BatchNorm2d, 0), (Counted, 4)):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), norm(4), nn.ReLU())
        for parameter in network[0].parameters():
            parameter.requires_grad_(False)  # frozen by the user: stays so
        before, asking = copy.deepcopy(network.state_dict()), [p.requires_grad for p in network.parameters()]
        seen: list[object] = []
        with Watch():
            out = adversarial.frozen(network, image.requires_grad_())
        assert seen.count(torch.ops.aten.clone) == copies
        torch.testing.assert_close(out, network(image))  # in training: normalised by the batch
        network.load_state_dict(before)
        for mode in (True, False):
            network.train(mode)
            adversarial.frozen(network, image)
            assert all(torch.equal(a, b) for a, b in zip(before.values(), network.state_dict().values()))
        assert [p.requires_grad for p in network.parameters()] == asking and network[1].track_running_stats
