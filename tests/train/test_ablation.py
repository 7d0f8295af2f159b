"""An ablation on the demo set, as small as can be: run, gone on with, compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asda_fast.cli import ablate as command
from asda_fast.core.errors import UserError
from asda_fast.train.ablation import ARMS, AblateOptions, ablate, compare, recipe_of
from asda_fast.train.recipe import Recipe, RunOptions

SMALL: dict[str, Any] = {"limit": 12, "batch_size": 6, "epochs": 1, "input": "64x64", "candidates": 4}


def options(out: Path, **changes: Any) -> AblateOptions:
    run = RunOptions(pipeline="native", device="cpu", hardness_people=4, out=str(out))
    given: dict[str, Any] = {"arms": ("none", "critic"), "seeds": (3,), "jobs": 2, **changes}
    return AblateOptions(recipe=given.pop("recipe", Recipe.from_dict(SMALL)), run=run, **given)


def test_runs_are_made_once_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    results = ablate(options(tmp_path), said.append)
    assert said[0] == "0 runs are finished, 2 to go"
    assert [arm["arm"] for arm in results["arms"]] == ["none", "critic"]
    none, critic = results["arms"]
    assert none["clean"]["more"] == {"mean": 0, "low": 0, "high": 0} and none["steps"] == critic["steps"] == 2
    assert none["hardness"] is None and critic["hardness"] is not None and critic["gap"] > 0
    assert {"clean", "hidden", "random", "worst"} <= set(critic)
    trial = json.loads((tmp_path / "critic-3" / "result.json").read_text())
    people = trial["people"]
    assert len(people["counted"]) == 12 and sum(people["clean"]) <= sum(people["counted"])
    assert critic["clean"]["mean"] == pytest.approx(100 * sum(people["clean"]) / sum(people["counted"]))
    assert json.loads((tmp_path / "results.json").read_text()) == results
    command.show(results)
    assert "worst of 8" in capsys.readouterr().out

    before = (tmp_path / "critic-3" / "result.json").stat().st_mtime_ns
    assert ablate(options(tmp_path), said.append) == results
    assert said[-1] == "2 runs are finished, 0 to go"
    assert (tmp_path / "critic-3" / "result.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"of a run with lr 0.001, not 0.5; take another --out"):
        ablate(options(tmp_path, recipe=Recipe.from_dict({**SMALL, "lr": 0.5})), said.append)


def test_a_failed_run_is_named(tmp_path: Path) -> None:
    broken = Recipe.from_dict({**SMALL, "lr": 1e30})
    with pytest.raises(UserError, match=r"none-3: the run failed .* see .*log\.txt"):
        ablate(options(tmp_path, arms=("none",), recipe=broken), lambda text: None)
    assert "became" in (tmp_path / "none-3" / "log.txt").read_text()


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_is_a_recipe(arm: str) -> None:
    base = Recipe.from_dict({"dataset": "demo", "epochs": 10})
    made = recipe_of(arm, 7, base)
    assert made.seed == 7 and made.epochs == (20 if arm.endswith("twice") else 10)
    assert made.paste.augment in ("none", "cutout", "ror", "sda", "asda")


def test_arms_are_compared_person_by_person() -> None:
    def run(arm: str, seed: int, hits: list[int]) -> dict[str, Any]:
        people = {"counted": [10, 10], "hidden_counted": [0, 0], "hidden": [0, 0]}
        people |= {name: hits for name in ("clean", "random", "worst")}
        return {
            "arm": arm, "seed": seed, "steps": 5, "seconds": 2.0, "pck_train": 50.0, "hardness": None, "people": people,
            "losses": {"best_of_32": 3.0, "random": 1.0}, "pck_by_epoch": [2.0, 1.0],
        }  # fmt: skip

    runs = [run("a", 0, [1, 2]), run("a", 1, [3, 4]), run("b", 0, [2, 3]), run("b", 1, [4, 5])]
    first, second = compare(runs)["arms"]
    assert first["clean"]["mean"] == 25 and first["clean"]["spread"] == pytest.approx(14.1421, abs=1e-4)
    more = second["clean"]["more"]
    assert (more["mean"], more["low"], more["high"]) == pytest.approx((10, 10, 10)) == (10, 10, 10)
    assert "hidden" not in first and first["past_its_peak"] and first["gap"] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": ("none", "critics")}, "arms: expected some of none, .*, got 'critics'; did you mean critic"),
        ({"arms": ()}, "arms: expected different ones, at least one, got "),
        ({"seeds": (1, 1)}, "seeds: expected different ones, at least one, got 1 1"),
        ({"jobs": 0}, "jobs: expected at least 1, got 0"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        options(tmp_path, **changes)
