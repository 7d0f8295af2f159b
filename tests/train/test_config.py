"""Options: presets fill what is left out, mistakes are one line, a resumed run is the same run."""

from __future__ import annotations

import pytest

from asda_fast.core.errors import UserError
from asda_fast.train.config import DATASETS, TrainConfig, check_resumable, parse_size, resolve


@pytest.mark.parametrize("dataset", DATASETS)
def test_presets_fill_everything(dataset: str) -> None:
    config = resolve(TrainConfig(dataset=dataset, root=None if dataset == "demo" else "somewhere"))
    assert None not in (config.model, config.input, config.epochs, config.batch_size, config.out, config.drops)


def test_papers_schedule() -> None:
    assert resolve(TrainConfig(dataset="mpii", root="x")).drops == (170, 200)
    assert resolve(TrainConfig(dataset="mpii", root="x", epochs=21)).drops == (17, 20)
    assert resolve(TrainConfig(dataset="coco", root="x")).size == (256, 192)  # height first
    assert resolve(TrainConfig(dataset="coco", root="x", input="384x288")).size == (384, 288)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dataset": "lip"}, "--dataset.*'lip'"),
        ({"pipeline": "ffcv"}, "--pipeline.*dali, native.*'ffcv'"),
        ({"augment": "mixup"}, "--augment.*'mixup'"),
        ({"update": "both"}, "--update"),
        ({"dataset": "mpii"}, "--root.*mpii"),
        ({"epochs": 0}, "--epochs.*at least 1.*0"),
        ({"batch_size": -3}, "--batch-size.*-3"),
        ({"parts": -1}, "--parts"),
        ({"parts": 0}, "--parts.*at least 1.*asda.*0"),
        ({"lr": 0.0}, "--lr"),
        ({"parts": 1, "parts_least": 2}, "--parts-least.*at most --parts 1.*2"),
        ({"paste_probability": 1.5}, "--paste-probability.*0 to 1.*1.5"),
        ({"scale_range": (1.3, 0.7)}, "--scale-range"),
        ({"input": "256"}, "--input.*HxW.*'256'"),
        ({"input": "100x100"}, "--input.*32"),
    ],
)
def test_a_mistake_is_one_line(change: dict, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        resolve(TrainConfig(**change))
    assert "\n" not in str(caught.value)


def test_size_is_height_first() -> None:
    assert parse_size("256x192") == (256, 192)


def test_resume_is_the_same_run() -> None:
    config = resolve(TrainConfig(epochs=4))
    saved = config.to_dict()
    assert check_resumable(config, config, saved) == config
    # A longer run keeps the schedule that it was started with.
    longer = TrainConfig(epochs=40)
    assert check_resumable(longer, resolve(longer), saved).drops == config.drops
    short = resolve(TrainConfig(epochs=2)).to_dict()
    assert check_resumable(TrainConfig(), resolve(TrainConfig()), short).epochs == 2  # not the preset's 12
    dropped = TrainConfig(drops=(7, 9))
    assert check_resumable(dropped, resolve(dropped), saved).drops == (7, 9)
    with pytest.raises(UserError, match="--parts 1, not 2"):
        check_resumable(TrainConfig(), resolve(TrainConfig(epochs=4, parts=2)), saved)
