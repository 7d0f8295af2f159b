"""Building a part pool, photos per second on one core, beside a straightforward OpenCV script.

    python -m benchmarks.parts --images DIR --labels DIR --scheme ccp [--scale 1 0.45] [--json FILE]

Without --images it measures on the demo set. Both read the same files and write what they cut to disk. The script does
less: it has no filters but the area, hard edges, full size, and one PNG per part. Measured is CPU time (user and
system) of one thread, which is what "per core" means and what other work on the machine disturbs least.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from asda_fast.parts.build import build_pool
from asda_fast.parts.cut import Filters
from asda_fast.parts.pairs import Pair, find_pairs
from asda_fast.parts.read import read_map, read_photo
from asda_fast.parts.scheme import Scheme, load_scheme
from benchmarks.common import Report, Timing, parser


def opencv_script(pairs: list[Pair], scheme: Scheme, out: Path) -> int:
    """What one writes in an afternoon: per type a mask, connectedComponentsWithStats, crop, imwrite."""
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for pair in pairs:
        photo = np.asarray(cv2.imread(str(pair.photo)))
        label = np.array(Image.open(pair.label))
        for rule in scheme.rules:
            mask = np.isin(label, rule.ids).astype(np.uint8)
            if not mask.any():
                continue
            _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask)
            for i in range(1, len(stats)):
                x, y, w, h, area = stats[i].tolist()
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


def copy(pair: Pair, base: Path, scale: float) -> Pair:
    """The pair in folders of its own, for build_pool takes folders; `scale` makes smaller photos of it."""
    name = Path(pair.name).name
    photo, label = base / "images" / f"{name}{pair.photo.suffix}", base / "labels" / f"{name}.png"
    for path in (photo, label):
        path.parent.mkdir(exist_ok=True)
    if scale == 1:
        shutil.copy(pair.photo, photo)
        shutil.copy(pair.label, label)
    else:
        picture = cv2.cvtColor(read_photo(pair.photo), cv2.COLOR_RGB2BGR)
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        cv2.imwrite(str(photo), cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
        cv2.imwrite(str(label), cv2.resize(read_map(pair.label), size, interpolation=cv2.INTER_NEAREST))
    return Pair(name, photo, label, None)


def measure(pairs: list[Pair], scheme: Scheme, scale: float, quick: bool) -> tuple[dict[str, Timing], str]:
    """Milliseconds per photo of every contestant, and the photos' size."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        pairs = [copy(pair, base, scale) for pair in pairs]
        height, width = np.median([read_map(pair.label).shape for pair in pairs], 0)

        def ours(filters: Filters) -> None:
            build_pool(base / "images", base / "labels", scheme, base / "pool", filters=filters, progress=False)

        contestants = {
            "asda_fast": lambda: ours(Filters()),
            "asda_fast, people not reduced": lambda: ours(Filters(person_height=0)),
            "OpenCV script": lambda: opencv_script(pairs, scheme, base / "script"),
            "decoding alone": lambda: only_read(pairs),
        }
        samples: dict[str, list[float]] = {name: [] for name in contestants}
        for turn in range(5 if quick else 15):  # interleaved, in rotating order
            names = list(contestants)
            for name in names[turn % 4 :] + names[: turn % 4]:
                start = time.process_time()
                contestants[name]()
                samples[name].append((time.process_time() - start) * 1000 / len(pairs))
    return {name: Timing(tuple(values)) for name, values in samples.items()}, f"{width:.0f}x{height:.0f}"


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--images", type=Path, default=None, help="photos (default: the demo set)")
    options.add_argument("--labels", type=Path, default=None)
    options.add_argument("--scheme", default="lip")
    options.add_argument("--photos", type=int, default=24, help="photos per round")
    options.add_argument(
        "--scale", type=float, nargs="+", default=[1.0], help="also reduce the photos first (LIP's are 250 x 350 or so)"
    )
    args = options.parse_args()
    if args.images is None:
        from asda_fast.data import demo_root

        args.images, args.labels = demo_root() / "train", demo_root() / "labels" / "train"
    cv2.setNumThreads(1)
    scheme = load_scheme(args.scheme)
    pairs, _ = find_pairs(args.images, args.labels)
    pairs = pairs[:: max(1, len(pairs) // args.photos)][: args.photos]
    report = Report(threads=1)
    for scale in args.scale:
        timings, size = measure(pairs, scheme, scale, args.quick)
        script = timings["OpenCV script"].median
        print(f"{len(pairs)} photos of about {size}, scheme {args.scheme}, one core")
        for name, each in timings.items():
            report.add(name, {"scheme": args.scheme, "photos": len(pairs), "size": size}, "CPU ms per photo", each)
            rates = f"{1000 / each.median:6.1f} photos/s, {script / each.median:5.1f}x the script's speed"
            print(f"  {name:30} {each.median:7.2f} ms (iqr {each.iqr:.2f}) {rates}; ", end="")
            print(f"50,000 photos: {each.median * 50 / 60:.1f} core minutes")
    if args.json:
        report.save(args.json)


if __name__ == "__main__":
    main()
