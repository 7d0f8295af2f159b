"""A GPU machine without a package index: what it lacks, taken from what `make gpu-pack` made (build/carry).

Only the standard library is imported here: this runs before anything is known to be installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CARRY, SITE = ROOT / "build" / "carry", ROOT / "build" / "gpu" / "site"
DALI = ROOT / "build" / "gpu" / "dali"  # there once it is whole
# Module -> package. CuPy and torch are as large as a machine's memory for them: they must be there.
NEEDED = {
    "torch": "torch", "numpy": "numpy", "scipy": "scipy", "numba": "numba", "pycocotools": "pycocotools",
    "safetensors": "safetensors", "simplejpeg": "simplejpeg", "cv2": "opencv-python-headless", "PIL": "pillow",
    "h5py": "h5py", "tyro": "tyro", "rich": "rich", "tensorboard": "tensorboard", "pytest": "pytest",
    "hypothesis": "hypothesis",
}  # fmt: skip


def on_path() -> None:
    """This process and those it starts see the checkout, then what is installed, then what was carried."""
    carried = [str(SITE), str(DALI)]
    for place in (str(ROOT), *carried):
        if place not in sys.path:
            sys.path.append(place)
    given = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    places = [str(ROOT), *given, *carried]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(places))
    importlib.invalidate_caches()


def missing() -> list[str]:
    on_path()
    return [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]


def unpack() -> list[str]:
    """Install the carried wheels into build/gpu/site; returns what is missing even so."""
    wheels = sorted(CARRY.glob("*.whl"))
    if wheels and not SITE.is_dir():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-index", "--no-deps"]
        subprocess.run([*pip, "--no-compile", "--target", str(SITE), *map(str, wheels)], check=False)
    return missing()


def unpack_dali() -> str | None:
    """Unpack the carried DALI once all its parts have come, be it one a call; None, or what there is to say."""
    came = sorted(CARRY.glob("dali.tar.xz.*"))
    if DALI.is_dir() or not came:
        return None
    parts = DALI.with_name("dali-parts")  # the next call may replace what was carried
    parts.mkdir(parents=True, exist_ok=True)
    for part in came:
        shutil.copy(part, parts)
    try:
        count = int((CARRY / "dali.parts").read_text())
        have = [parts / f"dali.tar.xz.{number}" for number in range(count)]
        if lacking := [part.name for part in have if not part.is_file()]:
            return f"DALI: waits for {', '.join(lacking)}"
        half, whole = DALI.with_name("dali-half"), DALI.with_name("dali.tar.xz")
        shutil.rmtree(half, ignore_errors=True)
        with whole.open("wb") as out:
            for part in have:
                out.write(part.read_bytes())
        with tarfile.open(whole) as archive:
            archive.extractall(half)
        (half / "nvidia" / "__init__.py").unlink(missing_ok=True)  # it would hide the nvidia.* packages of torch
        half.rename(DALI)
        whole.unlink()
    except (OSError, EOFError, ValueError, tarfile.TarError, lzma.LZMAError) as error:
        return f"DALI: cannot be unpacked ({type(error).__name__}: {error})"
    shutil.rmtree(parts)
    importlib.invalidate_caches()
    return None


def build() -> str | None:
    """Build asda_fast._C into the checkout with the cmake that is there; None, or what went wrong."""
    target, python = ROOT / "build" / "gpu" / "cmake", sys.executable
    found = subprocess.run([python, "-m", "pybind11", "--cmakedir"], capture_output=True, text=True)
    if found.returncode:
        return "expected pybind11"
    configure = ["cmake", "--fresh", "-S", str(ROOT), "-B", str(target), "-DCMAKE_BUILD_TYPE=Release"]
    configure += [f"-DPython_EXECUTABLE={python}", f"-Dpybind11_DIR={found.stdout.strip()}"]
    for command in (configure, ["cmake", "--build", str(target), "--parallel"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            return f"{command[0]}: {error.strerror}"
        if done.returncode:
            return (done.stderr or done.stdout).strip().splitlines()[-1]
    return None
