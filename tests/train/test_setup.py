"""What a run is made of: what the networks are given, and what processes share."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import nn

from asda_fast import augment, data
from asda_fast.core.batch import Batch
from asda_fast.core.errors import UserError
from asda_fast.core.hardware import cores
from asda_fast.parts.pool import PartPool
from asda_fast.train.distributed import Ranks, bare, stop
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.setup import _loaders, paste_format, prepare, rounded


def test_paste_writes_what_autocast_would_cast_to_and_learns_as_much() -> None:
    """bfloat16, channels last: the bits of casting after, of the image and of what the placement learns."""
    draw = torch.Generator().manual_seed(0)
    pool = PartPool.from_patches([torch.randint(0, 256, (20, 14, 4), dtype=torch.uint8, generator=draw)] * 2)
    image = torch.randint(0, 256, (3, 32, 24, 3), dtype=torch.uint8, generator=draw)
    no, box = torch.zeros(3, dtype=torch.bool), torch.tensor([[12.0, 16.0, 14.0, 26.0]]).expand(3, 4)
    batch = Batch(image, torch.zeros(3, 1, 2), torch.full((3, 1), 2, dtype=torch.uint8), torch.arange(3),
                  torch.eye(3)[:2].expand(3, 2, 3), box, no, no)  # fmt: skip
    upward = torch.randn(3, 3, 32, 24, generator=draw).to(torch.bfloat16)
    images, gradients = [], []
    for amp in (torch.bfloat16, None):
        aug = augment.build("asda", pool, parts=2, paste_format=paste_format(amp))
        slots = aug.draw(batch, 0)
        theta = slots.theta.clone().requires_grad_()
        pasted = aug.render(batch, slots, theta).image
        assert pasted.dtype == (amp or torch.float32) and pasted.is_contiguous(memory_format=torch.channels_last)
        pasted = pasted.to(torch.bfloat16)
        pasted.backward(upward)
        images.append(pasted.detach())
        gradients.append(theta.grad)
    assert torch.equal(*images) and torch.equal(*gradients) and gradients[0].abs().max() > 0


def test_cores_are_divided_among_the_processes_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(12)), raising=False)
    for processes, each in (("1", 12), ("5", 2), ("16", 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert cores() == each


def _share(index: int, port: str, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=index, world_size=2)
    ranks = Ranks(index, 2, torch.device("cpu"))
    torch.manual_seed(index)
    network = ranks.wrap(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    for _ in range(index + 1):
        network(torch.randn(2, 3, 8, 8))
    own = {name: value.clone() for name, value in bare(network).named_buffers()}
    ranks.share(bare(network))
    torch.save((own, dict(bare(network).named_buffers())), f"{folder}/{index}.pt")
    del network
    stop()


def test_ranks_keep_statistics_of_their_own_until_they_share_the_firsts(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    torch.multiprocessing.spawn(_share, (port, str(tmp_path)), nprocs=2)
    (first, after_first), (second, after_second) = (torch.load(tmp_path / f"{i}.pt", weights_only=True) for i in (0, 1))
    assert len(first) == 3
    for name, value in first.items():
        assert not torch.equal(value, second[name]), f"{name}: was broadcast at a forward"
        assert torch.equal(after_first[name], value) and torch.equal(after_second[name], value)


def test_sync_bn_needs_gpus() -> None:
    recipe = Recipe(sync_bn=True, limit=8, batch_size=2).resolved()
    assert Recipe.from_dict(recipe.to_dict()).sync_bn
    with pytest.raises(UserError, match=r"^sync_bn: .*GPUs, got cpu"):
        prepare(recipe, RunOptions(pipeline="native"), _Two(0, 2, torch.device("cpu")), lambda line: None)


class _Two(Ranks):
    """One of two processes, without the other."""

    def wait(self) -> None:
        assert data.demo_root().is_dir()


def test_a_run_turns_crops_as_it_was_told_and_learns_from_whom_it_was_told() -> None:
    run, alone = RunOptions(pipeline="native", device="cpu"), Ranks(0, 1, torch.device("cpu"))
    still = {"flip": 0, "rotation": 0, "scale": 0}
    for options, turned in ((still, False), ({**still, "rotation": 30}, True), ({}, True)):
        recipe = Recipe.from_dict({"batch_size": 4, "input": "64x64", "train_people": 10, "augment": "none", **options})
        parts = prepare(recipe.resolved(), run, alone, print)
        batches = list(parts.loader)
        parts.close()
        matrix = torch.cat([batch.matrix for batch in batches])
        assert bool((matrix[:, 0, 1].abs() > 1e-3).any()) == turned
        assert turned or not any(batch.flip.any() for batch in batches)
        assert {int(row) for batch in batches for row in batch.row} <= set(range(10))
        assert len(parts.people_val) > 10 and len(batches) == 2


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"verify_share": 0.1}, ["verify_share 0.1: of a batch of 4 it is 1"]),
        ({"verify_share": 0.25}, []),
        ({"half_resolution": True}, ["half_resolution: no network takes less than 64x64, the passes are of that"]),
        ({"half_resolution": True, "input": "96x96"}, []),
    ],
)
def test_what_comes_out_as_something_else_is_said(more: dict[str, Any], says: list[str]) -> None:
    small = {"input": "64x64", "batch_size": 4, "adversary": "critic", "verify": 2}
    assert rounded(Recipe.from_dict({**small, **more}).resolved(), 4) == says


def test_pairs_are_validated_in_batches_as_large_as_they_train_in() -> None:
    """--verify-share is of a batch: of 8 images it would judge one in training and one of 4 in validation."""
    people = data.load("demo", None, "val").first(16)
    recipe = Recipe.from_dict(
        {"dataset": "demo", "augment": "asda", "adversary": "critic", "pairs": True, "batch_size": 8}
    )
    ranks = Ranks(0, 1, torch.device("cpu"))
    train, val = _loaders(recipe.resolved(), RunOptions(pipeline="native", threads=1), ranks, people, people, print)
    try:
        assert len(next(iter(train))) == 4 and len(next(iter(val))) == 8
    finally:
        train.close()
        val.close()
