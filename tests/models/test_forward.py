"""What networks compute: against torchvision and timm with the same weights, and through ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asda_fast import models
from asda_fast.core.errors import UserError
from asda_fast.models.hourglass import StackedHourglass
from asda_fast.models.resnet import ResNet


def shaken(model: torch.nn.Module) -> torch.nn.Module:
    """Statistics and affine parts of normalisations that are not the identity, so that none can be left out."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low in ((module.weight, 0.5), (module.bias, -0.2), (module.running_mean, -0.2)):
                assert tensor is not None
                tensor.data = low + 0.4 * torch.rand(tensor.shape, generator=generator)
            assert module.running_var is not None
            module.running_var.data = 0.5 + torch.rand(module.running_var.shape, generator=generator)
    return model.eval()


def image(size: tuple[int, int], batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("depth", [18, 50])
@torch.no_grad()
def test_resnet_equals_torchvision(torchvision: Any, depth: int) -> None:
    theirs = shaken(getattr(torchvision.models, f"resnet{depth}")(weights=None))
    ours = ResNet(depth)
    lacking, extra = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert lacking == []
    assert extra == ["fc.weight", "fc.bias"]
    x = image((64, 96))
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        x = getattr(theirs, name)(x)
    torch.testing.assert_close(ours.eval()(image((64, 96))), x, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_hrnet_equals_timm(timm: Any) -> None:
    theirs = shaken(timm.create_model("hrnet_w32"))
    ours = models.build("hrnet_w32", joints=17)
    state = {k: v for k, v in theirs.state_dict().items() if k in ours.state_dict()}
    assert len(state) == 1754 - 2  # all but the heatmap layer
    ours.load_state_dict(state, strict=False)
    x = image((64, 96))
    stem = theirs.act2(theirs.bn2(theirs.conv2(theirs.act1(theirs.bn1(theirs.conv1(x))))))
    expected = theirs.stages(stem)[0]
    torch.testing.assert_close(ours.eval().forward_features(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(256, 256), (256, 192), (384, 288)])
@torch.no_grad()
def test_heatmaps_are_a_quarter_of_the_crop(size: tuple[int, int]) -> None:
    shape = (1, 5, size[0] // 4, size[1] // 4)
    for model in (
        models.build("hrnet_tiny", joints=5),
        models.build("simple_r50", joints=5, width=8, planes=8, depth=18),
    ):
        assert model.eval()(image(size)).shape == shape


def test_hourglass_returns_every_stack_while_training() -> None:
    model = StackedHourglass(joints=4, stacks=2, width=16)
    outputs = model(image((64, 64), batch=2))
    assert [tuple(o.shape) for o in outputs] == [(2, 4, 16, 16)] * 2
    assert model.eval()(image((64, 64))).shape == (1, 4, 16, 16)


@pytest.mark.parametrize("name", ["hourglass_8", "hrnet_w48_s7"])
def test_one_training_step_reaches_every_parameter(name: str) -> None:
    net = models.build(name, joints=16)
    before = {k: v.detach().clone() for k, v in net.named_parameters()}
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    outputs = net(image((64, 64), batch=2))
    outputs = outputs if isinstance(outputs, list) else [outputs]
    sum((o - torch.rand_like(o)).square().mean() for o in outputs).backward()
    assert all(p.grad is not None for p in net.parameters())
    optimizer.step()
    moved = [k for k, v in net.named_parameters() if not torch.equal(v, before[k])]
    # A convolution's bias before a normalisation has no effect; all weights have one.
    assert [k for k in before if k not in moved and k.endswith("weight")] == []


def test_generator_starts_at_the_identity_and_stays_in_range() -> None:
    generator = models.Generator(types=26, width=8)
    placement = generator(image((64, 64), batch=3))
    assert placement.shape == (3, 26, 3)
    assert torch.equal(placement, torch.zeros(3, 26, 3))
    torch.nn.init.normal_(generator.fc_locs[2].weight, std=50)
    far = generator(image((64, 64), batch=3)).abs().amax((0, 1))
    assert (far <= torch.tensor([torch.pi / 2, 1.2, 1.2]) + 1e-5).all()
    assert (far > torch.tensor([1.0, 0.8, 0.8])).all()


def test_a_generator_at_half_resolution_sees_the_means_of_four_pixels() -> None:
    whole, half = (models.Generator(types=2, width=8, half_input=half).eval() for half in (False, True))
    torch.nn.init.normal_(half.fc_locs[2].weight)
    whole.load_state_dict(half.state_dict())
    small = image((64, 48), batch=2)
    large = small.repeat_interleave(2, -1).repeat_interleave(2, -2)
    noise = torch.tensor([[1.0, -1.0], [-2.0, 2.0]]).repeat(64, 48)
    torch.testing.assert_close(half(large + noise), whole(small))
    assert not half(small).allclose(whole(small))


def test_each_type_has_its_own_head() -> None:
    """Channel 3 t .. 3 t + 2 of the grouped layer is type t's (r, tx, ty)."""
    generator = models.Generator(types=5, width=8)
    with torch.no_grad():
        generator.fc_locs[2].bias[3 * 2 + 1] = 1.0
    placement = generator(image((64, 64)))
    expected = torch.zeros(1, 5, 3)
    expected[0, 2, 1] = 2.4 * (torch.sigmoid(torch.tensor(1.0)) - 0.5)
    torch.testing.assert_close(placement, expected)


def test_an_unknown_network_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^model: expected one of hrnet_tiny, hrnet_w32.*got 'vgg'"):
        models.build("vgg")


def test_an_export_that_would_not_be_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asda_fast.cli.networks import main

    none = str(tmp_path / "none.safetensors")
    for words, says in (
        (["--onnx", "x.onnx"], "^--onnx: needs --checkpoint, the network to export$"),
        (["--checkpoint", none, "--input", "64x64"], "^--input: needs --onnx, a file to export to$"),
        (["--checkpoint", none, "--onnx", str(tmp_path)], f"^--onnx {tmp_path}: Is a directory$"),
    ):
        monkeypatch.setattr("sys.argv", ["models", *words])
        with pytest.raises(UserError, match=says):
            main()


def test_onnx_equals_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from asda_fast.cli.networks import main

    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = shaken(models.build("hrnet_tiny", joints=5))
    card = {"model": "hrnet_tiny", "joints": 5, "input": "64x96"}
    saved, path = models.save(tmp_path / "pose.safetensors", model, card), tmp_path / "pose.onnx"
    monkeypatch.setattr("sys.argv", ["models", "--checkpoint", str(saved), "--onnx", str(path)])
    main()
    assert "written for 64x96" in capsys.readouterr().out
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        x = image((64, 96), batch=batch)
        (found,) = session.run(None, {"image": x.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, model(x).numpy(), rtol=1e-4, atol=1e-5)
