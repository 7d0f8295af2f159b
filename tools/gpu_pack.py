"""Wheels for a GPU machine without a package index: `make gpu-pack` writes build/carry, `make gpu-check` there uses it.

    python -m tools.gpu_pack [--python 3.12] [--arch 90] [--part-mib 32]

What is carried is small, so that it passes through narrow doors: wheels of what such a machine lacks (torch, NumPy,
SciPy, numba, OpenCV, h5py, CuPy and pytest it must have), and DALI with the code of one GPU architecture only, as
dali.tar.xz.0, .1, .. and dali.parts, their number (58 MiB for sm_90, of 500; the parts may come one a call). --no-dali
leaves that out. Takes three minutes and binutils.
"""

from __future__ import annotations

import argparse
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["simplejpeg", "tyro", "docstring-parser", "typeguard", "pycocotools", "safetensors", "pybind11", "hypothesis"]
SMALL += ["sortedcontainers", "kornia", "kornia-rs"]
DALI = [
    "nvidia-dali-cuda130<2.3",
    "nvidia-nvimgcodec-cu13<0.9",
    "nvidia-nvjpeg",
    "astunparse",
    "gast",
    "nvtx",
    "makefun",
]
DALI += ["optree", "six", "packaging"]
FATBIN = 0xBA55ED50  # the magic number of a container of device code


def download(folder: Path, package: str, python: str) -> None:
    platforms = [f"manylinux{name}_x86_64" for name in ("_2_28", "_2_27", "_2_17", "2014", "2010", "_2_12", "1")]
    where = [word for name in platforms for word in ("--platform", name)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps"]
    subprocess.run(
        [
            *pip,
            "--only-binary=:all:",
            "--python-version",
            python,
            "--implementation",
            "cp",
            *where,
            "-d",
            str(folder),
            package,
        ],
        check=True,
    )


def prune(data: bytearray, sections: str, keep: int) -> None:
    """Zero the device code of every architecture but the best for `keep` (90: sm_90), so that it compresses to nothing.
    `sections`: what `readelf -SW` says of the shared library."""
    for match in re.finditer(r"(?:\.nv_fatbin|__nv_relfatbin)\s+PROGBITS\s+\S+\s+(\S+)\s+(\S+)", sections):
        place = int(match[1], 16)
        end = place + int(match[2], 16)
        while place < end - 16:
            magic, _, header, length = struct.unpack_from("<IHHQ", data, place)
            if magic != FATBIN:
                place += 8
                continue
            entry, stop, entries = place + header, place + header + length, []
            while entry < stop:
                kind, _, head, size = struct.unpack_from("<HHIQ", data, entry)
                (architecture,) = struct.unpack_from("<I", data, entry + 28)
                entries.append((entry + head, size, kind, architecture))
                entry += head + size
            fits = [a for *_, kind, a in entries if kind == 2 and a // 10 == keep // 10 and a <= keep]
            best = max(fits, default=None)  # machine code (kind 2); where there is none, its PTX (kind 1)
            for start, size, kind, architecture in entries:
                if not ((kind == 2 and architecture == best) or (best is None and kind == 1)):
                    data[start : start + size] = bytes(size)
            place = stop


def shrink(site: Path, python: str, keep: int) -> None:
    """Drop what the GPU machine cannot use from the unpacked wheels."""
    tag = f"cpython-{python.replace('.', '')}-"
    for path in sorted(site.rglob("*")):
        other = re.search(r"\.cpython-\d+-", path.name) and tag not in path.name
        if path.is_file() and (other or path.name.startswith(("libnvjpeg2k_ext", "libnvtiff_ext"))):
            path.unlink()
        elif path.is_dir() and path.name in ("include", "__pycache__"):
            shutil.rmtree(path)
    for path in sorted(site.rglob("*.so*")):
        if path.is_file() and path.stat().st_size > 1 << 20:
            sections = subprocess.run(["readelf", "-SW", path], capture_output=True, text=True, check=True).stdout
            if "nv_fatbin" in sections or "nv_relfatbin" in sections:
                data = bytearray(path.read_bytes())
                prune(data, sections, keep)
                path.write_bytes(data)
            subprocess.run(["strip", "--strip-unneeded", path], capture_output=True, check=False)


def main() -> None:
    cli = argparse.ArgumentParser(prog="python -m tools.gpu_pack", description=(__doc__ or "").splitlines()[0])
    cli.add_argument("--out", type=Path, default=ROOT / "build" / "carry")
    cli.add_argument("--python", default="3.12", help="of the GPU machine")
    cli.add_argument("--arch", type=int, default=90, help="its GPU's architecture: 90 is sm_90, Hopper")
    cli.add_argument("--part-mib", type=int, default=32, help="size of a part of DALI's archive")
    cli.add_argument("--no-dali", action="store_true")
    args = cli.parse_args()
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    for package in SMALL:
        download(args.out, package, args.python)
    if not args.no_dali:
        with tempfile.TemporaryDirectory() as folder:
            wheels, site = Path(folder) / "wheels", Path(folder) / "site"
            for package in DALI:
                download(wheels, package, args.python)
            for wheel in wheels.glob("*.whl"):
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(site)
            shrink(site, args.python, args.arch)
            archive_path = Path(folder) / "dali.tar.xz"
            with tarfile.open(archive_path, "w:xz") as out:
                out.add(site, ".")
            data, part = archive_path.read_bytes(), args.part_mib << 20
            starts = range(0, len(data), part)
            for number, start in enumerate(starts):
                (args.out / f"dali.tar.xz.{number}").write_bytes(data[start : start + part])
            (args.out / "dali.parts").write_text(f"{len(starts)}\n")
    files = sorted(args.out.iterdir())
    print(f"{len(files)} files, {sum(file.stat().st_size for file in files) >> 20} MiB in {args.out}")


if __name__ == "__main__":
    main()
