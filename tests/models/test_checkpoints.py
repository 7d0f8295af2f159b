"""Published files are recognised, loaded and reported; what does not fit is refused in one line."""

from __future__ import annotations

import importlib.util
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from asda_fast import models
from asda_fast.core.errors import UserError
from asda_fast.models import foreign


def published(name: str, **variables: int) -> dict[str, Tensor]:
    """A file's worth of tensors with a published layout. Each is one number, expanded, so that files stay small."""
    spec = importlib.util.spec_from_file_location("layout", Path(__file__).parent / "layout.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    entries = module.entries(name, **variables)
    return {
        k: torch.tensor(i) if shape == () else torch.tensor(float(i % 97) / 97).expand(shape)
        for i, (k, shape) in enumerate(entries.items())
    }


HRNET = {"W": 32, "J": 17, "S": 4}
BASELINE = {"J": 17, "B": 4, "C": 6}


def assert_holds(model: torch.nn.Module, state: dict[str, Tensor]) -> None:
    own = model.state_dict()
    for key, value in state.items():
        assert torch.equal(own[key], value.to(own[key].dtype)), key


def write(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("wrap", ["bare", "best_state_dict", "old"])
def test_hrnet_zoo_files(tmp_path: Path, wrap: str) -> None:
    state = published("hrnet", **HRNET)
    stored: Any = state
    if wrap == "old":  # before torch 0.4.1
        stored = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    elif wrap != "bare":
        stored = {
            "epoch": 3,
            "perf": 0.9,
            "optimizer": {"state": {}},
            wrap: {f"module.{k}": v for k, v in state.items()},
        }
    model = models.load(write(tmp_path / "pose_hrnet_w32.pth", stored))
    assert model.config == {"model": "hrnet_w32", "joints": 17}
    assert not model.training
    assert_holds(model, {k: v for k, v in state.items() if wrap != "old" or not k.endswith("num_batches_tracked")})


def mmpose(state: dict[str, Tensor], head: str, nested: bool) -> dict[str, Tensor]:
    renamed = {}
    for key, value in state.items():
        if key.startswith("final_layer"):
            key = f"{head}.{key.replace('final_layer.', 'final_layer.0.') if nested else key}"
        else:
            key = f"{head}.{key}" if key.startswith("deconv") else f"backbone.{key}"
        renamed[key] = value
    return renamed


@pytest.mark.parametrize(
    ("name", "variables", "head", "nested"),
    [("hrnet", HRNET, "head", False), ("simple_baseline", BASELINE, "keypoint_head", True)],
)
def test_mmpose_files(tmp_path: Path, name: str, variables: dict[str, int], head: str, nested: bool) -> None:
    state = published(name, **variables)
    meta = {"epoch": 210, "dataset_meta": {"sigmas": np.array([0.026, 0.025]), "one": np.float32(2)}}
    path = write(tmp_path / "td-hm.pth", {"meta": meta, "state_dict": mmpose(state, head, nested)})
    model = models.load(path)
    assert model.config["model"] == ("hrnet_w32" if name == "hrnet" else "simple_r50")
    assert_holds(model, state)


def test_imagenet_hrnet_starts_a_pose_network(tmp_path: Path) -> None:
    state = {k: v for k, v in published("hrnet", **HRNET).items() if not k.startswith("final_layer")}
    extra = {
        "incre_modules.0.0.conv1.weight": torch.zeros(32, 32, 1, 1),
        "downsamp_modules.0.0.weight": torch.zeros(256, 128, 3, 3),
        "final_layer.0.weight": torch.zeros(2048, 1024, 1, 1),
        "classifier.weight": torch.zeros(1000, 2048),
    }
    path = write(tmp_path / "hrnet_w32-36af842e.pth", state | extra)
    model = models.build("hrnet_w32", joints=16)
    report = models.load_into(model, path)
    assert report.format == "HRNet for ImageNet"
    assert report.missing == ["final_layer.weight", "final_layer.bias"]
    assert report.unexpected == list(extra)
    assert report.mismatched == []
    assert len(report.loaded) == 1752
    assert_holds(model, state)
    assert "1752 tensors loaded, 2 missing, left at random (final_layer (2)), 4 unexpected, not used" in str(report)
    with pytest.raises(UserError, match="has no heatmap head; it can start a training"):
        models.load(path)


def test_another_number_of_joints_keeps_its_own_head(tmp_path: Path) -> None:
    path = write(tmp_path / "pose.pth", published("hrnet", **HRNET))
    model = models.build("hrnet_w32", joints=16, init=path)
    report = models.load_into(model, path)
    assert report.mismatched == ["final_layer.weight", "final_layer.bias"]
    with pytest.raises(
        UserError, match="lacks 2 of the network's 1754 tensors, or has them in another shape: final_layer"
    ):
        models.load_into(model, path, complete=True)


def test_torchvision_resnets_start_a_baseline_and_a_generator(tmp_path: Path) -> None:
    heads = ("deconv_layers", "final_layer", "fc_locs")
    whole = {50: published("simple_baseline", **BASELINE), 18: published("generator", T=26)}
    bodies = {depth: {k: v for k, v in file.items() if not k.startswith(heads)} for depth, file in whole.items()}
    for depth, body in bodies.items():
        classes = {"fc.weight": torch.zeros(1000, 8), "fc.bias": torch.zeros(1000)}
        path = write(tmp_path / f"resnet{depth}.pth", body | classes)
        if depth == 50:
            model, part = models.build("simple_r50", joints=16), "pose"
        else:
            model, part = models.Generator(), "generator"
        report = models.load_into(model, path, part=part)
        assert report.format == "ResNet"
        assert report.unexpected == ["fc.weight", "fc.bias"]
        assert all(k.startswith(heads) for k in report.missing)
        assert_holds(model, body)


def test_released_asda_file_gives_its_pose_part_and_its_generator(tmp_path: Path) -> None:
    pose, generator = published("hrnet", **HRNET | {"J": 16}), published("generator", T=25)
    both = {"state_dict": pose, "stn_state_dict": generator}
    content = {k: {f"module.{n}": v for n, v in part.items()} for k, part in both.items()}
    path = write(tmp_path / "checkpoint.pth", {"epoch": 1, "best_state_dict": pose, **content})
    assert_holds(models.load(path), pose)
    adversary = models.Generator(types=25, init=path)
    assert_holds(adversary, generator)
    report = models.load_into(models.Generator(types=26), path, part="generator")  # another number of types
    assert all(k.startswith("fc_locs") for k in report.mismatched)


def test_asda_hourglass_file(tmp_path: Path) -> None:
    state = published("hourglass", J=16, N=2, L=2)
    path = write(tmp_path / "hg.pth", {"state_dict": {f"module.hourglass.{k}": v for k, v in state.items()}})
    model = models.load(path)
    assert model.config == {"model": "hourglass_2", "joints": 16}
    report = models.load_into(model, path)
    assert report.unexpected == [f"{n}.1.{p}" for n in ("lin2", "jointstochan") for p in ("weight", "bias")]


def test_ours_round_trips_with_its_configuration(tmp_path: Path) -> None:
    model = models.build("hrnet_tiny", joints=14, width=8)
    config = {"model": "hrnet_tiny", "joints": 14, "options": {"width": 8}, "input": "128x96"}
    path = models.save(tmp_path / "run" / "best.safetensors", model, config)
    (tmp_path / "run" / "best.json").unlink()  # for people to read; the file knows it too
    again = models.load(path)
    assert again.config == config
    assert_holds(again, model.state_dict())
    with pytest.raises(ValueError, match="config: expected a key 'joints'"):
        models.save(tmp_path / "x.safetensors", model, {"model": "hrnet_tiny"})


def test_a_training_runs_own_file(tmp_path: Path) -> None:
    model = models.build("hrnet_tiny", joints=14)
    content = {
        "format": 1,
        "joints": 14,
        "config": {"model": "hrnet_tiny", "dataset": "lsp", "input": "128x96", "lr": 1},
    }
    generator = models.Generator(width=8)
    path = write(tmp_path / "last.pt", {**content, "pose": model.state_dict(), "generator": generator.state_dict()})
    again = models.load(path)
    assert again.config == {"model": "hrnet_tiny", "joints": 14, "dataset": "lsp", "input": "128x96"}
    assert_holds(again, model.state_dict())
    assert_holds(models.Generator(width=8, init=path), generator.state_dict())
    assert not models.Generator.of(path).half_input
    config = {**content["config"], "generator_input": "half"}
    half = {**content, "config": config, "pose": model.state_dict(), "generator": generator.state_dict()}
    assert models.Generator.of(write(tmp_path / "half.pt", half)).half_input
    without = write(tmp_path / "alone.pt", {**content, "pose": model.state_dict(), "generator": None})
    with pytest.raises(UserError, match="expected weights of a generator network, found"):
        models.Generator(width=8, init=without)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "sprung").touch, ())

    path = tmp_path / "trap.pth"
    for content in ({"state_dict": Trap()}, Trap()):
        torch.save(content, path)
        with pytest.raises(UserError, match=r"trap\.pth: not a checkpoint that can be read safely"):
            models.load(path)
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(UserError, match=r"trap\.pth: not a checkpoint that can be read safely"):
            models.load(path)
    assert not (tmp_path / "sprung").exists()


def test_what_is_no_checkpoint_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such checkpoint"):
        models.load(tmp_path / "none.pth")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(UserError, match=f"{name}: not a "):
            models.load(tmp_path / name)
    path = write(tmp_path / "cut.pth", published("generator", T=25))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UserError, match=r"cut\.pth: not a checkpoint"):
        models.load(path)
    for content in ([1, 2], {"epoch": 3}, {"state_dict": {}}):
        with pytest.raises(UserError, match="expected weights of a pose network, found"):
            models.load(write(tmp_path / "other.pth", content))
    with pytest.raises(UserError, match="no network known here has keys such as a, b"):
        models.load(write(tmp_path / "other.pth", {"a": torch.zeros(1), "b": torch.zeros(1)}))


def test_a_file_of_another_version_is_not_read_as_a_strangers(tmp_path: Path) -> None:
    """By its keys alone it would be a network of joints, crop and target that nobody told."""
    model = models.build("hrnet_tiny", joints=5)
    config = json.dumps({"model": "hrnet_tiny", "joints": 5})
    path = tmp_path / "newer.safetensors"
    save_file(model.state_dict(), path, metadata={"format": "asda_fast-2", "config": config})
    with pytest.raises(UserError, match=r"newer\.safetensors: expected format asda_fast-1, found 'asda_fast-2'"):
        models.load(path)
    state = {"format": 2, "config": {"model": "hrnet_tiny"}, "joints": 5, "pose": model.state_dict()}
    with pytest.raises(UserError, match=r"newer\.pt: expected a run's state of format 1, found 2"):
        models.load(write(tmp_path / "newer.pt", state))
    models.load(write(tmp_path / "this.pt", {**state, "format": 1}))


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ({"dataset": ["demo"]}, r"dataset: expected a name, got \['demo'\]"),
        ({"input": [64, "a"]}, r"input: expected HxW such as 256x192, got \[64, 'a'\]"),
        ({"input": "64"}, r"input: expected HxW such as 256x192, got '64'"),
    ],
)
def test_a_damaged_card_is_one_line(card: dict[str, Any], says: str, tmp_path: Path) -> None:
    model = models.build("hrnet_tiny", joints=5)
    config = json.dumps({"model": "hrnet_tiny", "joints": 5, **card})
    save_file(model.state_dict(), tmp_path / "x.safetensors", metadata={"format": "asda_fast-1", "config": config})
    with pytest.raises(UserError, match=rf"x\.safetensors: its configuration is damaged: {says}"):
        models.load(tmp_path / "x.safetensors")


def test_a_wrong_network_is_refused_not_silently_ignored(tmp_path: Path) -> None:
    path = write(tmp_path / "w32.pth", published("hrnet", **HRNET))
    with pytest.raises(UserError, match=r"another network: stage2|another network: .* is \(32"):
        models.load_into(models.build("hrnet_w48"), path)
    with pytest.raises(UserError, match=r"conv1.weight is \(64, 3, 3, 3\), expected \(64, 3, 7, 7\)"):
        models.load_into(models.build("simple_r50"), path)
    stranger = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, stranger, metadata={"config": "not JSON"})
    with pytest.raises(UserError, match="no network known here"):
        models.load(stranger)
    few = {k: v for k, v in published("hrnet", **HRNET).items() if k.startswith(("conv1", "stage4.0.branches.0"))}
    many = {f"elsewhere.{i}": torch.zeros(1) for i in range(100)}
    path = write(tmp_path / "few.pth", few | many)
    with pytest.raises(UserError, match=r"only \d+ of the network's 1754 tensors match; expected e.g. bn1.weight"):
        models.load_into(models.build("hrnet_w32"), path)


def test_formats_are_told_apart() -> None:
    def kind(key: str) -> str | None:
        found = foreign.recognise({key: torch.zeros(1)})
        return None if found is None else found.format

    assert kind("backbone.stage4.0.branches.0.0.conv1.weight") == "mmpose, HRNet body"
    assert kind("layer4.0.conv1.weight") == "ResNet"
    assert kind("x") is None


def test_a_larger_network_is_refused(tmp_path: Path) -> None:
    """Its further layers would be left out, and the rest would say something else."""
    model = models.build("hrnet_tiny", joints=5, blocks=2)
    path = models.save(tmp_path / "large.safetensors", model, {"model": "hrnet_tiny", "joints": 5})
    with pytest.raises(UserError, match="holds a larger network"):
        models.load(path)
    path = models.save(path, model, {"model": "hrnet_tiny", "joints": 5, "options": {"blocks": 2}})
    assert_holds(models.load(path), model.state_dict())


def test_what_save_would_not_load_again_it_refuses(tmp_path: Path) -> None:
    model = models.build("hrnet_tiny", joints=5)
    with pytest.raises(ValueError, match=r"ends in \.safetensors"):
        models.save(tmp_path / "x.json", model, {"model": "hrnet_tiny", "joints": 5})
    with pytest.raises(ValueError, match="says 6 joints, the network has 5"):
        models.save(tmp_path / "x.safetensors", model, {"model": "hrnet_tiny", "joints": 6})
    for more, words in (
        ({"joints": np.int64(5)}, "joints: expected a number, got"),
        ({"joint_names": ["a"]}, r"joint_names: expected 5 names, got \['a'\]"),
        ({"joint_names": 5}, "joint_names: expected 5 names, got 5"),
        ({"target": "foo"}, "target: expected one of hrnet, udp, simcc, got 'foo'"),
        ({"note": np.zeros(2)}, "config: expected plain JSON"),
    ):
        with pytest.raises(ValueError, match=words):
            models.save(tmp_path / "x.safetensors", model, {"model": "hrnet_tiny", "joints": 5, **more})
    path = models.save(tmp_path / "y.safetensors", model, {"model": "hrnet_tiny", "joints": 5, "target": "simcc"})
    with pytest.raises(UserError, match="says that its target is simcc; its network's is another"):
        models.load(path)


def test_a_wrapped_network_is_saved_as_itself(tmp_path: Path) -> None:
    model = models.build("hrnet_tiny", joints=5)
    for wrap in (torch.compile, torch.nn.DataParallel, lambda net: torch.compile(torch.nn.DataParallel(net))):
        path = models.save(tmp_path / "x.safetensors", wrap(model), {"model": "hrnet_tiny", "joints": 5})
        assert_holds(models.load(path), model.state_dict())
    wrapped = {f"module.{key}": value for key, value in model.state_dict().items()}  # as earlier versions saved it
    card = {"format": "asda_fast-1", "config": '{"model": "hrnet_tiny", "joints": 5}'}
    save_file(wrapped, tmp_path / "old.safetensors", metadata=card)
    assert_holds(models.load(tmp_path / "old.safetensors"), model.state_dict())


@pytest.mark.parametrize("joints", ["17", 17.0, True, 0])
def test_a_number_of_joints_that_is_none_is_named(joints: Any) -> None:
    with pytest.raises(UserError, match=f"^joints: expected a whole number from 1, got {joints!r}"):
        models.build("hrnet_tiny", joints=joints)


def test_weights_of_eight_bits_want_a_scale(tmp_path: Path) -> None:
    state = {key: value.to(torch.float8_e4m3fn) if value.ndim == 4 else value
             for key, value in models.build("hrnet_tiny", joints=5).state_dict().items()}  # fmt: skip
    with pytest.raises(UserError, match="float8_e4m3fn numbers"):
        models.load(write(tmp_path / "eight.pt", state))


def test_the_released_generators_types_are_the_first_of_ours(tmp_path: Path) -> None:
    released, ours = models.Generator(types=25, width=8), models.Generator(types=26, width=8)
    torch.nn.init.normal_(released.fc_locs[2].weight)
    path = write(tmp_path / "asda.pth", {"stn_state_dict": released.state_dict()})
    report = models.load_into(ours, path, "generator")
    assert not report.missing + report.mismatched
    image = torch.rand(2, 3, 64, 64)
    placed = ours.eval()(image)
    torch.testing.assert_close(placed[:, :25], released.eval()(image))
    assert (placed[:, 25] == 0).all()
