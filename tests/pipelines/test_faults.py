"""Bad photos: every kind is read or reported by name, under both policies, and nothing hangs."""

from __future__ import annotations

import io
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from asda_fast import make_loader
from asda_fast.core.errors import UserError
from asda_fast.core.images import BadImage, crop, read
from asda_fast.data import GlobalAug, load
from asda_fast.pipelines import native
from asda_fast.pipelines.samples import make_crop, warp

SIZE = (48, 32)
WHOLE = np.array([[4.0, 0, 0], [0, 2.0, 0]])  # a 128 x 96 photo in a 32 x 48 crop


def scene(height: int = 96, width: int = 128) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), (x + y) % 256], 2).astype(np.uint8)


def as_jpeg(image: np.ndarray, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).convert(mode).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def exif_rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter
    return as_jpeg(scene(), exif=exif)


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


GOOD = {
    "progressive": as_jpeg(scene(), progressive=True),
    "grey": as_jpeg(scene(), "L"),
    "cmyk": as_jpeg(scene(), "CMYK"),
    "exif": exif_rotated(),
    "png": png(scene()[..., ::-1]),
    "png16": png(scene()[..., ::-1].astype(np.uint16) * 257),
    "png grey": png(scene()[..., 0]),
    "png alpha": png(np.dstack([scene()[..., ::-1], np.full((96, 128), 99, np.uint8)])),
    "one pixel": as_jpeg(scene(1, 1)),
    "20 megapixels": simplejpeg.encode_jpeg(np.full((4000, 5000, 3), 90, np.uint8)),
    "garbage after the end": as_jpeg(scene()) + b"trailing bytes",
}
BAD = {
    "truncated": as_jpeg(scene())[:1500],
    "truncated progressive": as_jpeg(scene(), progressive=True)[:1500],
    "end marker missing": as_jpeg(scene())[:-2],
    "empty": b"",
    "text": b"<html>404 not found</html>",
    "header only": as_jpeg(scene())[:30],
    "png cut short": png(scene())[:300],
    "huge claim": as_jpeg(scene()).replace(b"\x00\x60\x00\x80", b"\xff\xf0\xff\xf0", 1),
}


def crop_of(photos: Path, data: bytes | None, size: tuple[int, int] = SIZE) -> np.ndarray:
    people = load("coco", photos)
    path = Path(people.files[0])
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    out = np.full((*size, 3), 77, np.uint8)
    people.image_size[:] = 0  # as of LSP and MPII: nobody has declared it
    make_crop(people, 0, WHOLE, size, out)
    return out


@pytest.mark.parametrize("kind", GOOD)
def test_readable_kinds(photos: Path, kind: str) -> None:
    out = crop_of(photos, GOOD[kind])
    if kind == "one pixel":
        assert not out[1:].any()
        return
    if kind == "20 megapixels":
        assert (np.abs(out.astype(int) - 90) <= 1).all()
        return
    expected = crop_of(photos, as_jpeg(scene()))
    if "grey" in kind:
        assert (out[..., 0] == out[..., 1]).all()
        assert (out[..., 1] == out[..., 2]).all()
        return
    # CMYK is rounded twice; the others hold the same picture, EXIF orientation ignored.
    assert np.abs(out.astype(int) - expected).mean() < (4 if kind == "cmyk" else 1.5)


@pytest.mark.parametrize("kind", [*BAD, "missing"])
def test_unreadable_kinds_are_named(photos: Path, kind: str) -> None:
    with pytest.raises(BadImage, match=r"000\.jpg") as caught:
        crop_of(photos, BAD.get(kind))
    assert "\n" not in str(caught.value)


def test_error_policy_names_file_and_reason(photos: Path) -> None:
    people = load("coco", photos)
    Path(people.files[5]).write_bytes(b"")
    for threads in (1, 3):
        with make_loader(people, SIZE, 4, aug=GlobalAug(), threads=threads) as loader:
            with pytest.raises(UserError, match=r"005\.jpg: empty file"):
                list(loader)
            with pytest.raises(UserError, match=r"005\.jpg"):  # and again: the threads are still there
                list(loader)


def test_skip_policy_replaces_counts_and_reports(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    people = load("coco", photos)
    with make_loader(people, SIZE, 4, aug=GlobalAug(), drop_last=False) as loader:
        clean = list(loader)
    Path(people.files[5]).write_bytes(b"")
    Path(people.files[6]).unlink()
    runs = []
    for threads in (1, 3):
        with (
            make_loader(
                people, SIZE, 4, aug=GlobalAug(), drop_last=False, on_bad_image="skip", threads=threads
            ) as loader,
            caplog.at_level(logging.WARNING, "asda_fast"),
        ):
            runs.append(list(loader))
            assert loader.skipped == 4
            assert sorted(Path(name).name for name in loader.bad_images) == ["005.jpg", "006.jpg"]
            assert "replaced 4 samples of 2 bad photos" in caplog.text
            assert "No such file" in caplog.text
    for a, b, before in zip(*runs, clean):
        for name, value in vars(a).items():
            assert (value == getattr(b, name)).all()
        for place, row in enumerate(before.row.tolist()):
            if row // 2 in (5, 6):  # two people to a photo; both photos are bad, the next good one is that of row 14
                assert a.row[place] == 14
            else:
                assert (a.image[place] == before.image[place]).all()


def test_a_photo_that_vanishes_during_an_epoch(photos: Path) -> None:
    people = load("coco", photos)
    with make_loader(people, SIZE, 2, on_bad_image="skip", prefetch=1, aug=GlobalAug()) as loader:
        batches = iter(loader)
        next(batches)
        for name in people.files[:6]:
            Path(name).unlink()
        assert sum(len(batch) for batch in batches) == 24
        assert loader.skipped > 0


def test_when_no_photo_can_be_read(photos: Path) -> None:
    people = load("coco", photos)
    for name in people.files:
        Path(name).unlink()
    with make_loader(people, SIZE, 4, on_bad_image="skip") as loader, pytest.raises(UserError, match="no other photo"):
        list(loader)


def test_a_box_outside_the_photo_is_black_not_a_crash(photos: Path) -> None:
    people = load("coco", photos)
    people.centre[:] += 5000
    with make_loader(people, SIZE, 4, train=False) as loader:
        assert not any(batch.image.any() for batch in loader)


def test_a_failing_worker_is_the_callers_exception(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = load("coco", photos)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("in a worker")

    with make_loader(people, SIZE, 4) as loader:
        with monkeypatch.context() as patch:
            patch.setattr(native, "make_crop", broken)
            with pytest.raises(ZeroDivisionError, match="in a worker"):
                list(loader)
        assert sum(len(batch) for batch in loader) == 24


INTERRUPTED = """
import signal, sys, time
from asda_fast import make_loader
from asda_fast.data import load
from asda_fast.pipelines import native
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
people, stuck = load("coco", sys.argv[1]), sys.argv[2] == "stuck"
def sleepy(*args): time.sleep(60)
if stuck:
    native.make_crop = sleepy
loader = make_loader(people, (48, 32), 4)
print("ready", flush=True)
while True:
    for batch in loader:
        pass
"""


@pytest.mark.parametrize(("state", "trial"), [("busy", 1), ("busy", 2), ("busy", 3), ("stuck", 1)])
def test_control_c_ends_at_once(photos: Path, state: str, trial: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(photos), state],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        try:
            process.wait(timeout=20)
        finally:
            process.kill()
        assert time.monotonic() - start < 10  # it would hang for ever; the machine may be busy
        assert process.returncode != 0


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Flipped bytes all over or in the header, and sometimes an end cut off."""
    array = np.frombuffer(data, np.uint8).copy()
    where = 700 if rng.random() < 0.4 else len(array)
    places = rng.integers(0, min(where, len(array)), rng.integers(1, 20))
    array[places] = rng.integers(0, 256, len(places))
    end = rng.integers(1, len(array)) if rng.random() < 0.3 else len(array)
    return array[:end].tobytes()


def survive(sources: list[bytes], count: int) -> tuple[int, int]:
    rng = np.random.default_rng(0)
    out, good, bad = np.empty((*SIZE, 3), np.uint8), 0, 0
    for number in range(count):
        data = mutated(sources[number % len(sources)], rng)
        angle, ratio = rng.uniform(0, 6.3), rng.uniform(0.3, 3)
        cos, sin = ratio * np.cos(angle), ratio * np.sin(angle)
        matrix = np.array([[cos, -sin, rng.uniform(0, 600)], [sin, cos, rng.uniform(0, 400)]])
        try:
            if not crop(data, "mutated", matrix, out):
                warp(read(data, "mutated"), matrix, out)
            good += 1
        except BadImage:
            bad += 1
    return good, bad


def test_mutated_jpegs(photos: Path) -> None:
    sources = [Path(name).read_bytes() for name in load("coco", photos).files] + [GOOD["progressive"], GOOD["grey"]]
    good, bad = survive(sources, 600)
    assert good > 50
    assert bad > 50


def test_a_thousand_mutated_real_jpegs(shared_data: Path) -> None:
    files = sorted((shared_data / "coco_mini").glob("*2017/*.jpg")) + sorted(
        (shared_data / "mmpose_mpii").glob("images/*")
    )
    good, bad = survive([path.read_bytes() for path in files], 1000)
    assert good + bad == 1000
    assert bad > 100


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("pipeline", ["native", "dali"])
def test_a_crop_wholly_outside_a_photo_of_no_declared_size_is_no_black_one(
    pipeline: str, kind: str, photos: Path
) -> None:
    if pipeline == "dali":
        pytest.importorskip("nvidia.dali")
    people = load("coco", photos)
    people.image_size[:] = 0
    name = people.files[3]
    Image.open(name).resize((10, 20)).save(name, kind)  # its people's boxes begin at x 5 and 25
    with make_loader(people, SIZE, 4, pipeline, train=False, on_bad_image="skip") as loader:
        images = [batch.image for batch in loader]
        assert all(image.any() for batch in images for image in batch)
        assert list(loader.bad_images) == [name]
        assert loader.bad_images[name].startswith("is 10 x 20, its person at x 25 to 95, y 10 to 90 is wholly outside")
    with make_loader(people, SIZE, 4, pipeline, train=False) as loader, pytest.raises(UserError, match="is 10 x 20"):
        list(loader)
