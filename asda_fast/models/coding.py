"""The coding of a network's answers: how they say where the joints are, from targets and losses to joints again.

`Heatmaps` is most networks' (heatmaps.py), `SimCC` that of a head which classifies x and y apart (simcc.py). A network
says its own by an attribute `target` ("hrnet" where it has none); what it was trained with, a checkpoint says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from asda_fast.core.errors import UserError
from asda_fast.core.options import size_text
from asda_fast.models import heatmaps, loss, simcc
from asda_fast.models.loss import Prediction
from asda_fast.models.simcc_head import SimCCHead

Pairs = tuple[tuple[int, int], ...]
KINDS = (*heatmaps.KINDS, "simcc")


class Coding(ABC):
    """Answers are [B, J, ..]; crops are (height, width), joints [B, J, 2] continuous crop pixels."""

    kind: str
    decoders: tuple[str, ...]  # ways to read an answer; the first is the usual one

    @abstractmethod
    def encode(self, joints: Tensor, visible: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """What the network is to answer to a crop of `size`: target [B, J, ..], and weight [B, J]: 0 where unlabelled
        (visible [B, J] is 0) or out of reach."""

    @abstractmethod
    def decode(self, answer: Tensor, how: str | None = None) -> tuple[Tensor, Tensor]:
        """The joints [B, J, 2] in crop pixels, and a score [B, J] of each. how: one of `decoders`."""

    @abstractmethod
    def flip(self, answer: Tensor, pairs: Pairs) -> Tensor:
        """The answer to the mirrored crop, brought back."""

    @abstractmethod
    def joint_losses(self, prediction: Prediction, target: Tensor, weight: Tensor) -> Tensor:
        """[B, J], by person and joint."""

    def losses(self, prediction: Prediction, target: Tensor, weight: Tensor) -> Tensor:
        """[B], by person: the means over all joints."""
        return self.joint_losses(prediction, target, weight).mean(1)

    def loss(self, prediction: Prediction, target: Tensor, weight: Tensor) -> Tensor:
        """[]: what a network learns from a batch."""
        return self.joint_losses(prediction, target, weight).mean()

    @abstractmethod
    def response(self, answer: Tensor, target: Tensor) -> Tensor:
        """[B, J] the answer where each joint is, 0..1, 1 = as the target."""

    @abstractmethod
    def found(self, answer: Tensor, target: Tensor, share: float) -> Tensor:
        """[B, J] whether the joint that is answered lies within `share` of the crop's longer side of the target's."""


@dataclass(frozen=True)
class Heatmaps(Coding):
    """[B, J, H/stride, W/stride]; kind: "hrnet" or "udp" (heatmaps.py)."""

    stride: int = 4
    kind: str = "hrnet"

    @property
    def decoders(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("udp",) if self.kind == "udp" else ("quarter", "dark")

    def encode(self, joints: Tensor, visible: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        return heatmaps.heatmaps(joints, visible, size, self.stride, kind=self.kind)

    def decode(self, answer: Tensor, how: str | None = None) -> tuple[Tensor, Tensor]:
        return heatmaps.decode(answer, how or self.decoders[0], self.stride)

    def flip(self, answer: Tensor, pairs: Pairs) -> Tensor:
        return heatmaps.flip_heatmaps(answer, pairs, shift=self.kind != "udp")

    def joint_losses(self, prediction: Prediction, target: Tensor, weight: Tensor) -> Tensor:
        return loss.joint_losses(prediction, target, weight)

    def losses(self, prediction: Prediction, target: Tensor, weight: Tensor) -> Tensor:
        return loss.pose_losses(prediction, target, weight)

    def loss(self, prediction: Prediction, target: Tensor, weight: Tensor) -> Tensor:
        return loss.pose_loss(prediction, target, weight)

    def response(self, answer: Tensor, target: Tensor) -> Tensor:
        peak = target.flatten(2).argmax(-1, keepdim=True)
        return answer.flatten(2).gather(2, peak)[..., 0].clamp(0, 1)

    def found(self, answer: Tensor, target: Tensor, share: float) -> Tensor:
        def peak(maps: Tensor) -> Tensor:
            index = maps.flatten(2).argmax(-1)
            return torch.stack((index % maps.shape[-1], index // maps.shape[-1]), -1).float()

        return (peak(answer) - peak(target)).norm(dim=-1) <= share * max(target.shape[2:])


@dataclass(frozen=True)
class SimCC(Coding):
    """[B, J, X + Y]: scores of the bins of x, then of y, of crops of `size` whatever size is looked at (simcc.py)."""

    size: tuple[int, int]
    kind: str = "simcc"
    decoders: tuple[str, ...] = ("simcc",)

    def encode(self, joints: Tensor, visible: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        x, y = (joints[..., 1 - i] * (self.size[i] / size[i]) for i in (1, 0))
        return simcc.labels(torch.stack((x, y), -1), visible, self.size)

    def decode(self, answer: Tensor, how: str | None = None) -> tuple[Tensor, Tensor]:
        return simcc.decode(answer, self.size)

    def flip(self, answer: Tensor, pairs: Pairs) -> Tensor:
        return simcc.flip(answer, pairs, self.size)

    def joint_losses(self, prediction: Prediction, target: Tensor, weight: Tensor) -> Tensor:
        if not isinstance(prediction, Tensor):  # of several stacks, each of which learns
            return torch.stack([self.joint_losses(each, target, weight) for each in prediction]).sum(0)
        return simcc.joint_losses(prediction, target, weight, self.size)

    def response(self, answer: Tensor, target: Tensor) -> Tensor:
        return simcc.response(answer, target, self.size)

    def found(self, answer: Tensor, target: Tensor, share: float) -> Tensor:
        there, here = simcc.decode(answer, self.size)[0], simcc.decode(target, self.size)[0]
        return (there - here).norm(dim=-1) <= share * max(self.size)


def coding_by(decoder: str, answer: Tensor, size: tuple[int, int]) -> Coding:
    """The coding of an answer [B, J, ..] to crops of `size` that is read by `decoder`."""
    if decoder == "simcc":
        return SimCC(size)
    return Heatmaps(size[0] // answer.shape[2], "udp" if decoder == "udp" else "hrnet")


def decoders_of(network: nn.Module) -> tuple[str, ...]:
    """The ways to read a network's answers, the usual one first, by its `target`."""
    kind = getattr(network, "target", "hrnet")
    return ("simcc",) if kind == "simcc" else Heatmaps(kind=kind).decoders


def check_size(network: nn.Module, size: tuple[int, int]) -> None:
    """UserError where a network classifies x and y of crops of another size: its bins would be read as other places."""
    for module in network.modules():
        if isinstance(module, SimCCHead) and module.size != tuple(size):
            raise UserError(f"input: the network answers for crops of {size_text(module.size)}, got {size_text(size)}")


def last(answer: Any) -> Any:
    """The answer itself, of one that comes with those of earlier stacks."""
    return answer[-1] if isinstance(answer, (list, tuple)) and answer else answer


def coding_of(network: nn.Module, size: tuple[int, int], joints: int | None = None) -> Coding:
    """The coding of a network's answers to crops of `size` (height, width), found with a black crop on its device.

    UserError where it does not answer [1, J, height / s, width / s] with one whole s, or not what its `target` says; a
    list while it trains (deep supervision) has to be of answers like the last one. The network stays as it is.
    """
    target = getattr(network, "target", "hrnet")
    if target not in KINDS:
        raise UserError(f"model: its target: expected one of {', '.join(KINDS)}, got {target!r}")
    check_size(network, size)
    answer = last(_answer(network, size, training=False))
    wanted = f"[1, {joints or 'joints'}, {size[0]}/s, {size[1]}/s] with a whole s"
    found: Coding | None = None
    if target == "simcc":
        found, length = SimCC(size), simcc.SPLIT * sum(size)
        wanted = f"[1, {joints or 'joints'}, {length}]"
        fits = isinstance(answer, Tensor) and answer.ndim == 3 and answer.shape[2] == length
    else:
        fits = isinstance(answer, Tensor) and answer.ndim == 4 and min(answer.shape) > 0
        if fits:
            found = Heatmaps(size[0] // answer.shape[2], target)
            fits = (answer.shape[2] * found.stride, answer.shape[3] * found.stride) == tuple(size)
    if not fits or (joints is not None and answer.shape[1] != joints):
        what = "heatmaps " if target != "simcc" else "bins "
        raise UserError(f"model: expected {what}{wanted} for a crop of {size[0]}x{size[1]}, got {_shape(answer)}")
    trained = _answer(network, size, training=True)
    for each in trained if isinstance(trained, (list, tuple)) else [trained]:
        if _shape(each)[1:] != list(answer.shape)[1:]:
            raise UserError(
                f"model: while it trains: expected answers [B, {', '.join(map(str, answer.shape[1:]))}], or a list of "
                f"such, got {_shape(trained)}"
            )
    assert found is not None
    return found


def _shape(answer: Any) -> Any:
    if isinstance(answer, (list, tuple)):
        return [_shape(each) for each in answer]
    return list(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__


@torch.no_grad()
def _answer(network: nn.Module, size: tuple[int, int], training: bool) -> Any:
    """What it says to black crops (two: a batch norm wants more than one), its statistics and random state kept."""
    tensor = next(network.parameters(), torch.zeros(()))
    devices = [tensor.device] if tensor.device.type == "cuda" else []
    modes = [(module, module.training) for module in network.modules()]
    image = torch.zeros(2 if training else 1, 3, *size, device=tensor.device)
    scratch = {name: buffer.clone() for name, buffer in network.named_buffers()} if training else {}
    try:
        network.train(training)
        with torch.random.fork_rng(devices=devices):
            return functional_call(network, scratch, (image,)) if training else network(image)
    except UserError:
        raise
    except Exception as error:  # the network's own, in whatever line it fails
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"model: cannot look at a crop of {size[0]}x{size[1]}: {why}") from error
    finally:
        for module, mode in modes:
            module.training = mode
