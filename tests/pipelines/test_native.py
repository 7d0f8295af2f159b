"""The native pipeline: the warp against OpenCV and a plain twin, region decoding against libjpeg, buffers."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image

from asda_fast import _C, make_loader
from asda_fast.core.images import BadImage, crop
from asda_fast.data import GlobalAug, draw, load
from asda_fast.data.crop import crop_matrices
from asda_fast.pipelines.samples import shrink_of

SIZE = (64, 48)


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Blurred noise, uint8 [height, width, 3]."""
    noise = np.random.default_rng(seed).normal(128, 60, (height, width, 3))
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.5) * 2 - 128, 0, 255).astype(np.uint8).reshape(height, width, 3)


def matrices(count: int, height: int, width: int, size: tuple[int, int] = SIZE, seed: int = 0) -> np.ndarray:
    """Crops of all kinds: inside, across the edge, wholly outside, magnified and minified, flipped."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-0.3, 1.3, (count, 2)) * [width, height]
    extent = np.exp(rng.uniform(np.log(8), np.log(180), count))
    return crop_matrices(centre, extent, rng.uniform(-3.2, 3.2, count), rng.random(count) < 0.5, size)


def warped(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int] = SIZE, simd: bool = True) -> np.ndarray:
    out = np.full((*size, 3), 77, np.uint8)
    matrix = np.ascontiguousarray(matrix, np.float64)
    _C.warp(
        image.ctypes.data, *image.shape[:2], image.strides[0], matrix.ctypes.data, out.ctypes.data, *size, simd=simd
    )
    return out


def twin(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear sampling in float64 with a black border, written from the definition."""
    height, width, _ = image.shape
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    u, v = (matrix[i, 0] * x + matrix[i, 1] * y + matrix[i, 2] - 0.5 for i in range(2))
    left, top = np.floor(u).astype(int), np.floor(v).astype(int)
    total = np.zeros((*size, 3))
    for j in range(2):
        for i in range(2):
            weight = np.abs(1 - i - (u - left)) * np.abs(1 - j - (v - top))
            inside = (left + i >= 0) & (left + i < width) & (top + j >= 0) & (top + j < height)
            taps = image[np.clip(top + j, 0, height - 1), np.clip(left + i, 0, width - 1)]
            total += np.where(inside, weight, 0)[..., None] * taps
    return total


def opencv(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """warpAffine, whose pixel centres are integers: T(-.5) M T(+.5)."""
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    full = np.linalg.inv(shift) @ np.vstack([matrix, [0, 0, 1]]) @ shift
    return cv2.warpAffine(image, full[:2], size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


@pytest.mark.parametrize("shape", [(120, 160), (1, 1), (2, 3), (5, 200)])
def test_warp_against_the_definition(shape: tuple[int, int]) -> None:
    image = scene(*shape)
    for matrix in matrices(40, *shape):
        out = warped(image, matrix)
        assert (out == warped(image, matrix, simd=False)).all()
        difference = np.abs(out - twin(image, matrix, SIZE))
        assert difference.mean() < 0.3  # half a grey level of rounding, weights of 7 bits
        assert difference.max() < 2.5


def test_warp_of_a_padded_image_reads_no_padding() -> None:
    padded = np.full((50, 90, 3), 255, np.uint8)
    padded[:, :80] = scene(50, 80)
    image = padded[:, :80]
    for matrix in matrices(20, 50, 80):
        assert (warped(image, matrix) == warped(np.ascontiguousarray(image), matrix)).all()


def test_whole_pixels_are_copied() -> None:
    image = scene(64, 48)
    assert (warped(image, np.array([[1.0, 0, 0], [0, 1, 0]])) == image).all()
    assert (warped(image, np.array([[-1.0, 0, 48], [0, 1, 0]])) == image[:, ::-1]).all()


def test_nothing_of_the_photo_is_black() -> None:
    assert not warped(scene(30, 30), np.array([[1.0, 0, 1e6], [0, 1, 1e6]])).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e12])
def test_impossible_matrices(bad: float) -> None:
    image, matrix = scene(30, 30), np.array([[1.0, 0, 0], [0, bad, 0]])
    with pytest.raises(ValueError, match="matrix"):
        warped(image, matrix)
    data = simplejpeg.encode_jpeg(image)
    with pytest.raises(ValueError, match="matrix"):
        crop(data, "x.jpg", matrix, np.zeros((*SIZE, 3), np.uint8))


def test_real_photos_against_opencv(shared_data: Path) -> None:
    """Within the five bits of OpenCV's weights, on the crops that a COCO training would see."""
    people = load("coco", shared_data / "coco_mini")
    plan = draw(people, (256, 192), epoch=0, seed=0, train=True, aug=GlobalAug(), batch_size=1, drop_last=False)
    means = []
    for row, matrix in zip(plan.row, plan.matrix.astype(np.float64)):
        image = simplejpeg.decode_jpeg(Path(people.files[people.file[row]]).read_bytes())
        difference = np.abs(warped(image, matrix, (256, 192)).astype(int) - opencv(image, matrix, (256, 192)))
        means.append(difference.mean())
        assert difference.max() <= 3
    assert np.mean(means) < 0.1


def full(data: bytes, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return warped(simplejpeg.decode_jpeg(data), matrix, size)


def region(data: bytes, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    out = np.full((*size, 3), 77, np.uint8)
    return out if crop(data, "x.jpg", matrix, out) else None


def encoded(image: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [30, 92, 100])
@pytest.mark.parametrize("shape", [(160, 240), (97, 131), (16, 33)])
def test_region_is_libjpegs_bit_for_bit(shape: tuple[int, int], quality: int, subsampling: str) -> None:
    for kind in ({}, {"restart_marker_blocks": 3}, {"progressive": True}):
        data = encoded(scene(*shape), quality=quality, subsampling=subsampling, **{"optimize": quality == 92, **kind})
        for matrix in matrices(12, *shape, seed=quality):
            out = region(data, matrix, SIZE)
            assert out is not None
            assert (out == full(data, matrix, SIZE)).all()


def test_grey_region() -> None:
    for progressive in (False, True):
        data = encoded(scene(90, 120)[:, :, :1], progressive=progressive)
        for matrix in matrices(12, 90, 120):
            assert (region(data, matrix, SIZE) == full(data, matrix, SIZE)).all()


def test_extreme_contrast() -> None:
    """Clamping, long codes, and coefficients of every size."""
    rng = np.random.default_rng(0)
    image = np.where(rng.random((80, 80, 3)) < 0.5, 0, 255).astype(np.uint8)
    for quality in (1, 50, 100):
        data = encoded(image, quality=quality, subsampling="4:4:4", progressive=quality == 50)
        matrix = np.array([[1.0, 0, 3], [0, 1, 5]])
        assert (region(data, matrix, SIZE) == full(data, matrix, SIZE)).all()


def test_real_regions(shared_data: Path) -> None:
    for name, folder in (("coco", "coco_mini"), ("lsp", "lspet"), ("mpii", "mmpose_mpii")):
        people = load(name, shared_data / folder, "val")
        plan = draw(people, (128, 96), epoch=0, seed=0, train=True, aug=GlobalAug(), batch_size=1, drop_last=False)
        for row, matrix in list(zip(plan.row, plan.matrix.astype(np.float64)))[:150]:
            data = Path(people.files[people.file[row]]).read_bytes()
            assert (region(data, matrix, (128, 96)) == full(data, matrix, (128, 96))).all()


def test_what_the_region_decoder_leaves_to_libjpeg() -> None:
    image, matrix = scene(60, 80), np.array([[1.0, 0, 0], [0, 1, 0]])
    whole = encoded(image)
    for data in (encoded(image, keep_rgb=True), whole[:100], b"", b"\xff\xd8", b"GIF89a"):
        assert region(data, matrix, SIZE) is None
    for data in (whole[:-2], whole[: len(whole) // 2]):  # no end marker: nothing that libjpeg need see
        with pytest.raises(BadImage, match="ends before the photo does"):
            region(data, matrix, SIZE)
    file = io.BytesIO()
    Image.fromarray(image).convert("CMYK").save(file, "JPEG")
    assert region(file.getvalue(), matrix, SIZE) is None


def test_small_decodes_only_for_large_people() -> None:
    def at(ratio: float) -> int:
        return shrink_of(np.array([[0, ratio, 9], [-ratio, 0, 9.0]]))

    assert [at(r) for r in (0.5, 3.9, 4.1, 7.9, 8.1, 15.9, 16.1, 100)] == [1, 1, 2, 2, 4, 4, 8, 8]


def test_a_large_person_is_close_to_the_full_decode() -> None:
    image = cv2.GaussianBlur(scene(1200, 1600), (0, 0), 4)
    data, size = encoded(image, quality=95), (64, 48)
    matrix = crop_matrices(np.array([[800.0, 600]]), np.array([48 * 5.0]), np.array([0.3]), np.array([False]), size)[0]
    small = simplejpeg.decode_jpeg(data, min_height=600, min_width=800, min_factor=2.0)
    assert small.shape[:2] == (600, 800)
    assert np.abs(warped(small, matrix / 2, size).astype(int) - full(data, matrix, size)).mean() < 1


def test_buffers_are_used_again_but_never_under_a_batch(photos: Path) -> None:
    people = load("coco", photos)
    with make_loader(people, SIZE, 4, aug=GlobalAug(), threads=3) as loader:
        kept = list(loader)
        copies = [batch.image.clone() for batch in kept]
        assert len({batch.image.data_ptr() for batch in kept}) == len(kept)
        loader.set_epoch(0)
        for old, copy, new in zip(kept, copies, loader):
            assert (new.image == copy).all()
            assert (old.image == copy).all()
        del kept, old, new
        places = {batch.image.data_ptr() for _ in range(10) for batch in loader}
        assert len(places) <= 12


def test_thread_counts_agree(photos: Path) -> None:
    people = load("coco", photos)
    loaders = [make_loader(people, SIZE, 5, aug=GlobalAug(), threads=t, prefetch=p) for t, p in ((1, 1), (4, 3))]
    for a, b in zip(*loaders):
        assert (a.image == b.image).all()
        assert (a.row == b.row).all()


def test_a_forgotten_loader_leaves_no_threads(photos: Path) -> None:
    def workers() -> int:
        return sum(thread.name == "asda_fast" for thread in threading.enumerate())

    before = workers()
    loader = make_loader(load("coco", photos), SIZE, 4, threads=3)
    next(iter(loader))
    assert workers() == before + 3
    del loader
    deadline = time.monotonic() + 10
    while workers() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert workers() == before


def test_a_script_may_end_while_photos_are_decoded() -> None:
    """A thread that came back from C++ into an interpreter that is gone would abort the process (code 134)."""
    code = (
        "import asda_fast\n"
        "loader = asda_fast.make_loader(asda_fast.data.load('demo'), size=(512, 384), batch_size=64, threads=4)\n"
        "batches = iter(loader); next(batches); next(batches)\n"
    )
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr


def test_a_forked_child_may_go_on_with_the_loader() -> None:
    loader = make_loader(load("demo", split="val"), size=(64, 64), batch_size=8, train=False)
    batches = iter(loader)
    first = next(batches).row.tolist()
    child = os.fork()
    if child == 0:
        try:
            next(batches)  # the parent's own: its photos are decoded there
        except RuntimeError:
            os._exit(int(next(iter(loader)).row.tolist() != first))
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


def test_a_batch_owns_its_memory() -> None:
    loader = make_loader(load("demo", split="val"), size=(64, 64), batch_size=8, train=False)
    batch = next(iter(loader))
    kept = batch.joints.clone()
    batch.joints.zero_()
    assert torch.equal(next(iter(loader)).joints, kept)


@pytest.mark.parametrize("pipeline", ["native", "dali"])
def test_an_iteration_that_is_over_says_so(pipeline: str) -> None:
    """After `close`, or once a newer one has begun: no hang, and no image beside another one's joints."""
    loader = make_loader(load("demo", split="val"), size=(64, 64), batch_size=8, train=False, pipeline=pipeline)
    old = iter(loader)
    next(old)
    new = iter(loader)
    row = next(new).row
    with pytest.raises(RuntimeError, match="this iteration is over"):
        next(old)
    assert not torch.equal(next(new).row, row)
    loader.close()
    with pytest.raises(RuntimeError, match="this iteration is over"):
        next(new)
    assert (loader.state()["epoch"], loader.state()["step"]) == (0, 2)
