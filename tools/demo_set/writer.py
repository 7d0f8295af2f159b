"""Photos -> files: JPEG, label and person maps as grey PNG, COCO keypoint JSON."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tools.demo_set.body import KEYPOINTS, bodies
from tools.demo_set.scene import Photo, render

LIMBS = ((16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11))
FACE_LIMBS = ((2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7))
CATEGORY = {
    "id": 1,
    "name": "person",
    "supercategory": "person",
    "keypoints": list(KEYPOINTS),
    "skeleton": [list(e) for e in LIMBS + FACE_LIMBS],
}
SMALLEST = 250  # visible pixels below which a person is not annotated but the photo is drawn anew
SHAPES = ((256, 256), (288, 224), (256, 256), (224, 288))


def generator(seed: int, split: str, index: int, attempt: int = 0) -> np.random.Generator:
    """The random numbers of one photo: they depend on nothing but these."""
    return np.random.Generator(np.random.Philox(key=[seed, (split == "val") * (1 << 40) + index * 16 + attempt]))


def photo(seed: int, split: str, index: int, size: tuple[int, int] | None = None) -> Photo:
    """The `index`-th photo of a split; `size` (height, width) overrides the alternating formats."""
    for attempt in range(16):
        out = render(generator(seed, split, index, attempt), bodies(), size or SHAPES[index % len(SHAPES)])
        pixels = np.bincount(out.persons.ravel(), minlength=len(out.visible) + 1)[1:]
        if (
            (pixels >= SMALLEST).all()
            and ((out.visible > 0).sum(1) >= 5).all()
            and ((out.visible == 2).sum(1) >= 3).all()
        ):
            return out
    return out


def records(out: Photo, image_id: int, first: int) -> list[dict[str, Any]]:
    """COCO records of a photo's people; ids count from `first`."""
    out_records: list[dict[str, Any]] = []
    for k, (joints, visible) in enumerate(zip(out.keypoints, out.visible)):
        rows, columns = np.nonzero(out.persons == k + 1)
        x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        index = np.where(visible[:, None] > 0, joints - 0.5, 0.0)  # COCO counts from the first pixel's centre
        flat = np.concatenate([np.round(index, 2), visible[:, None]], 1).reshape(-1)
        out_records.append(
            {
                "id": first + k,
                "image_id": image_id,
                "category_id": 1,
                "iscrowd": 0,
                "instance": k + 1,
                "bbox": [int(x0), int(y0), int(x1 - x0), int(y1 - y0)],
                "area": len(rows),
                "segmentation": [],
                "num_keypoints": int((visible > 0).sum()),
                "keypoints": [int(v) if i % 3 == 2 else float(v) for i, v in enumerate(flat)],
            }
        )
    return out_records


def _make(
    job: tuple[str, str, int, int, tuple[int, int] | None, int],
) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
    folder, split, index, seed, size, quality = job
    out, name = photo(seed, split, index, size), f"{split}_{index:04d}"
    root = Path(folder)
    png = [cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
    jpeg = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    done = [
        cv2.imwrite(str(root / split / f"{name}.jpg"), out.image[..., ::-1], jpeg),
        cv2.imwrite(str(root / "labels" / split / f"{name}.png"), out.labels, png),
        cv2.imwrite(str(root / "instances" / split / f"{name}.png"), out.persons, png),
    ]
    if not all(done):
        raise OSError(f"{root}: could not write {name}")
    image_id = index + 1 + (1_000_000 if split == "val" else 0)
    height, width = out.labels.shape
    record = {"id": image_id, "file_name": f"{name}.jpg", "height": height, "width": width, "place": out.place}
    return index, record, records(out, image_id, image_id * 10)


def _quiet() -> None:
    cv2.setNumThreads(1)


def write(
    folder: Path,
    counts: dict[str, int],
    *,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    quality: int = 82,
    workers: int | None = None,
) -> None:
    """Write `counts[split]` photos of each split with annotations below `folder`; same seed, same files."""
    from rich.progress import Progress

    for split in counts:
        for part in ("", "labels", "instances"):
            (folder / part / split).mkdir(parents=True, exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    bodies()  # the first use of anny in a home folder prepares its cache: once, not in every worker
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    workers = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or os.cpu_count()
    with Progress() as progress, context.Pool(workers, _quiet) as pool:
        for split, count in counts.items():
            task = progress.add_task(split, total=count)
            jobs = [(str(folder), split, i, seed, size, quality) for i in range(count)]
            images, people = [], []
            for _, record, found in sorted(_watch(pool.imap_unordered(_make, jobs, chunksize=2), progress, task)):
                images.append(record)
                people += found
            info = {"description": "asda_fast demo set: rendered people, CC0", "seed": seed}
            table = {"info": info, "images": images, "annotations": people, "categories": [CATEGORY]}
            text = json.dumps(table, separators=(",", ":"))
            (folder / "annotations" / f"person_keypoints_{split}.json").write_text(text + "\n")


def _watch(results, progress, task):
    for index, record, found in results:
        progress.advance(task)
        yield index, record, found
