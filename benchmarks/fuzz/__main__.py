"""`python -m benchmarks.fuzz --reader coco --count 10000`: exits with 1 where anything failed."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

from benchmarks.fuzz.harness import Reader, fuzz

READERS = {
    "coco": "benchmarks.fuzz.data:coco",
    "terms": "benchmarks.fuzz.data:terms",
    "detections": "benchmarks.fuzz.data:detections",
    "mpii": "benchmarks.fuzz.data:mpii",
    "lsp": "benchmarks.fuzz.data:lsp",
    "store": "benchmarks.fuzz.data:store",
    "own": "benchmarks.fuzz.custom:own",
    "own-folder": "benchmarks.fuzz.custom:folder",
    "yolo": "benchmarks.fuzz.custom:yolo",
    "aic": "benchmarks.fuzz.custom:aic",
    "mpii-release": "benchmarks.fuzz.custom:release",
    "skeleton": "benchmarks.fuzz.skeletons:ours",
    "skeleton-mmpose": "benchmarks.fuzz.skeletons:mmpose",
    "skeleton-ultralytics": "benchmarks.fuzz.skeletons:ultralytics",
    "maps": "benchmarks.fuzz.maps:maps",
    "pngs": "benchmarks.fuzz.maps:pngs",
    "npy-maps": "benchmarks.fuzz.maps:npy_maps",
    "mat-maps": "benchmarks.fuzz.maps:mat_maps",
    "pascal-part": "benchmarks.fuzz.maps:pascal",
    "colour-maps": "benchmarks.fuzz.maps:coloured",
    "pools": "benchmarks.fuzz.parts:pools",
    "pool-headers": "benchmarks.fuzz.parts:pool_headers",
    "exclude": "benchmarks.fuzz.parts:exclude",
    "schemes": "benchmarks.fuzz.parts:schemes",
    "people": "benchmarks.fuzz.parts:people",
    "npy": "benchmarks.fuzz.metrics:npy",
    "npz": "benchmarks.fuzz.metrics:npz",
    "mat": "benchmarks.fuzz.metrics:mat",
    "mat-cells": "benchmarks.fuzz.metrics:cells",
    "h5": "benchmarks.fuzz.metrics:h5",
    "records": "benchmarks.fuzz.metrics:records",
    "scores": "benchmarks.fuzz.metrics:scores",
    "safetensors": "benchmarks.fuzz.models:safetensors",
    "last": "benchmarks.fuzz.models:last",
    "foreign": "benchmarks.fuzz.models:foreign",
    "history": "benchmarks.fuzz.runs:history",
    "run": "benchmarks.fuzz.runs:state",
    "ablation": "benchmarks.fuzz.runs:results",
}


def reader(name: str) -> Reader:
    """The reader called so."""
    module, _, attribute = READERS[name].partition(":")
    found: Reader = getattr(importlib.import_module(module), attribute)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reader", nargs="*", choices=list(READERS), default=list(READERS))
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first try: repeats a failure")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    failed = False
    for name in args.reader:
        with tempfile.TemporaryDirectory() as folder:
            report = fuzz(reader(name), args.count, Path(folder), args.seed, args.first)
        failed |= bool(report.failures)
        print(f"{name}: {args.count} files, {report.read} read, {report.refused} refused in one line of "
              f"{len(report.reasons)} kinds, {len(report.failures)} failures")  # fmt: skip
        for line in report.failures[:20]:
            print(f"  {line}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
