"""A network is one file, also from outside: made, saved, loaded, started from, exported and counted by its name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asda_fast import models
from asda_fast.core.errors import UserError
from asda_fast.models.coding import Heatmaps
from asda_fast.models.count import multiply_adds, parameters

FILE = """
import torch
from torch import nn


class Net(nn.Module):
    heads = ("head",)

    def __init__(self, joints, width):
        super().__init__()
        self.module = nn.Conv2d(3, width, 3, 2, 1)  # a name that wrappers use too
        self.deep = nn.Sequential(nn.Conv2d(width, width, 3, 2, 1), nn.Conv2d(width, width, 3, 2, 1))
        self.head = nn.Conv2d(width, joints, 1)
        self.register_buffer("grid", torch.full((1,), 0.25), persistent=False)  # in no file

    def forward(self, image):
        maps = self.head(self.deep(self.module(image))) + self.grid
        return [0.5 * maps, maps] if self.training else maps


def make(joints, width=8):
    return Net(joints, width)


def wrong(joints):
    return "a network"


def odd(joints):
    return nn.Sequential(nn.Conv2d(3, joints, 3, 2, 1), nn.AdaptiveAvgPool2d(7))


def fewer(joints):
    return nn.Conv2d(3, joints - 1, 4, 4)


def flat(joints):
    return nn.Sequential(nn.Conv2d(3, joints, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Uneven(Net):
    def forward(self, image):
        maps = super().forward(image)
        return [maps[0], nn.functional.avg_pool2d(maps[1], 2)] if self.training else maps


def uneven(joints):
    return nn.Sequential(nn.BatchNorm2d(3), Uneven(joints, 8))


def broken(joints):
    return nn.Conv2d(5, joints, 4, 4)


def without_joints(**options):
    raise SystemExit("called")
"""


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a network in a file of its own, in a folder on the path."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "my_network.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path / "outside")
    monkeypatch.delitem(sys.modules, "my_network", raising=False)
    return "my_network:make"


def test_it_is_saved_and_loaded_by_its_name(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = models.build(name, joints=5, width=12)
    config = {"model": name, "joints": 5, "options": {"width": 12}, "input": "64x48"}
    image = torch.rand(2, 3, 64, 48)
    expected = model.eval()(image)
    ours = models.save(tmp_path / "best.safetensors", model, config)
    last = tmp_path / "last.pt"
    content = {"format": 1, "joints": 5, "config": {**config, "lr": 1.0}, "pose": model.state_dict(), "generator": None}
    torch.save(content, last)
    for path in (ours, last):
        again = models.load(path)
        assert again.config == config
        assert not again.training
        torch.testing.assert_close(again(image), expected, rtol=0, atol=0)


def test_it_starts_from_its_own_and_others_files(name: str, tmp_path: Path) -> None:
    model = models.build(name, joints=5)
    saved = {f"ema.net.{k}": v for k, v in model.state_dict().items()}
    torch.save({"epoch": 1, "weights": {**saved, "loss.weight": torch.ones(1)}}, tmp_path / "theirs.pth")
    other = models.build(name, joints=7)
    report = models.load_into(other, tmp_path / "theirs.pth")
    assert report.mismatched == ["head.weight", "head.bias"]
    assert report.loaded == [k for k in model.state_dict() if not k.startswith("head")]
    assert torch.equal(other.state_dict()["deep.1.weight"], model.state_dict()["deep.1.weight"])
    torch.save({k: v for k, v in saved.items() if "deep.1" not in k}, tmp_path / "less.pth")
    with pytest.raises(UserError, match=r"lacks 2 tensors of the network's body.*: deep\.1\.weight, deep\.1\.bias"):
        models.build(name, joints=5, init=tmp_path / "less.pth")
    models.build(name, joints=5, init=tmp_path / "less.pth", random_body=True)


def test_its_stride_is_found(name: str) -> None:
    model = models.build(name, joints=5).train()
    assert models.coding_of(model, (64, 48), 5) == Heatmaps(stride=8)
    assert model.training
    assert models.coding_of(models.build("hrnet_tiny"), (64, 96)) == Heatmaps(stride=4)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ("odd", r"expected heatmaps \[1, 5, 64/s, 48/s\] with a whole s for a crop of 64x48, got \[1, 5, 7, 7\]"),
        ("fewer", r"expected heatmaps \[1, 5, .*got \[1, 4, 16, 12\]"),
        ("flat", r"expected heatmaps \[1, 5, .*got \[1, 5\]"),
        (
            "uneven",
            r"while it trains: expected answers \[B, 5, 8, 6\], or a list.*got \[\[2, 5, 8, 6\], \[2, 5, 4, 3\]\]",
        ),
        ("broken", r"cannot look at a crop of 64x48: RuntimeError: .*channels"),
    ],
)
def test_an_answer_of_another_shape_is_one_line(name: str, wrong: str, line: str) -> None:
    network = models.build(f"my_network:{wrong}", joints=5)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(UserError, match=line):
        models.coding_of(network, (64, 48), 5)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_it_is_exported_and_counted(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = models.build(name, joints=5)
    path = models.export_onnx(tmp_path / "net.onnx", model, (64, 48))
    image = torch.rand(3, 3, 64, 48)
    (found,) = runtime.InferenceSession(str(path)).run(None, {"image": image.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(found), model.eval()(image), rtol=1e-4, atol=1e-5)
    assert parameters(model) == 3 * 8 * 9 + 8 + 2 * (64 * 9 + 8) + 8 * 5 + 5
    assert multiply_adds(model, (16, 16)).true == 64 * 3 * 8 * 9 + 16 * 64 * 9 + 4 * 64 * 9 + 4 * 8 * 5


def test_what_makes_no_network_is_one_line(name: str, tmp_path: Path) -> None:
    model = models.build(name, joints=5)
    for wrong, line in (
        ("my_network:wrong", "model my_network:wrong: expected a torch.nn.Module, made a str"),
        ("my_network:without_joints", r"expected a function make\(joints, \*\*options\)"),
        ("subprocess:getoutput", r"expected a function make\(joints, \*\*options\)"),
        ("my_network:mak", "my_network has no mak; did you mean make"),
        ("no_such_module:make", "cannot import no_such_module"),
        ("hrnet_w31", "expected one of .* did you mean hrnet_w32"),
    ):
        with pytest.raises(UserError, match=line):
            models.build(wrong, joints=5)
        path = models.save(tmp_path / "x.safetensors", model, {"model": wrong, "joints": 5})
        with pytest.raises(UserError, match=rf"x\.safetensors: .*{line}"):
            models.load(path)
    path = models.save(tmp_path / "x.safetensors", model, {"model": name, "joints": 5, "options": {"depth": 3}})
    with pytest.raises(
        UserError, match=r"x\.safetensors: model my_network:make: takes no option 'depth'; it takes width"
    ):
        models.load(path)


def test_names_cost_no_torch() -> None:
    code = "import sys; from asda_fast.models import NETWORKS; print(len(NETWORKS), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(models.NETWORKS)), "False"]
    for entry in models.NETWORKS:
        assert isinstance(models.NETWORKS.load(entry), models.Network)
