"""Two processes: each critic sees the losses of both, and both stay equal, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

from asda_fast import Adversary, PartPool
from asda_fast.adversary import Critic, Scene
from asda_fast.adversary.ranks import gathered
from asda_fast.train.distributed import stop

PEOPLE, STEPS = 8, 5


def play(critic: Critic, whole: list[Scene], rows: slice) -> None:
    for scene in whole:
        mine = Scene(**vars(scene))
        mine.batch = type(scene.batch)(**{name: value[rows] for name, value in vars(scene.batch).items()})
        mine.slots = mine.augmentation.draw(mine.batch, 0)
        mine.target, mine.weight = scene.target[rows], scene.weight[rows]
        choice = critic.choose(mine, explore=True)
        critic.learn(mine, choice, mine.judge(choice.theta, slots=choice.slots))


def rank(index: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=index, world_size=2)
    made = torch.load(f"{folder}/made.pt", weights_only=False)
    critic = Critic(**made["options"])
    play(critic, made["scenes"], slice(index * PEOPLE // 2, (index + 1) * PEOPLE // 2))
    torch.save(critic.state_dict(), f"{folder}/state{index}.pt")
    stop()


def uneven(index: int, folder: str) -> None:
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=index, world_size=2)
    with pytest.raises(ValueError, match=r"expected as many people on every process, got 4, 3: leave out uneven last"):
        gathered({"x": torch.zeros(4 - index, 2)})
    stop()


def test_batches_of_several_sizes_are_refused_by_all(tmp_path: Path) -> None:
    """Else gloo ends the process, and nccl waits or gives what is in memory."""
    torch.multiprocessing.spawn(uneven, (str(tmp_path),), nprocs=2)


@pytest.mark.parametrize("more", [{}, {"verify": 2, "parts": 3, "reduced": False}])
def test_two_ranks_learn_what_one_learns_from_all(make_scene, tmp_path: Path, more: dict[str, Any]) -> None:
    torch.manual_seed(0)
    pose = torch.nn.Conv2d(3, 5, 4, 4)
    scenes = [make_scene(pose, count=PEOPLE, row=PEOPLE * i) for i in range(STEPS)]
    options = {"types": 4, "joints": 5, "candidates": 8, "people": PEOPLE * STEPS, "lessons": 16, **more}
    torch.save({"options": options, "scenes": scenes}, tmp_path / "made.pt")
    torch.multiprocessing.spawn(rank, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"state{i}.pt", weights_only=True) for i in range(2))
    one = Critic(**options)
    play(one, scenes, slice(0, PEOPLE))
    for name in ("rise", "baseline"):
        for key, value in first[name].items():
            assert torch.equal(value, second[name][key])
            torch.testing.assert_close(value, one.state_dict()[name][key], atol=1e-5, rtol=1e-4)
    assert torch.equal(first["history"], second["history"]) and first["history"][..., 1].sum() > 0
    assert torch.equal(first["replay"]["ring"]["x"], second["replay"]["ring"]["x"])
    assert first["replay"]["filled"] == PEOPLE * STEPS


def own_generator(index: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=index, world_size=2)
    torch.manual_seed(index)  # each process would begin with weights of its own
    generator = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 3), torch.nn.Tanh(), torch.nn.Unflatten(1, (1, 3))
    )
    pool = PartPool.from_patches([np.full((8, 8, 4), 255, np.uint8)])
    adversary = Adversary(pool, "generator", generator=generator)
    image, network = torch.rand(2, 3, 16, 16), torch.nn.Conv2d(3, 2, 4, 4)
    adversary.paste(image, network, lambda maps: maps.mean((1, 2, 3)))
    adversary.learn(torch.ones(2))
    torch.save(generator.state_dict(), f"{folder}/state{index}.pt")
    stop()


def test_a_generator_of_ones_own_is_the_same_on_every_rank(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(own_generator, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"state{i}.pt", weights_only=True) for i in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
