"""timm:NAME: made, saved and loaded by its name, started from timm's own files, exported; what is wrong is one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from asda_fast import models
from asda_fast.core.errors import UserError
from asda_fast.models.coding import Heatmaps
from asda_fast.models.positions import resized
from asda_fast.train import optimizers
from asda_fast.train.optimisation import OptimisationOptions

SIZE = (64, 96)


def image(size: tuple[int, int] = SIZE, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_it_is_built_trained_saved_loaded_and_exported(timm: Any, name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = models.build(f"timm:{name}", joints=5, size=SIZE, planes=16)
    assert models.coding_of(model, SIZE, 5) == Heatmaps(4)
    model(image()).square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())  # nothing stands idle: DistributedDataParallel
    with torch.no_grad():
        for p in model.parameters():
            p -= 0.1 * p.grad
    model.eval()
    config = {"model": f"timm:{name}", "joints": 5, "options": {"planes": 16}, "input": "64x96"}
    again = models.load(models.save(tmp_path / "best.safetensors", model, config))
    expected = model(image())
    torch.testing.assert_close(again(image()), expected, rtol=1e-4, atol=1e-6)
    half = model(image((64, 64)))  # of another size, as the adversaries' quick looks
    assert half.shape == (2, 5, 16, 16)
    runtime = pytest.importorskip("onnxruntime")
    path = models.export_onnx(tmp_path / "pose.onnx", model, SIZE)
    (found,) = runtime.InferenceSession(str(path)).run(None, {"image": image().numpy()})
    torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_it_starts_from_timms_own_file(timm: Any, name: str, tmp_path: Path) -> None:
    """All of the backbone but what ImageNet's classes need; a vision transformer's positions for this crop."""
    theirs = timm.create_model(name, pretrained=False)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    model = models.build(f"timm:{name}", joints=5, size=SIZE)
    report = models.load_into(model, tmp_path / "theirs.pth")
    body = [key for key in model.state_dict() if key.startswith("backbone.") and "num_batches" not in key]
    assert set(body) <= set(report.loaded)
    assert {key.split(".")[0] for key in report.missing} == {"deconv_layers", "final_layer"}
    same = "blocks.0.attn.qkv.weight" if name == "test_vit" else "layer1.0.conv1.weight"
    assert torch.equal(model.state_dict()[f"backbone.{same}"], theirs.state_dict()[same])
    if name == "test_vit":
        before, after = theirs.pos_embed, model.backbone.pos_embed
        assert after.shape[1] == before.shape[1] - (160 // 16) ** 2 + 4 * 6
        assert torch.equal(after[:, 0], before[:, 0])


def test_layers_and_decay_are_timms(timm: Any) -> None:
    """Also of the tables of relative positions, matrices which no name ending tells: never pulled towards zero."""
    from timm.optim import param_groups_layer_decay

    name = "timm:swin_tiny_patch4_window7_224"
    model = models.build(name, joints=5, size=(64, 64), planes=8)
    options = OptimisationOptions(optimizer="adamw", layer_decay=0.5, weight_decay=0.1)
    groups = optimizers.make(model, 1.0, options).param_groups
    found = {id(p): (group["scale"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(found) == len(list(model.parameters()))
    spared = model.backbone.no_weight_decay()
    assert any("relative_position_bias_table" in name for name in spared)
    theirs = param_groups_layer_decay(model.backbone, 0.1, layer_decay=0.5, no_weight_decay_list=spared)
    for group in theirs:  # the head is a layer above their last
        for p in group["params"]:
            assert found[id(p)] == (pytest.approx(group["lr_scale"] / 2), group["weight_decay"])


def test_positions_of_another_grid() -> None:
    rows = torch.arange(4.0)[:, None, None].expand(4, 4, 1)
    table = torch.cat((torch.full((1, 1, 1), 9.0), rows.reshape(1, 16, 1)), 1)
    assert torch.equal(resized(table, (4, 4), prefix=1), table)
    wide = resized(table, (4, 3), prefix=1)
    assert wide.shape == (1, 13, 1) and wide[0, 0] == 9
    torch.testing.assert_close(wide[0, 1:].view(4, 3), torch.arange(4.0)[:, None].expand(4, 3))
    assert resized(table, (4, 4)).shape == (1, 16, 1)  # without what stands before the map
    assert resized(table[:, 1:], (4, 4), prefix=1)[0, 0] == 0


def test_what_is_wrong_is_one_line(timm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, line in (
        ("timm:resnet1", r"^model 'timm:resnet1': timm .* has no such model; did you mean timm:resnet"),
        ("timm:", "has no such model"),
        ("timm:vit_small_patch14_dinov2", "gives no feature map of a crop of 64x96.*divisible by patch size"),
    ):
        with pytest.raises(UserError, match=line):
            models.build(name, size=SIZE)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"needs the package timm \(pip install timm\)$"):
        models.build("timm:resnet18")
