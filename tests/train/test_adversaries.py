"""Every adversary in a whole run: trained with, killed, gone on with, over two processes; and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asda_fast.adversary.options import AdversaryOptions
from asda_fast.core.errors import UserError
from asda_fast.train import checkpoint
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.run import train

OPTIONS = {
    "search": ["--adversary", "search", "--verify", "2"],
    "cover": ["--adversary", "cover", "--clean-pass"],
    "critic": ["--adversary", "critic"],
    "critic verified": ["--adversary", "critic", "--verify", "2", "--verify-share", "0.7", "--half-resolution"],
    "critic, solvable": ["--adversary", "critic", "--verify", "2", "--solvable", "1", "--ema", "0.9"],
    "critic of pairs": ["--adversary", "critic", "--pairs", "--verify", "4", "--verify-share", "0.25"],
    "critic of parts": ["--adversary", "critic", "--verify", "2", "--part-choices", "4"],
}
SMALL = "--limit 24 --batch-size 8 --epochs 2 --input 64x64 --device cpu --pipeline native --candidates 16 --parts 2"


def command(out: Path, adversary: str, *more: str) -> list[str]:
    small = [*SMALL.split(), "--hardness-people", "8", "--out", str(out)]
    return [sys.executable, "-m", "asda_fast.train", *small, *OPTIONS[adversary], *more]


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def leaves(value: Any, name: str = "") -> dict[str, torch.Tensor]:
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in leaves(item, f"{name}.{key}").items()}
    if isinstance(value, (list, tuple)):
        return {k: v for i, item in enumerate(value) for k, v in leaves(item, f"{name}.{i}").items()}
    return {name: torch.as_tensor(value)} if isinstance(value, (int, float, torch.Tensor)) else {}


@pytest.mark.parametrize("adversary", OPTIONS)
def test_killed_and_gone_on_with_it_ends_with_the_same_bits(adversary: str, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    done = subprocess.run(command(whole, adversary), env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    run = subprocess.Popen(command(parts, adversary, "--save-every", "1"), env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (parts / "last.pt").is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    saved = checkpoint.load(parts / "last.pt")
    assert saved["epoch"] < 2
    done = subprocess.run(
        command(parts, adversary, "--resume"), env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr

    ends = [checkpoint.load(out / "last.pt") for out in (whole, parts)]
    for name in ("pose", "adversary"):
        first, second = (leaves(end[name]) for end in ends)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
    for a, b in zip(rows(whole), rows(parts), strict=True):
        assert (a["loss_d"], a["hardness"], a["hardness_se"]) == (b["loss_d"], b["hardness"], b["hardness_se"])
        assert a["hardness_se"] > 0 and a["loss_g"] is None
    assert "hardness" in done.stdout


def on_two_ranks(port: int, *arguments: str) -> None:
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launch, *arguments], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("adversary", ["critic", "critic of pairs"])
def test_two_ranks_share_one_critic(adversary: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    on_two_ranks(29668, *command(out, adversary)[1:])
    critic = checkpoint.load(out / "last.pt")["adversary"]
    # Two epochs of a batch of 8 on each of 2 ranks; or of three of 4 people, each a pair, and 2 judged at two pairs.
    assert critic["replay"]["filled"] == (2 * 16 if adversary == "critic" else 2 * 3 * 2 * (4 + 2 * 2))
    assert (critic["history"][..., 1].amax(1) > 0).sum() >= 16


def test_when_two_ranks_save_changes_nothing(tmp_path: Path) -> None:
    """The adversary's passes read batch-norm statistics, of which each rank gathers its own: they are shared before
    each pass, not at each save. So a run that was stopped, which is one save more, ends as one that was not."""
    ends = []
    for often in ("1", "0"):
        out = tmp_path / often
        on_two_ranks(29671, *command(out, "critic, solvable", "--batch-size", "4", "--save-every", often)[1:])
        ends.append(checkpoint.load(out / "last.pt"))
    for name in ("pose", "adversary"):
        first, second = (leaves(end[name]) for end in ends)
        assert all(torch.equal(first[key], second[key]) for key in first), name


def test_a_run_without_an_adversary_measures_chance(tmp_path: Path) -> None:
    small = {"limit": 16, "batch_size": 8, "epochs": 1, "input": "64x64", "augment": "sda"}
    run = RunOptions(pipeline="native", device="cpu", out=str(tmp_path / "sda"), hardness_people=8)
    train(Recipe.from_dict(small), run)
    (row,) = rows(tmp_path / "sda")
    assert row["hardness_se"] > 0 and row["hardness_room"] > 0 and row["hardness_people"] == 8
    run = RunOptions(pipeline="native", device="cpu", out=str(tmp_path / "none"), hardness_people=8)
    train(Recipe.from_dict({**small, "augment": "none"}), run)
    assert "hardness" not in rows(tmp_path / "none")[0]


@pytest.mark.parametrize("drops", [True, False])
def test_the_released_codes_generator(drops: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = {"limit": 8, "batch_size": 4, "epochs": 2, "drops": [1], "input": "64x64", "augment": "asda"}
    recipe = Recipe.from_dict({**small, "generator_width": 8, "generator_drops": drops})
    train(recipe, RunOptions(pipeline="native", device="cpu", out=str(tmp_path / "run"), hardness_people=0))
    said = " ".join(capsys.readouterr().out.split())
    assert "starts at random; the paper's from ImageNet's ResNet-18: --generator-width 64 --generator-init FILE" in said
    saved = checkpoint.load(tmp_path / "run" / "last.pt")
    assert len(saved["generator"]["conv1.weight"]) == 8
    rates = [saved[f"{name}_optimizer"]["param_groups"][0]["lr"] for name in ("pose", "generator")]
    assert rates == pytest.approx([1e-4, 1e-4 if drops else 1e-3])


@pytest.mark.parametrize("adversary", ["generator", "critic"])
def test_a_late_start_is_sda_until_then(adversary: str, tmp_path: Path) -> None:
    small = {"limit": 16, "batch_size": 8, "epochs": 2, "input": "64x64", "drops": [2], "adversary": adversary}
    small |= {"candidates": 8, "generator_width": 8}
    for name, more in (("late", {"adversary_from": 2}), ("sda", {"augment": "sda", "adversary": "generator"})):
        run = RunOptions(pipeline="native", device="cpu", out=str(tmp_path / name), hardness_people=8)
        train(Recipe.from_dict({**small, **more}), run)
    late, sda = (rows(tmp_path / name) for name in ("late", "sda"))
    assert late[0]["loss_d"] == sda[0]["loss_d"] and late[1]["loss_d"] != sda[1]["loss_d"]
    assert late[0]["hardness"] == sda[0]["hardness"], "that of chance"
    assert late[0]["loss_g"] is None and (late[1]["loss_g"] is None) == (adversary == "critic")
    if adversary == "critic":
        assert checkpoint.load(tmp_path / "late" / "last.pt")["adversary"]["replay"]["filled"] == 16


def test_a_critic_of_another_skeleton_is_refused(tmp_path: Path) -> None:
    small = {"limit": 16, "batch_size": 8, "epochs": 1, "input": "64x64", "adversary": "critic", "candidates": 8}
    run = {"pipeline": "native", "device": "cpu", "out": str(tmp_path / "run"), "hardness_people": 0}
    train(Recipe.from_dict(small), RunOptions(**run))
    state = checkpoint.load(tmp_path / "run" / "last.pt")
    state["adversary"]["rise"]["joint_embedding.weight"] = torch.zeros(14, 64)
    checkpoint.save(tmp_path / "run" / "last.pt", {k: v for k, v in state.items() if k != "format"})
    with pytest.raises(UserError, match="adversary: expected a critic of 17 joints, got one of 14"):
        train(Recipe.from_dict({**small, "epochs": 2}), RunOptions(**run, resume=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"verify": 0, "adversary": "critic"}, "verify: expected at least 1, got 0"),
        ({"verify": 1, "adversary": "search"}, "verify: expected at least 2 places to search among, got 1"),
        ({"verify": 2}, "verify: expected adversary search, cover or critic beside it, got generator"),
        ({"verify": 3, "adversary": "cover"}, r"verify: expected a proper divisor of candidates \(64\), got 3"),
        (
            {"verify_share": 0.5},
            "verify_share: expected 1, or more than 0 with verify 2 .* of cover or critic, got 0.5",
        ),
        (
            {"verify_share": 0.5, "adversary": "critic"},
            "verify_share: expected 1, or more than 0 with verify 2 or more",
        ),
        ({"verify_share": 0.0, "adversary": "critic", "verify": 2}, "verify_share: expected 1, .* got 0.0"),
        ({"target_hardness": 0.5}, "target_hardness: expected adversary cover or critic beside it, got generator"),
        ({"part_choices": 5, "adversary": "search"}, r"part_choices: expected at most verify \(4\) parts, got 5"),
        (
            {"part_choices": 65, "adversary": "cover"},
            r"part_choices: expected at most candidates \(64\) parts, got 65",
        ),
        ({"part_choices": 0, "adversary": "cover"}, "part_choices: expected at least 1, got 0"),
        ({"solvable": 1.0}, "solvable: expected adversary search, .* with verify 2 or more, got generator"),
        ({"solvable": 1.0, "adversary": "critic"}, "solvable: expected .* 2 or more, got critic with verify 1"),
        ({"solvable": -1.0, "adversary": "search"}, "solvable: expected at least 0, got -1.0"),
        ({"candidates": 1, "adversary": "cover"}, "candidates: expected at least 2, got 1"),
        ({"explore": 1.0}, "explore: expected 0 up to, not including, 1, got 1.0"),
        ({"adversary": "critics"}, "adversary: expected one of generator, search, cover, critic, got 'critics'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        AdversaryOptions(**options)


def test_solvable_needs_a_mean_of_the_weights() -> None:
    with pytest.raises(UserError, match=r"solvable: expected ema beside it, .*, got none"):
        Recipe.from_dict({"adversary": "search", "solvable": 1.0})
    recipe = Recipe.from_dict({"adversary": "search", "solvable": 0.5, "ema": 0.9}).resolved()
    assert Recipe.from_dict(recipe.to_dict()) == recipe and recipe.to_dict()["solvable"] == 0.5
    with pytest.raises(UserError, match=r"has solvable 0.5, not 0\.0"):
        replace(recipe, game=AdversaryOptions("search")).continuing(recipe, recipe.to_dict(), "x")


def test_a_teacher_changes_what_is_trained_on(tmp_path: Path) -> None:
    small = {"limit": 16, "batch_size": 8, "epochs": 1, "input": "64x64", "adversary": "search", "ema": 0.9}
    losses = []
    for weight in (0.0, 1.0):
        run = RunOptions(pipeline="native", device="cpu", out=str(tmp_path / f"{weight}"), hardness_people=0)
        train(Recipe.from_dict({**small, "solvable": weight}), run)
        losses.append(rows(tmp_path / f"{weight}")[0]["loss_d"])
    assert losses[1] < losses[0]


def test_an_adversary_needs_asda() -> None:
    with pytest.raises(UserError, match="adversary: critic needs augment asda, got sda"):
        Recipe.from_dict({"augment": "sda", "adversary": "critic"})
