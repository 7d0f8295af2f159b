"""The evaluation command: files as published, networks end to end, and one line for every mistake."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asda_fast import data, make_loader, models
from asda_fast.cli import entry, evaluate
from asda_fast.core.batch import Batch
from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import COCO, LSP
from asda_fast.data.people import People
from asda_fast.data.plan import draw
from asda_fast.evaluate.coco_results import results
from asda_fast.evaluate.inference import PYRAMID, Predictions, bring, predict
from asda_fast.evaluate.score import evaluate_network, score_people
from asda_fast.metrics import oks
from asda_fast.models import heatmaps as targets


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line; gives its exit code, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            entry.run(evaluate.main)
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return run


Command = Callable[..., tuple[int, str, str]]


def test_published_files_by_the_command(command: Command, shared_data: Path, tmp_path: Path) -> None:
    mpii, lsp, coco = (shared_data / f"{n}_eval" for n in ("mpii", "lsp", "coco"))
    cases = [
        ("mpii", mpii / "annot/gt_valid.mat", mpii / "preds/hg_valid-ours.h5", "mean", 88.03538901899557),
        ("lsp", lsp / "lsp-joints-PC.mat", lsp / "LSP_prediction_model_LSP_6s.mat", "total", 84.32142857142857),
        ("coco", coco / "fce_keypoints_gt_dataset.json", coco / "fce_keypoints_dt_dataset.json", "AP", 0.50488448844),
        ("crowdpose", coco / "example_crowdpose_val.json", coco / "example_crowdpose_preds.json", "AP", 0.78772159358),
    ]
    for dataset, truth, predictions, name, value in cases:
        out = tmp_path / "deep" / f"{dataset}.json"
        code, shown, errors = command(
            "--dataset", dataset, "--annotations", truth, "--predictions", predictions, "--json", out,
            "--bootstrap", 20,
        )  # fmt: skip
        assert (code, errors) == (0, "")
        numbers = json.loads(out.read_text())
        assert numbers[name] == pytest.approx(value, abs=1e-9)
        assert {"Shoulder", "Wrist", "Ankle"} <= numbers["per_joint"].keys()
        assert "invisible joints only" in shown
        assert "95 % confidence" in shown
        assert f"{value if value > 1 else 100 * value:.2f}" in shown


def test_mistakes_are_one_line_and_exit_code_2(command: Command, shared_data: Path, tmp_path: Path) -> None:
    mpii, lsp = shared_data / "mpii_eval", shared_data / "lsp_eval"
    truth, good = mpii / "annot/gt_valid.mat", mpii / "preds/hg_valid-ours.h5"
    np.save(tmp_path / "few.npy", np.zeros((2957, 16, 2)))
    np.save(tmp_path / "joints.npy", np.zeros((2958, 17, 2)))
    (tmp_path / "folder").mkdir()
    cases = [
        (["mpii", truth, tmp_path / "few.npy"], "wrong number of people: expected 2958 people"),
        (["mpii", truth, tmp_path / "joints.npy"], "wrong number of joints: expected 2958 people with 16 joints"),
        (
            ["mpii", truth, good, "--normalise", "box"],
            "--normalise and --threshold: of a network, or of an array",
        ),
        (["mpii", truth, good, "--key", "pred"], "--key pred: no such array, there is preds (2958, 16, 2)"),
        (["mpii", truth, lsp / "pred_keypoints_lsp_pc.mat"], "expected 2958 people with 16 joints"),
        (["mpii", truth, tmp_path / "none.npy"], "none.npy: no such file"),
        (["mpii", tmp_path / "none.mat", good], "none.mat: no such file"),
        (["lsp", lsp / "lsp-joints-PC.mat", good], "expected 1000 people with 14 joints"),
        (["coco", truth, good], "not JSON"),
        (["flic", truth, good], "--dataset: expected one of demo, lsp, mpii, coco, crowdpose, got 'flic'"),
        (["mpii", truth, good, "--one-based", "--zero-based"], "expected at most one of them"),
        (["mpii", truth, good, "--images", tmp_path / "none"], "none: no such folder"),
        (["mpii", truth, good, "--images", tmp_path, tmp_path], "--images: expected one folder"),
        (["mpii", truth, good, "--skeleton", "mpii"], "--skeleton: needs --checkpoint"),
        (["mpii", truth, good, "--json", tmp_path / "folder"], "--json"),
        (["mpii", truth, good, "--visibility", truth], "expected an array visible (2958, 16)"),
    ]
    for (dataset, table, predictions, *more), line in cases:
        code, _, errors = command("--dataset", dataset, "--annotations", table, "--predictions", predictions, *more)
        assert code == 2, line
        assert errors.startswith("error: ")
        assert line in errors
        assert errors.count("\n") == 1
    for arguments, line in (
        (["--dataset", "mpii"], "--annotations: needed"),
        (
            ["--annotations", truth, "--predictions", good],
            "--dataset: expected one of demo, lsp, mpii, coco, crowdpose",
        ),
        (["--dataset", "mpii", "--annotations", truth], "--predictions: needed"),
        (["--checkpoint", "x.pth", "--predictions", good], "expected one of them"),
        (["--checkpoint", tmp_path / "x.pth"], "x.pth: no such checkpoint"),
    ):
        code, _, errors = command(*arguments)
        assert code == 2
        assert line in errors


def test_sheet_of_best_and_worst(command: Command, shared_data: Path, tmp_path: Path) -> None:
    lsp = shared_data / "lsp_eval"
    arguments = ["--dataset", "lsp", "--annotations", lsp / "lsp-joints-PC.mat"]
    arguments += ["--predictions", lsp / "pred_keypoints_lsp_pc.mat", "--images", lsp / "images"]
    assert command(*arguments, "--sheet", tmp_path / "sheet.png")[0] == 0
    picture = cv2.imread(str(tmp_path / "sheet.png"))
    assert min(picture.shape[:2]) > 400
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def crowd(count: int = 7, joints: int = 17) -> People:
    """People of known joints, two to a photo."""
    rng = np.random.default_rng(0)
    skeleton = COCO if joints == 17 else LSP
    box = np.stack([*rng.uniform(20, 60, (2, count)), *rng.uniform(60, 110, (2, count))], -1).astype(np.float32)
    points = box[:, None, :2] + box[:, None, 2:] * rng.uniform(0.15, 0.85, (count, joints, 2))
    return People(
        skeleton=skeleton, files=[f"{i}.jpg" for i in range((count + 1) // 2)],
        file=(np.arange(count) // 2).astype(np.int32), box=box, centre=box[:, :2] + box[:, 2:] / 2,
        scale=box[:, 2:].max(1) * np.float32(1.25 / 200), joints=points.astype(np.float32),
        visible=np.full((count, joints), 2, np.uint8), head=np.full(count, np.nan, np.float32),
        id=np.arange(count), image_id=np.arange(count) // 2 + 40,
        image_size=np.full(((count + 1) // 2, 2), 240, np.int32), name="made up",
    )  # fmt: skip


class Oracle(nn.Module):
    """Knows the truth of the batch that is being shown, also of its mirror image, which it tells by a mark."""

    def __init__(self, kind: str = "udp") -> None:
        super().__init__()
        self.kind, self.truth, self.pairs, self.size = kind, torch.zeros(0), COCO.pairs, (128, 96)

    def forward(self, image: Tensor) -> Tensor:
        joints = self.truth
        mirrored = bool((image[..., 0] > image[..., -1]).all())
        if mirrored:
            order = list(range(joints.shape[1]))
            for a, b in self.pairs:
                order[a], order[b] = b, a
            joints = joints[:, order].clone()
            joints[..., 0] = self.size[1] - joints[..., 0]
        return targets.heatmaps(joints, torch.ones(joints.shape[:2]), self.size, kind=self.kind)[0]


def batches(people: People, size: tuple[int, int], oracle: Oracle, batch_size: int = 3) -> Iterator[Batch]:
    plan = draw(people, size, epoch=0, seed=0, train=False, aug=None, batch_size=batch_size, drop_last=False)
    for at in range(0, len(people), batch_size):
        rows = slice(at, min(at + batch_size, len(people)))
        oracle.truth = torch.tensor(plan.joints[rows])
        oracle.pairs, oracle.size = people.skeleton.pairs, size
        image = torch.zeros(len(oracle.truth), *size, 3, dtype=torch.uint8)
        image[:, :, -1] = 255  # the mark
        yield Batch(
            image=image, joints=oracle.truth, visible=torch.tensor(plan.visible[rows]),
            row=torch.tensor(plan.row[rows]), matrix=torch.tensor(plan.matrix[rows]), box=torch.tensor(plan.box[rows]),
            flip=torch.tensor(plan.flip[rows]), half=torch.tensor(plan.half[rows]),
        )  # fmt: skip


@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize(
    ("kind", "decode", "most"), [("udp", "udp", 0.3), ("hrnet", "quarter", 4.5), ("hrnet", "dark", 4.5)]
)
def test_an_oracle_finds_everybody(flip_test: bool, kind: str, decode: str, most: float) -> None:
    people, oracle = crowd(), Oracle(kind)
    oracle.train()
    loader = batches(people, (128, 96), oracle)
    found = predict(oracle, loader, len(people), people.skeleton.pairs, flip_test=flip_test, decode=decode)
    assert oracle.training  # as it was
    error = np.linalg.norm(found.xy - people.joints, axis=-1)
    assert error.max() < most
    result = score_people(found, people)
    assert result.numbers["pck"] == result.numbers["total"] >= (100 if kind == "udp" else 99)  # one torso is tiny
    assert result.numbers["protocol"] == "PCK@0.2"


def test_scales_are_brought_into_one_frame() -> None:
    """Heatmaps of every scale, resampled onto the first one's crop, show the same joints."""
    people, oracle = crowd(), Oracle()
    size = (128, 96)
    (first,) = batches(people, size, oracle, batch_size=7)
    straight = oracle(first.image)
    for scale in PYRAMID:
        scaled = replace(people, scale=people.scale / np.float32(scale))
        (other,) = batches(scaled, size, oracle, batch_size=7)
        inside = ((oracle.truth > 8) & (oracle.truth < torch.tensor(size[::-1]) - 8)).all(-1)
        maps = bring(oracle(other.image), other.matrix, first.matrix, kind="udp")
        a, b = (targets.decode(m, "udp")[0] for m in (maps, straight))
        assert (a - b)[inside].norm(dim=-1).max() < 0.5
        if scale == 1:
            torch.testing.assert_close(maps, straight, atol=1e-4, rtol=0)


def test_the_pyramid_needs_the_same_people_at_every_scale() -> None:
    people, oracle = crowd(), Oracle()
    first, second = (list(batches(people, (128, 96), oracle)) for _ in range(2))
    oracle.truth = first[0].joints
    with pytest.raises(ValueError, match="expected the same people"):
        predict(oracle, [first[:1], second[1:2]], len(people), COCO.pairs, flip_test=False)
    oracle.truth = first[0].joints
    assert len(predict(oracle, first[:1], len(people), COCO.pairs, flip_test=False).xy) == len(people)  # one loader
    with pytest.raises(ValueError, match="no batch"):
        predict(oracle, [[]], len(people), COCO.pairs)


def test_autocast_changes_last_digits_only() -> None:
    people, size = data.load("demo", split="val").select(np.arange(4)), (64, 64)
    torch.manual_seed(0)
    model = models.build("hrnet_tiny", joints=len(people.skeleton.joints))
    loader = make_loader(people, size=size, batch_size=4, pipeline="native", train=False, device="cpu")
    whole, half = (predict(model, loader, 4, people.skeleton.pairs, amp=amp) for amp in (None, torch.bfloat16))
    loader.close()
    assert half.score.dtype == np.float32
    assert 0 < np.abs(half.score - whole.score).max() < 0.05 * np.abs(whole.score).max()


def test_unread_people_are_left_out_and_torsos_stand_in() -> None:
    people = crowd(4)
    xy = people.joints.copy()
    xy[3] = np.nan
    found = Predictions(xy, np.ones(xy.shape[:2], np.float32))
    result = score_people(found, people)
    assert result.numbers["people"] == 3
    assert result.numbers["pck"] == 100
    assert result.notes == ["1 people left out: their photos could not be read"]
    visible = people.visible.copy()
    visible[0, 5] = 0  # no left shoulder, no torso: a quarter of the box
    visible[1, 0] = 1
    xy[0, 0] += [0, 0.2 * 0.25 * people.box[0, 2:].max() - 0.01]
    xy[1, 0] += 1000
    numbers = score_people(found, replace(people, visible=visible)).numbers
    assert numbers["counted"] == 3 * 17 - 1
    assert numbers["pck"] == pytest.approx(100 * 49 / 50)
    assert numbers["invisible"]["total"] == 0


def test_distances_are_measured_in_what_is_asked_for() -> None:
    people = crowd(4)
    found = Predictions(people.joints + np.float32([7, 0]), np.ones(people.visible.shape, np.float32))
    labelled, box = people.visible > 0, people.box[:, 2:].max(1)
    torso = np.linalg.norm(people.joints[:, 5] - people.joints[:, 12], axis=-1)
    for unit, size, threshold in (("box", box, 7 / float(np.mean(box))), ("torso", torso, 7 / float(np.median(torso)))):
        numbers = score_people(found, people, normalise=unit, threshold=threshold).numbers
        near = np.where(labelled, (threshold * size > 7)[:, None], np.nan)
        assert 0 < numbers["pck"] < 100
        assert numbers["pck"] == pytest.approx(100 * np.nanmean(np.nanmean(near, 0)))
        assert numbers["epe"] == pytest.approx(7, abs=1e-4)
        assert numbers["auc"] == pytest.approx(100 * 15 / 20)  # of 0, 1.5, .. 28.5 pixels 15 are more than 7
        assert numbers["protocol"] == f"PCK@{threshold:g} of the {unit}"
    hand = replace(people, skeleton=replace(people.skeleton, name="hand", torso=None, head=None))
    assert score_people(found, hand).numbers["protocol"] == "PCK@0.2 of the box"
    with pytest.raises(UserError, match=r"normalise: nobody of .* has a head that is labelled \(hand joints\)"):
        score_people(found, hand, normalise="head")
    heads = replace(hand, skeleton=replace(hand.skeleton, head=(0, 5)))
    result = score_people(found, heads, normalise="head")
    assert result.numbers["protocol"] == "PCK@0.5 of the head"
    mpii = replace(people, skeleton=replace(people.skeleton, name="lsp"))
    assert score_people(found, mpii, normalise="torso").numbers == score_people(found, mpii).numbers  # as published


def test_the_trainers_numbers_are_plain_json() -> None:
    people, oracle = crowd(4), Oracle()
    visible = people.visible.copy()
    visible[:, 15:] = 0  # nobody has ankles
    people = replace(people, visible=visible)
    numbers = evaluate_network(oracle, batches(people, (128, 96), oracle), people, decode="udp")
    assert numbers["pck"] == 100
    assert "Ankle" not in numbers["per_joint"]
    assert json.loads(json.dumps(numbers["per_joint"], allow_nan=False))["Knee"] == 100


def test_coco_results_follow_hrnets_protocol() -> None:
    people = crowd(4)
    xy = people.joints.copy()
    xy[1] = xy[0] + 0.1  # the same person twice in photo 40
    score = np.full(xy.shape[:2], 0.5, np.float32)
    score[1] = 0.4
    score[2, 3:] = 0.1  # below the limit: only three joints count
    area = people.box[:, 2] * people.box[:, 3] * np.float32(0.6)
    found = results(Predictions(xy, score), people, np.array([0.9, 0.9, 0.8, 0.7]), area)
    assert [r["image_id"] for r in found] == [40, 41, 41]
    assert [r["score"] for r in found] == pytest.approx([0.45, 0.4, 0.35])
    np.testing.assert_allclose(np.array(found[0]["keypoints"]).reshape(17, 3)[:, :2], xy[0] - 0.5, atol=1e-3)
    assert len(results(Predictions(xy, score), people, None, area, nms=False)) == 4
    assert len(results(Predictions(xy, score), people, None, area, sigmas=np.full(17, 1e-4))) == 4  # not so similar
    assert oks.nms(np.zeros((0, 17, 3)), np.zeros(0), np.zeros(0)).tolist() == []


def checkpoint(path: Path, joints: int) -> Path:
    torch.manual_seed(0)
    model = models.build("hrnet_tiny", joints=joints)
    return models.save(path, model, {"model": "hrnet_tiny", "joints": joints, "input": "64x64"})


def test_networks_on_real_photos(command: Command, shared_data: Path, tmp_path: Path) -> None:
    """An untrained network through every step; its saved predictions then score the same as a file."""
    path = checkpoint(tmp_path / "c.safetensors", 17)
    root, saved = shared_data / "coco_mini", tmp_path / "p.json"
    common = ["--checkpoint", path, "--dataset", "coco", "--root", root, "--input", "64x64"]
    code, shown, _ = command(
        *common, "--save-predictions", saved, "--json", tmp_path / "a.json", "--sheet", tmp_path / "s.png"
    )
    assert code == 0
    assert "AP75" in shown
    truth = root / "annotations" / "person_keypoints_val2017.json"
    assert (
        command("--dataset", "coco", "--annotations", truth, "--predictions", saved, "--json", tmp_path / "b.json")[0]
        == 0
    )
    a, b = (json.loads((tmp_path / n).read_text()) for n in ("a.json", "b.json"))
    assert a["stats"] == b["stats"]
    assert a["pck"] is not None
    assert (tmp_path / "s.png").stat().st_size > 10_000

    boxes = [
        {"image_id": i["id"], "category_id": 1, "bbox": [5, 5, 200, 300], "score": 0.9}
        for i in json.loads(truth.read_text())["images"][:3]
    ]
    (tmp_path / "d.json").write_text(json.dumps(boxes))
    code, _, _ = command(*common, "--detections", tmp_path / "d.json", "--no-flip-test", "--json", tmp_path / "a.json")
    assert code == 0
    (tmp_path / "d.json").write_text(json.dumps([{"image_id": 1, "bbox": [0, 0, 5, 5], "score": 1}]))
    code, _, errors = command(*common, "--detections", tmp_path / "d.json")
    assert (code, "record 0: image_id 1 is not in" in errors) == (2, True)

    wrong = [("--decode", "soft", "expected one of quarter, dark, udp"), ("--batch-size", 0, "expected at least 1")]
    for option, value, line in wrong:
        code, _, errors = command(*common, option, value)
        assert (code, line in errors) == (2, True)

    mpii = ["--checkpoint", checkpoint(tmp_path / "m.safetensors", 16), "--dataset", "mpii"]
    mpii += ["--root", shared_data / "mmpose_mpii"]
    assert command(*mpii, "--pyramid", "--decode", "dark", "--json", tmp_path / "m.json")[0] == 0
    numbers: dict[str, Any] = json.loads((tmp_path / "m.json").read_text())
    assert numbers["scales"] == list(PYRAMID)
    assert numbers["input"] == [64, 64]
    assert {"mean", "plain_mean", "mean@0.1", "per_joint"} <= numbers.keys()
    code, _, errors = command("--checkpoint", path, "--dataset", "mpii", "--root", shared_data / "mmpose_mpii")
    assert (code, "predicts 17 joints, but mpii has 16" in errors) == (2, True)


@pytest.mark.parametrize("option", ["json", "sheet", "save-predictions"])
def test_what_cannot_be_written_is_said_before_the_work(command: Command, option: str, tmp_path: Path) -> None:
    (tmp_path / "there.png").mkdir()
    code, _, errors = command("--checkpoint", tmp_path / "none.pt", f"--{option}", tmp_path / "there.png")
    assert code == 2 and f"{tmp_path}/there.png: Is a directory" in errors


def test_detections_on_a_store_are_cropped_from_the_photos(tmp_path: Path) -> None:
    """A store keeps the crops of its own people: a detection's row would read another one's."""
    from asda_fast.data.detections import from_detections
    from asda_fast.data.store import Store
    from asda_fast.data.store_pack import pack

    people = data.load("demo", split="val")
    pack(people, tmp_path / "val", shards=1)
    stored = data.load("demo", tmp_path, split="val")
    assert isinstance(stored.source, Store)
    rows = np.arange(len(people))[::-1]
    records = [{"image_id": int(people.image_id[i]), "bbox": people.box[i].tolist(), "score": 1.0} for i in rows]
    (tmp_path / "found.json").write_text(json.dumps(records))
    annotations = data.demo_root() / "annotations" / "person_keypoints_val.json"
    size = {"size": (64, 64), "batch_size": 16, "train": False}
    crops = [
        next(iter(make_loader(from_detections(tmp_path / "found.json", table, annotations)[0], **size)))
        for table in (people, stored)
    ]
    assert torch.equal(crops[0].image, crops[1].image)


def test_a_store_of_coco_needs_its_annotations_named(command: Command, tmp_path: Path) -> None:
    from asda_fast.data.store_pack import pack

    pack(data.load("demo", split="val").select(np.arange(4)), tmp_path / "s" / "val", shards=1)
    options = [
        "--checkpoint",
        checkpoint(tmp_path / "c.safetensors", 17),
        "--dataset",
        "demo",
        "--root",
        tmp_path / "s",
    ]
    code, _, errors = command(*options)
    assert code == 2
    assert "is a store, which keeps no annotations: name COCO's file with --annotations" in errors
    annotations = data.demo_root() / "annotations" / "person_keypoints_val.json"
    assert command(*options, "--annotations", annotations)[0] == 0


def test_unreadable_photos_leave_their_people_out_or_stop(command: Command, tmp_path: Path) -> None:
    root = tmp_path / "demo"
    shutil.copytree(data.demo_root(), root)
    sorted((root / "val").iterdir())[0].write_bytes(b"x")
    path = models.save(tmp_path / "m.safetensors", models.build("hrnet_tiny"), {"model": "hrnet_tiny", "joints": 17})
    options = ["--checkpoint", str(path), "--dataset", "demo", "--root", str(root), "--input", "64x64"]
    assert command(*options)[0] == 2
    code, out, _ = command(*options, "--on-bad-image", "skip")
    assert code == 0
    assert "left out: their photos could not be read" in out
    assert "1 images left out: they could not be read" in out
    assert "COCO keypoints, 79 images" in out
