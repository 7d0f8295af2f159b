"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads leave the core to the others

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several, on all cores together: one thread each, and their children
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks for a GPU is what `pytest -m cuda` runs."""
    for item in items:
        if "cuda" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cuda)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photos and annotations: never committed, so a test that needs it skips without it."""
    folder = Path(os.environ.get("ASDA_FAST_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real test data at {folder} (set ASDA_FAST_TEST_DATA)")
    return folder


@pytest.fixture
def cuda() -> torch.device:
    """A GPU, or a skip; with ASDA_FAST_REQUIRE_CUDA=1 (as `make gpu-check` sets it) a missing GPU is a failure."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if os.environ.get("ASDA_FAST_REQUIRE_CUDA") == "1":
        pytest.fail("ASDA_FAST_REQUIRE_CUDA=1, but torch sees no GPU")
    pytest.skip("needs a GPU")


@pytest.fixture(scope="session")
def torchvision() -> Any:
    """torchvision as an oracle. Its compiled part does not load beside a CPU build of torch; the networks need none of
    it, but the import insists on two operators being declared."""
    declared = None
    if not torch.cuda.is_available():
        declared = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, name):
                declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    module = pytest.importorskip("torchvision")
    module._declared_by_the_tests = declared  # a library that is collected takes its declarations along
    return module


@pytest.fixture(scope="session")
def timm(torchvision: Any) -> Any:
    return pytest.importorskip("timm")
