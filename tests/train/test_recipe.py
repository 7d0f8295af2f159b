"""Options: presets fill what is left out, mistakes are one line, a resumed run is the same run."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asda_fast import data
from asda_fast.augment.options import PasteOptions
from asda_fast.cli import entry
from asda_fast.cli.train import Train
from asda_fast.core.errors import UserError
from asda_fast.core.options import field_types, parse_size
from asda_fast.data.dataset import DATASETS
from asda_fast.data.global_options import GlobalOptions
from asda_fast.train.idle import without_effect
from asda_fast.train.optimisation import OptimisationOptions
from asda_fast.train.recipe import Recipe, RunOptions, schedule_kept


@pytest.mark.parametrize("dataset", DATASETS)
def test_presets_fill_everything(dataset: str) -> None:
    recipe = Recipe(dataset=dataset).resolved()
    assert None not in (recipe.model, recipe.input, recipe.epochs, recipe.batch_size, recipe.drops)


def test_papers_schedule() -> None:
    assert Recipe(dataset="mpii").resolved().drops == (170, 200)
    assert Recipe(dataset="mpii", epochs=21).resolved().drops == (17, 20)
    assert Recipe(dataset="coco").resolved().input == (256, 192)  # height first
    assert Recipe(dataset="coco", input=(384, 288)).resolved().input == (384, 288)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dataset": "lip"}, "--dataset.*'lip'"),
        ({"pipeline": "ffcv"}, "--pipeline.*dali, native.*'ffcv'"),
        ({"augment": "mixup"}, "--augment.*'mixup'"),
        ({"augment": "asd"}, "--augment.*'asd'; did you mean asda"),
        ({"update": "both"}, "--update"),
        ({"epochs": 0}, "--epochs.*at least 1.*0"),
        ({"batch-size": -3}, "--batch-size.*-3"),
        ({"parts": -1}, "--parts"),
        ({"parts": 0}, "--parts.*at least 1.*asda.*0"),
        ({"lr": 0.0}, "--lr"),
        ({"lr": "nan"}, "--lr.*positive.*nan"),
        ({"parts-least": 2}, "--parts-least.*at most --parts 1.*2"),
        ({"paste-probability": 1.5}, "--paste-probability.*0 to 1.*1.5"),
        ({"scale-range": "1.3 0.7"}, "--scale-range"),
        ({"input": "256"}, "--input.*HxW.*'256'"),
        ({"input": "100x100"}, "--input.*32"),
        ({"drops": "9 5"}, "--drops.*rising order, got 9 5"),
        ({"drops": "0 5"}, "--drops.*from 1"),
        ({"augment-options": "extent"}, "--augment-options.*NAME=VALUE.*'extent'"),
    ],
)
def test_a_mistake_is_one_line(change: dict[str, Any], says: str) -> None:
    words = [word for name, value in change.items() for word in (f"--{name}", *str(value).split())]
    with pytest.raises(UserError, match=says) as caught:
        entry.parse(Train, "train", words)
    assert "\n" not in str(caught.value)


def test_size_is_height_first() -> None:
    assert parse_size("256x192") == (256, 192)


def test_a_recipe_is_its_dictionary() -> None:
    paste = PasteOptions(augment="sda", parts=3, part_types=("Hat", "Face"), scale_range=(0.5, 1.0))
    recipe = Recipe(dataset="coco", input=(128, 96), paste=paste, lr=2e-3, drops=(3,)).resolved()
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert recipe.to_dict()["input"] == "128x96"


def test_resume_is_the_same_run() -> None:
    recipe = Recipe(epochs=4).resolved()
    saved = recipe.to_dict()
    assert recipe.continuing(recipe, saved, "x") == recipe
    # A longer run keeps the schedule that it was started with.
    longer = Recipe(epochs=40)
    assert longer.resolved().continuing(longer, saved, "x").drops == recipe.drops
    short = Recipe(epochs=2).resolved().to_dict()
    assert Recipe().resolved().continuing(Recipe(), short, "x").epochs == 2  # not the preset's 12
    dropped = Recipe(drops=(7, 9))
    assert dropped.resolved().continuing(dropped, saved, "x").drops == (7, 9)
    other = replace(recipe, paste=PasteOptions(parts=2))
    with pytest.raises(UserError, match="parts 1, not 2"):
        other.continuing(Recipe(), saved, "x")


def test_a_recipe_of_an_older_checkpoint() -> None:
    """The keys of a state that was saved before options had records, some of which say only how it was run."""
    saved = {
        **Recipe().resolved().to_dict(), "root": None, "pool": None, "pipeline": "native", "device": "cpu",
        "threads": 2, "out": "runs/demo", "resume": False, "compile": False, "save_every": 0, "on_bad_image": "error",
    }  # fmt: skip
    del saved["augment_options"], saved["model_options"]
    assert Recipe.from_dict(saved) == Recipe().resolved()
    for name in field_types(OptimisationOptions):  # from before there were any: the paper's
        del saved[name]
    assert Recipe().resolved().continuing(Recipe(), saved, "x") == Recipe().resolved()
    other = Recipe(optimisation=OptimisationOptions(optimizer="sgd"))
    with pytest.raises(UserError, match="has optimizer adam, not sgd"):
        other.resolved().continuing(other, saved, "x")


def test_the_global_augmentation_is_the_presets_but_for_what_is_given() -> None:
    preset = data.dataset("coco").preset.aug
    plain, other = (
        Recipe(dataset="coco", crop=crop).resolved() for crop in (GlobalOptions(), GlobalOptions(rotation=0))
    )
    assert plain.crop.of(preset) == preset and preset.half_body > 0
    assert other.crop.of(preset) == replace(preset, rotation=0)  # 0 is a choice, not left out
    saved = plain.to_dict()
    with pytest.raises(UserError, match=r"has rotation 40\.0, not 0"):
        other.continuing(other, saved, "x")
    for name in field_types(GlobalOptions):  # of before it could be chosen: the preset's
        del saved[name]
    assert plain.continuing(Recipe(dataset="coco"), saved, "x") == plain
    with pytest.raises(UserError, match="rotation: expected 0 to 180, got 181"):
        GlobalOptions(rotation=181)


def test_a_schedule_that_was_made_for_other_epochs_is_said() -> None:
    saved = Recipe(epochs=2).resolved().to_dict()
    for given, told in (
        (Recipe(epochs=7), "drops stay at 2 2, those of 2 epochs; the usual of 7: drops 6 7"),
        (Recipe(epochs=7, drops=(5,)), None),
        (Recipe(epochs=2), None),
        (Recipe(), None),
    ):
        assert schedule_kept(given.resolved().continuing(given, saved, "x"), given, saved) == told


@pytest.mark.parametrize("wrong", ["yes", (1, 2), True])
def test_a_number_is_a_number(wrong: Any) -> None:
    for field, what in (("flip", "a number"), ("lr", "a number"), ("train_people", "a whole number")):
        with pytest.raises(UserError, match=re.escape(f"{field}: expected {what}, got {wrong!r}")):
            Recipe.from_dict({field: wrong})
    for several in ("Hat", 3):
        with pytest.raises(UserError, match="part_types: expected several, in a list, got"):
            Recipe.from_dict({"part_types": several})
    with pytest.raises(UserError, match=r"drops: expected a whole number, got 1\.5"):
        Recipe(drops=(1.5,))  # type: ignore[arg-type]
    assert Recipe(epochs=np.int64(3), lr=np.float32(0.5)).epochs == 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--flip yes", "--flip: expected a number, got 'yes'"),
        ("--scale 0.75,1.25", "--scale: expected a number, got '0.75,1.25'"),
        ("--train-people 1e3", "--train-people: expected a whole number, got '1e3'"),
        ("--rotation 400", "--rotation: expected 0 to 180, got 400.0"),
    ],
)
def test_a_wrong_number_on_the_command_line(words: str, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        entry.parse(Train, "train", words.split())


def test_one_person_has_no_spread() -> None:
    with pytest.raises(UserError, match="hardness_people: expected 0 or at least 2, got 1"):
        RunOptions(hardness_people=1)


def test_who_is_learnt_from() -> None:
    for limit, people, first in ((None, None, None), (9, None, 9), (None, 5, 5), (9, 5, 5), (4, 5, 4)):
        assert Recipe(limit=limit, train_people=people).train_first == first


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--augment none --parts 3 --pool x", ["augment none: parts, pool"]),
        ("--augment none --update joint --hardness-people 9", ["augment none: update, hardness_people"]),
        ("--augment cutout --parts 3 --max-rotation 9", ["augment cutout: max_rotation"]),
        ("--augment sda --objects x --explore 0.1", ["augment sda: objects, explore"]),
        ("--adversary critic --update joint --generator-init x", ["adversary critic: update, generator_init"]),
        ("--candidates 8 --clean-pass", ["adversary generator: candidates, clean_pass"]),
        ("--part-choices 4", ["adversary generator: part_choices"]),
        ("--augment sda --part-choices 4", ["augment sda: part_choices"]),
        ("--adversary search --part-choices 4", []),
        ("--adversary search --explore 0.1", ["adversary search: explore"]),
        ("--augment sda --adversary-from 5", ["augment sda: adversary_from"]),
        ("--adversary critic --half-resolution", ["no forward pass: half_resolution"]),
        ("--adversary critic --verify 2 --half-resolution", []),
        ("--adversary critic --adversary-from 5 --epochs 4", ["in 4 epochs: the adversary, from epoch 5 on"]),
        ("--adversary critic --adversary-from 4 --epochs 4", []),
        ("--compile --sync-bn", ["device cpu: compile", "one process: sync_bn"]),
        ("--within student", ["no init: within"]),
        ("--drops 170 200 --epochs 180", ["in 180 epochs: drops 200"]),
        ("--augment sda --parts 3 --pool x --scale-range 1 2 --init x --within y --epochs 1", []),
        ("--augment objects --objects x --parts 2", []),
        ("--augment sda --hardness-people 9", []),
        ("--augment none --hardness-people 0", []),
        ("--update joint --generator-input half --part-types Hat", []),
        ("--adversary cover --clean-pass --candidates 8", []),
    ],
)
def test_options_without_effect_are_said(words: str, says: list[str]) -> None:
    options = entry.parse(Train, "train", words.split())
    lines = without_effect(options.recipe, options.run, options.recipe.epochs or 210, "cpu")
    assert [line.removeprefix("without effect with ").removeprefix("without effect ") for line in lines] == says
