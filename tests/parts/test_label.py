"""Label maps by a parsing network: photos reach it as its scheme says, its answer lies where the photo does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asda_fast.cli.parts import main
from asda_fast.core.errors import UserError
from asda_fast.core.shard import Shard
from asda_fast.parts.label import label_photos, palette
from asda_fast.parts.network_input import NetworkInput
from asda_fast.parts.read import read_map
from asda_fast.parts.scheme import LIMBS, load_scheme
from asda_fast.viz.label_sheet import label_sheet

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
SCHEMES = LIMBS.parent
BLUE, RED = 5, 9


def make_network(path: Path, classes: int = 20, batch: int | str = "n", kind: int = 1) -> Path:
    """What its first channel shows is BLUE's score, its third RED's, both none: 0. Of stride 4, as SCHP: the corners of
    its output lie on those of its input. A second output, as SCHP's edges, has another number of channels."""
    weight, bias = np.zeros((classes, 3, 1, 1), np.float32), np.full(classes, -9, np.float32)
    weight[BLUE, 0] = weight[RED, 2] = 1
    bias[[0, BLUE, RED]] = 0
    values = [onnx.numpy_helper.from_array(v, n) for v, n in ((weight, "w"), (bias, "b"), (weight[:2], "e"))]
    nodes = [onnx.helper.make_node("Conv", ["x", "w", "b"], ["scores"], strides=[4, 4], name="a")]
    nodes += [onnx.helper.make_node("Conv", ["x", "e"], ["edges"], strides=[4, 4], name="c")]
    shape = onnx.helper.make_tensor_value_info
    inputs = [shape("x", kind, [batch, 3, "h", "w"])]
    outputs = [shape("scores", 1, [batch, classes, "i", "j"]), shape("edges", 1, [batch, 2, "i", "j"])]
    graph = onnx.helper.make_graph(nodes, "parsing", inputs, outputs, values)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def truth(height: int, width: int) -> np.ndarray:
    ids = np.zeros((height, width), np.uint8)
    ids[height // 8 : height // 2, width // 4 : width // 2] = RED
    ids[height // 2 :, width // 3 :] = BLUE
    return ids


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos of three sizes, red and blue where `truth` says so, and the network that tells them apart."""
    for name, size in (("a", (240, 160)), ("deep/b", (90, 300)), ("c", (200, 200))):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        ids = truth(*size)
        Image.fromarray(np.dstack([ids == RED, ids == -1, ids == BLUE]).astype(np.uint8) * 255).save(
            tmp_path / "photos" / f"{name}.png"
        )
    make_network(tmp_path / "parsing.onnx")
    return tmp_path


def agreement(folder: Path, name: str) -> float:
    ids = read_map(folder / f"{name}.png")
    return float((ids == truth(*ids.shape)).mean())


def test_maps_are_right_in_place_and_channel_order(folder: Path) -> None:
    done = label_photos(folder / "photos", folder / "parsing.onnx", "lip", folder / "maps", batch=2)
    assert sorted(done.made) == ["a", "c", "deep/b"]
    assert min(agreement(folder / "maps", name) for name in done.made) > 0.985  # all but some pixels at borders
    swapped = json.loads((SCHEMES / "lip.json").read_text())
    swapped["network"]["channels"] = "RGB"  # a network that wants BGR, given RGB, takes red for blue
    (folder / "rgb.json").write_text(json.dumps(swapped))
    label_photos(folder / "photos", folder / "parsing.onnx", folder / "rgb.json", folder / "wrong")
    ids = read_map(folder / "wrong" / "c.png")
    assert (ids[truth(200, 200) == RED] == BLUE).mean() > 0.9
    assert agreement(folder / "wrong", "c") < 0.7


def test_what_is_done_stays_and_shards_make_the_same(folder: Path) -> None:
    photos, model, whole = folder / "photos", make_network(folder / "one.onnx", batch=2), folder / "whole"
    label_photos(photos, model, "lip", whole)  # three photos, two by two: the last batch is filled up
    (whole / "c.png").unlink()
    again = label_photos(photos, model, "lip", whole)
    assert (again.made, again.before) == (["c"], 2)
    for index in (1, 0):
        label_photos(photos, model, "lip", folder / "shared", shard=Shard(index, 2))
    files = sorted(path.relative_to(whole) for path in whole.rglob("*.png"))
    assert len(files) == 3
    assert all((whole / f).read_bytes() == (folder / "shared" / f).read_bytes() for f in files)


@pytest.mark.parametrize("out", [".", "maps"])
def test_maps_do_not_go_among_the_photos(folder: Path, out: str) -> None:
    """There a second call would take them for photos, and make maps of maps."""
    with pytest.raises(UserError, match=r"^out .*: expected a folder that is not among the photos"):
        label_photos(folder / "photos", folder / "parsing.onnx", "lip", folder / "photos" / out)
    assert len(list((folder / "photos").rglob("*"))) == 4


def test_from_the_command_line_to_a_pool(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "photos" / "broken.jpg").write_bytes(b"no photo")
    model, photos, maps = (str(folder / name) for name in ("parsing.onnx", "photos", "maps"))
    main(["label", "--model", model, "--scheme", "lip", "--images", photos, "--out", maps])
    said = capsys.readouterr().out
    assert "3 maps made" in said
    assert "damaged or not a picture: 1; " in said
    assert "broken.jpg" in said
    assert np.asarray(Image.open(folder / "maps.jpg")).shape[0] > 900  # three rows
    sheet = label_sheet(folder / "photos", folder / "maps", load_scheme("lip")).reshape(-1, 3)
    wanted = (np.array([0, 0, 255]) + 2 * palette()[BLUE].astype(int)) // 3  # blue, under BLUE's colour
    assert (np.abs(sheet - wanted).max(1) <= 1).mean() > 0.02
    pool = str(folder / "pool.safetensors")
    main(["build", "--images", photos, "--labels", maps, "--scheme", "lip", "--out", pool, "--workers", "1",
          "--contrast", "0", "--border", "999"])  # fmt: skip
    assert "Pants" in capsys.readouterr().out


@pytest.mark.parametrize(("resize", "corners"), [("fit", True), ("fit", False), ("stretch", False), ("area", False)])
@pytest.mark.parametrize("axis", [0, 1])
def test_an_answer_lies_where_the_photo_does(resize: str, corners: bool, axis: int) -> None:
    """A photo that grows brighter evenly: where it passes the middle is known, and every step keeps lines lines."""
    size = (33, 65) if corners else (32, 64)
    recipe = NetworkInput(size, "RGB", (0, 0, 0), (1, 1, 1), resize, corners)
    ramp = np.arange(120, dtype=np.uint8) * 2
    ramp = np.broadcast_to(ramp[:, None] if axis == 0 else ramp[None], (120, 120))
    given = recipe.prepare(np.dstack([ramp] * 3), size)[0]
    scores = given[::4, ::4] if corners else given.reshape(8, 4, 16, 4).mean((1, 3))
    ids = recipe.labels(np.stack([np.full_like(scores, 169 / 255), scores]), (120, 120), size)
    assert np.abs(ids.argmax(axis)[20:100] - 85).max() <= 1  # 2 * 85 is the first above 169


def test_values_are_normalised_in_the_network_s_order() -> None:
    photo = np.full((50, 40, 3), (10, 20, 30), np.uint8)
    schp = load_scheme("lip").network.prepare(photo, (473, 473))
    want = [(30 / 255 - 0.406) / 0.225, (20 / 255 - 0.456) / 0.224, (10 / 255 - 0.485) / 0.229]
    assert np.allclose(schp[:, 236, 236], want, atol=1e-5)
    assert np.allclose(schp[:, 236, 2], [-0.406 / 0.225, -0.456 / 0.224, -0.485 / 0.229], atol=1e-5)  # black beside it
    sapiens = load_scheme("goliath28").network.prepare(photo, (1024, 768))
    assert np.allclose(sapiens[:, 5, 5], [(10 - 123.5) / 58.5, (20 - 116.5) / 57, (30 - 103.5) / 57.5], atol=1e-4)


def test_what_cannot_be_labelled_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(words: str, model: str = "parsing.onnx", scheme: str | Path = "lip", out: str = "maps") -> None:
        with pytest.raises(UserError, match=words) as caught:
            label_photos(folder / "photos", folder / model, scheme, folder / out)
        assert "\n" not in str(caught.value)

    refused(r"none\.onnx: no such file", "none.onnx")
    (folder / "bad.onnx").write_bytes(b"no network")
    refused(r"bad\.onnx: not a network that onnxruntime can run", "bad.onnx")
    refused(
        r"expected scores \[batch, 18, h, w\] for the scheme atr, it gives \[3, 20, 128, 128\], \[3, 2,", scheme="atr"
    )
    refused(r"scheme ccp: does not say what a network expects; expected `network` in it", scheme="ccp")
    make_network(folder / "whole.onnx", kind=onnx.TensorProto.INT32)
    refused(r"whole\.onnx: (not a network|expected one input of floats)", "whole.onnx")
    label_photos(folder / "photos", folder / "parsing.onnx", "lip", folder / "maps")
    refused("holds maps by another model", str(make_network(folder / "other.onnx", batch=1)))
    broken = json.loads((SCHEMES / "lip.json").read_text())
    broken["network"]["channels"] = "GBR"
    (folder / "own.json").write_text(json.dumps(broken))
    refused(r"own\.json: network: channels: expected RGB or BGR, got 'GBR'", scheme=folder / "own.json")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    refused(r"needs the package onnxruntime \(pip install onnxruntime\)")
