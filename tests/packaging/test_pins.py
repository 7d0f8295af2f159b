"""Versions that agree: what pip would install for a stranger, and what the project says in more than one place."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import extras

try:
    import tomllib
except ImportError:  # Python 3.10
    tomllib = pytest.importorskip("tomli", reason="reads pyproject.toml on Python 3.10")

ROOT = Path(__file__).resolve().parents[2]
PINS = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def resolved(arguments: list[str], tmp_path: Path) -> dict[str, str]:
    """name -> version of all that pip would install into an empty environment, from the public index alone."""
    own = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    report = tmp_path / "report.json"
    command = [*pip, "--dry-run", "--ignore-installed", "--use-feature=fast-deps", "--report", str(report), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | own, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"] for item in found}


@pytest.mark.network
@pytest.mark.parametrize("wanted", extras.SETS)
def test_a_strangers_pip_resolves_the_makefiles_lines(wanted: str, tmp_path: Path) -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = extras.arguments(wanted, PINS["torch"], "13.0", constraints)
    got = resolved(["-c", "constraints.txt", "torch", *lines], tmp_path)
    assert got["torch"] == PINS["torch"]
    assert got["nvidia-cuda-nvrtc"] == PINS["nvidia-cuda-nvrtc"]
    assert got["nvidia-nvimgcodec-cu13"].startswith("0.8.")
    assert got["cupy-cuda13x"]
    assert ("pytest" in got) == (wanted == "dev")


@pytest.mark.network
def test_an_older_drivers_torch_brings_cuda_12(tmp_path: Path) -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    (floor,) = [need.removeprefix("torch>=") for need in PROJECT["dependencies"] if need.startswith("torch>=")]
    got = resolved(extras.arguments("train", floor, "12.8", constraints), tmp_path)  # a build for CUDA 12
    assert got["torch"] == floor
    assert got["cupy-cuda12x"]
    assert got["nvidia-dali-cuda120"]
    assert got["nvidia-nvimgcodec-cu12"].startswith("0.8.")
    assert not [name for name in got if name.endswith(("cuda13x", "-cu13", "cuda130"))]


def test_extras_follow_the_torch_that_is_there() -> None:
    pinned = f"# a comment\ntorch=={PINS['torch']}\n"
    held = ["-c", "constraints.txt", "-e"]
    assert extras.arguments("train", PINS["torch"], "13.0", pinned) == [*held, ".[dali-cuda13,cuda13]"]
    assert extras.arguments("train", f"{PINS['torch']}+cpu", None, pinned) == [*held, ".[dali-cuda13]"]
    assert extras.arguments("dev", f"{PINS['torch']}+cpu", None, pinned) == [
        *held,
        ".[dali-cuda13,cuda13,synth,docs,dev]",
    ]
    other = extras.arguments("train", "2.9.1+cu126", "12.6", pinned)
    assert other == ["torch==2.9.1+cu126", "-e", ".[dali-cuda12,cuda12]"]
    with pytest.raises(SystemExit, match=r"torch 1\.13 is built for CUDA 11\.7; expected 12 or 13"):
        extras.arguments("train", "1.13", "11.7", pinned)


def test_every_named_extra_exists() -> None:
    for cuda in (None, "12.6", "13.0"):
        for wanted in extras.SETS:
            named = re.search(r"\[(.*)\]", extras.arguments(wanted, "2.13.0", cuda, "")[-1])
            assert named
            assert set(named[1].split(",")) <= set(PROJECT["optional-dependencies"])
