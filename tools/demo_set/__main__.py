"""Make a set of rendered people: `python -m tools.demo_set --out DIR --train 20000 --val 500 --seed 1`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from asda_fast.cli.entry import run as run_cli
from asda_fast.core.errors import UserError


def options() -> argparse.Namespace:
    cli = argparse.ArgumentParser(
        prog="python -m tools.demo_set", description="Make a set of rendered people, in the layout of the demo set."
    )
    cli.add_argument("--out", type=Path, required=True, help="folder to write to")
    cli.add_argument("--train", type=int, default=320, help="training photos")
    cli.add_argument("--val", type=int, default=80, help="validation photos")
    cli.add_argument("--seed", type=int, default=0, help="the same seed makes the same files")
    cli.add_argument("--size", help="every photo as HxW; by default 256x256, 288x224 and 224x288 alternate")
    cli.add_argument("--quality", type=int, default=82, help="of the JPEGs, 1 to 100")
    cli.add_argument("--workers", type=int, help="processes [the cores]")
    return cli.parse_args()


def main() -> None:
    args = options()
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
    if not 1 <= args.quality <= 100:
        raise UserError(f"--quality: expected 1 to 100, got {args.quality}")
    from tools.demo_set.writer import write

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
