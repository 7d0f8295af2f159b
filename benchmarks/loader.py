"""How fast people get from disk to crops with targets: native and dali from photos, crop shards and raw crops, beside
what people run today, other engines in threads (loader_engines.py), and decoding alone.

    python -m benchmarks.loader --json FILE [--data DIR]

Every contestant turns the same people into 256x192 crops with heatmaps and weights, B = 32, flip, rotation and size
drawn anew. The peers (loader_peers.py) hand over normalised float crops; ours are uint8 batches (the paste op
normalises at no cost), "native, normalised" adds the normaliser for comparison. A round is a whole epoch from the first
request to the last batch, so nobody works ahead for the next round, and the order rotates. Photos are warm in the page
cache. CPU time counts this process and its workers.

Data: with --data DIR real COCO (DIR/coco_mini) and MPII photos (DIR/mmpose_mpii), repeated to the epoch's length;
otherwise photos of those sizes made from the demo set. `data` in each row's params says which.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from asda_fast import make_loader
from asda_fast.cli.entry import run as run_cli
from asda_fast.core.batch import Batch
from asda_fast.data import GlobalAug, People, load
from asda_fast.data.store_index import read
from asda_fast.data.store_pack import pack
from asda_fast.models.heatmaps import heatmaps
from benchmarks import loader_engines, loader_peers, loader_regions
from benchmarks.common import Report, Timing, interleave, parser

SIZE, BATCH = (256, 192), 32
AUG = GlobalAug(rotation=40, scale=0.3)
LIKE = {"coco": (640, 480), "mpii": (1280, 720)}  # width, height
TICK = os.sysconf("SC_CLK_TCK")


class Contest:
    """One contestant: an epoch per call, and the CPU time of each."""

    def __init__(self, epoch: Callable[[], int], pids: Callable[[], list[int]] = list) -> None:
        self.epoch, self.pids = epoch, pids
        self.cpu: list[float] = []  # seconds per image
        self.images = 0

    def __call__(self) -> None:
        before = self._seconds()
        self.images = self.epoch()
        self.cpu.append((self._seconds() - before) / self.images)

    def _seconds(self) -> float:
        own = os.times()
        return own.user + own.system + sum(_cpu_of(pid) for pid in self.pids())


def _cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def ours(people: People, pipeline: str, threads: int, device: str, normalise: bool = False) -> Contest:
    """An epoch of make_loader with targets on the device."""
    loader = make_loader(people, SIZE, BATCH, pipeline, aug=AUG, threads=threads, device=device)
    mean = torch.tensor(loader_peers.MEAN, device=device) * 255
    std = torch.tensor(loader_peers.STD, device=device) * 255

    def consume(batch: Batch) -> None:
        heatmaps(batch.joints, batch.visible, SIZE)
        if normalise:
            batch.image.permute(0, 3, 1, 2).float().sub_(mean[:, None, None]).div_(std[:, None, None])

    def epoch() -> int:
        count = 0
        for batch in loader:
            consume(batch)
            count += len(batch)
        if device != "cpu":
            torch.cuda.synchronize()
        return count

    return Contest(epoch)


def peer(kind: type[loader_peers.Peer], people: People, workers: int, device: str) -> Contest:
    loader = loader_peers.Loader(kind(people, SIZE, AUG), BATCH, workers, device)

    def epoch() -> int:
        count = 0
        for batch in loader:
            if device != "cpu":
                batch = [item.to(device, non_blocking=True) for item in batch]
            count += len(batch[0])
        if device != "cpu":
            torch.cuda.synchronize()
        return count

    return Contest(epoch, lambda: loader.pids)


def engine(name: str, people: People, threads: int, device: str) -> Contest:
    kind, make = loader_engines.ENGINES[name]
    batches = make(kind(people, SIZE, AUG), BATCH, threads)

    def epoch() -> int:
        count = 0
        for batch in batches():
            if device != "cpu":
                batch = [item.pin_memory().to(device, non_blocking=True) for item in batch]
            count += len(batch[0])
        if device != "cpu":
            torch.cuda.synchronize()
        return count

    return Contest(epoch)


def torchvision_cuda(people: People, threads: int) -> Contest:
    loader = loader_peers.TorchvisionCuda(people, SIZE, AUG, BATCH, threads)

    def epoch() -> int:
        count = 0
        for image, joints, visible in loader:
            heatmaps(joints, visible, SIZE)
            count += len(image)
        torch.cuda.synchronize()
        return count

    return Contest(epoch)


def regions(decode: loader_regions.Decode, people: People, threads: int) -> Contest:
    """Only the rectangles that crops touch, thrown away too."""
    return Contest(loader_regions.epochs(decode, people, SIZE, AUG, threads))


def decoding(people: People, threads: int) -> Contest:
    """The limit: every photo decoded whole by libjpeg-turbo, thrown away."""
    import simplejpeg

    data = loader_peers.photo_bytes(people)
    pool = ThreadPoolExecutor(threads)

    def epoch() -> int:
        return sum(1 for _ in pool.map(lambda jpeg: simplejpeg.decode_jpeg(jpeg, "RGB") is not None, data))

    return Contest(epoch)


def made(kind: str, folder: Path) -> tuple[People, str]:
    """Photos of the right size from the demo set: enlarged, with film grain, so that a JPEG of quality 90 weighs what a
    camera's does."""
    width, height = LIKE[kind]
    people = load("demo", split="val")
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    files, stretch = [], np.zeros(len(people.files), np.float32)
    for i, name in enumerate(people.files):
        files.append(str(folder / f"{i:05d}.jpg"))
        if i not in people.file:
            continue
        image = cv2.imread(name, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        stretch[i] = max(width / image.shape[1], height / image.shape[0])
        large = cv2.resize(image, None, fx=float(stretch[i]), fy=float(stretch[i]), interpolation=cv2.INTER_CUBIC)
        large = large[:height, :width] + rng.normal(0, 4, (height, width, 1))
        cv2.imwrite(files[-1], np.clip(large, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
    by = stretch[people.file]
    people = replace(
        people, files=files, box=people.box * by[:, None], centre=people.centre * by[:, None], scale=people.scale * by,
        joints=people.joints * by[:, None, None], image_size=np.full_like(people.image_size, (height, width)),
    )  # fmt: skip
    return people, f"made: demo photos enlarged to {width}x{height}, quality 90"


def real(kind: str, data: Path) -> tuple[People, str]:
    """COCO's photos are 640 pixels long; of the few MPII photos those of 1280x720 only."""
    people = load(kind, data / {"coco": "coco_mini", "mpii": "mmpose_mpii"}[kind], "val")
    wide = [cv2.imread(name).shape[1] >= LIKE[kind][0] for name in people.files] if kind == "mpii" else None
    people = people.select(np.array(wide)[people.file]) if wide else people
    return people, f"real: {len(people)} people in {len(np.unique(people.file))} {kind.upper()} photos, repeated"


def repeat(people: People, images: int) -> People:
    return people.select(np.tile(np.arange(len(people)), -(-images // len(people)))[:images])


def stores(people: People, folder: Path, images: int) -> dict[str, People]:
    """The same people from crop shards and from raw crops."""
    out = {}
    for name, raw in (("crop shards", False), ("raw cache", True)):
        pack(people, folder / name, size=SIZE, raw=raw)
        out[name] = repeat(read(folder / name, "train", photos=False), images)
    return out


def contests(people: People, folder: Path, images: int, threads: int, device: str) -> dict[str, Contest]:
    """Every contestant that runs here; the others are named with the reason."""
    whole = repeat(people, images)
    sources = {"photos": whole, **stores(people, folder, images)}
    makers: dict[str, Callable[[], Contest]] = {
        "HRNet's way (OpenCV DataLoader)": lambda: peer(loader_peers.OpenCV, whole, threads, device),
        "Albumentations DataLoader": lambda: peer(loader_peers.Albumentations, whole, threads, device),
        "torchvision v2 DataLoader": lambda: peer(loader_peers.Torchvision, whole, threads, device),
        "native, photos, normalised": lambda: ours(whole, "native", threads, device, normalise=True),
        "decoding alone (libjpeg-turbo)": lambda: decoding(whole, threads),
    }
    for name, way in (
        ("ours, and a warp of them", lambda: loader_regions.ours),
        ("libjpeg-turbo's crop + skip", loader_regions.turbo),
    ):
        makers[f"decoding regions alone ({name})"] = lambda w=way: regions(w(), whole, threads)
    for name in loader_engines.ENGINES:
        makers[name] = lambda n=name: engine(n, whole, threads, device)
    if device != "cpu":
        makers["torchvision CUDA decoder"] = lambda: torchvision_cuda(whole, threads)
    for pipeline in ("native", "dali"):
        for name, source in sources.items():
            makers[f"{pipeline}, {name}"] = lambda p=pipeline, s=source: ours(s, p, threads, device)
    found = {}
    for name, make in makers.items():
        try:
            contest = make()
            contest.epoch()
            found[name] = contest
        except Exception as error:  # a peer or DALI: not installed, built for another torch, or failing
            if name.startswith("native"):
                raise
            print(f"left out: {name} ({type(error).__name__}: {str(error).splitlines()[0]})")
    return found


def table(rows: Iterable[tuple[Any, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    out = Table("", "CPU ms/image", "images/s", "IQR", "x HRNet's way", title="disk to 256x192 crops with targets")
    for name, rate, iqr, cpu, ratio in rows:
        out.add_row(name, f"{cpu:.2f}", f"{rate:.0f}", f"{iqr:.0f}", f"{ratio:.2f}")
    Console().print(out)


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--data", type=Path, default=None, help="folder with coco_mini and mmpose_mpii (real photos)")
    options.add_argument("--images", type=int, default=480, help="people in an epoch, one round")
    options.add_argument("--seconds", type=float, default=8.0, help="time for each contestant")
    args = options.parse_args()
    threads = args.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(
        1
    )  # targets take 0.06 ms an image; OpenMP's waiting threads would only rob the loaders' cores
    warnings.filterwarnings("error", message="DALI failed")  # a rate of the CPU's decoder is not DALI's
    images, seconds = (96, 0.5) if args.quick else (args.images, args.seconds)
    report = Report(threads=threads, device=args.device)
    for kind, (width, height) in LIKE.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            people, origin = real(kind, args.data) if args.data else made(kind, folder / "photos")
            names = contests(people, folder, images, threads, args.device)
            timings = interleave(names, seconds=seconds * len(names), rounds=60)
        rows, base = [], 0.0
        for name, timing in timings.items():
            contest = names[name]
            rate = Timing(tuple(contest.images / ms * 1000 for ms in timing.samples))
            cpu = Timing(tuple(1000 * s for s in contest.cpu[1:]))  # the first call was the warm-up
            base = base or rate.median
            params = {"photos": f"{kind}-like {width}x{height}", "data": origin, "batch": BATCH, "input": "256x192"}
            report.add(name, params, "CPU ms/image", cpu)
            report.add(name, params, "images/s", rate)
            rows.append((name, rate.median, rate.iqr, cpu.median, rate.median / base))
        print(f"\n{kind}-like, {origin}; {threads} threads or workers")
        table(rows)
        if args.json:  # of each kind: a run that is cut short keeps the first
            report.save(args.json)


if __name__ == "__main__":
    run_cli(main)
