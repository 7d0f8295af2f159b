"""Damaged photos through every reader: do loader (native, DALI), pack and parts agree, and what passes unseen?

    python -m benchmarks.damage --count 3000

Photos of the demo set in five encodings are damaged at a place drawn at random: bits turned, bytes overwritten, lost or
added, a sector zeroed, the end cut off. Each file then goes through the four readers, in crops that show all of it, and
is compared with the photo before the damage. Beside them: what libjpeg-turbo, Pillow and OpenCV take without an error.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from asda_fast import make_loader
from asda_fast.core import images
from asda_fast.data import People, check, load
from asda_fast.data.demo import demo_root
from asda_fast.data.store_index import read as read_store
from asda_fast.data.store_pack import pack
from asda_fast.parts.read import Unusable, read_photo

ENCODINGS: dict[str, tuple[str, dict[str, object]]] = {  # Pillow's mode and options
    "4:2:0": ("RGB", {"subsampling": "4:2:0", "optimize": True}),
    "4:4:4": ("RGB", {"subsampling": "4:4:4"}),
    "progressive": ("RGB", {"progressive": True}),
    "restart": ("RGB", {"restart_marker_rows": 1}),
    "grey": ("L", {}),
}
DAMAGES = ("bit", "bytes", "lost", "added", "sector", "cut")
CROP = (128, 128)  # large enough that no photo is decoded smaller


@dataclass(frozen=True)
class Case:
    """One damaged file."""

    encoding: str
    damage: str
    good: bytes
    bad: bytes


def encoded(count: int) -> dict[str, list[bytes]]:
    """`count` demo photos in each encoding."""
    paths = sorted((demo_root() / "train").glob("*.jpg"))[:count]
    found: dict[str, list[bytes]] = {name: [] for name in ENCODINGS}
    for number, path in enumerate(paths):
        for name, (mode, options) in ENCODINGS.items():
            file = io.BytesIO()
            Image.open(path).convert(mode).save(file, "JPEG", quality=(75, 90, 96)[number % 3], **options)
            found[name].append(file.getvalue())
    return found


def damaged(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """`data` with one damage, in the scans or (one in eight) anywhere."""
    first = data.index(b"\xff\xda") if rng.random() < 7 / 8 else 2
    at = int(rng.integers(first, len(data) - 2))
    length = int(rng.integers(1, 31))
    if kind == "bit":
        return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]
    if kind == "bytes":
        return data[:at] + rng.bytes(len(data[at : at + length])) + data[at + length :]
    if kind == "lost":
        return data[:at] + data[at + length :]
    if kind == "added":
        return data[:at] + rng.bytes(length) + data[at:]
    if kind == "sector":
        return data[:at] + bytes(len(data[at : at + 512])) + data[at + 512 :]
    return data[:at]


def cases(count: int, seed: int = 0) -> list[Case]:
    """`count` damaged files, encodings and damages in turn."""
    rng, sources, found = np.random.default_rng(seed), encoded(12), []
    names = [(encoding, damage) for damage in DAMAGES for encoding in ENCODINGS]
    while len(found) < count:
        encoding, damage = names[len(found) % len(names)]
        good = sources[encoding][int(rng.integers(len(sources[encoding])))]
        bad = damaged(good, damage, rng)
        if bad != good:
            found.append(Case(encoding, damage, good, bad))
    return found


def write(root: Path, found: list[Case]) -> People:
    """The files as a COCO set: one person a photo, whose crop shows all of it."""
    (root / "annotations").mkdir(parents=True)
    (root / "train2017").mkdir()
    photos, annotations = [], []
    for number, case in enumerate(found):
        name = f"{number:05d}.jpg"
        (root / "train2017" / name).write_bytes(case.bad)
        width, height = Image.open(io.BytesIO(case.good)).size
        photos.append({"id": number, "file_name": name, "height": height, "width": width})
        joints = [v for j in range(17) for v in (5 + j * (width - 10) / 17, 5 + j * (height - 10) / 17, 2)]
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, width, height],
             "area": width * height, "keypoints": joints}
        )  # fmt: skip
    table = {"images": photos, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (root / "annotations" / "person_keypoints_train2017.json").write_text(json.dumps(table))
    return load("coco", root)


def by_loader(people: People, pipeline: str) -> tuple[set[str], dict[str, np.ndarray]]:
    """The photos refused, and the crops of the others."""
    crops = {}
    with make_loader(people, CROP, 32, pipeline, train=False, on_bad_image="skip") as loader:
        for batch in loader:
            for row, image in zip(batch.row.tolist(), batch.image.numpy()):
                crops[people.files[people.file[row]]] = image.copy()
        return set(loader.bad_images), crops


def by_pack(people: People, folder: Path) -> set[str]:
    pack(people, folder, size=CROP, raw=True, skip_bad=True)
    kept = read_store(folder, "train")
    return set(people.files) - {people.files[int(number)] for number in kept.image_id}


def by_parts(people: People) -> set[str]:
    bad = set()
    for path, size in zip(people.files, people.image_size.tolist()):
        try:
            read_photo(Path(path), size)
        except (Unusable, images.OtherSize):
            bad.add(path)
    return bad


def refusals(people: People, folder: Path) -> tuple[dict[str, set[str]], float]:
    """Reader -> the photos it refuses; and how far the two pipelines' crops of the others are apart, at most, in grey
    levels on average."""
    native, crops = by_loader(people, "native")
    found = {"native": native, "pack": by_pack(people, folder), "parts": by_parts(people)}
    found["data check"] = {problem.photo for problem in check.photos(people)}
    apart = 0.0
    try:
        import nvidia.dali  # noqa: F401
    except ImportError:
        return found, apart
    found["dali"], others = by_loader(people, "dali")
    for name in crops.keys() & others.keys():
        apart = max(apart, float(np.abs(crops[name].astype(int) - others[name]).mean()))
    return found, apart


def pixels(data: bytes) -> np.ndarray:
    """As libjpeg makes them, whatever it warns of."""
    return simplejpeg.decode_jpeg(data, "RGB", strict=False)


PEERS: dict[str, Callable[[bytes], np.ndarray | None]] = {
    "libjpeg-turbo, warnings are errors": lambda data: simplejpeg.decode_jpeg(data, "RGB"),
    "libjpeg-turbo, warnings ignored": pixels,
    "Pillow": lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
    "OpenCV": lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB),
    "asda_fast": lambda data: images.read(data, "photo"),
}


def verdict(case: Case, reader: Callable[[bytes], np.ndarray | None]) -> str:
    """refused, right (every pixel as before) or wrong."""
    try:
        found = reader(case.bad)
    except Exception:
        return "refused"
    if found is None:
        return "refused"
    good = reader(case.good)
    assert good is not None
    return "right" if found.shape == good.shape and (found == good).all() else "wrong"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=3000, help="damaged files")
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    found = cases(args.count, args.seed)
    with tempfile.TemporaryDirectory() as folder:
        people = write(Path(folder) / "set", found)
        refused, apart = refusals(people, Path(folder) / "store")
    names = list(refused)
    differ = set.union(*refused.values()) - set.intersection(*refused.values())
    print(f"{len(found)} damaged files; refused: " + ", ".join(f"{name} {len(refused[name])}" for name in names))
    print(f"files on which {', '.join(names)} do not agree: {len(differ)}")
    for path in sorted(differ)[:10]:
        case = found[int(Path(path).stem)]
        print("  ", case.encoding, case.damage, [name for name in names if path in refused[name]])
    print(f"crops of native and dali differ by at most {apart:.2f} grey levels on average")
    width = max(map(len, PEERS))
    for name, reader in PEERS.items():
        counts = Counter(verdict(case, reader) for case in found)
        shown = ", ".join(f"{counts[what]:5} {what}" for what in ("refused", "right", "wrong"))
        print(f"{name:{width}} {shown}")
    wrong = Counter(case.damage for case in found if verdict(case, PEERS["asda_fast"]) == "wrong")
    print("passing and wrong, by damage:", dict(wrong))


if __name__ == "__main__":
    main()
