"""Networks have the entries of the published files: names, shapes, counts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from asda_fast import models
from asda_fast.models.count import multiply_adds, parameters


def load_layout() -> ModuleType:
    spec = importlib.util.spec_from_file_location("layout", Path(__file__).parent / "layout.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


layout = load_layout()

CASES = [
    ("hrnet_w32", 17, "hrnet", {"W": 32, "J": 17, "S": 4}, 1754, 28.536),
    ("hrnet_w48", 16, "hrnet", {"W": 48, "J": 16, "S": 4}, 1754, 63.596),
    ("hrnet_w48_s7", 16, "hrnet", {"W": 48, "J": 16, "S": 7}, None, None),
    ("simple_r50", 17, "simple_baseline", {"J": 17, "B": 4, "C": 6}, 338, 34.000),
    ("simple_r101", 16, "simple_baseline", {"J": 16, "B": 4, "C": 23}, None, 52.992),
    ("simple_r152", 17, "simple_baseline", {"J": 17, "B": 8, "C": 36}, None, 68.635),
    ("vitpose_s", 17, "vitpose", {"J": 17, "C": 384, "D": 12}, None, 24.291),
    ("vitpose_b", 17, "vitpose", {"J": 17, "C": 768, "D": 12}, None, 89.995),
    ("vitpose_l", 17, "vitpose", {"J": 17, "C": 1024, "D": 24}, None, 308.545),
    ("vitpose_h", 133, "vitpose", {"J": 133, "C": 1280, "D": 32}, None, None),
    ("hourglass_2", 16, "hourglass", {"J": 16, "N": 2, "L": 1}, None, None),
    ("hourglass_8", 16, "hourglass", {"J": 16, "N": 8, "L": 7}, None, None),
]


@pytest.mark.parametrize(("name", "joints", "file", "variables", "count", "millions"), CASES, ids=lambda c: str(c)[:14])
def test_entries_and_parameters_are_the_published_ones(
    name: str, joints: int, file: str, variables: dict[str, int], count: int | None, millions: float | None
) -> None:
    expected = layout.entries(file, **variables)
    with torch.device("meta"):
        model = models.build(name, joints=joints)
    own = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    assert own.keys() == expected.keys()
    assert own == expected
    if count is not None:
        assert len(own) == count
    if millions is not None:
        assert round(parameters(model) / 1e6, 3) == millions


@pytest.mark.parametrize("types", [25, 26])
def test_generator_entries_are_the_released_ones(types: int) -> None:
    with torch.device("meta"):
        own = {k: tuple(v.shape) for k, v in models.Generator(types=types).state_dict().items()}
    assert own == layout.entries("generator", T=types)


def test_hourglass_parameters_are_newells() -> None:
    """Counted by hand: 14 residuals a stack, the linear layer, the heads. The printed 25.1 M leave the stem out; the
    printed 14.3 "GFLOPs" are those of Newell's first released code, which had no residual after each hourglass."""

    def residual(i: int, o: int) -> int:
        h = o // 2
        norm = 2 * (i + 2 * h)
        return norm + i * h + h + 9 * h * h + h + h * o + o + (i * o + o if i != o else 0)

    stack = 14 * residual(256, 256) + (2 * 256 + 256 * 256 + 256) + (256 * 16 + 16)
    way = 256 * 256 + 256 + 16 * 256 + 256
    stem = (2 * 3 + 64 * 3 * 49 + 64) + residual(64, 128) + residual(128, 128) + residual(128, 256)
    with torch.device("meta"):
        model = models.build("hourglass_8", joints=16)
    assert parameters(model) == 8 * stack + 7 * way + stem
    assert round((parameters(model) - stem) / 1e6, 1) == 25.1
    for i in range(8):
        model.Residual[i] = torch.nn.Identity()
    assert round(parameters(model) / 1e6, 1) == 23.7
    assert round(multiply_adds(model, (256, 192)).printed / 2**30, 1) == 14.3


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("hrnet_w32", {(256, 192): 7.10, (256, 256): 9.5, (384, 288): 16.0}),
        ("hrnet_w48", {(256, 192): 14.6, (384, 288): 32.9}),
        ("simple_r50", {(256, 192): 8.9}),
        ("simple_r101", {(256, 192): 12.4}),
        ("simple_r152", {(256, 192): 15.7, (384, 288): 35.6}),
    ],
)
def test_costs_are_the_printed_ones(name: str, printed: dict[tuple[int, int], float]) -> None:
    with torch.device("meta"):
        model = models.build(name, joints=17)
    unit = multiply_adds(model, (64, 64)).printed / 64**2
    for (height, width), value in printed.items():
        assert unit * height * width / 2**30 == pytest.approx(value, rel=0.011)
    if name == "simple_r50":  # proportional to the area
        assert multiply_adds(model, (384, 288)).printed == unit * 384 * 288


@pytest.mark.parametrize("name", ["vitpose_s", "vitpose_b", "vitpose_l", "vitpose_h"])
def test_sizes_of_vitpose_are_the_printed_ones(name: str) -> None:
    """Its tool counts normalisations and activations too, a thousandth of the whole; not the products of tokens."""
    (printed,) = models.NETWORKS.load(name).published
    with torch.device("meta"):
        model = models.build(name, joints=17)
    assert parameters(model) / 1e6 == pytest.approx(printed.parameters, abs=0.006)
    cost = multiply_adds(model, printed.size)
    assert cost.giga("layers") == pytest.approx(printed.gflops, rel=0.002)
    assert cost.true - cost.layers == 2 * 192**2 * model.backbone.pos_embed.shape[2] * len(model.backbone.blocks)


def test_multiply_adds_by_hand() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ConvTranspose2d(8, 4, 4, 2, 1))
    cost = multiply_adds(net, (8, 12))
    assert cost.true == 3 * 8 * 9 * 4 * 6 + 8 * 4 * 16 * 4 * 6
    assert cost.printed == 3 * 8 * 9 * 4 * 6 + 8 * 4 * 16 * 8 * 12
    assert net.training


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from asda_fast.cli.networks import main

    monkeypatch.setattr("sys.argv", ["models"])
    main()
    shown = capsys.readouterr().out
    for name in models.NETWORKS:
        assert name in shown
    assert "28.536" in shown
    assert "generator" in shown
