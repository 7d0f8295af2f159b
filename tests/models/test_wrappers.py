"""A network is found in its file whatever stands round it; what is not it is refused, by the name of a tensor."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asda_fast import models
from asda_fast.core.errors import UserError

State = dict[str, Tensor]
WORDS = ("_orig_mod", "module", "_forward_module", "_fsdp_wrapped_module")
PREFIXES = ("model", "net", "network", "pose_net", "pose", "detector", "ema_model", "teacher", "backbone_and_head")
PLACES = ("state_dict", "model_state_dict", "model", "ema", "weights", "params", "net", "model_ema", "network")


@pytest.fixture(scope="module")
def plain() -> State:
    torch.manual_seed(0)
    return models.build("hrnet_tiny", joints=4).state_dict()


def same(path: Path, plain: State) -> torch.nn.Module:
    """The file loads as the network, bit for bit."""
    model = models.load(path)
    for key, value in model.state_dict().items():
        assert torch.equal(value, plain[key]), key
    assert model.config == {"model": "hrnet_tiny", "joints": 4}
    return model


def write(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("seed", range(24))
def test_wrappers_in_any_order_and_depth(tmp_path: Path, plain: State, seed: int) -> None:
    rng = random.Random(seed)
    prefix = "".join(rng.choice(WORDS + PREFIXES) + "." for _ in range(rng.randint(0, 4)))
    state: Any = {prefix + key: value for key, value in plain.items()}
    if seed % 3 == 0:  # compiled or checkpointed submodules have the word in the middle
        state = {key.replace("layer1.", "layer1._orig_mod."): value for key, value in state.items()}
    if seed % 2:
        state |= {"n_averaged": torch.tensor(3), "criterion.weight": torch.ones(17), "loss.vgg.0.bias": torch.ones(3)}
    for _ in range(rng.randint(0, 3)):
        state = {"epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}, rng.choice(PLACES): state}
    same(write(tmp_path / "x.pth", state), plain)


def test_what_libraries_write(tmp_path: Path, plain: State) -> None:
    """The wrappers' own classes, not a list of names of ours."""
    model = models.build("hrnet_tiny", joints=4)
    model.load_state_dict(plain)
    averaged = torch.optim.swa_utils.AveragedModel(torch.nn.DataParallel(model))
    same(write(tmp_path / "swa.pth", averaged.state_dict()), plain)
    compiled = torch.compile(torch.nn.DataParallel(copy.deepcopy(model)))
    same(write(tmp_path / "compiled.pth", {"model": compiled.state_dict()}), plain)


def test_what_else_the_file_holds_is_said(tmp_path: Path, plain: State) -> None:
    lightning = {f"model.{k}": v for k, v in plain.items()} | {"criterion.weight": torch.ones(17)}
    path = write(tmp_path / "lightning.ckpt", {"epoch": 3, "state_dict": lightning})
    model = same(path, plain)
    averaged = {k: v + 1 for k, v in plain.items()}
    path = write(tmp_path / "timm.pth", {"state_dict": plain, "state_dict_ema": averaged})
    report = models.load_into(model, path)
    assert report.beside == ["state_dict_ema"]
    assert models.load(path).beside == ("state_dict_ema",)
    assert str(report).endswith("not taken: state_dict_ema")
    assert torch.equal(model.state_dict()["conv1.weight"], plain["conv1.weight"])
    models.load_into(model, path, within="state_dict_ema")
    assert torch.equal(model.state_dict()["conv1.weight"], averaged["conv1.weight"])


def test_of_student_and_teacher_one_must_be_named(tmp_path: Path, plain: State) -> None:
    both = {f"student.{k}": v for k, v in plain.items()} | {f"teacher.{k}": v * 2 for k, v in plain.items()}
    path = write(tmp_path / "both.pth", {"state_dict": both})
    line = r"both\.pth: holds 2 networks \(state_dict\.student, state_dict\.teacher\): say which \(within\)"
    for load in (models.load, lambda p: models.build("hrnet_tiny", joints=4, init=p)):
        with pytest.raises(UserError, match=line):
            load(path)
    model = models.load(path, within="student")
    assert torch.equal(model.state_dict()["conv1.weight"], plain["conv1.weight"])
    with pytest.raises(UserError, match=r"within: no network in 'pupil'; there is one in state_dict\.student, "):
        models.load(path, within="pupil")
    wide = models.build("hrnet_tiny", joints=4, width=8).state_dict()  # another size: only one of them fits
    both = {f"student.{k}": v for k, v in plain.items()} | {f"teacher.{k}": v for k, v in wide.items()}
    report = models.load_into(model, write(tmp_path / "sizes.pth", both))
    assert not report.missing + report.mismatched


@pytest.mark.parametrize("name", ["momentum", "grads", "exp_avg", "optimizer", "optim_state"])
def test_what_an_optimiser_keeps_is_no_network(tmp_path: Path, plain: State, name: str) -> None:
    kept = {k: v * 3 for k, v in plain.items()}
    same(write(tmp_path / "x.pth", {name: kept, "ema": plain}), plain)
    same(write(tmp_path / "y.pth", {"ema": plain, "train": {name: {"module": kept}}}), plain)
    with pytest.raises(UserError, match=rf"holds no weights, but what an optimiser keeps of them \({name}\)"):
        models.load(write(tmp_path / "z.pth", {name: kept}))
    model = models.load(tmp_path / "x.pth", within=name)
    assert torch.equal(model.state_dict()["conv1.weight"], kept["conv1.weight"])


@pytest.mark.parametrize("names", [("model", "net"), ("state_dict", "teacher"), ("net", "network")])
def test_a_name_of_ones_own_beside_a_customary_one_is_asked_for(
    tmp_path: Path, plain: State, names: tuple[str, str]
) -> None:
    path = write(tmp_path / "x.pth", {names[0]: plain, names[1]: {k: v * 2 for k, v in plain.items()}})
    for load in (models.load, lambda p: models.build("hrnet_tiny", joints=4, init=p)):
        with pytest.raises(UserError, match=rf"holds 2 networks \({names[0]}, {names[1]}\): say which"):
            load(path)
    same(write(path, {names[0]: plain, names[1]: dict(plain)}), plain)  # the same twice is no question


@pytest.mark.parametrize(("value", "words"), [(-1e-3, "bn1.running_var holds negative"), (0.0, "no variance at all")])
def test_variances_that_no_training_leaves(tmp_path: Path, plain: State, value: float, words: str) -> None:
    some = {k: torch.full_like(v, value) for k, v in plain.items() if k.endswith("running_var")}
    with pytest.raises(UserError, match=words):
        models.load(write(tmp_path / "x.pth", {**plain, **some}))
    dead = {"layer1.0.bn1.running_var": plain["layer1.0.bn1.running_var"] * 0}  # one that nothing reaches is sound
    models.load(write(tmp_path / "x.pth", {**plain, **dead}))


@pytest.fixture(scope="module")
def body() -> State:
    """ResNet-50's, as torchvision names it; each tensor is one number."""
    with torch.device("meta"):
        own = models.build("simple_r50", joints=17).state_dict()
    return {
        k: torch.tensor(0.5).expand(v.shape) for k, v in own.items() if k.split(".")[0][:-1] in ("conv", "bn", "layer")
    }


def test_near_relatives_of_a_body_are_told_by_a_tensor(tmp_path: Path, body: State) -> None:
    model = models.build("simple_r50", joints=17, init=write(tmp_path / "resnet50.pth", body))
    assert model.state_dict()["layer4.2.conv3.weight"][0, 0, 0, 0] == 0.5
    deep = {k: v for k, v in body.items() if k != "conv1.weight"}
    deep |= {f"stem.{at}.weight": torch.ones(32, 3, 3, 3) for at in (0, 3, 6)}
    basic = {k: v for k, v in body.items() if "conv3" not in k and "bn3" not in k}
    for name, state, line in (
        ("resnet50c.pth", deep, r"lacks 1 tensors of the network's body, which would stay random: conv1\.weight "),
        ("resnet34.pth", basic, r"lacks 80 tensors of the network's body.*: layer1\.0\.conv3\.weight, "),
    ):
        path = write(tmp_path / name, state)
        with pytest.raises(UserError, match=rf"{name} \(ResNet\): {line}"):
            models.build("simple_r50", joints=17, init=path)
        report = models.load_into(models.build("simple_r50", joints=17), path, random_body=True)
        assert f"{len(report.missing)} missing" in str(report)
    torchvision = body | {"layer1.0.conv1.weight": torch.ones(64, 64, 3, 3)}  # a real ResNet-34 has other kernels too
    path = write(tmp_path / "tv34.pth", torchvision)
    for random_body in (False, True):
        with pytest.raises(UserError, match=r"another network: layer1\.0\.conv1\.weight is \(64, 64, 3, 3\)"):
            models.build("simple_r50", joints=17, init=path, random_body=random_body)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_named(tmp_path: Path, plain: State, value: float) -> None:
    broken = plain | {"bn2.running_var": plain["bn2.running_var"].clone()}
    broken["bn2.running_var"][3] = value
    model = models.build("hrnet_tiny", joints=4)
    ours = {"model": "hrnet_tiny", "joints": 4}
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for name, content in (("x.pth", broken), ("last.pt", {"joints": 4, "config": ours, "pose": broken})):
        path = write(tmp_path / name, content)
        with pytest.raises(UserError, match=rf"{name} \(.*\): bn2\.running_var holds values that are not finite"):
            models.load(path)
        with pytest.raises(UserError, match=r"bn2\.running_var holds values that are not finite"):
            models.load_into(model, path)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())  # all of it or nothing
    generator = models.Generator(types=25, width=8).state_dict()
    generator["conv1.weight"] = torch.full_like(generator["conv1.weight"], value)
    path = write(tmp_path / "generator.pt", {"generator": generator})
    for load in (models.Generator.of, lambda p: models.Generator(types=25, width=8, init=p)):
        with pytest.raises(UserError, match=r"generator\.pt \(ASDA generator\): conv1\.weight holds values"):
            load(path)


def test_quantised_and_empty_tensors_are_no_weights(tmp_path: Path, plain: State) -> None:
    path = write(tmp_path / "int8.pth", plain | {"conv2.weight": plain["conv2.weight"].to(torch.int8)})
    with pytest.raises(UserError, match=r"another network: conv2\.weight is whole numbers, expected real"):
        models.load(path)
    path = write(tmp_path / "meta.pth", plain | {"conv2.weight": plain["conv2.weight"].to("meta")})
    with pytest.raises(UserError, match=r"another network: conv2\.weight is torch\.float32 without values"):
        models.load(path)
    half = write(tmp_path / "half.pth", {k: v.bfloat16() if v.is_floating_point() else v for k, v in plain.items()})
    assert models.load(half).state_dict()["conv2.weight"].dtype == torch.float32
