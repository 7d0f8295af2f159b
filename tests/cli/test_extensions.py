"""CONTRIBUTING's recipes: a dataset, an augmentation and a network of one's own, a file each, outside the package.

Each goes through train, resume, evaluate and preview by the commands alone.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ["--limit", "12", "--batch-size", "6", "--input", "64x64", "--device", "cpu", "--pipeline", "native"]


def recipe(heading: str) -> str:
    """The Python block below a heading of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(rf"{re.escape(heading)}.*?```python\n(.*?)```", text, re.DOTALL)
    assert found, heading
    return found[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder, with the three files as CONTRIBUTING has them."""
    folder = tmp_path_factory.mktemp("mine")
    for name, heading in (("my_data", "A dataset"), ("my_paste", "An augmentation"), ("my_net", "A network")):
        (folder / f"{name}.py").write_text(recipe(heading), encoding="utf-8")
    return folder


def run(folder: Path, *words: str) -> str:
    command = [sys.executable, "-c", "from asda_fast.cli.main import main; main()", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_three_files_of_ones_own(folder: Path) -> None:
    mine = ["--dataset", "my_data:SET", "--augment", "my_paste:Stripes", "--model", "my_net:make"]
    mine += ["--augment-options", "width=4", "--model-options", "channels=12"]
    run(folder, "train", *mine, *OPTIONS, "--epochs", "1", "--out", "run")
    said = run(folder, "train", *mine, *OPTIONS, "--epochs", "2", "--out", "run", "--resume")
    assert "going on with run at epoch 2" in said
    rows = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]

    for checkpoint in ("run/best.safetensors", "run/last.pt"):  # each knows its dataset, network and crop
        run(folder, "evaluate", "--checkpoint", checkpoint, "--limit", "12", "--json", "numbers.json")
        numbers = json.loads((folder / "numbers.json").read_text())
        assert numbers["input"] == [64, 64]
        assert numbers["people"] == 12
    words = [
        "--dataset",
        "my_data:SET",
        "--augment",
        "my_paste:Stripes",
        "--checkpoint",
        "run/last.pt",
        "--people",
        "4",
    ]
    run(folder, "preview", *words, "--out", "sheet.png", "--html", "page.html")
    assert (folder / "sheet.png").stat().st_size > 5_000
    assert "run/best.safetensors" in run(folder, "networks", "--checkpoint", "run/best.safetensors")
    run(folder, "data", "pack", "--dataset", "my_data:SET", "--out", "packed", "--input", "64x64")
    assert (folder / "packed" / "train" / "store.json").is_file()


@pytest.mark.parametrize("command", ["train", "preview"])
def test_help_lists_what_is_registered(folder: Path, command: str) -> None:
    said = re.sub(r"\s+", "", run(folder, command, "--help"))
    assert "{none,cutout,ror,objects,sda,asda}|MODULE:OBJECT" in said
    assert "{demo,lsp,mpii,coco" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--augment", "my_paste:Stripe"], "my_paste has no Stripe; did you mean Stripes?"),
        (["--augment", "nowhere:Thing"], "cannot import nowhere"),
        (["--augment", "my_paste:Stripes", "--augment-options", "widht=4"], "widht"),
        (["--model", "my_net:ROOT"], "expected a function make(joints, **options)"),
        (["--dataset", "my_data:COUNT"], "expected a Dataset or a function"),
    ],
)
def test_a_mistake_in_ones_own_file_is_one_line(folder: Path, words: list[str], says: str) -> None:
    command = [sys.executable, "-c", "from asda_fast.cli.main import main; main()", "train", *OPTIONS, *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env=environment)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert says in done.stderr
