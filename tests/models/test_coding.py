"""The codings as networks meet them: there and back, losses, what counts as found, and how a network's own is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from asda_fast.core.errors import UserError
from asda_fast.models.coding import Heatmaps, SimCC, coding_by, coding_of, decoders_of, last

SIZE = (64, 48)
PAIRS = ((0, 1),)
JOINTS = torch.tensor([[[10.0, 20.0], [30.3, 40.7], [24.0, 12.5]], [[40.0, 50.0], [8.2, 9.9], [20.6, 33.1]]])


@pytest.mark.parametrize(("kind", "how", "within"), [("hrnet", None, 2.6), ("hrnet", "dark", 2.6), ("udp", None, 0.2)])
def test_heatmaps_there_and_back_also_from_the_mirror(kind: str, how: str | None, within: float) -> None:
    """UDP's exactly, HRNet's to their rounding, which the mirror doubles."""
    coding, size = Heatmaps(4, kind), (128, 96)
    joints, visible = JOINTS + 28, torch.tensor([[2, 1, 0], [2, 2, 2]])
    target, weight = coding.encode(joints, visible, size)
    assert target.shape == (2, 3, 32, 24)
    assert weight.tolist() == [[1, 1, 0], [1, 1, 1]]
    xy, score = coding.decode(target, how)
    known = weight > 0
    assert (xy - joints)[known].abs().max() < within
    assert score.shape == (2, 3)
    mirrored = joints[:, [1, 0, 2]] * torch.tensor([-1.0, 1.0]) + torch.tensor([96.0, 0.0])
    back = coding.flip(coding.encode(mirrored, visible[:, [1, 0, 2]], size)[0], PAIRS)
    assert (coding.decode(back, how)[0] - joints)[known].abs().max() < (within if kind == "udp" else 2 * within)


def test_the_first_decoder_is_the_usual_one() -> None:
    target, _ = Heatmaps().encode(JOINTS, torch.ones(2, 3), SIZE)
    noisy = target + 0.1 * torch.rand(target.shape, generator=torch.Generator().manual_seed(0))
    usual, dark = Heatmaps().decode(noisy)[0], Heatmaps().decode(noisy, "dark")[0]
    assert torch.equal(usual, Heatmaps().decode(noisy, "quarter")[0])
    assert not torch.equal(usual, dark)
    assert Heatmaps(kind="udp").decoders == ("udp",)


def test_losses_by_hand() -> None:
    """Half the mean square over the map, unlabelled joints 0; a person's is the mean over all joints."""
    target, answer, weight = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), torch.tensor([[1.0, 0, 1], [1, 1, 1]])
    answer[0, :, 0, 0], answer[1, 1] = 4.0, 2.0
    each = [[0.5, 0.0, 0.5], [0.0, 2.0, 0.0]]
    coding = Heatmaps()
    assert coding.joint_losses(answer, target, weight).tolist() == each
    assert coding.losses(answer, target, weight).tolist() == pytest.approx([1 / 3, 2 / 3])
    assert coding.loss(answer, target, weight).item() == pytest.approx(0.5)
    assert coding.loss([answer, answer], target, weight).item() == pytest.approx(1.0)  # each stack learns


def test_response_is_the_answer_at_the_target_s_peak() -> None:
    target = torch.zeros(1, 2, 4, 3)
    target[0, 0, 1, 2] = target[0, 1, 3, 0] = 1
    answer = torch.rand(target.shape, generator=torch.Generator().manual_seed(0))
    answer[0, 1, 3, 0] = 1.7
    assert Heatmaps().response(answer, target).tolist() == [[answer[0, 0, 1, 2].item(), 1.0]]


def test_found_is_within_a_share_of_the_longer_side() -> None:
    target, answer = torch.zeros(1, 3, 16, 12), torch.zeros(1, 3, 16, 12)
    target[0, :, 5, 4] = 1
    answer[0, 0, 5 + 4, 4 + 3] = answer[0, 1, 5 - 4, 4] = answer[0, 2, 5, 4] = 1  # 5, 4 and no cells away
    assert Heatmaps().found(answer, target, 5 / 16).tolist() == [[True, True, True]]
    assert Heatmaps().found(answer, target, 4.9 / 16).tolist() == [[False, True, True]]
    assert Heatmaps().found(answer, target, 0.0).tolist() == [[False, False, True]]


class Answers(nn.Module):
    """A network that answers with zeros of the shapes given: one while it predicts, a list while it trains."""

    def __init__(
        self, shape: tuple[int, ...], trains: list[tuple[int, ...]] | None = None, target: str = "hrnet"
    ) -> None:
        super().__init__()
        self.shape, self.trains, self.target = shape, trains, target
        self.inner = nn.Sequential(nn.Dropout(), nn.Dropout())

    def forward(self, image: torch.Tensor) -> object:
        self.seen = tuple(image.shape)
        if self.training and self.trains is not None:
            return [torch.zeros(len(image), *shape) for shape in self.trains]
        return torch.zeros(len(image), *self.shape)


def test_a_network_s_coding_is_found() -> None:
    network = Answers((3, 16, 12))
    network.inner[0].eval()
    assert coding_of(network, SIZE, joints=3) == Heatmaps(4, "hrnet")
    assert network.seen == (2, 3, *SIZE)
    assert [module.training for module in network.modules()] == [True, True, False, True]  # as it was
    assert coding_of(Answers((3, 32, 24), target="udp"), SIZE) == Heatmaps(2, "udp")
    assert coding_of(Answers((3, 16, 12), trains=[(3, 16, 12)] * 2), SIZE) == Heatmaps(4, "hrnet")
    assert coding_of(Answers((3, 2 * (64 + 48)), target="simcc"), SIZE, joints=3) == SimCC(SIZE)


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (Answers((3, 16)), r"expected heatmaps \[1, 3, 64/s, 48/s\] with a whole s .* got \[1, 3, 16\]"),
        (Answers((0, 16, 12)), r"got \[1, 0, 16, 12\]"),
        (Answers((3, 0, 12)), r"got \[1, 3, 0, 12\]"),
        (Answers((3, 16, 16)), r"got \[1, 3, 16, 16\]"),
        (Answers((3, 15, 12)), r"got \[1, 3, 15, 12\]"),
        (Answers((4, 16, 12)), r"expected heatmaps \[1, 3, .* got \[1, 4, 16, 12\]"),
        (Answers((3, 16, 12), target="simcc"), r"expected bins \[1, 3, 224\] .* got \[1, 3, 16, 12\]"),
        (Answers((3, 223), target="simcc"), r"expected bins \[1, 3, 224\] .* got \[1, 3, 223\]"),
        (Answers((3, 16, 12), target="points"), "its target: expected one of hrnet, udp, simcc, got 'points'"),
        (
            Answers((3, 16, 12), trains=[(3, 16, 12), (3, 8, 6)]),
            r"while it trains: .*\[\[2, 3, 16, 12\], \[2, 3, 8, 6\]",
        ),
    ],
)
def test_other_answers_are_one_line(network: nn.Module, says: str) -> None:
    with pytest.raises(UserError, match=says):
        coding_of(network, SIZE, joints=3)


def test_a_network_that_fails_says_why_and_stays_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 99)).train()
    with pytest.raises(UserError, match="cannot look at a crop of 64x48: RuntimeError"):
        coding_of(network, SIZE)
    assert network.training and network[0].training


def test_coding_and_decoders_by_name() -> None:
    answer = torch.zeros(1, 3, 16, 12)
    assert coding_by("quarter", answer, SIZE) == coding_by("dark", answer, SIZE) == Heatmaps(4, "hrnet")
    assert coding_by("udp", answer, SIZE) == Heatmaps(4, "udp")
    assert coding_by("simcc", answer, SIZE) == SimCC(SIZE)
    assert decoders_of(nn.Identity()) == ("quarter", "dark")
    assert decoders_of(Answers((1, 1, 1), target="udp")) == ("udp",)
    assert decoders_of(Answers((1, 1), target="simcc")) == ("simcc",)
    assert last([1, 2]) == last((1, 2)) == last(2) == 2
    assert last([]) == []
