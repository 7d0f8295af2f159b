"""The one decoder: which photos it takes, which way up, and that each refusal is one line that names the photo."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps

from asda_fast.core import images
from asda_fast.core.images import BadImage, OtherSize
from asda_fast.data.demo import demo_root
from asda_fast.pipelines.samples import warp

DEMO = sorted((demo_root() / "val").glob("*.jpg"))
TURNED = (5, 6, 7, 8)


def scene(height: int = 60, width: int = 80) -> np.ndarray:
    noise = np.random.default_rng(0).normal(128, 60, (height, width, 3))
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 2) * 2 - 128, 0, 255).astype(np.uint8)


def encode(image: np.ndarray, kind: str = "JPEG", mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).convert(mode).save(file, kind, **options)
    return file.getvalue()


def before_marker(data: bytes, marker: int, stray: bytes) -> bytes:
    """`stray` in front of the first header marker 0xff, `marker`."""
    at = 2
    while data[at + 1] != marker:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data[:at] + stray + data[at:]


def warning(data: bytes) -> str:
    """The first of libjpeg's warnings, or its error."""
    try:
        simplejpeg.decode_jpeg(data)
    except ValueError as error:
        return str(error)
    return ""


def test_sound_photos_are_libjpegs_bit_for_bit() -> None:
    for path in DEMO[:40]:
        data = path.read_bytes()
        whole = images.read(data, path.name)
        assert (whole == simplejpeg.decode_jpeg(data)).all()
        assert images.size_of(data, path.name) == whole.shape[:2]
        images.check(data, path.name, whole.shape[:2])


@pytest.mark.parametrize("shrink", [2, 4, 8])
@pytest.mark.parametrize("edge", [(0, 0), (1, 0), (0, 3), (5, 7)])
def test_smaller_photos_are_means(shrink: int, edge: tuple[int, int]) -> None:
    for progressive in (False, True):
        data = encode(scene(64 - edge[0], 96 - edge[1]), progressive=progressive)
        whole = images.read(data, "x").astype(np.float64)
        small = images.read(data, "x", shrink=shrink)
        assert small.shape == (-(-whole.shape[0] // shrink), -(-whole.shape[1] // shrink), 3)
        for y, x in np.ndindex(*small.shape[:2]):
            mean = whole[y * shrink : (y + 1) * shrink, x * shrink : (x + 1) * shrink].mean((0, 1))
            assert np.abs(small[y, x] - mean).max() <= 0.5
        near = simplejpeg.decode_jpeg(
            data, "RGB", min_height=small.shape[0], min_width=small.shape[1], min_factor=float(shrink)
        )
        assert np.abs(small.astype(int) - near).mean() < 2  # libjpeg's own way, of the frequencies


@pytest.mark.parametrize("shrink", [2, 4, 8])
def test_a_crop_of_a_smaller_photo_is_that_of_the_whole_photo(shrink: int) -> None:
    data, rng = encode(scene(301, 403)), np.random.default_rng(shrink)
    small = images.read(data, "x", shrink=shrink)
    for _ in range(20):
        angle, ratio = rng.uniform(0, 6.3), shrink * rng.uniform(1, 3)
        turn = ratio * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.concatenate([turn, rng.uniform(-50, 300, (2, 1))], axis=1)
        out, want = np.empty((24, 32, 3), np.uint8), np.empty((24, 32, 3), np.uint8)
        assert images.crop(data, "x", matrix, out, (301, 403), shrink)
        warp(small, matrix / shrink, want)
        assert (out == want).all()


def test_what_libjpeg_calls_extraneous_bytes_within_the_scans_is_refused() -> None:
    rng, met = np.random.default_rng(0), 0
    while met < 30:
        good = DEMO[int(rng.integers(len(DEMO)))].read_bytes()
        at = int(rng.integers(len(good) // 6, len(good) // 2))
        bad = good[:at] + rng.bytes(30) + good[at + 30 :]
        if "extraneous bytes before marker 0xd9" not in warning(bad):
            continue
        met += 1
        for read in (images.read, images.check, lambda data, name: images.read(data, name, shrink=2)):
            with pytest.raises(BadImage, match=r"^x\.jpg: damaged JPEG \("):
                read(bad, "x.jpg")


@pytest.mark.parametrize("marker", [0xDB, 0xC4, 0xC0, 0xDA])
@pytest.mark.parametrize("stray", [b"\0\0", b"\xff\0", b"some text"])
def test_stray_bytes_before_a_headers_marker_are_harmless(marker: int, stray: bytes) -> None:
    for good in (encode(scene()), encode(scene(), mode="CMYK")):  # ours, and one that only libjpeg knows
        bad = before_marker(good, marker, stray)
        assert "extraneous bytes" in warning(bad)
        assert (images.read(bad, "x") == images.read(good, "x")).all()
        images.check(bad, "x")
        assert images.read(bad, "x", shrink=2).shape == (30, 40, 3)
    assert images.plain_size(before_marker(encode(scene()), marker, stray)) is None  # DALI need not know them


def test_stray_bytes_in_the_header_do_not_hide_damage() -> None:
    cut = encode(scene(), mode="CMYK")
    bad = before_marker(cut[: len(cut) * 2 // 3] + b"\xff\xd9", 0xDB, b"\0\0")
    assert "extraneous" in warning(bad)  # the first, harmless warning is all that libjpeg tells
    with pytest.raises(BadImage, match="premature end"):
        images.read(bad, "x")


ENCODINGS = {
    "4:2:0": {"subsampling": "4:2:0"},
    "4:4:4": {"subsampling": "4:4:4"},
    "progressive": {"progressive": True},
    "restart": {"restart_marker_rows": 1},
    "optimised": {"optimize": True},
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_scan_ends_where_its_marker_stands(encoding: str, mode: str) -> None:
    good = encode(scene(), mode=mode, quality=90, **ENCODINGS[encoding])
    want = images.read(good, "x")
    for fine in (good + b"anything", good[:-2] + b"\xff\xff\xff\xd9"):
        assert (images.read(fine, "x") == want).all()
        images.check(fine, "x")
    for left_over in (b"\0", b"\0\0", b"\x7f", b"\x12\x34\x56", bytes(40)):
        with pytest.raises(BadImage, match="left over"):
            images.check(good[:-2] + left_over + b"\xff\xd9", "x")
    for short in (good[:-2], good[:-40], good[:-40] + b"\xff\xd9"):
        with pytest.raises(BadImage, match="x: damaged JPEG"):
            images.read(short, "x")
        with pytest.raises(BadImage, match="x: damaged JPEG"):
            images.check(short, "x")


def test_a_header_that_libjpeg_only_grumbles_at_is_fine_at_every_size() -> None:
    good = encode(scene())
    odd = good.replace(b"JFIF\0\x01", b"JFIF\0\x09", 1)
    assert "JFIF" in warning(odd)
    for shrink in (1, 2):
        assert (images.read(odd, "x", shrink=shrink) == images.read(good, "x", shrink=shrink)).all()


@pytest.mark.parametrize(("step", "taken"), [(120, True), (700, False)])
def test_a_brightness_that_no_photo_has_is_damage(step: int, taken: bool) -> None:
    """Two blocks, each `step` brighter than the one before, in the standard's codes and steps of 8 / 8: two of 700 are
    brighter than white, which libjpeg does not mind."""
    flat = encode(np.full((8, 16, 3), 128, np.uint8), mode="L", quality=100)
    size = step.bit_length()
    category = {7: "11110", 10: "11111110"}[size]  # ITU T.81, table K.3
    block = category + f"{step:0{size}b}" + "1010"  # no other coefficient
    bits = (block * 2).ljust(-(-2 * len(block) // 8) * 8, "1")
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    data = flat[: flat.index(b"\xff\xda") + 10] + scan + b"\xff\xd9"
    assert warning(data) == ""
    if taken:
        assert images.read(data, "x")[0, ::8, 0].tolist() == [128 + step // 8, 128 + step // 4]
        return
    with pytest.raises(BadImage, match="makes no sense"):
        images.read(data, "x")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_declared_size_says_which_way_up(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(scene(), kind, exif=exif)
    stored = images.read(encode(scene(), kind), "x")
    for undeclared in (None, (0, 0), (60, 80)):
        assert (images.read(data, "x", undeclared) == stored).all()
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    if orientation in TURNED:
        assert shown.shape == (80, 60, 3)
        turned = images.read(data, "x", (80, 60))
        assert np.abs(turned.astype(int) - shown).max() <= 1  # two decoders
        assert images.size_of(data, "x", (80, 60)) == (80, 60)
        images.check(data, "x", (80, 60))
        with pytest.raises(OtherSize, match=r"x: is 80 x 60 \(60 x 80 turned as its EXIF says\), .* say 10 x 20$"):
            images.read(data, "x", (20, 10))
    else:
        for read in (images.read, images.check, images.size_of):
            with pytest.raises(OtherSize, match=r"x: is 80 x 60, its annotations say 60 x 80$"):
                read(data, "x", (80, 60))


def test_a_crop_is_of_the_declared_size_or_left_to_read() -> None:
    data, out, matrix = encode(scene()), np.empty((20, 30, 3), np.uint8), np.array([[1.0, 0, 9], [0, 1, 9]])
    assert images.crop(data, "x", matrix, out, (60, 80))
    assert (out == images.read(data, "x")[9:29, 9:39]).all()
    assert not images.crop(data, "x", matrix, out, (80, 60))


def test_bit_damage_of_a_png_is_caught_by_its_checksums() -> None:
    good = encode(scene(), "PNG")
    assert (images.read(good, "x") == scene()).all()
    rng, caught = np.random.default_rng(0), 0
    for _ in range(200):
        at = int(rng.integers(8, len(good)))
        bad = good[:at] + bytes([good[at] ^ 1 << int(rng.integers(8))]) + good[at + 1 :]
        with pytest.raises(BadImage, match=r"^x: "):
            images.read(bad, "x")
        caught += 1
    assert caught == 200
    with pytest.raises(BadImage, match="cut short"):
        images.read(good[:-15], "x")


@pytest.mark.parametrize("suffix", images.SUFFIXES)
def test_every_kind_that_is_looked_for_can_be_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    kind = {".jfif": "JPEG", ".jpe": "JPEG"}.get(suffix)
    Image.fromarray(scene()).save(path, kind)
    data = images.read_bytes(path)
    got = images.read(data, "x", (60, 80))
    assert np.abs(got.astype(int) - scene()).mean() < 6
    images.check(data, "x", (60, 80))
    with pytest.raises(BadImage, match=r"^x: "):
        images.read(data[: len(data) * 2 // 3], "x")


@pytest.mark.parametrize("kind", [b"P2", b"P3", b"P5", b"P6"])
def test_a_ppm_whose_white_is_no_white_of_ours_is_refused(kind: bytes) -> None:
    values = scene()[..., 0] if kind in (b"P2", b"P5") else scene()
    for white, kept in ((255, values), (15, values // 17), (1023, values)):
        kept = kept.astype(np.uint8 if white < 256 else ">u2")
        plain = " ".join(map(str, kept.ravel())).encode() + b"\n"
        data = kind + b" # made\n80 60\n%d\n" % white + (plain if kind in (b"P2", b"P3") else kept.tobytes())
        if white == 255:
            assert (images.read(data, "x") == values.reshape(60, 80, -1)).all()
            images.check(data, "x")
        else:
            for read in (images.read, images.check, images.size_of):
                with pytest.raises(BadImage, match=f"^x: its largest value is {white}: expected"):
                    read(data, "x")


def test_a_damaged_tiff_is_no_noise_on_the_terminal_and_a_photo(capfd: pytest.CaptureFixture[str]) -> None:
    good = encode(scene(), "TIFF", compression="tiff_adobe_deflate")
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 16
    with pytest.raises(BadImage, match=r"^x: "):
        images.read(bytes(bad), "x")


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"<html>", b"\x89PNG\r\n\x1a\n", bytes(500)])
def test_what_is_no_picture_is_one_line(data: bytes) -> None:
    for read in (images.read, images.check, images.size_of):
        with pytest.raises(BadImage, match=r"^x: ") as caught:
            read(data, "x")
        assert "\n" not in str(caught.value)
    with pytest.raises(BadImage, match="No such file"):
        images.read_bytes("nowhere/x.jpg")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
def test_12_bits_in_16_are_no_dark_photo(suffix: str) -> None:
    full = (np.random.default_rng(0).random((20, 30, 3)) * 65535).astype(np.uint16)
    for bits in (8, 10, 12):
        data = cv2.imencode(suffix, full >> (16 - bits))[1].tobytes()
        with pytest.raises(images.BadImage, match=f"x{suffix}: 16 bits a colour, but all values are below 4096"):
            images.read(data, f"x{suffix}")
    assert images.read(cv2.imencode(suffix, full)[1].tobytes(), "x").max() > 250
    assert images.read(cv2.imencode(suffix, np.zeros((9, 9, 3), np.uint8))[1].tobytes(), "x").max() == 0


@pytest.mark.parametrize(
    ("name", "reason"), [("a\0b.jpg", "null"), ("x" * 300, "too long"), ("none.jpg", "No such file")]
)
def test_a_name_that_cannot_be_is_a_bad_image(name: str, reason: str) -> None:
    with pytest.raises(images.BadImage, match=reason):
        images.read_bytes(name)


def test_another_package_s_open_changes_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ultralytics replaces Pillow's: of what is no picture it says that pi_heif is missing."""

    def heif(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'pi_heif'")

    monkeypatch.setattr(Image, "open", heif)
    with pytest.raises(images.BadImage, match=r"x\.jpg: not a readable image"):
        images.read(b"no photo", "x.jpg")
