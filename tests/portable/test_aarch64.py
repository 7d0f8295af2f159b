"""The C++ parts cross-compiled for aarch64 and run by qemu: the same bits as x86's portable path, which the other tests
hold to be those of AVX2 and of the reference. Debian's g++-aarch64-linux-gnu and qemu-user."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pybind11
import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPILER, EMULATOR = (
    shutil.which("aarch64-linux-gnu-g++"),
    shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static"),
)
INCLUDED = ("paste.cpp", "paste_pool.cpp", "parts.cpp", "bindings.cpp")  # by digests.cpp, or only for Python


def flags() -> list[str]:
    """The shipped ones, from CMakeLists.txt."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(r"target_compile_options\(_C PRIVATE ([^)]*)\)", text)
    assert found
    return [flag for flag in found[1].split() if not flag.startswith("-W")]


def digests(compiler: str, folder: Path, *run: str) -> list[str]:
    sources = [p for p in sorted(ROOT.glob("csrc/*.cpp")) if not p.stem.endswith("_avx2") and p.name not in INCLUDED]
    include = [f"-I{ROOT / 'csrc'}", f"-I{ROOT / 'kernels'}", f"-I{pybind11.get_include()}"]
    include.append(f"-I{sysconfig.get_path('include')}")
    objects, running = [], []
    for source in [*sources, Path(__file__).with_name("digests.cpp")]:
        objects.append(str(folder / f"{source.stem}.o"))
        command = [compiler, "-std=c++17", *flags(), *include, "-c", str(source), "-o", objects[-1]]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    said = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * len(running), said
    # The bindings are never called, so nothing provides Python.
    link = ["-static", "-no-pie", "-Wl,--unresolved-symbols=ignore-all", "-pthread"]
    subprocess.run([compiler, *objects, *link, "-o", str(folder / "digests")], check=True)
    done = subprocess.run([*run, str(folder / "digests")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(
    not COMPILER or not EMULATOR, reason="needs g++-aarch64-linux-gnu and qemu-user (Debian's packages)"
)
def test_bits_are_those_of_x86(tmp_path: Path) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++ to compare with")
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    expected = digests(compiler, here)
    assert len({line.split()[-1] for line in expected}) > 70  # not the same number over and over
    assert COMPILER
    assert EMULATOR
    assert digests(COMPILER, there, EMULATOR) == expected
