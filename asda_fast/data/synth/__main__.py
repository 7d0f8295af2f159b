"""Make a set of rendered people: `python -m asda_fast.data.synth --out DIR --train 20000 --val 500 --seed 1`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import tyro

from asda_fast.core.errors import UserError, parse_cli, run_cli
from asda_fast.train.config import OptionalNumber, OptionalText


@dataclass(frozen=True)
class Options:
    """Make a set of rendered people, in the layout of the demo set."""

    out: Path
    """folder to write to"""
    train: int = 320
    """training photos"""
    val: int = 80
    """validation photos"""
    seed: int = 0
    """the same seed makes the same files"""
    size: OptionalText = None
    """every photo as HxW; by default 256x256, 288x224 and 224x288 alternate"""
    quality: int = 82
    """of the JPEGs, 1 to 100"""
    workers: OptionalNumber = None
    """processes [the cores]"""


def main() -> None:
    args = parse_cli(lambda: tyro.cli(Options, prog="python -m asda_fast.data.synth"))
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
