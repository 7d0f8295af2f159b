"""The preview: what it writes, what it refuses, and the gallery in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from asda_fast import models
from asda_fast.augment import pools
from asda_fast.augment.options import PasteOptions
from asda_fast.cli import entry
from asda_fast.cli.preview import preview
from asda_fast.core.errors import UserError
from asda_fast.core.options import parse_size
from asda_fast.parts.pool import PartPool
from asda_fast.parts.types import TYPES
from asda_fast.train import checkpoint as state
from asda_fast.viz import views
from asda_fast.viz.options import PreviewOptions

JOINTS = 17


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two opaque parts of the paper's types."""
    patches = [torch.full((40, 16, 4), 255, dtype=torch.uint8), torch.full((24, 24, 4), 255, dtype=torch.uint8)]
    person = torch.tensor([[60.0, 120.0], [60.0, 120.0]])
    path = tmp_path_factory.mktemp("pool") / "pool.safetensors"
    PartPool.from_patches(patches, type=torch.tensor([0, 12]), types=TYPES, person=person).save(path)
    return str(path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """As the trainer writes it, untrained but for a generator that moves every part."""
    torch.manual_seed(0)
    generator = models.Generator(width=16)
    torch.nn.init.constant_(generator.fc_locs[2].bias, 0.7)
    path = tmp_path_factory.mktemp("run") / "last.pt"
    content = {
        "config": {"model": "hrnet_tiny", "input": "64x64", "dataset": "demo"},
        "joints": JOINTS,
        "pose": models.build("hrnet_tiny", joints=JOINTS).state_dict(),
        "generator": generator.state_dict(),
    }
    state.save(path, content)
    return str(path)


def options(augment: str, **rest: Any) -> PreviewOptions:
    if "input" in rest:
        rest["input"] = parse_size(rest["input"])
    return PreviewOptions(paste=PasteOptions(augment=augment), **rest)


def content(page: Path) -> dict:
    found = re.search(r'<script id="content" type="application/json">(.*?)</script>', page.read_text(), re.S)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("name", ["none", "cutout", "ror", "sda"])
def test_sheet_and_gallery_of_an_augmentation(name: str, pool: str, tmp_path: Path) -> None:
    out, page = tmp_path / "sheets" / "a.png", tmp_path / "b.html"
    config = options(name, pool=pool, people=3, input="64x64", out=str(out), html=str(page))
    shown = views.preview(config)
    assert [v.name for v in shown] == (["clean"] if name == "none" else ["clean", "random"])
    assert cv2.imread(str(out)) is not None
    table = content(page)
    assert len(table["people"]) == 3
    assert table["size"] == [64, 64]
    assert "http" not in re.sub(r"http://www.w3.org/2000/svg", "", page.read_text()), "self-contained"
    if name == "sda":
        changed = (shown[0].image != shown[1].image).any((1, 2, 3))
        assert changed.any()
        part = table["people"][0]["views"][1]["parts"][0]
        assert part["type"] in ("Left-arm", "Sunglasses")
        assert 0.7 <= part["s"] <= 1.3


def test_a_checkpoint_places_and_weighs_the_same_parts(pool: str, checkpoint: str, tmp_path: Path) -> None:
    config = options("asda", pool=pool, people=4, checkpoint=checkpoint, draws=3, out=str(tmp_path / "a.png"))
    clean, random, chosen, *many = views.preview(config)
    assert (clean.name, random.name, chosen.name) == ("clean", "random", "chosen")
    assert [view.name for view in many] == ["random x3", "chosen x3"]
    middles = [np.array([[mark.mean(0) for mark in person] for person in view.outlines]) for view in many]
    assert middles[0].shape == (4, 3, 2) and middles[0].std(1).min() > 1, "three places of each person"
    np.testing.assert_allclose(middles[1][:, 0], [p[0].mean(0) for p in chosen.outlines], atol=1e-3)
    assert (middles[1].std(1) < 1e-3).all(), "this generator has one place for every part"
    assert chosen.image.shape == (4, 64, 64, 3), "the checkpoint's input"
    expected = 1.2 * (2 * torch.sigmoid(torch.tensor(0.7)).item() - 1)
    for one, other in zip(random.parts, chosen.parts):
        assert [p["type"] for p in one] == [p["type"] for p in other]
        assert [p["s"] for p in one] == [p["s"] for p in other], "the size stays random"
        for part in other:
            assert part["tx"] == pytest.approx(expected, abs=2e-3)
    assert chosen.loss is not None
    assert np.isfinite(chosen.loss).all()


def test_a_run_on_another_pool_than_the_demo_sets_is_looked_at_with_its_own(
    pool: str, checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`score` and `report` say the same (augment/pools.py)."""
    other = PartPool.from_patches([torch.full((9, 9, 4), 99, dtype=torch.uint8)], type=torch.tensor([3]), types=TYPES)
    monkeypatch.setattr(pools, "demo_pool", lambda: other)
    saved = torch.load(checkpoint, weights_only=True)
    path = tmp_path / "last.pt"
    state.save(path, {**saved, "pool": pools.mark(PartPool.load(pool))})
    usual: dict[str, Any] = {"people": 2, "checkpoint": str(path), "draws": 0, "out": str(tmp_path / "a.png")}
    for augment in ("sda", "asda"):
        with pytest.raises(UserError, match=r"^pool: the run in .* was trained with another pool than the demo set's"):
            views.preview(options(augment, **usual))
    assert [view.name for view in views.preview(options("asda", pool=pool, **usual))] == ["clean", "random", "chosen"]
    state.save(path, {**saved, "pool": pools.mark(other)})
    assert len(views.preview(options("sda", **usual))) == 2


def test_losses_of_people_average_to_the_loss_of_training() -> None:
    from asda_fast import data
    from asda_fast.core.batch import MEAN, STD
    from asda_fast.models import heatmaps as targets
    from asda_fast.models.loss import pose_loss
    from asda_fast.pipelines.loader import make_loader

    few = data.load("demo", split="val").select(np.arange(4))
    with make_loader(few, size=(64, 64), batch_size=4, pipeline="native", train=False) as loader:
        batch = next(iter(loader))
    torch.manual_seed(0)
    pose = models.build("hrnet_tiny", joints=JOINTS).eval()
    image = (batch.image.permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[
        :, None, None
    ]
    with torch.no_grad():
        each, _, _ = views.losses(pose, image, batch)
        target, weight = targets.heatmaps(batch.joints, batch.visible, (64, 64))
        assert each.mean().item() == pytest.approx(pose_loss(pose(image), target, weight).item(), rel=1e-5)


def test_mistakes_are_one_line(pool: str, checkpoint: str, tmp_path: Path) -> None:
    without, saved = tmp_path / "last.pt", torch.load(checkpoint, weights_only=True)
    saved["config"] |= {"augment": "sda", "adversary": "cover"}
    state.save(without, saved)
    for words, message in (
        (["--augment", "paint"], "--augment: expected one of"),
        (["--augment", "sda", "--dataset", "lsp", "--root", "nowhere"], "nowhere"),
        (["--augment", "asda", "--checkpoint", str(tmp_path / "none.pt")], "no such checkpoint"),
        (["--augment", "asda", "--checkpoint", str(without)], "expected a run with an adversary (augment asda), found"),
        (["--people", "0"], "--people: expected at least 1"),
        (
            ["--html", str(tmp_path / "y" / ".." / "x.png")],
            "expected a file of its own to write, not the contact sheet's",
        ),
        (["--html", str(tmp_path)], f"html {tmp_path}: Is a directory"),
    ):
        with pytest.raises(UserError) as caught:
            preview(entry.parse(PreviewOptions, "preview", ["--pool", pool, "--out", str(tmp_path / "x.png"), *words]))
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_who_is_left_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((90, 80, 3), 99, np.uint8))
    people = [
        {"id": n, "image_id": 1, "category_id": 1, "bbox": [5, 5, 60, 70], "iscrowd": n % 2, "keypoints": [9, 9, 2] * 3}
        for n in (0, 1)
    ]
    table = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 90, "width": 80}],
        "categories": [{"id": 1, "name": "bug", "keypoints": ["a", "b", "c"]}],
        "annotations": people,
    }
    (tmp_path / "val.json").write_text(json.dumps(table))
    named = ["--val-annotations", str(tmp_path / "val.json"), "--augment", "none", "--out", str(tmp_path / "x.png")]
    preview(entry.parse(PreviewOptions, "preview", named))
    assert "custom val: val.json: left out: 1 crowds" in capsys.readouterr().out


def test_gallery_in_a_browser(pool: str, checkpoint: str, tmp_path: Path) -> None:
    """Chromium runs the page: it flips to `clean` on a key, draws outlines where parts are, and logs no error."""
    browser = next((b for b in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if b), None)
    if browser is None:
        pytest.skip("no Chromium here (apt-get install chromium)")
    page = tmp_path / "gallery.html"
    config = options("asda", pool=pool, people=4, checkpoint=checkpoint, out=str(tmp_path / "a.png"), html=str(page),
                     draws=2)  # fmt: skip
    views.preview(config)
    probe = """<script>
const mark = (key, value) => document.body.setAttribute('data-' + key, value);
addEventListener('error', event => mark('error', event.message));
const picture = () => document.querySelector('#person-0 img').src;
const view = () => document.querySelector('#person-0').dataset.view;
const outlines = () => document.querySelectorAll('#person-0 polygon.outline').length;
const first = picture();
mark('start', view() + ' ' + outlines());
dispatchEvent(new KeyboardEvent('keydown', {key: '1'}));
mark('one', view() + ' ' + outlines() + ' ' + (picture() !== first));
dispatchEvent(new KeyboardEvent('keydown', {key: ' '}));
mark('space', view());
document.querySelector('#person-0 .frame').click();
mark('click', view() + ' ' + document.querySelector('#person-1').dataset.view + ' ' + (picture() === first));
document.querySelector('#predicted').click();
mark('lines', document.querySelectorAll('#person-0 line[stroke-dasharray]').length > 0 ? 'predicted' : 'none');
mark('mean', document.querySelector('#mean').textContent.includes('chosen'));
</script>"""
    tested = tmp_path / "tested.html"
    tested.write_text(page.read_text().replace("</html>", probe + "</html>"))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", tested.as_uri()]
    text = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    body = re.search(r"<body[^>]*>", text)
    assert body is not None
    marks = dict(re.findall(r'data-(\w+)="([^"]*)"', body[0]))
    assert "error" not in marks
    assert marks["start"] == "chosen x2 4"
    assert marks["one"] == "clean 0 true"
    assert marks["space"] == "random"
    assert marks["click"] == "chosen random false"
    assert marks["mean"] == "true"


def test_the_command(pool: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "asda_fast.preview", "--augment", "sda", "--pool", pool, "--people", "2"]
    done = subprocess.run([*command, "--out", str(tmp_path / "s.png")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "s.png").is_file()
    done = subprocess.run([*command, "--dataset", "mars"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --dataset: expected one of demo")
