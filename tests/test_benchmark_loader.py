"""The loaders' benchmark compares like with like."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from asda_fast.models.heatmaps import heatmaps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `benchmarks` is not installed

from benchmarks import loader, loader_engines, loader_peers, loader_regions
from benchmarks.common import Report


def test_the_peers_targets_are_ours() -> None:
    rng = np.random.default_rng(0)
    joints = rng.uniform(-40, 300, (50, 17, 2)).astype(np.float32)
    visible = rng.integers(0, 3, (50, 17)).astype(np.uint8)
    ours, weight = heatmaps(torch.from_numpy(joints + 0.5), torch.from_numpy(visible), (256, 192))
    for i in range(50):
        target, keep = loader_peers.gaussians(joints[i], visible[i], (256, 192))
        assert np.abs(ours[i].numpy() - target).max() < 1e-6
        assert np.array_equal(weight[i].numpy(), keep)


@pytest.mark.parametrize("kind", [loader_peers.OpenCV, loader_engines.Region])
def test_peers_cut_the_crop_that_we_cut(kind: type[loader_peers.Peer], shared_data: Path) -> None:
    if kind is loader_engines.Region:
        codec = pytest.importorskip("nvidia.nvimgcodec")
        if not hasattr(codec, "NVIMGCODEC_DEVICE_CPU_ONLY"):
            pytest.skip("nvImageCodec decodes regions on a CPU from 0.9 on")
    people = loader.real("coco", shared_data)[0]
    plain = loader.GlobalAug(flip=0, rotation=0, scale=0)
    peer = kind(people, loader.SIZE, plain)
    with loader.make_loader(people, loader.SIZE, 8, "native", train=False) as batches:
        batch = next(iter(batches))
    for i in range(8):
        image, _, _, joints = peer[i]
        if kind is loader_peers.OpenCV:
            image = ((image * peer.std + peer.mean) * 255).permute(1, 2, 0)
        difference = (torch.as_tensor(image) - batch.image[i].float()).abs().mean()
        assert difference < 8  # HRNet's half pixel shifts the picture
        labelled = batch.visible[i] > 0
        assert np.abs(joints - batch.joints[i].numpy())[labelled.numpy()].max() < 0.01


def test_both_decoders_decode_the_same_rectangles() -> None:
    few = loader.load("demo", split="val").select(np.arange(4))
    try:
        turbo = loader_regions.turbo()
    except RuntimeError as error:
        pytest.skip(str(error))
    photos = loader_peers.photo_bytes(few)
    for data, at in zip(photos, loader_regions.rectangles(few, photos, (64, 48), loader.AUG)):
        ours, theirs = loader_regions.ours(data, at), turbo(data, at)
        assert ours.shape == theirs.shape == (at[3], at[2], 3)
        # Beyond its edges libjpeg does not look, where colours of half resolution are drawn from both sides.
        assert np.array_equal(ours[2:-2, 2:-2], theirs[2:-2, 2:-2])


@pytest.mark.parametrize("name", loader_engines.ENGINES)
def test_engines_deliver_everybody_once(name: str) -> None:
    class Rows(loader_peers.Peer):
        def __getitem__(self, row: int) -> tuple[int]:
            return (row,)

    package = {"SPDL": "spdl.pipeline", "torchdata": "torchdata.nodes", "Grain": "grain"}.get(
        name.split(",")[0].split()[0]
    )
    if package:
        pytest.importorskip(package)
    peer = Rows(loader.load("demo", split="val").select(np.arange(9)), loader.SIZE, loader.AUG)
    make = loader_engines.ENGINES[name][1]
    epochs = make(peer, 2, 2)
    for _ in range(2):
        batches = [rows.tolist() for (rows,) in epochs()]
        assert [len(rows) for rows in batches] == [2] * 4
        assert len({row for rows in batches for row in rows}) == 8


@pytest.mark.parametrize("kind", ["coco", "mpii"])
def test_every_contestant_delivers_an_epoch(shared_data: Path, tmp_path: Path, kind: str) -> None:
    people, origin = loader.real(kind, shared_data)
    contests = loader.contests(people, tmp_path, images=32, threads=1, device="cpu")
    report = Report(threads=1)
    for name, contest in contests.items():
        contest()
        assert contest.images == 32, name
        report.add(name, {"data": origin}, "CPU ms/image", contest.cpu)
    report.save(tmp_path / "out.json")


def test_dali_is_left_out_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)  # as where it is not installed
    few = loader.load("demo", split="val").select(np.arange(4))
    found = loader.contests(few, tmp_path, images=4, threads=1, device="cpu")
    assert {"native, photos", "native, raw cache"} <= set(found)
    assert not [name for name in found if name.startswith("dali")]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("left out: dali")]
    assert len(lines) == 3
    assert all("nvidia.dali" in line for line in lines)


def test_photos_are_made_where_there_are_no_real_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = loader.load("demo", split="val").select(np.arange(6))
    monkeypatch.setattr(loader, "load", lambda name, split: few)
    people, origin = loader.made("coco", tmp_path)
    assert "made" in origin
    with loader.make_loader(people, loader.SIZE, 4, "native", train=False) as batches:
        batch = next(iter(batches))
    assert batch.image.float().std() > 20
    box = batch.box.numpy()
    assert np.abs(box[:, :2] - (96, 128)).max() < 60  # the person is where the table says: near the middle of the crop
    assert cv2.imread(people.files[people.file[0]]).shape == (480, 640, 3)
