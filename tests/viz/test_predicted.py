"""predict: photos and videos in, COCO results and pictures out, by a network that finds red, green and blue."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

import asda_fast
from asda_fast import models
from asda_fast.cli import entry, predict
from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import from_names
from asda_fast.evaluate.options import PredictOptions
from asda_fast.evaluate.predictor import Predictor, skeleton_of
from asda_fast.metrics.coco import coco
from asda_fast.viz import predicted
from asda_fast.viz.video import Video, writer

NETWORK = """
import torch.nn.functional as F
from torch import nn

class Colours(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(__import__("torch").ones(1))

    def forward(self, x):
        return self.scale * F.avg_pool2d(2 * x - x.sum(1, keepdim=True), 5, 4, 2).clamp(min=0) / 5

def make(joints):
    return Colours()
"""
DOTS = np.array([[20.5, 30.5], [60.5, 22.5], [44.5, 100.5]])  # where red, green and blue are in `scene`
NEAR = 2.6  # half a heatmap's pixel: 4 of the crop, which is 5 / 4 of a box


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "colours.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "colours", raising=False)
    skeleton = from_names("colours", ["red", "green", "blue"], [(0, 1), (1, 2)])
    config = {"model": "colours:make", "joints": 3, "input": "128x96", "skeleton": skeleton.to_dict()}
    return models.save(tmp_path / "colours.safetensors", models.build("colours:make", joints=3), config)


def scene(at: tuple[int, int] = (0, 0), size: tuple[int, int] = (128, 96), ground: int = 0) -> np.ndarray:
    picture = np.full((*size, 3), ground, np.uint8)
    for joint, (x, y) in enumerate(DOTS + at):
        colour = [0, 0, 0]
        colour[joint] = 255
        cv2.circle(picture, (int(x), int(y)), 4, colour, -1)
    return picture


def save(path: Path, picture: np.ndarray, orientation: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(path, quality=95, exif=exif)


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        entry.run(predict.main)
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def joints(record: dict[str, object]) -> np.ndarray:
    return np.array(record["keypoints"]).reshape(-1, 3)[:, :2] + 0.5


def test_photos_as_a_viewer_shows_them(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out, upright = tmp_path / "photos", tmp_path / "out", scene()
    stored = {1: upright, 3: upright[::-1, ::-1], 6: np.rot90(upright), 8: np.rot90(upright, -1), 2: upright[:, ::-1]}
    for orientation, pixels in stored.items():
        save(photos / "more" / f"turn{orientation}.jpg", np.ascontiguousarray(pixels), orientation)
    save(photos / "plain.png", upright)
    (photos / "cut.jpg").write_bytes((photos / "more" / "turn1.jpg").read_bytes()[:900])
    (photos / "none.png").write_bytes(b"")
    (photos / "list.txt").write_text("no photo")
    code, shown, errors = run(capsys, monkeypatch, "--checkpoint", checkpoint, "--images", photos, "--out", out)
    assert (code, errors) == (0, "")
    assert "1 files in " in shown and "no boxes: each photo is taken for one person, from edge to edge" in shown
    assert "4 photos are turned as their EXIF says" in shown
    assert f"skipped: {photos / 'cut.jpg'}: damaged JPEG" in shown
    assert f"skipped: {photos / 'none.png'}: empty file" in shown
    assert shown.rstrip().endswith(f"6 people, 6 pictures drawn: {out / 'results.json'}")
    records = json.loads((out / "results.json").read_text())
    assert [r["file_name"] for r in records] == [*(f"more/turn{n}.jpg" for n in (1, 2, 3, 6, 8)), "plain.png"]
    for record in records:
        np.testing.assert_allclose(joints(record), DOTS, atol=NEAR)
        assert record["bbox"] == [0, 0, 96, 128]
    drawn = cv2.imread(str(out / "drawn" / "more" / "turn6.jpg"))
    assert drawn.shape == (128, 96, 3)
    assert np.abs(drawn[..., ::-1].astype(int) - upright).max() > 100  # something is drawn
    again = run(capsys, monkeypatch, "--checkpoint", checkpoint, "--images", tmp_path, "--out", out, "--no-pictures")
    assert f"6 people: {out}" in again[1]  # its own pictures are no photos


@pytest.mark.parametrize("form", ["detections", "annotations", "names", "csv"])
def test_boxes_of_every_form(checkpoint: Path, tmp_path: Path, form: str) -> None:
    from asda_fast.evaluate.options import PredictOptions
    from asda_fast.viz.predicted import predict as work

    photos, here = tmp_path / "photos", [(10, 20), (150, 40)]
    picture = np.zeros((200, 300, 3), np.uint8)
    for at in here:
        picture = np.maximum(picture, scene(at, (200, 300)))
    save(photos / "000000000785.png", picture)
    save(photos / "9.png", picture)
    boxes = [[*at, 96.0, 128.0] for at in here]
    path = tmp_path / ("boxes.csv" if form == "csv" else "boxes.json")
    detections = [{"image_id": 785, "bbox": b, "score": s, "category_id": 1} for b, s in zip(boxes, (0.9, 0.5))]
    content: object = [*detections, {"image_id": 785, "bbox": boxes[0], "score": 0.1, "category_id": 1}]
    content = [*content, {"image_id": 785, "bbox": [1, 1, 5, 5], "score": 0.9, "category_id": 3}]  # type: ignore[misc]
    if form == "annotations":  # of two animals that share their joints
        annotations = [{"id": n, "image_id": "a", "bbox": b, "category_id": n + 1} for n, b in enumerate(boxes)]
        animals = [{"id": n, "name": f"animal {n}", "keypoints": ["red", "green", "blue"]} for n in (1, 2)]
        content = {"images": [{"id": "a", "file_name": "000000000785.png"}], "annotations": annotations}
        content["categories"] = animals
    elif form == "names":
        content = {"000000000785.png": boxes}
    path.write_text(json.dumps(content))
    if form == "csv":
        path.write_text(
            "file,x,y,width,height\n" + "".join(f"000000000785.png,{','.join(map(str, b))}\n" for b in boxes)
        )
    report = work(PredictOptions(str(checkpoint), str(photos), str(tmp_path / "out"), str(path), pictures=False))
    assert len(report.records) == 2
    for record, at in zip(report.records, here):
        np.testing.assert_allclose(joints(record), DOTS + at, atol=NEAR)
        assert record["image_id"] == {"annotations": "a"}.get(form, 785)
    assert [r["category_id"] for r in report.records] == ([1, 2] if form == "annotations" else [1, 1])
    assert any("1 of 2 photos have no box: nobody is looked for there" in note for note in report.notes)
    if form == "detections":
        assert [round(a["score"] / b["score"], 2) for a, b in [report.records]] == [1.8]
        said = " ".join(report.notes)
        assert "1 boxes left out: scored below 0.3" in said and "1 boxes left out: of another category than 1" in said
    truth = {
        "images": [{"id": report.records[0]["image_id"], "file_name": "a"}],
        "annotations": [
            {
                "id": n, "image_id": r["image_id"], "category_id": r["category_id"], "bbox": b, "area": 9000,
                "keypoints": [v for xy in DOTS + at - 0.5 for v in (*xy.tolist(), 2)],
            }
            for n, (r, b, at) in enumerate(zip(report.records, boxes, here), 1)
        ],
        "categories": [{"id": n, "name": f"{n}", "keypoints": ["red", "green", "blue"]} for n in (1, 2)],
    }  # fmt: skip
    assert coco(truth, report.records).numbers["AP"] == pytest.approx(1)  # its file is one that evaluate takes


def test_a_video_and_its_frames(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "clip.avi", tmp_path / "out"
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.5, (160, 160))
    places = [(4 * n, 2 * n) for n in range(7)]
    for at in places:
        film.write(np.ascontiguousarray(scene(at, (160, 160))[..., ::-1]))
    film.release()
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("".join(f"{n},{x},{y},96,128\n" for n, (x, y) in enumerate(places) if n != 3))
    options = ["--checkpoint", checkpoint, "--images", path, "--out", out, "--batch-size", 3]
    code, shown, errors = run(capsys, monkeypatch, *options, "--boxes", boxes)
    assert (code, errors) == (0, "")
    records = json.loads((out / "results.json").read_text())
    assert [r["image_id"] for r in records] == [0, 1, 2, 4, 5, 6]
    for record in records:
        np.testing.assert_allclose(joints(record), DOTS + places[record["image_id"]], atol=NEAR)
        assert record["file_name"] == "clip.avi"
    drawn = cv2.VideoCapture(str(out / "clip.mp4"))
    assert (drawn.get(cv2.CAP_PROP_FRAME_COUNT), drawn.get(cv2.CAP_PROP_FPS)) == (7, 12.5)
    with monkeypatch.context() as patch:  # a header that does not say how many frames there are
        patch.setattr("asda_fast.viz.video.cv2.CAP_PROP_FRAME_COUNT", -7)
        assert Video(path).frames == 7
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    code, shown, errors = run(capsys, monkeypatch, *options)
    assert code == 2 or f"skipped: {path}: " in shown  # as much as OpenCV reads of it, and that is said


def test_a_video_of_odd_sides_keeps_its_edge(tmp_path: Path) -> None:
    frame = np.full((61, 81, 3), 250, np.uint8)
    with writer(tmp_path / "a.mp4", SimpleNamespace(width=81, height=61, rate=10.0)) as write:  # type: ignore[arg-type]
        assert write is not None
        write(frame)
    with Video(tmp_path / "a.mp4") as video:
        assert (video.width, video.height) == (82, 62)
        assert next(video.chunks(1))[1][0].min() > 240


def test_a_photo_damaged_outside_the_crops(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only the drawing meets is said of the drawing."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (640, 128, 3), dtype=np.uint8)
    photo, boxes = tmp_path / "photos" / "a.jpg", tmp_path / "boxes.csv"
    save(photo, picture)
    data = bytearray(photo.read_bytes())
    data[-3000:-2900] = b"\xff\x00" * 50  # ones, which no code begins with
    photo.write_bytes(data)
    boxes.write_text("a.jpg,20,5,40,60\n")
    options = ["--checkpoint", checkpoint, "--images", photo, "--out", tmp_path / "out", "--boxes", boxes]
    code, shown, _ = run(capsys, monkeypatch, *options)
    assert code == 0 and "1 people:" in shown
    assert f"skipped: {photo}: not drawn, its people are in the results: damaged JPEG" in shown


def test_a_run_stopped_at_its_pictures_keeps_its_results(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / "photos" / f"{name}.png", scene())

    def stop(what: str, done: int, of: int) -> None:
        if what == "pictures":
            raise KeyboardInterrupt

    options = PredictOptions(checkpoint=str(checkpoint), images=str(tmp_path / "photos"), out=str(tmp_path / "out"))
    with pytest.raises(KeyboardInterrupt):
        predicted.predict(options, stop)
    records = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [record["file_name"] for record in records] == ["a.png", "b.png"]


def test_a_function_of_pictures(checkpoint: Path) -> None:
    predictor = asda_fast.Predictor(str(checkpoint), device="cpu")
    assert (predictor.skeleton.joints, predictor.size) == (("red", "green", "blue"), (128, 96))
    np.testing.assert_allclose(predictor(scene()).xy[0], DOTS, atol=NEAR)
    big = cv2.resize(scene(), None, fx=9, fy=9, interpolation=cv2.INTER_NEAREST)  # averaged, not sampled
    np.testing.assert_allclose(predictor(big).xy[0] / 9, DOTS, atol=NEAR)
    found = predictor(scene((50, 30), (220, 200)), np.array([[50, 30, 96, 128], [40, 20, 120, 150]]))
    np.testing.assert_allclose(found.xy, [DOTS + np.array([50, 30])] * 2, atol=NEAR)
    assert predictor(scene(), np.zeros((0, 4))).xy.shape == (0, 3, 2)
    for picture, box in ((scene()[..., 0], None), (scene().astype(float), None), (scene(), [[0, 0, 0, 5]])):
        with pytest.raises(UserError, match="expected"):
            predictor(picture, box)


def test_whose_joints_a_checkpoint_has() -> None:
    assert skeleton_of("x", {"joints": 16})[0].name == "mpii"
    numbered, (said,) = skeleton_of("x", {"joints": 5})
    assert (numbered.joints, said) == (
        ("0", "1", "2", "3", "4"), "the checkpoint names no joints: its 5 are called by their numbers"
    )  # fmt: skip
    names = ["l eye", "r eye"]
    assert skeleton_of("x", {"joints": 2, "joint_names": names})[0].pairs == ((0, 1),)


def test_mistakes_are_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    save(photos / "a.png", scene())
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("")
    (tmp_path / "bad.mp4").write_bytes(b"no video" * 100)
    (tmp_path / "bad.jpg").write_bytes(b"no photo" * 100)

    def boxes(content: object, suffix: str = "json") -> list[object]:
        name = f"boxes{len(list(tmp_path.iterdir()))}.{suffix}"
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return ["--boxes", tmp_path / name]

    cases: list[tuple[object, list[object], str]] = [
        ("none", [], "--images none: no such file or folder"),
        (tmp_path / "text.txt", [], "expected a folder, or a file ending in one of .jpg"),
        (tmp_path / "empty", [], "no photo in this folder"),
        (tmp_path / "bad.jpg", [], "no photo could be read: "),
        (tmp_path / "bad.mp4", [], "not a video that can be read"),
        (photos, ["--boxes", tmp_path / "none.json"], "none.json: no such file (boxes)"),
        (photos, ["--boxes", tmp_path / "text.txt"], "expected .json or .csv"),
        (photos, boxes({"b.png": [[1, 2, 3, 4]]}), "boxes of other photos: 'b.png' is none of them"),
        (photos, boxes({"a.png": [[0.1, 0.2, 0.3, 0.4]]}), "all lie in 0..1: shares of the photo's size?"),
        (photos, boxes({"a.png": [[1, 2, 3]]}), "'a.png'[0]: expected x, y, width, height and perhaps a score"),
        (photos, boxes({"a.png": [[500, 2, 30, 40]]}), "1 boxes left out: outside their photo"),
        (photos, boxes([{"bbox": [1, 2, 3, 4]}]), "record 0: expected image_id or file_name"),
        (photos, boxes([{"image_id": 1}]), "record 0: expected an object with a list 'bbox'"),
        (photos, boxes("a.png,1,2,x,4\n", "csv"), "row 1: expected x, y, width, height"),
        (photos, boxes("name,x1,y1,x2,y2\na.png,1,2,3,4\n", "csv"), "columns: expected file, x, y, width"),
        (photos, ["--threshold", "2"], "--threshold: expected 0 to 1"),
        (photos, ["--out", photos], "expected a folder of its own"),
        (photos, ["--decode", "simcc"], "--decode: expected quarter or"),
    ]  # fmt: skip
    for source, more, line in cases:
        arguments = ["--checkpoint", checkpoint, "--images", source, "--out", tmp_path / "out", *more]
        code, _, errors = run(capsys, monkeypatch, *arguments)
        assert (code, line in errors) == (2, True), (line, errors)
        assert errors.count("\n") == 1


def test_nobody_found_is_an_answer(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a detector; results of before in a folder above the photos are no reason to see none."""
    save(tmp_path / "photos" / "a.png", scene())
    for content in ([], {"a.png": []}):
        (tmp_path / "boxes.json").write_text(json.dumps(content))
        code, shown, errors = run(
            capsys, monkeypatch, "--checkpoint", checkpoint, "--images", tmp_path / "photos", "--boxes",
            tmp_path / "boxes.json", "--out", tmp_path,
        )  # fmt: skip
        assert (code, errors) == (0, "") and "1 of 1 photos have no box" in shown
        assert json.loads((tmp_path / "results.json").read_text()) == []


@pytest.mark.parametrize(("image", "boxes", "message"), [
    (0, np.ones((4, 5)), r"boxes: expected \[P, 4\]: x, y, width, height, got \[4, 5\]"),  # not five boxes
    (0, np.ones((4, 2)), r"boxes: expected \[P, 4\].* got \[4, 2\]"),
    (0, [[1, 2, 3, 4], [1, 2]], r"boxes: expected numbers \[P, 4\]"),
    (0, [[1e9, 0, 5, 5]], "boxes: expected finite"),
    (0, [[0, 0, np.nan, 5]], "boxes: expected finite"),
    (Image.new("RGB", (8, 8)), None, r"image: expected an array .* got Image"),
    (np.zeros((0, 8, 3), np.uint8), None, r"image: expected \[H, W, 3\]"),
])  # fmt: skip
def test_a_wrong_picture_or_box_is_named(checkpoint: Path, image: object, boxes: object, message: str) -> None:
    predictor = Predictor(str(checkpoint), device="cpu")
    with pytest.raises(UserError, match=f"^{message}"):
        predictor(scene() if isinstance(image, int) else image, boxes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("option", "value"), [("decode", "half"), ("device", "gpu")])
def test_a_wrong_option_of_the_predictor_is_named(checkpoint: Path, option: str, value: str) -> None:
    with pytest.raises(UserError, match=f"^{option}: expected .* got '?{value}"):
        Predictor(str(checkpoint), **{option: value})  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_predicted(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "photos" / "a.jpg", scene())
    out = tmp_path / "photos" / "a.jpg" / "out"
    monkeypatch.setattr(Predictor, "run", None)
    code, _, said = run(capsys, monkeypatch, "--checkpoint", checkpoint, "--images", tmp_path / "photos", "--out", out)
    assert code == 2
    assert said == f"error: --out {out}: cannot be made: Not a directory\n"
