"""An ablation on the demo set, as small as can be: run, gone on with, compared."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asda_fast.augment.pools import demo_pool
from asda_fast.cli import ablate as command
from asda_fast.core.errors import UserError
from asda_fast.parts.pool import PartPool
from asda_fast.train.ablation import AblateOptions, ablate, check_recipe, compare, course, last_words, plan
from asda_fast.train.arms import ARMS, SETS, baseline_of, costs, expand, folder_of, lacks_baseline, recipe_of
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.result_file import check_alike
from asda_fast.train.trial import check_given, steps_of

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
    shared = json.loads((tmp_path / "given.json").read_text())
    # Which parts they were: without that no table could be made again.
    assert results["given"] == {**shared, "patches": len(demo_pool())}
    command.show(results)
    assert "worst of 8" in capsys.readouterr().out
    assert command.plot(results).shape[1] > 1000
    command.list_runs(options(tmp_path, arms=("none", "random"), seeds=(3, 4)))
    listed = [line.split()[:4] for line in capsys.readouterr().out.splitlines()]
    assert listed[0] == ["none-3", "25.0", "%", "finished"] and listed[3] == ["random-4", "25.0", "%", "to"]

    before = (tmp_path / "critic-3" / "result.json").stat().st_mtime_ns
    assert ablate(options(tmp_path), said.append) == results
    assert said[-1] == "2 runs are finished, 0 to go"
    assert (tmp_path / "critic-3" / "result.json").stat().st_mtime_ns == before
    assert len(ablate(options(tmp_path, arms=("none",)), said.append)["arms"]) == 1
    assert said[-1] == "not of these arms and seeds, and not compared: critic-3"
    with pytest.raises(UserError, match=r"of a run with lr 0.001, not 0.5; take another --out"):
        ablate(options(tmp_path, recipe=Recipe.from_dict({**SMALL, "lr": 0.5})), said.append)


def test_a_failed_run_is_named(tmp_path: Path) -> None:
    broken = Recipe.from_dict({**SMALL, "lr": 1e30})
    with pytest.raises(UserError, match=r"none-3: the run failed: L_D became .* a lower `lr` \(.*log\.txt has all of"):
        ablate(options(tmp_path, arms=("none",), recipe=broken), lambda text: None)
    assert "Traceback" not in (tmp_path / "none-3" / "log.txt").read_text()


def test_no_run_is_begun_when_the_time_is_over(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(UserError, match="seconds: 1e-09 were too few for a run; the same command goes on"):
        ablate(options(tmp_path, seconds=1e-9), said.append)
    assert said[-1] == "time is over, 2 runs to go: the same command goes on"
    assert [path.name for path in tmp_path.iterdir()] == ["given.json"]


def test_every_arm_is_a_recipe() -> None:
    base = Recipe.from_dict({"dataset": "demo", "epochs": 10})
    for arm in {*ARMS, *expand(list(SETS["table-5"])), *SETS["table-6"]}:
        made = recipe_of(arm, 7, base)
        assert made.seed == 7
        assert made.epochs == {"none-twice": 20, "random-twice": 20, "critic-pairs": 5}.get(arm, 10)
        assert made.paste.augment in ("none", "cutout", "ror", "sda", "asda")
    several = recipe_of("generator:parts=6:model=hrnet_w48", 0, base)
    assert (several.paste.parts, several.paste.augment, several.model) == (6, "asda", "hrnet_w48")


def test_an_arms_recipe() -> None:
    base = Recipe(epochs=10, drops=(6, 8))
    assert recipe_of("none-twice", 0, base).drops == (12, 16)
    assert recipe_of("none:drops=(3,)", 0, base).drops == (3,)
    assert recipe_of("critic-pairs", 0, base).drops == (3, 4)
    with pytest.raises(UserError, match=r"epochs: expected an even number beside arm critic-pairs, .* got 3"):
        recipe_of("critic-pairs", 0, Recipe(epochs=3))
    several = recipe_of("critic:part-types=Left-arm:clean-pass=True", 0, base)
    assert several.paste.part_types == ("Left-arm",) and several.game.clean_pass is True
    with pytest.raises(UserError, match="clean_pass: expected True or False, got 'no'"):
        recipe_of("critic:clean_pass=no", 0, base)
    with pytest.raises(UserError, match="arms: none:flip=yes: flip: expected a number, got 'yes'"):
        recipe_of("none:flip=yes", 0, base)


def test_sets_of_arms_and_what_they_are_compared_with() -> None:
    arms = expand(["table-6", "generator:parts=2", "random", "none"])
    assert baseline_of("generator:model=hourglass_8", arms) == "none:model=hourglass_8"
    assert baseline_of("generator:parts=2", arms) == baseline_of("none", arms) == "none"
    assert baseline_of("random", ["cover", "random"]) == "cover"
    assert baseline_of("none", ["none", "random"], "random") == "random"
    assert baseline_of("none:lr=1", ["none", "none:lr=1", "random"], "random") == "none:lr=1", "not trained alike"
    for pasted in ("generator:update=joint", "generator:generator_width=64", "critic:verify=2"):
        assert baseline_of(pasted, ["none", pasted]) == "none"
    for trained in ("critic:batch_size=8", "critic:rotation=0.0", "critic:optimizer=sgd"):
        assert baseline_of(trained, ["none", trained]) == trained, "none of the same training is not there"
        assert lacks_baseline(trained, ["none", trained]) == trained.replace("critic", "none")
    assert lacks_baseline("none", ["none", "critic:lr=1"]) is lacks_baseline("cover", ["cover"]) is None
    small = Recipe(input=(128, 128))
    cost = costs(expand(["none", "none-twice", "search", "none:input=64x64", "critic-pairs"]), small)
    assert cost["critic-pairs"] == cost["none"]
    assert cost["none-twice"] == cost["search"] == 2 * cost["none"] == 8 * cost["none:input=64x64"]
    alike = costs(["critic-verify-2", "critic:verify=2", "generator-joint", "generator:update=joint"], small)
    assert alike["critic-verify-2"] == alike["critic:verify=2"] == 1.5 * cost["none"]
    assert alike["generator-joint"] == alike["generator:update=joint"] == 1.2 * cost["none"]


def test_no_two_arms_share_a_folder(tmp_path: Path) -> None:
    assert folder_of("critic:verify=2", 0) == "critic+verify=2-0" != folder_of("critic-verify-2", 0)
    with pytest.raises(UserError, match=r"arms: none:drops=\(3,\) and none:drops=\[3,\] are one: .* the folder none"):
        plan(options(tmp_path, arms=("none:drops=(3,)", "none:drops=[3,]")))
    with pytest.raises(UserError, match="arms: critic-verify-2 and critic:verify=2 are one: every run would be made"):
        plan(options(tmp_path, arms=("none", "critic-verify-2", "critic:verify=2")))


def test_a_begun_run_goes_on_as_it_began_or_not_at_all(tmp_path: Path) -> None:
    begun = recipe_of("none", 3, Recipe.from_dict({**SMALL, "epochs": 2}))
    (tmp_path / "none-3").mkdir()
    torch.save({"format": 1, "config": begun.resolved().to_dict()}, tmp_path / "none-3" / "last.pt")
    with pytest.raises(UserError, match=r"none-3/last.pt: of a run with epochs 2, not 1; take another --out"):
        plan(options(tmp_path))
    longer = options(tmp_path, recipe=Recipe.from_dict({**SMALL, "epochs": 2}))
    torch.save({"format": 1}, tmp_path / "none-3" / "last.pt")
    with pytest.raises(UserError, match=r"none-3/last.pt: config: expected a dictionary, got None"):
        plan(longer)
    torch.save({"format": 1, "config": begun.resolved().to_dict()}, tmp_path / "none-3" / "last.pt")
    assert [run.state for run in plan(longer)] == ["begun", "to do"]


def test_all_runs_of_a_folder_start_and_are_measured_alike(tmp_path: Path) -> None:
    """Weights and pool are in no recipe, and would be in every difference."""
    recipe, pool = Recipe.from_dict(SMALL).resolved(), PartPool.from_patches([np.full((8, 8, 4), 255, np.uint8)])
    pool.save(tmp_path / "pool.safetensors")
    (tmp_path / "weights").write_bytes(b"1")
    plain = RunOptions(pool=str(tmp_path / "pool.safetensors"))
    (tmp_path / "none-0").mkdir()
    (tmp_path / "none-0" / "last.pt").touch()
    check_given(tmp_path, recipe, plain)
    check_given(tmp_path, recipe, plain)
    with pytest.raises(UserError, match=r"init: the runs in .* were made with another one .*; take another --out"):
        check_given(tmp_path, recipe, replace(plain, init=str(tmp_path / "weights")))
    PartPool.from_patches([np.full((8, 9, 4), 255, np.uint8)]).save(tmp_path / "pool.safetensors")
    with pytest.raises(UserError, match=r"pool: the runs in .* were made with another one"):
        check_given(tmp_path, recipe, plain)
    with pytest.raises(UserError, match=r"out .*weights/results.json: File exists"):
        ablate(options(tmp_path / "weights"), lambda text: None)


def test_what_runs_share_is_kept_when_one_is_begun(tmp_path: Path) -> None:
    """A first command that was wrong and stopped at once does not decide for the folder."""
    recipe, run = Recipe.from_dict(SMALL).resolved(), RunOptions()
    (tmp_path / "weights").write_bytes(b"1")
    check_given(tmp_path, recipe, run)
    student = replace(run, init=str(tmp_path / "weights"), within="student")
    check_given(tmp_path, recipe, student)
    (tmp_path / "none-0").mkdir()
    (tmp_path / "none-0" / "last.pt").touch()
    check_given(tmp_path, recipe, student)
    for other, name in (
        (replace(student, within="teacher"), "within"),
        (replace(student, random_body=True), "random_body"),
    ):
        with pytest.raises(UserError, match=f"^{name}: the runs in .* were made with another one"):
            check_given(tmp_path, recipe, other)
    (tmp_path / "given.json").write_text("[]")
    with pytest.raises(UserError, match=r"given.json: expected an object, got \[\]"):
        check_given(tmp_path, recipe, student)


def test_an_older_run_is_one_of_the_defaults(tmp_path: Path) -> None:
    recipe = Recipe.from_dict({**SMALL, "options": {"extent": (0.1, 0.2)}}).resolved()
    saved = json.loads(json.dumps(recipe.to_dict()))  # a file knows lists alone
    check_recipe(tmp_path, saved, recipe)
    check_recipe(tmp_path, {name: value for name, value in saved.items() if name != "train_people"}, recipe)
    for less in ({name: value for name, value in saved.items() if name != "train_people"}, {}):
        with pytest.raises(UserError, match=r"of a run with .*; take another --out"):
            check_recipe(tmp_path, less, replace(recipe, train_people=7))
    for damaged in ({"lr": "x"}, {"input": []}, {"drops": None}):
        with pytest.raises(UserError, match=f"of a run with {next(iter(damaged))} "):
            check_recipe(tmp_path, {**saved, **damaged}, recipe)


def test_hardness_that_is_no_number_is_none(tmp_path: Path) -> None:
    """Where every place is the same one, best and mean of 32 are: 0 / 0. It must not spoil the comparison."""
    still = Recipe.from_dict({**SMALL, "max_shift": 0.0, "max_rotation": 0.0, "scale_range": [1.0, 1.0]})
    results = ablate(options(tmp_path, arms=("random", "none"), recipe=still), lambda text: None)
    assert [row["hardness"] for row in results["arms"]] == [None, None]


def test_of_a_run_that_fails_the_others_go_on(tmp_path: Path) -> None:
    said: list[str] = []
    asked = options(tmp_path, arms=("none", "random:lr=1e30", "random"), jobs=1)
    results = ablate(asked, said.append)
    assert [row["arm"] for row in results["arms"]] == ["none", "random"]
    assert len(results["failed"]) == 1 and "random+lr=1e30-3: the run failed: L_D became" in results["failed"][0]
    assert any(line.endswith("the others go on, 1 to go") for line in said)
    with pytest.raises(UserError, match=r"1 of the runs failed, they are in no row above; .*lr=1e30-3: the run failed"):
        command.ablate(asked)


def test_why_a_run_ended(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("error: an earlier attempt\n")
    begin = log.stat().st_size
    assert last_words(log, begin, 1) == f"it said nothing ({log} has all of it)"
    assert last_words(log, begin, -9) == f"it was stopped by SIGKILL (memory?) ({log})"
    with log.open("a") as file:
        file.write("epoch 1\nerror: no room\n")
    assert last_words(log, begin, 2) == f"no room ({log} has all of it)"


@pytest.mark.parametrize("change", ["augment=none", "pairs=True", "adversary=search"])
def test_an_arm_stays_what_it_is_called(change: str) -> None:
    with pytest.raises(UserError, match=f"{change.split('=')[0]} is not a field to change, .* an arm of its own"):
        expand([f"critic:{change}"])


@pytest.mark.parametrize("flag", [["--verify", "4"], ["--adversary", "critic"], ["--pairs"]])
def test_where_an_arms_own_options_stand(flag: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ablate", *flag])
    with pytest.raises(UserError, match=f"^{flag[0]}: .*; an arm's own options stand behind its name, as critic:ver"):
        command.main()


def test_steps_are_the_optimisers(tmp_path: Path) -> None:
    recipe = recipe_of("none", 0, Recipe.from_dict({**SMALL, "batch_size": 4, "epochs": 3, "accumulate": 2})).resolved()
    assert steps_of(recipe, RunOptions()) == 3 * 2, "of three batches: two, and the one that is left"


def test_a_run_ends_with_the_ablation_that_was_killed(tmp_path: Path) -> None:
    """By kill -9, of which nobody is told: the run saves its state and ends, as by SIGTERM."""
    small = "--limit 12 --batch-size 6 --epochs 100000 --validate-every 100000 --hardness-people 0 --input 64x64"
    run = f"--arms none --seeds 0 --pipeline native --device cpu --threads 1 --out {tmp_path}"
    parent = subprocess.Popen([sys.executable, "-m", "asda_fast", "ablate", *small.split(), *run.split()])
    log, deadline = tmp_path / "none-0" / "log.txt", time.monotonic() + 120
    while not (tmp_path / "none-0" / "last.pt").is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    while "interrupted; the state is in" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert log.read_text().splitlines()[-1].startswith("interrupted; the state is in")


def test_arms_are_compared_person_by_person(capsys: pytest.CaptureFixture[str]) -> None:
    def run(arm: str, seed: int, hits: list[int]) -> dict[str, Any]:
        people = {"counted": [10] * len(hits), "hidden_counted": [0] * len(hits), "hidden": [0] * len(hits)}
        people |= {name: hits for name in ("clean", "random", "worst")}
        return {
            "arm": arm, "seed": seed, "steps": 5, "seconds": 2.0, "pck_train": 50.0, "hardness": None,
            "hardness_se": None, "people": people,
            "losses": {"best_of_32": 3.0, "random": 1.0}, "looks": [5, 10], "pck_by_look": [2.0, 1.0 - seed / 8],
            "pck_train_by_look": [10.0, 20.0],
        }  # fmt: skip

    runs = [run("none", 0, [1, 2]), run("none", 1, [3, 4]), run("ror", 0, [2, 3]), run("ror", 1, [4, 5])]
    results = compare(runs)
    first, second = results["arms"]
    command.show(results)
    assert "none lost 1.06 after epoch 5: fewer epochs alone may give what its rivals do" in capsys.readouterr().out
    assert first["clean"]["mean"] == 25 and first["clean"]["spread"] == pytest.approx(14.1421, abs=1e-4)
    more = second["clean"]["more"]
    assert (more["mean"], more["low"], more["high"]) == pytest.approx((10, 10, 10)) == (10, 10, 10)
    assert "hidden" not in first and first["gap"] == 2
    assert first["curve"] == {"epoch": [5, 10], "train": [10, 20], "validation": [2, 0.9375]}
    assert first["fell"] == {"from_epoch": 5, "mean": 1.0625, "error": 0.0625} and first["past_its_peak"], (
        "by 1 and 1.125"
    )
    alone = compare(runs[:1])
    assert alone["arms"][0]["fell"] is None and alone["arms"][0]["past_its_peak"] is None
    command.show(alone)
    said = capsys.readouterr().out
    assert "none: of one seed it cannot be told whether it is past its best epoch" in said
    assert "one seed (none): these intervals answer for other people, not for other seeds" in said
    few = compare([run("none", 0, [1]), run("ror", 0, [2])])["arms"][1]["clean"]
    assert (few["mean"], few["more"]) == (20, None), "one person has no interval"
    early = compare([*runs[:2], run("ror", 1, [4, 5]), run("search", 2, [4, 5])])["arms"]
    assert early[1]["clean"]["more"]["mean"] == 10, "beside the same seed"
    assert early[2]["clean"]["more"] is None and early[2]["clean"]["mean"] == 45
    other = compare(runs, "ror")["arms"]
    assert [row["baseline"] for row in other] == ["ror", "ror"] and other[0]["clean"]["more"]["mean"] == -10
    with pytest.raises(UserError, match="baseline: expected one of the arms, none, ror, got random"):
        AblateOptions(arms=("none", "ror"), baseline="random")


def test_a_plateau_is_not_past_its_best() -> None:
    """The best of many looks at noise lies above the last of them: it must not count as a fall."""
    rng, flagged = np.random.default_rng(0), 0
    for _ in range(400):
        looks = rng.normal(30, 1, (3, 12)).tolist()
        flat = {"looks": list(range(12)), "pck_train_by_look": [0.0] * 12}
        flagged += course([{**flat, "pck_by_look": scores} for scores in looks])["past_its_peak"]
    assert flagged < 400 * 0.1, "about one in twenty"
    falling = (rng.normal(30, 0.3, (3, 12)) - np.arange(12) * 0.5).tolist()
    fell = course([{**flat, "pck_by_look": scores} for scores in falling])
    assert fell["past_its_peak"] and fell["fell"]["mean"] > 4


def test_runs_that_learnt_from_other_people_are_not_compared(tmp_path: Path) -> None:
    """Another --root with as many people and the same validation set."""
    people = {name: [1] for name in ("counted", "hidden_counted")}

    def result(arm: str, mark: str | None, many: int | None = None) -> tuple[Path, dict[str, Any]]:
        found = {"arm": arm, "looks": [1], "people": people, "recipe": {"train_people": many}, "trained_on": mark}
        return tmp_path / arm, found

    check_alike([result("none", None), result("ror", "a"), result("random", "a"), result("search", "b", 9)])
    with pytest.raises(UserError, match=r"random: trained_on: learnt from other people than .*ror; take another --out"):
        check_alike([result("none", None), result("ror", "a"), result("random", "b")])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": ("none", "critics")}, "arms: expected some of table-4, .* got 'critics'; did you mean critic"),
        ({"arms": ("ror:part=2",)}, "arms: expected ARM:FIELD=VALUE of the recipe, got 'ror:part=2'; did you mean par"),
        ({"arms": ("none:epochs=9",)}, "arms: epochs is not an arm's, got 'none:epochs=9': every arm has the same"),
        ({"arms": ("none", "table-4")}, "arms: expected different ones, at least one, got none none ror random gen"),
        ({"arms": ()}, "arms: expected different ones, at least one, got "),
        ({"seeds": (1, 1)}, "seeds: expected different ones, at least one, got 1 1"),
        ({"jobs": 0}, "jobs: expected at least 1, got 0"),
        ({"arms": ("none", "none:limit=8")}, "arms: limit is not an arm's, got 'none:limit=8': every arm has the same"),
        ({"arms": ("critic:adversary=search",)}, "arms: adversary is not a field to change, got 'critic:adversary=sea"),
        ({"arms": ("critic:verify=2:verify=4",)}, "arms: verify is given twice, in verify=2 verify=4"),
        (
            {"arms": ("cutout", "cutout-rtmpose"), "recipe": Recipe.from_dict({"augment_options": ["extent=0.1,0.2"]})},
            r"augment_options: arm cutout-rtmpose has its own, .* got \['extent=0.1,0.2'\]",
        ),
        ({"recipe": Recipe(seed=5)}, "seed: is for `seeds` to say in an ablation, got 5"),
        ({"recipe": Recipe.from_dict({"augment": "ror"})}, "augment: is for `arms` to say in an ablation, got ror"),
        ({"recipe": Recipe.from_dict({"adversary": "search"})}, "adversary: is for `arms` to say .*, got search"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        options(tmp_path, **changes)


def test_an_edited_result_is_named_by_its_field(tmp_path: Path) -> None:
    """As a run's folder copied under another arm's name, a file cut short, or a number changed by hand."""
    given = options(tmp_path, arms=("none", "random"))
    people = {name: [1, 2] for name in ("clean", "random", "worst", "hidden")}
    people |= {"counted": [3, 3], "hidden_counted": [2, 2]}

    def write(of: str, **changes: Any) -> None:
        (tmp_path / f"{of}-3").mkdir(exist_ok=True)
        result: dict[str, Any] = {
            "arm": of, "seed": 3, "recipe": recipe_of(of, 3, given.recipe).resolved().to_dict(), "steps": 2,
            "seconds": 1.0, "pck_train": 30.0, "looks": [1], "pck_by_look": [9.0], "pck_train_by_look": [9.0],
            "losses": {"random": 0.1, "best_of_32": 0.2},
            "people": people,
        }  # fmt: skip
        (tmp_path / f"{of}-3" / "result.json").write_text(json.dumps({**result, **changes}))

    write("none")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"arm": "none"}, "arm: expected 'random', got 'none'"),
        ({"seed": 4}, "seed: expected 3, got 4"),
        ({"recipe": None}, "recipe: expected an object, got None"),
        ({"pck_train": "30"}, "pck_train: expected a number, got '30'"),
        ({"losses": {"random": 0.1}}, r"losses\.best_of_32: expected a number, got None"),
        ({"looks": []}, "looks: expected a number of each look at the validation people"),
        ({"pck_by_look": [1, 2]}, "pck_by_look: expected a number of each look at the validation people"),
        ({"people": {**people, "clean": [1]}}, r"people\.clean: expected at most people\.counted of each person"),
        ({"people": {**people, "clean": [1, 4]}}, r"people\.clean: expected at most people\.counted of each person"),
        ({"people": {**people, "worst": [1, "2"]}}, r"people\.worst: expected a number of joints of each person"),
        ({"people": {**people, "counted": [9, 9]}}, r"people\.counted: measured on other people than .*none-3"),
    ]
    for changes, words in wrong:
        write("random", **changes)
        with pytest.raises(UserError, match=rf"random-3/result\.json: {words}") as caught:
            ablate(given, lambda text: None)
        assert "\n" not in str(caught.value)
    write("random")
    (tmp_path / "random-3" / "result.json").write_text("{")
    with pytest.raises(UserError, match=r"random-3/result\.json: not JSON"):
        command.list_runs(given)
    write("random")
    assert len(ablate(given, lambda text: None)["arms"]) == 2
