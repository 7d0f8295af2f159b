"""Building a part pool, photos per second on one core, beside a straightforward OpenCV script.

    python -m benchmarks.parts --images DIR --labels DIR --scheme ccp [--photos 24] [--json FILE]

Without --images it measures on the demo set. Both read the same files and write what they cut to disk. The script does
less: it has no filters but the area, hard edges, full size, and one PNG per part.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from asda_fast.parts.build import build_pool
from asda_fast.parts.cut import Filters
from asda_fast.parts.labels import Scheme, load_scheme
from asda_fast.parts.read import Pair, find_pairs, read_map, read_photo
from benchmarks.common import Report, Timing, interleave, parser


def opencv_script(pairs: list[Pair], scheme: Scheme, out: Path) -> int:
    """What one writes in an afternoon: per type a mask, connectedComponentsWithStats, crop, imwrite."""
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for pair in pairs:
        photo = cv2.imread(str(pair.photo))
        label = np.array(Image.open(pair.label))
        for rule in scheme.rules:
            mask = np.isin(label, rule.ids).astype(np.uint8)
            if not mask.any():
                continue
            _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask)
            for i in range(1, len(stats)):
                x, y, w, h, area = stats[i]
                if area < 35**2:
                    continue
                alpha = np.where(numbers[y : y + h, x : x + w] == i, 255, 0).astype(np.uint8)
                patch = np.dstack([photo[y : y + h, x : x + w], alpha])
                cv2.imwrite(str(out / f"{Path(pair.name).name}_{rule.type}_{i}.png"), patch)
                count += 1
    return count


def only_read(pairs: list[Pair]) -> None:
    """The floor: decode every photo and map."""
    for pair in pairs:
        read_photo(pair.photo)
        read_map(pair.label)


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--images", type=Path, default=None, help="photos (default: the demo set)")
    options.add_argument("--labels", type=Path, default=None)
    options.add_argument("--scheme", default="lip")
    options.add_argument("--photos", type=int, default=24, help="photos per round")
    args = options.parse_args()
    if args.images is None:
        from asda_fast.data import demo_root

        args.images, args.labels = demo_root() / "train", demo_root() / "labels" / "train"
    cv2.setNumThreads(1)
    scheme = load_scheme(args.scheme)
    pairs, _ = find_pairs(args.images, args.labels)
    step = max(1, len(pairs) // args.photos)
    pairs = pairs[::step][: args.photos]
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        for pair in pairs:  # one folder for build_pool, which takes folders
            for kind, path in (("images", pair.photo), ("labels", pair.label)):
                (base / kind).mkdir(exist_ok=True)
                shutil.copy(path, base / kind / f"{Path(pair.name).name}{path.suffix}")

        def ours(filters: Filters) -> None:
            build_pool(base / "images", base / "labels", scheme, base / "pool", filters=filters, progress=False)

        contestants = {
            "asda_fast build": lambda: ours(Filters()),
            "asda_fast build, full size": lambda: ours(Filters(person_height=0)),
            "OpenCV script": lambda: opencv_script(pairs, scheme, base / "script"),
            "decoding alone": lambda: only_read(pairs),
        }
        timings = interleave(contestants, seconds=10 if args.quick else 60, rounds=5 if args.quick else 15)
    report = Report(threads=1)
    height, width = np.median([read_map(pair.label).shape for pair in pairs], 0)
    params = {"scheme": args.scheme, "photos": len(pairs), "size": f"{width:.0f}x{height:.0f}"}
    slowest = timings["OpenCV script"].median
    print(f"{len(pairs)} photos of about {width:.0f} x {height:.0f}, one core")
    for name, timing in timings.items():
        each = Timing(tuple(value / len(pairs) for value in timing.samples))
        report.add(name, params, "ms", each)
        hours = f"50,000 photos: {each.median * 50 / 60:.1f} core minutes"
        ratio = f"{slowest / timing.median:5.1f}x the script's speed"
        print(
            f"{name:28} {each.median:7.2f} ms (iqr {each.iqr:.2f}) {1000 / each.median:6.1f} photos/s {ratio}  {hours}"
        )
    if args.json:
        report.save(args.json)


if __name__ == "__main__":
    main()
