"""What a step allocates at most at once: counted by torch's own allocator on the CPU, and by CUDA's on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from asda_fast.adversary import Critic
from asda_fast.train.trainer import Trainer
from tests.train.test_graph import trainer_for
from tests.train.test_waits import options_of

SLOTS = 8192  # bytes of a few people's slots, of sums and of scalars: what no image is


def make(joints: int) -> nn.Module:
    """A pose network of few operations."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 7, stride=4, padding=3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, joints, 1)
    )


def peak(function: Callable[[], object]) -> int:
    """Bytes that are allocated at most at once, above what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        function()
    events = (e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]")  # type: ignore[union-attr]
    now = most = 0
    for _, size in sorted((event.start_ns(), event.nbytes()) for event in events):
        now += size
        most = max(most, now)
    return most


def without_gradients(trainer: Trainer) -> None:
    for optimizer in (trainer.parts.networks.pose_optimizer, trainer.parts.networks.generator_optimizer):
        if optimizer is not None:
            optimizer.zero_grad(set_to_none=True)


def bytes_of_step(name: str, folder: Path) -> tuple[int, int, int]:
    """(a step at its most, who places alone as it learns, one batch of crops)"""
    trainer = trainer_for("cpu", folder, **{**options_of(name, folder), "model": f"{__name__}:make"})
    with closing(trainer.parts):
        batch = next(iter(trainer.parts.loader))
    trainer.learn(batch)  # makes the optimisers' state, and what is cached
    without_gradients(trainer)
    step = peak(lambda: trainer.learn(batch))
    without_gradients(trainer)
    clean, networks, alone = trainer.parts.augmentation.clean(batch), trainer.parts.networks, 0
    if networks.generator is not None:

        def learn_alone() -> None:
            networks.generator(clean).sum().backward()
            # Adam copies gradients in channels_last order one by one; whether that is the most depends on the processor
            networks.generator_optimizer.step()

        alone = peak(learn_alone)
    elif isinstance(critic := trainer.parts.adversary, Critic):
        alone = peak(lambda: critic.regress(critic.replay.draw(critic.lessons)))
    return step, alone, clean.nbytes


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> int:
    return bytes_of_step("none", tmp_path_factory.mktemp("none"))[0]


def test_the_count_is_of_what_is_there_at_once() -> None:
    def two() -> None:
        for _ in range(2):
            first = torch.empty(1 << 20, dtype=torch.uint8)
            del first
        torch.empty(1 << 18, dtype=torch.uint8)

    assert 1 << 20 <= peak(two) < (1 << 20) + 1024


@pytest.mark.parametrize(
    ("name", "images"),
    [("cutout", 0), ("ror", 0), ("sda", 0), ("joint", 1), ("alternate", 1), ("search", 1), ("cover", 1), ("critic", 1)],
)
def test_a_step_needs_the_plain_one_s_memory_and_no_more_than_it_must(
    name: str, images: int, plain: int, tmp_path: Path
) -> None:
    """A paste takes the place of the normalised crops. A game holds those too, and what its learner needs."""
    step, learner, crops = bytes_of_step(name, tmp_path)
    print(f"{name}: {step}, plain {plain}, learner {learner}, crops {crops}")
    assert plain <= step <= plain + images * crops + learner + SLOTS
