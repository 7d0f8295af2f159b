"""sdist -> wheel -> an install that is not the checkout: what it holds, and that it runs where it cannot write."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import asda_fast

ROOT = Path(__file__).resolve().parents[2]
SNIPPET = """
import os, numpy as np, torch, asda_fast
from asda_fast import _C
here = os.path.dirname(asda_fast.__file__)
assert os.path.realpath(here) == os.path.realpath(os.environ["EXPECTED"]), here
patch = np.full((8, 8, 4), 255, np.uint8)
pool = asda_fast.PartPool.from_patches([patch])
image, part = torch.zeros(2, 3, 16, 16), torch.zeros(2, 1, dtype=torch.int64)
matrix = torch.eye(2, 3).expand(2, 1, 2, 3).clone().requires_grad_()
out = asda_fast.paste(image, pool, part, matrix)
assert out[:, :, :8, :8].eq(1).all() and out[:, :, 9:, 9:].eq(0).all()
out.square().sum().backward()
batch = next(iter(asda_fast.make_loader(asda_fast.data.load("demo"), size=(64, 64), batch_size=4, pipeline="native")))
assert batch.image.shape == (4, 64, 64, 3)
from asda_fast.metrics import oks
people = np.ones((2, 17, 3))
assert oks.nms(people, np.array([1.0, 2.0]), np.array([9.0, 9.0])).tolist() == [1]
from asda_fast.ops import nvrtc
assert (nvrtc.folder() / "paste_forward.cu").is_file()
print("ran")
"""


def run(*command: object, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@functools.cache
def listed() -> tuple[str, ...]:
    found = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        pytest.skip("not a git checkout: what belongs into the package is read from git")
    return tuple(name for name in found.stdout.splitlines() if (ROOT / name).is_file())


def tracked(*under: str) -> list[str]:
    return [name for name in listed() if name.startswith(tuple(f"{folder}/" for folder in under))]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made from a copy of what git tracks, in a folder whose name has a space."""
    source = tmp_path_factory.mktemp("a stranger's folder") / "src"
    for name in listed():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    run(sys.executable, "setup.py", "-q", "sdist", cwd=source)
    return next((source / "dist").glob("*.tar.gz"))


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("un packed")
    with tarfile.open(sdist) as archive:
        archive.extractall(target)
    return next(target.iterdir())


def quick(folder: Path) -> dict[str, str]:
    """Environment in which CMake hands the compiler -O0 last: these tests ask what is built, not how fast it is, and
    `make env` has built the same sources as they ship."""
    launcher = folder / "quick"
    launcher.write_text('#!/bin/sh\nexec "$@" -O0 -fno-lto\n', encoding="utf-8")
    launcher.chmod(0o755)
    return {"CMAKE_CXX_COMPILER_LAUNCHER": str(launcher)}


def build(source: Path, target: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where pip's own environment has them
    run(*pip, "--no-build-isolation", "-w", target, source, cwd=target, PATH=path, **quick(source.parent))
    return next(target.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(unpacked, tmp_path_factory.mktemp("wheel"))


def test_the_sdist_holds_what_it_is_built_from(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"CMakeLists.txt", "setup.py", "pyproject.toml", "README.md", "LICENSE"}
    assert wanted | set(tracked("csrc", "kernels", "asda_fast")) <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "tools", "docs"))]


def test_the_wheel_says_its_version_and_its_licences(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    assert f"\nVersion: {asda_fast.__version__}\n" in text
    held = {name.partition(".dist-info/licenses/")[2] for name in names}
    assert {"LICENSE", "THIRD_PARTY.md", "licenses/pybind11.txt"} <= held


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = set(tracked("asda_fast")) | {f"asda_fast/{name}" for name in tracked("kernels")}
    assert {name for name in names if not re.fullmatch(r"asda_fast/_C\..*\.so", name)} == expected
    assert len(names) == len(expected) + 1


def test_a_second_build_outlives_the_tools_of_the_first(unpacked: Path, tmp_path: Path) -> None:
    """pip's build environment, whose ninja the first build's cache names, is gone by the second. A small module stands
    for ours."""
    source, first, second = (tmp_path / name for name in ("source", "first", "second"))
    shutil.copytree(unpacked, source, ignore=shutil.ignore_patterns("build", "csrc", "demo"))
    for folder in (source / "csrc", first, second):
        folder.mkdir()
    (source / "csrc" / "small.cpp").write_text("#include <pybind11/pybind11.h>\nPYBIND11_MODULE(_C, m) {}\n")
    build(source, first)
    (cache,) = source.glob("build/**/CMakeCache.txt")
    gone = re.sub(r"(CMAKE_MAKE_PROGRAM:\w+=).*", r"\1/gone/ninja", cache.read_text(encoding="utf-8"))
    assert "/gone/ninja" in gone
    cache.write_text(gone, encoding="utf-8")
    built = zipfile.ZipFile(build(source, second)).namelist()
    assert [name for name in built if re.fullmatch(r"asda_fast/_C\..*\.so", name)]


def read_only(folder: Path) -> list[str]:
    """A command's beginning that lets it see `folder` as read-only: root writes past modes, so for root by a mount."""
    if os.geteuid() != 0:
        return []
    mount = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"']
    try:
        tried = subprocess.run([*mount, str(folder), "true"], capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"root needs unshare for a read-only folder: {error}")
    if tried.returncode:
        pytest.skip(f"root may not mount here: {tried.stderr.strip()}")
    return [*mount, str(folder)]


def test_it_runs_from_a_read_only_folder_without_a_home(wheel: Path, tmp_path: Path) -> None:
    site, work = tmp_path / "site packages", tmp_path / "work"
    work.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    folders = [site, *(path for path in site.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    nowhere = {"HOME": "/proc/no", "XDG_CACHE_HOME": "/proc/no", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(work)}
    environment = nowhere | {"PYTHONPATH": str(site), "EXPECTED": str(site / "asda_fast")}
    command = [*read_only(site), sys.executable, "-c", SNIPPET]
    try:
        assert run(*command, cwd=work, **environment).strip() == "ran"
    finally:
        for path in folders:
            path.chmod(0o755)
