"""ViTPose: what it computes, its files by their authors and by mmpose, and a transformer's to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asda_fast import models
from asda_fast.core.errors import UserError
from asda_fast.models.coding import Heatmaps, SimCC
from asda_fast.models.positions import resized
from asda_fast.models.vitpose import DropPath, read_published

TINY: dict[str, Any] = {"width": 24, "depth": 2, "attention_heads": 3, "planes": 16}


def tiny(size: tuple[int, int] = (64, 48), joints: int = 5, **options: Any) -> Any:
    torch.manual_seed(0)
    model = models.build("vitpose_s", joints=joints, size=size, **{**TINY, **options})
    for p in model.parameters():  # nothing at its start, so that nothing can be left out
        torch.nn.init.normal_(p, std=0.2)
    return model.eval()


def image(size: tuple[int, int] = (64, 48), batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


def norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    return x * state[f"{name}.weight"] + state[f"{name}.bias"]


@torch.no_grad()
def test_the_transformer_equals_the_formulas() -> None:
    model = tiny()
    s = {key.removeprefix("backbone."): value for key, value in model.state_dict().items()}

    def line(x: Tensor, name: str) -> Tensor:
        return x @ s[f"{name}.weight"].T + s[f"{name}.bias"]

    padded = torch.nn.functional.pad(image(), (2, 2, 2, 2))
    patches = padded.unfold(2, 16, 16).unfold(3, 16, 16)  # [B, 3, 4, 3, 16, 16]
    x = torch.einsum("bchwij,ocij->bhwo", patches, s["patch_embed.proj.weight"]).reshape(2, 12, 24)
    x = x + s["patch_embed.proj.bias"] + s["pos_embed"][:, 1:] + s["pos_embed"][:, :1]
    for k in range(2):
        at = f"blocks.{k}"
        q, key, v = line(norm(x, s, f"{at}.norm1"), f"{at}.attn.qkv").split(24, -1)
        heads = []
        for h in range(3):
            part = slice(8 * h, 8 * h + 8)
            heads.append((q[..., part] @ key[..., part].mT / 8**0.5).softmax(-1) @ v[..., part])
        x = x + line(torch.cat(heads, -1), f"{at}.attn.proj")
        y = line(norm(x, s, f"{at}.norm2"), f"{at}.mlp.fc1")
        x = x + line(y * 0.5 * (1 + torch.erf(y / 2**0.5)), f"{at}.mlp.fc2")
    expected = norm(x, s, "last_norm").mT.reshape(2, 24, 4, 3)
    torch.testing.assert_close(model.backbone(image()), expected, rtol=1e-4, atol=1e-4)


def test_answers_are_udps_heatmaps_or_simcc(tmp_path: Path) -> None:
    for head, coding in (("classic", Heatmaps(4, "udp")), ("simple", Heatmaps(4, "udp")), ("simcc", SimCC((64, 48)))):
        model = tiny(head=head)
        assert models.coding_of(model, (64, 48), 5) == coding
        card = {"model": "vitpose_s", "joints": 5, "options": {**TINY, "head": head}, "input": "64x48"}
        again = models.load(models.save(tmp_path / "x.safetensors", model, card))
        assert models.coding_of(again, (64, 48), 5) == coding
        torch.testing.assert_close(again(image()), model(image()))
        if coding != SimCC((64, 48)):
            assert model(image((96, 64))).shape == (2, 5, 24, 16)  # a crop of another size
        else:
            assert model(image((96, 64))).shape == (2, 5, 2 * (64 + 48))


def test_it_is_exported(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = tiny(head="simcc")
    path = models.export_onnx(tmp_path / "pose.onnx", model, (64, 48))
    (found,) = runtime.InferenceSession(str(path)).run(None, {"image": image(batch=3).numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(found), model(image(batch=3)), rtol=1e-3, atol=1e-4)


def test_a_branch_is_dropped_for_its_share_of_people_and_made_up_for() -> None:
    drop = DropPath(0.25)
    x = torch.ones(4000, 2, 3)
    out = drop(x)
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert torch.equal(out, out[:, :1, :1].expand_as(out))  # a person's whole branch
    assert out.mean().item() == pytest.approx(1, abs=0.05)
    assert drop.eval()(x) is x
    rates = [block.drop_path.rate for block in tiny(depth=3, drop_path=0.3).backbone.blocks]
    assert rates == pytest.approx([0, 0.15, 0.3])


MMPOSE = (
    ("keypoint_head.", "head."), ("patch_embed.proj.", "patch_embed.projection."), ("blocks.", "layers."),
    (".norm1.", ".ln1."), (".norm2.", ".ln2."), (".mlp.fc1.", ".ffn.layers.0.0."), (".mlp.fc2.", ".ffn.layers.1."),
    ("last_norm.", "ln1."),
)  # fmt: skip


@pytest.mark.parametrize("by", ["authors", "mmpose"])
def test_published_files_are_read(by: str, tmp_path: Path) -> None:
    """Whole, at the published width of a small one; mmpose's positions have the class token's added already."""
    sizes = {"width": 384, "attention_heads": 12, "depth": 1, "planes": 256}
    model = tiny((256, 192), joints=17, **sizes)
    state = model.state_dict()
    if by == "mmpose":
        for theirs, ours in MMPOSE:
            state = {key.replace(theirs, ours): value for key, value in state.items()}
        table = state["backbone.pos_embed"]
        state["backbone.pos_embed"] = table[:, 1:] + table[:, :1]
    torch.save({"state_dict": state, "meta": {}}, tmp_path / "theirs.pth")
    with pytest.raises(UserError, match=r"lacks .*blocks\.1"):  # told to be a vitpose_s, of which it has one block
        models.load(tmp_path / "theirs.pth")
    same = models.build("vitpose_s", 17, size=(256, 192), **sizes)
    report = models.load_into(same, tmp_path / "theirs.pth", complete=True)
    assert "ViTPose" in report.format
    told = read_published(torch.load(tmp_path / "theirs.pth")["state_dict"]).build
    assert told == {"model": "vitpose_s", "joints": 17, "input": "256x192", "options": {"head": "classic"}}
    torch.testing.assert_close(same.eval()(image((256, 192), 1)), model(image((256, 192), 1)), rtol=1e-4, atol=1e-5)


def test_a_bare_transformer_starts_it_and_what_is_new_is_said(tmp_path: Path) -> None:
    """As MAE's files: no prefix, a class token, positions of 14 x 14, a norm of its own. Other joints: another head."""
    model = tiny()
    bare = {k.removeprefix("backbone."): v for k, v in model.state_dict().items() if k.startswith("backbone.")}
    bare = {k: v for k, v in bare.items() if not k.startswith("last_norm")}
    bare |= {"pos_embed": torch.randn(1, 197, 24), "cls_token": torch.zeros(1, 1, 24), "norm.weight": torch.ones(24)}
    torch.save({"model": bare}, tmp_path / "mae.pth")
    other = models.build("vitpose_s", 7, size=(64, 48), **TINY)
    report = models.load_into(other, tmp_path / "mae.pth")
    assert len(report.loaded) == len(bare) - 2
    assert {key.split(".")[0] for key in report.missing if "last_norm" not in key} == {"keypoint_head"}
    assert report.unexpected == ["cls_token", "norm.weight"]
    del bare["blocks.1.mlp.fc1.weight"]
    torch.save({"model": bare}, tmp_path / "less.pth")
    with pytest.raises(UserError, match=r"lacks 1 tensors of the network's body.*random_body"):
        models.load_into(other, tmp_path / "less.pth")
    models.save(tmp_path / "pose.safetensors", model, {"model": "vitpose_s", "joints": 5, "options": TINY})
    report = models.load_into(other, tmp_path / "pose.safetensors")
    assert report.mismatched == ["keypoint_head.final_layer.weight", "keypoint_head.final_layer.bias"]
    assert not report.missing
    assert "2 of another shape, left at random (keypoint_head.final_layer (2))" in str(report)


@pytest.mark.parametrize("size", [(48, 64), (128, 32)])  # whose tokens could also be 4 high to 3 wide, or a square
def test_positions_of_a_crop_of_any_shape_come_back(size: tuple[int, int], tmp_path: Path) -> None:
    model, card = tiny(size), {"model": "vitpose_s", "joints": 5}
    for said in ({"options": TINY, "input": f"{size[0]}x{size[1]}"}, {"options": {**TINY, "size": list(size)}}):
        path = models.save(tmp_path / "pose.safetensors", model, {**card, **said})
        again = models.load(path)
        started = models.build("vitpose_s", 7, size=size, **TINY)
        models.load_into(started, path)
        for found in (again, started):
            assert torch.equal(found.backbone.pos_embed, model.backbone.pos_embed)
        torch.testing.assert_close(again(image(size)), model(image(size)))
        other = models.build("vitpose_s", 5, size=(96, 64), **TINY)
        models.load_into(other, path)
        right = resized(model.backbone.pos_embed, (6, 4), prefix=1, own=model.backbone.grid)
        assert torch.equal(other.backbone.pos_embed, right)


def test_depths_of_parameters() -> None:
    depth = tiny().layer_of()
    assert (depth["backbone.pos_embed"], depth["backbone.patch_embed.proj.bias"]) == (0, 0)
    assert (depth["backbone.blocks.0.norm1.weight"], depth["backbone.blocks.1.mlp.fc2.bias"]) == (1, 2)
    assert depth["backbone.last_norm.weight"] == depth["keypoint_head.final_layer.bias"] == 3


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"attention_heads": 5}, "attention_heads: expected a divisor of width 24, got 5"),
        ({"drop_path": 1.0}, "drop_path: expected 0 up to, not including, 1"),
        ({"head": "gaussian"}, "head: expected classic, simple or simcc, got 'gaussian'"),
        ({"size": (72, 48)}, "multiples of 16 only, got 72x48"),
    ],
)
def test_options_are_checked(options: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        tiny(**options)
