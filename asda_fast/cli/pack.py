"""`python -m asda_fast.data pack`: cut the people of a dataset out of its photos once, for fast reading ever after."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.progress import track

from asda_fast.core.errors import UserError, parse_cli
from asda_fast.train.config import Flag, OptionalNumber, OptionalPath, parse_size


@dataclass(frozen=True)
class Pack:
    """Write person crops as WebDataset tar shards (or, with --raw, as memory-mapped pixels).

    Train on them with the dataset's own name and `--root DIR`."""

    dataset: str
    """demo | lsp | mpii | coco"""
    out: Path
    """folder of the store; each split gets a folder in it"""
    root: OptionalPath = None
    """folder of the dataset (the demo set needs none)"""
    split: Literal["both", "train", "val"] = "both"
    """which people"""
    input: str = "256x192"
    """crops that training will ask for, as HxW: their proportions shape the stored windows"""
    margin: float = 1.7
    """side of the stored square, in longer sides of the unaugmented crop"""
    raw: Flag = False
    """keep pixels, not JPEG: several times larger and faster"""
    quality: int = 95
    """of the JPEGs, 1 to 100"""
    shards: OptionalNumber = None
    """files per split, at least one per training rank [one per 1,000 people, at least 8]"""
    shrink: bool = True
    """keep people far larger than the input at 1/2, 1/4 or 1/8"""
    on_bad_image: Literal["error", "skip"] = "error"
    """error (stop, naming the file) | skip (leave its people out, say how many)"""


def main(args: Pack) -> None:
    from asda_fast.data import load
    from asda_fast.data.store_pack import pack

    for split in ("train", "val") if args.split == "both" else (args.split,):
        other = args.out / ("val" if split == "train" else "train") / "store.json"
        if args.split == "both" and (args.out / split / "store.json").exists() and not other.exists():
            check_same(args, args.out / split)
            print(f"{args.out / split}: finished already")
            continue
        people = load(args.dataset, args.root, split)
        counts = pack(
            people,
            args.out / split,
            size=parse_size(args.input),
            margin=args.margin,
            raw=args.raw,
            quality=args.quality,
            shards=args.shards,
            shrink=args.shrink,
            skip_bad=args.on_bad_image == "skip",
            threads=os.cpu_count() or 1,
            progress=lambda photos, split=split: track(list(photos), description=f"packing {split} photos"),
        )
        skipped = f", {counts['skipped']} left out with bad photos" if counts["skipped"] else ""
        print(
            f"{args.out / split}: {counts['people']} people in {counts['shards']} shards, "
            f"{counts['bytes'] / 1e6:.1f} MB{skipped}"
        )


def check_same(args: Pack, store: Path) -> None:
    """UserError unless the finished store is one that these options make."""
    about = json.loads((store / "store.json").read_text())
    was = (about["dataset"].split()[0], about["raw"], about["margin"], tuple(about["size"]))
    now = (args.dataset, args.raw, args.margin, parse_size(args.input))
    if was != now:
        raise UserError(f"{store}: holds a store of other options already: choose another --out, or --split")


def cli() -> None:
    main(
        parse_cli(
            lambda: tyro.extras.subcommand_cli_from_dict(
                {"pack": Pack}, prog="python -m asda_fast.data", description=__doc__
            )
        )
    )
