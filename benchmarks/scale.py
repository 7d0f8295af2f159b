"""Packing and cutting a million photos, on paper: measured on a thousand and multiplied.

    python -m benchmarks.scale --root COCO [--photos 250 1000] [--json FILE]

COCO holds train2017/ and annotations/person_keypoints_train2017.json; its photos are linked as often as it takes to
have so many. Each command runs in a process of its own: its CPU time (user and system), the most memory it held, and
the bytes that it wrote. Two sizes tell what grows with the photos from what does not. `annotations` reads the file of
people and nothing else, at twenty times these sizes: it is what grows in the memory of all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from asda_fast.core.hardware import cores
from benchmarks.common import ROOT, Report, parser

MILLION = 1_000_000
PEOPLE = "annotations/person_keypoints_train2017.json"
PACK = ["asda_fast.data", "pack", "--dataset", "coco", "--root", ".", "--split", "train", "--out"]
COMMANDS = {
    "annotations": ["annotations"],
    "data pack": [*PACK, "packed"],
    "data pack --raw": [*PACK, "raw", "--raw"],
    "parts build --coco": [
        "asda_fast.parts", "build", "--images", "train2017", "--coco", PEOPLE, "--workers", "1", "--out", "pool"
    ],
}  # fmt: skip
MEASURED = """
import atexit, runpy, sys
def say():
    held = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    open("held", "w").write(held.split()[1])
atexit.register(say)
if sys.argv[1] == "annotations":
    from asda_fast.data import load
    load("coco", ".", "train")
else:
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""  # ru_maxrss would count what this process held when it was forked


def enlarge(root: Path, out: Path, photos: int) -> int:
    """A COCO folder of so many photos in `out`, made of links; how many people it has."""
    data = json.loads((root / PEOPLE).read_text())
    (out / "train2017").mkdir(parents=True)
    (out / "annotations").mkdir()
    of: dict[int, list[dict[str, Any]]] = {}
    for person in data["annotations"]:
        of.setdefault(person["image_id"], []).append(person)
    usable = [image for image in data["images"] if (root / "train2017" / image["file_name"]).is_file()]
    images, people = [], []
    for number in range(photos):
        image = usable[number % len(usable)]
        link = f"{number:012d}.jpg"
        (out / "train2017" / link).symlink_to((root / "train2017" / image["file_name"]).resolve())
        images.append({**image, "id": number, "file_name": link})
        people += [{**p, "id": len(people) + i, "image_id": number} for i, p in enumerate(of.get(image["id"], ()))]
    (out / PEOPLE).write_text(json.dumps({**data, "images": images, "annotations": people}))
    return len(people)


def run(command: list[str], folder: Path) -> tuple[float, float]:
    """CPU seconds and the most MiB held, of a command run in `folder`."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-c", MEASURED, *command], cwd=folder, env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: failed")
    return used.ru_utime + used.ru_stime, int((folder / "held").read_text()) / 1024


def written(folder: Path) -> int:
    own = [p for p in folder.rglob("*") if p.is_file() and not p.is_symlink() and p.parent.name != "annotations"]
    return sum(path.stat().st_size for path in own)


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--root", type=Path, required=True)
    options.add_argument("--photos", type=int, nargs=2, default=[250, 1000], help="two sizes, small and large")
    args = options.parse_args()
    report = Report(threads=args.threads or cores())
    few, many = args.photos
    used: dict[tuple[str, int], tuple[float, float]] = {}
    size: dict[str, float] = {}
    for photos in (few, many, 20 * few, 20 * many):
        with tempfile.TemporaryDirectory() as folder:
            people = enlarge(args.root.resolve(), Path(folder), photos)
            for name in COMMANDS if photos in (few, many) else ["annotations"]:
                before = written(Path(folder))
                used[name, photos] = run(COMMANDS[name], Path(folder))
                size[name] = (written(Path(folder)) - before) / photos
    print(f"{people / photos:.1f} annotated people a photo")
    for name in COMMANDS:
        less, more = (20 * few, 20 * many) if name == "annotations" else (few, many)
        (start, low), (end, high) = used[name, less], used[name, more]
        cpu = (end - start) / (more - less)
        rows = {"CPU ms a photo": cpu * 1000, f"MiB held, {less} photos": low, f"MiB held, {more} photos": high}
        if name == "annotations":
            rows["a million: GiB held"] = (high + (high - low) / (more - less) * (MILLION - more)) / 1024
        else:
            rows |= {"kB written a photo": size[name] / 1000, "a million: GB written": size[name] * MILLION / 1e9}
        rows["a million: core hours"] = cpu * MILLION / 3600
        print(name)
        for what, value in rows.items():
            print(f"  {what:28} {value:10.2f}")
            report.add(name, {"of": what, "people a photo": round(people / photos, 1)}, "1", value)
    if args.json:
        report.save(args.json)


if __name__ == "__main__":
    main()
