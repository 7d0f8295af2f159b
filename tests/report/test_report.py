"""A run as one page: what it shows of which files, what it refuses, and that what it counts is counted right."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from asda_fast import models
from asda_fast.augment.base import Augmented
from asda_fast.augment.sampling import Slots
from asda_fast.core.errors import UserError
from asda_fast.parts.pool import PartPool
from asda_fast.parts.types import TYPES
from asda_fast.report import blocks, charts, page
from asda_fast.report.look import bones_of, record
from asda_fast.report.options import ReportOptions
from asda_fast.train import checkpoint
from asda_fast.train.recipe import Recipe

VOID = {"meta", "img", "br", "line", "circle", "rect", "polyline", "polygon"}


class Outline(HTMLParser):
    """Elements must close in order; keeps the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID or tag in ("circle", "rect", "polygon"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def read(path: Path) -> str:
    outline, content = Outline(), path.read_text(encoding="utf-8")
    outline.feed(content)
    assert outline.open == []
    assert "http" not in content and "<script" not in content, "self-contained"
    return " ".join(outline.text.split())


def run_folder(folder: Path, epochs: int = 3) -> Path:
    rows = [
        {"epoch": n, "loss_d": 0.01 / n, "loss_g": None, "pck_train": 20.0 + n, "images_per_second": 50.0, "lr": 1e-3,
         "seconds": 60.0, "pck": [10.0, 31.25, 30.0][n - 1], "pck_per_joint": {"Hip": 10.0 * n, "<Knee>": None},
         "protocol": "PCKh@0.5", "hardness": 0.25, "hardness_se": 0.05}
        for n in range(1, epochs + 1)
    ]  # fmt: skip
    (folder / "sheets").mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for n in range(1, epochs + 1):
        cv2.imwrite(str(folder / "sheets" / f"epoch-{n:03d}.jpg"), np.full((8, 8, 3), 40 * n, np.uint8))
    return folder


def test_a_run_without_its_checkpoint(tmp_path: Path) -> None:
    text = read(page.write(ReportOptions(str(run_folder(tmp_path / "a & b")), sheets=2)))
    for told in ("31.25 best PCKh@0.5, validation, epoch 2", "30.00 last", "0.25 ± 0.05", "3.0 min", "Hip 30.0",
                 "worst of 32 random places", "Epoch 1", "Epoch 3", "Not looked at", "a & b"):  # fmt: skip
        assert told in text, told
    assert "Epoch 2" not in text.replace("epoch 2", "")
    assert "L_G" not in text, "no generator, no curve of it"


def test_what_was_asked_for_and_cannot_be_shown_is_said(tmp_path: Path) -> None:
    """A page that says "give --root" to whoever gave it, because the run's network is not there."""
    folder = run_folder(tmp_path / "run")
    for asked in ({"root": str(tmp_path)}, {"pool": "pool.safetensors"}):
        with pytest.raises(UserError, match=r"last\.pt: no checkpoint here"):
            page.write(ReportOptions(str(folder), **asked))
    assert not (folder / "report.html").exists()


def test_a_page_takes_the_place_of_no_file_of_the_run(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    before = (folder / "metrics.jsonl").read_bytes()
    with pytest.raises(UserError, match=r"^out .*metrics\.jsonl: expected a file of its own to write"):
        page.write(ReportOptions(str(folder), out=str(folder / "sheets" / ".." / "metrics.jsonl")))
    assert (folder / "metrics.jsonl").read_bytes() == before
    with pytest.raises(UserError, match=r"^out .*sheets: "):
        page.write(ReportOptions(str(folder), out=str(folder / "sheets")))


def test_the_last_sheet_is_the_last_epoch_s(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    cv2.imwrite(str(folder / "sheets" / "epoch-1000.jpg"), np.zeros((8, 8, 3), np.uint8))
    text = read(page.write(ReportOptions(str(folder), sheets=1)))
    assert "Epoch 1000" in text and "Epoch 3" not in text


def test_epochs_without_a_look_at_the_validation_people(tmp_path: Path) -> None:
    """--validate-every: the last numbers are those of the last look."""
    folder = run_folder(tmp_path / "run")
    *before, last = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    last = {name: last[name] for name in ("epoch", "loss_d", "loss_g", "pck_train", "lr", "seconds")}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (*before, last)))
    text = read(page.write(ReportOptions(str(folder))))
    for told in ("31.25 last PCKh@0.5, validation", "0.25 ± 0.05", "3.0 min", "Hip 20.0"):
        assert told in text, told


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    folder = run_folder(tmp_path / "run")
    torch.manual_seed(0)
    state = {
        "config": Recipe(model="hrnet_tiny", input=(64, 64)).resolved().to_dict(), "joints": 17,
        "pose": models.build("hrnet_tiny", joints=17).state_dict(),
        "generator": models.Generator(width=16).state_dict(),
        "versions": checkpoint.versions(torch.device("cpu")),
    }  # fmt: skip
    checkpoint.save(folder / "last.pt", state)
    return folder


def test_a_run_looked_at(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patch = torch.full((40, 16, 4), 255, dtype=torch.uint8)
    person = torch.tensor([[60.0, 120.0]])
    pool = PartPool.from_patches([patch], type=torch.tensor([0]), types=TYPES, person=person)
    pool.save(tmp_path / "pool.safetensors")
    options = ReportOptions(str(whole), pool=str(tmp_path / "pool.safetensors"), people=3, draws=2, sheets=0)
    monkeypatch.setattr(blocks, "LEAST", 7)
    assert "Fewer than 7 parts of any type among 3 people" in read(page.write(options))
    monkeypatch.setattr(blocks, "LEAST", 6)
    text = read(page.write(options))
    assert f"{TYPES[0]} 6 parts chosen random" in text, "an untrained generator puts all in the middle"
    assert "in the crops of 3 validation people" in text
    assert text.count(" found") >= 3
    assert f"torch {torch.__version__}" in text
    assert "hrnet_tiny, 64x64, asda, adversary generator" in text


def test_of_a_run_with_a_limit_only_those_people_are_looked_at(whole: Path) -> None:
    state = checkpoint.load(whole / "last.pt")
    config = {**state["config"], "limit": 2, "augment": "none"}
    checkpoint.save(whole / "last.pt", {**{k: v for k, v in state.items() if k != "format"}, "config": config})
    text = read(page.write(ReportOptions(str(whole), people=5, draws=1, sheets=0)))
    assert "Of 2 validation people" in text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "expected the folder of a run"),
        ("", "no epoch has ended yet"),
        ('{"epoch": 1}\n{"ep', "line 2: expected"),
        ('{"epoch": true}', "line 1: expected an object with an epoch"),
        ('{"epoch": 1, "pck": "31"}', "line 1: 'pck': expected a finite number or null, got '31'"),
        ('{"epoch": 1, "": "x"}', "line 1: '': expected a finite number or null"),
        ('{"epoch": 1, "pck": [3]}', "line 1: 'pck': expected a finite number or null"),
        ('{"epoch": 1, "loss_d": NaN}', "line 1: 'loss_d': expected a finite number or null, got nan"),
        ('{"epoch": 1, "lr": 1' + "0" * 400 + "}", "line 1: 'lr': expected a finite number or null"),
        ('{"epoch": 1, "pck_per_joint": {"hip": "x"}}', "line 1: 'pck_per_joint': expected an object of numbers"),
        ('{"epoch": 1}\n{"epoch": 1}', "line 2: expected an epoch after that of line 1, 1, got 1"),  # two runs' files
        (b'{"epoch": 1, "\xff": 2}', "expected text in UTF-8"),
    ],
)
def test_what_is_no_run_is_one_line(content: str | bytes | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "metrics.jsonl").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as caught:
        page.write(ReportOptions(str(tmp_path)))
    assert str(tmp_path) in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0.0031, 0.0049, [0.003, 0.0035, 0.004, 0.0045, 0.005]),
        (-0.2, 1, [-0.5, 0, 0.5, 1]),
        (0.001, 0.001, [0.0009, 0.00095, 0.001, 0.00105, 0.0011]),
        (0, 0, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_ticks(low: float, high: float, found: list[float]) -> None:
    marks = charts.ticks(low, high)
    assert np.allclose(marks, found)
    assert marks[0] <= low and high <= marks[-1] * (1 + 1e-9)


def test_a_chart_puts_values_where_they_belong_and_leaves_out_what_is_missing() -> None:
    drawn = charts.chart("t", "c", [charts.Series("a", [1, 2, 3], [0.0, None, 100.0]), charts.Series("b", [1], [50.0])])
    middle = (charts.TOP + charts.HIGH - charts.BOTTOM) / 2
    assert (
        f'points="{charts.LEFT:.1f},{charts.HIGH - charts.BOTTOM:.1f} {charts.WIDE - charts.RIGHT:.1f},10.0"' in drawn
    )
    assert f'y="{middle - 3.2:.1f}"' in drawn, "the second series: a square half way up"
    assert drawn.count("<circle") == 3 and drawn.count("<rect") == 2, "marks: two points and one, and the legend's"
    assert charts.chart("t", "c", [charts.Series("a", [1], [None]), charts.Series("b", [1], [float("nan")])]) == ""


@pytest.mark.parametrize(
    ("count", "most", "shown"), [(10, 4, [0, 3, 6, 9]), (3, 9, [0, 1, 2]), (5, 1, [4]), (5, 0, [])]
)
def test_sheets_are_spread(count: int, most: int, shown: list[int]) -> None:
    paths = [Path(str(n)) for n in range(count)]
    assert blocks.spread(paths, most) == [paths[n] for n in shown]


@dataclass
class Pool:
    types = ("a", "b")
    size = torch.tensor([[10, 20], [4, 4]])  # height, width


def test_the_mean_person_is_of_labelled_joints() -> None:
    nobody = [np.nan, np.nan]
    joints = np.array([[[0.2, 0.2], [0.4, 0.8], nobody], [nobody, [0.6, 0.6], nobody]])
    ((a, b),) = bones_of(joints, ((0, 1), (1, 2)))
    assert a.tolist() == [0.2, 0.2] and b.tolist() == pytest.approx([0.5, 0.7])


def test_maps_count_the_middles_of_parts() -> None:
    def at(x: float, y: float, high: float, wide: float) -> list[list[float]]:
        """Crop -> patch, unscaled, its middle at (x, y)."""
        return [[1, 0, wide / 2 - x], [0, 1, high / 2 - y]]

    matrix = torch.tensor([[at(5, 60, 10, 20), at(119, 1, 4, 4)], [at(5, 60, 10, 20), at(-1, 5, 4, 4)]])
    part = torch.tensor([[0, 1], [-1, 1]])
    slots = Slots(part, part.clamp(min=0), torch.zeros_like(part, dtype=torch.bool), torch.zeros(2, 2, 4))
    pasted: Any = Augmented(torch.zeros(1), slots, None, matrix, Pool())  # type: ignore[arg-type]
    maps: dict[str, np.ndarray] = {}
    record(maps, pasted, (240, 120))
    assert maps["a"].shape == (24, 12)
    assert np.argwhere(maps["a"]).tolist() == [[6, 0]]
    assert np.argwhere(maps["b"]).tolist() == [[0, 11]], "the other lies beyond the crop"


def test_a_word_in_one_epoch_alone_is_no_number_of_the_table(tmp_path: Path) -> None:
    rows = [{"epoch": 1, "protocol": "PCK", "pck_per_joint": {"hip": 1.0}}, {"epoch": 2, "pck": 4.0}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "epoch pck 1 2 4" in read(page.write(ReportOptions(str(tmp_path))))


@pytest.mark.parametrize(("key", "value"), [("config", "x"), ("config", [1]), ("config", None), ("versions", 3)])
def test_a_state_that_is_no_run_s_is_one_line(key: str, value: Any, tmp_path: Path) -> None:
    run_folder(tmp_path)
    checkpoint.save(tmp_path / "last.pt", {"config": {"dataset": "mine:GONE"}, key: value})
    with pytest.raises(UserError, match=rf"last\.pt: {key}: expected a dictionary, got"):
        page.write(ReportOptions(str(tmp_path), people=0))
    checkpoint.save(tmp_path / "last.pt", {"config": {"dataset": "mine:GONE"}})
    assert "mine:GONE" in read(page.write(ReportOptions(str(tmp_path), people=0)))
