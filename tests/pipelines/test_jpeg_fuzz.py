"""The region decoder reads strangers' bytes: 20,000 mutated photos under AddressSanitizer and UBSan."""

from __future__ import annotations

import platform
import re
import subprocess
import sysconfig
from pathlib import Path

import cv2
import numpy as np
import pybind11
import pytest

ROOT = Path(__file__).resolve().parents[2]
SANITIZE = ["-std=c++17", "-O1", "-g1", "-w", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
KINDS = {  # OpenCV's names for what photos come as
    "420": [],
    "444": [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
    "422": [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422],
    "restart": [cv2.IMWRITE_JPEG_RST_INTERVAL, 3],
    "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    "optimised": [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
}


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fuzzer, linked with the shipped sources. Their Python bindings are never called, so nothing provides them."""
    folder = tmp_path_factory.mktemp("fuzz")
    sources = [
        *sorted(ROOT.glob("csrc/jpeg_*.cpp")),
        *sorted(ROOT.glob("csrc/warp*.cpp")),
        Path(__file__).with_name("jpeg_fuzz.cpp"),
    ]
    include = [f"-I{ROOT / 'csrc'}", f"-I{pybind11.get_include()}", f"-I{sysconfig.get_path('include')}"]
    running, objects = [], []
    for source in sources:
        objects.append(str(folder / f"{source.name}.o"))
        simd = ["-mavx2", "-mf16c"] if source.stem.endswith("_avx2") else []
        running.append(subprocess.Popen(["g++", *SANITIZE, *simd, *include, "-c", str(source), "-o", objects[-1]]))
    assert [process.wait() for process in running] == [0] * len(running)
    program = folder / "fuzz"
    link = ["-no-pie", "-Wl,--unresolved-symbols=ignore-all", "-pthread"]
    subprocess.run(["g++", *SANITIZE, *link, *objects, "-o", str(program)], check=True)
    return program


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the decoder is for x86-64")
def test_mutated_photos_under_sanitizers(fuzz: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (15, 20, 3), dtype=np.uint8)
    files = []
    for kind, options in KINDS.items():
        for size in ((160, 120), (133, 97)):
            photo = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
            photo = cv2.add(photo, random.integers(0, 24, photo.shape, dtype=np.uint8))
            path = tmp_path / f"{kind}-{size[0]}.jpg"
            assert cv2.imwrite(str(path), photo, [cv2.IMWRITE_JPEG_QUALITY, 85, *options])
            files.append(str(path))
    cv2.imwrite(files[0], cv2.imread(files[0], cv2.IMREAD_GRAYSCALE))
    done = subprocess.run(
        [str(fuzz), str(20_000 // len(files) + 1), *files], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    decoded, refused = map(int, re.findall(r"\d+", done.stdout))
    assert decoded + refused >= 20_000
    assert decoded > 1000, "the mutations hardly reach the decoder"
    assert refused > 1000
