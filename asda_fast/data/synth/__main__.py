"""Make a set of rendered people: `python -m asda_fast.data.synth --out DIR --train 20000 --val 500 --seed 1`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from asda_fast.errors import UserError, run_cli


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m asda_fast.data.synth", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to (the layout of the demo set)")
    parser.add_argument("--train", type=int, default=320, help="training photos")
    parser.add_argument("--val", type=int, default=80, help="validation photos")
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same files")
    parser.add_argument("--size", help="HxW of every photo; by default 256x256, 288x224 and 224x288 alternate")
    parser.add_argument("--quality", type=int, default=82, help="JPEG quality")
    parser.add_argument("--workers", type=int, help="processes (default: the cores)")
    args = parser.parse_args()
    size = None
    if args.size:
        found = re.fullmatch(r"(\d+)x(\d+)", args.size)
        if not found:
            raise UserError(f"--size: expected HxW such as 256x256, got {args.size!r}")
        size = (int(found[1]), int(found[2]))
        if min(size) < 64:
            raise UserError(f"--size: expected at least 64 pixels a side, got {args.size!r}")
    if args.train < 0 or args.val < 0 or args.train + args.val == 0:
        raise UserError(f"--train, --val: expected at least one photo, got {args.train} and {args.val}")
    from asda_fast.data.synth.writer import write

    write(
        args.out,
        {"train": args.train, "val": args.val},
        seed=args.seed,
        size=size,
        quality=args.quality,
        workers=args.workers,
    )
    print(f"{args.train} + {args.val} photos in {args.out}")


if __name__ == "__main__":
    run_cli(main)
