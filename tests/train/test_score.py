"""`score` of runs and of lone networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asda_fast.adversary.options import AdversaryOptions
from asda_fast.augment.options import PasteOptions
from asda_fast.cli import entry
from asda_fast.cli.score import score as command
from asda_fast.core.errors import UserError
from asda_fast.parts.pool import PartPool
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.run import train
from asda_fast.train.score import ScoreOptions, score
from asda_fast.viz.options import PreviewOptions
from asda_fast.viz.views import preview

SMALL: dict[str, Any] = {"limit": 16, "batch_size": 8, "epochs": 1, "input": "64x64", "candidates": 8}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each adversary that learns."""
    folder = tmp_path_factory.mktemp("runs")
    for adversary in ("generator", "critic"):
        run = RunOptions(pipeline="native", device="cpu", out=str(folder / adversary), hardness_people=0)
        train(Recipe.from_dict({**SMALL, "adversary": adversary}), run)
    return folder


@pytest.mark.parametrize("name", ["generator", "critic", "critic/last.pt"])
def test_a_run_is_scored_with_its_own_adversary(runs: Path, name: str) -> None:
    found = score(ScoreOptions(str(runs / name), people=8, draws=4, batch_size=8, device="cpu"))
    assert (found.people, found.draws) == (8, 4)
    assert 0 < found.random < found.best_of_32 and found.s_se > 0
    cover = score(ScoreOptions(str(runs / name), game=AdversaryOptions("cover"), people=8, draws=4, device="cpu"))
    assert cover.random == found.random and cover.chosen != found.chosen, "one part at one chance, another's places"
    if name == "generator":  # hardly trained, it is where it began: in the centre
        assert found.chosen == pytest.approx(found.centre, rel=0.05)


def test_a_lone_network_is_scored_with_what_needs_no_learning(runs: Path, tmp_path: Path, capsys) -> None:
    network = str(runs / "critic" / "best.safetensors")
    small = ["--people", "16", "--draws", "4", "--device", "cpu", "--json", str(tmp_path / "s.json")]
    entry.command(ScoreOptions, "score", command, [network, *small, "--adversary", "search", "--verify", "8"])
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["s"] > 0.5 and "s " in capsys.readouterr().out  # the best of 8 against the best of 4
    assert set(found) >= {"clean", "random", "centre", "best_of_32", "chosen", "s", "s_se", "people", "draws"}
    entry.command(ScoreOptions, "score", command, [network, *small])
    assert json.loads((tmp_path / "s.json").read_text())["s"] < found["s"]
    said = capsys.readouterr().out
    assert f"places by chance: {network} holds no adversary" in said and "  best of 4 " in said


def test_with_a_teacher_it_is_the_network_itself_that_is_scored(tmp_path: Path) -> None:
    """What the last epoch said; and another number than where the mean of the weights judges alone."""
    game = {"adversary": "search", "verify": 4, "solvable": 1.0, "ema": 0.99, "lr": 3e-3}
    run = RunOptions(pipeline="native", device="cpu", out=str(tmp_path), hardness_people=16)
    train(Recipe.from_dict({**SMALL, **game, "epochs": 3}), run)
    (*_, last) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    small = {"people": 16, "batch_size": 8, "device": "cpu"}
    found = score(ScoreOptions(str(tmp_path), **small))
    assert found.s == pytest.approx(last["hardness"], rel=1e-4) and found.people == 16
    hardest = score(ScoreOptions(str(tmp_path), game=AdversaryOptions("search", verify=4), **small))
    solvable = score(ScoreOptions(str(tmp_path), game=AdversaryOptions("search", verify=4, solvable=1.0), **small))
    assert solvable == found and hardest.s > found.s and hardest.clean != found.clean
    with pytest.raises(UserError, match="solvable: expected a run that was trained with ema, got"):
        score(ScoreOptions(str(tmp_path / "best.safetensors"), game=AdversaryOptions("search", solvable=1.0), **small))


def test_another_adversary_on_the_network_of_a_run(runs: Path) -> None:
    small = {"people": 12, "draws": 4, "device": "cpu"}
    said: list[str] = []
    game = AdversaryOptions("search", verify=8)
    for name in ("generator", "critic"):
        found = score(ScoreOptions(str(runs / name), game=game, **small), said.append)
        assert found.people == 12 and found.s > 0.5 and said == ["adversary: search, verify 8"]
        said.clear()
    with pytest.raises(UserError, match="explore: a run's own adversary is measured as it was trained"):
        score(ScoreOptions(str(runs / "critic"), game=AdversaryOptions("critic", explore=0.1), **small))


def test_a_critics_places_can_be_looked_at(runs: Path, tmp_path: Path) -> None:
    options = {"paste": PasteOptions(), "people": 4, "out": str(tmp_path / "sheet.png")}
    shown = preview(PreviewOptions(checkpoint=str(runs / "critic" / "last.pt"), **options))
    assert [view.name for view in shown][:3] == ["clean", "random", "chosen"]
    parts = [[[part["type"] for part in person] for person in view.parts] for view in shown[1:3]]
    assert parts[0] == parts[1] and shown[1].parts != shown[2].parts


def test_mistakes_are_named(runs: Path, tmp_path: Path) -> None:
    network = str(runs / "critic" / "best.safetensors")
    with pytest.raises(UserError, match="adversary: expected the folder of a run that trained a critic"):
        score(ScoreOptions(network, game=AdversaryOptions("critic")))
    other = PartPool.from_patches([np.full((9, 9, 4), 255, np.uint8)])
    other.save(tmp_path / "other.safetensors")
    for name, says in (("critic", "pool: has other part types than the run in"), ("generator", "pool: has 1 part")):
        with pytest.raises(UserError, match=says):
            score(ScoreOptions(str(runs / name), pool=str(tmp_path / "other.safetensors"), device="cpu"))
    saved = torch.load(runs / "generator" / "last.pt", weights_only=True)
    saved["types"].reverse()  # as many, in another order: its outputs would stand for others
    torch.save(saved, tmp_path / "turned.pt")
    with pytest.raises(UserError, match=r"pool: has other part types than the run in .*turned\.pt"):
        score(ScoreOptions(str(tmp_path / "turned.pt"), device="cpu"))
    with pytest.raises(UserError, match=r"nothing\.pt"):
        score(ScoreOptions(str(tmp_path / "nothing.pt")))
    with pytest.raises(UserError, match="root: dataset lsp needs"):
        score(ScoreOptions(network, dataset="lsp"))
    with pytest.raises(UserError, match="draws: expected at least 2, got 1"):
        ScoreOptions(network, draws=1)
    with pytest.raises(UserError, match="adversary: expected search or cover beside the options of one"):
        score(ScoreOptions(network, game=AdversaryOptions(candidates=16)))
    with pytest.raises(UserError, match=r"^json .*: Is a directory$"):  # before the work
        command(ScoreOptions(str(tmp_path / "nothing.pt"), json=str(tmp_path)))


def test_what_is_measured_is_said(runs: Path) -> None:
    said: list[str] = []
    game = AdversaryOptions("cover", candidates=8, explore=0.9, adversary_from=7)
    score(ScoreOptions(str(runs / "critic"), game=game, people=4, draws=4, device="cpu"), said.append)
    assert said[0] == "without effect with adversary cover: explore, adversary_from"
    assert said[1].startswith("adversary: cover, candidates 8")
    said.clear()
    score(ScoreOptions(str(runs / "critic"), people=4, draws=4, device="cpu"), said.append)
    assert said == ["adversary: critic, candidates 8"]
    said.clear()
    game = AdversaryOptions("cover", candidates=8, verify=4, verify_share=0.05)
    few = {"people": 8, "draws": 4, "device": "cpu"}
    of_eight = score(ScoreOptions(str(runs / "critic"), game=game, **few), said.append)  # the run's batches
    assert said[1] == "verify_share 0.05: of a batch of 8 it is 1"
    assert score(ScoreOptions(str(runs / "critic"), game=game, batch_size=8, **few)) == of_eight
    assert score(ScoreOptions(str(runs / "critic"), game=game, batch_size=1, **few)) != of_eight, "everybody is judged"
