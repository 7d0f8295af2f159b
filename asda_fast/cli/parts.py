"""python -m asda_fast.parts build | show | info | merge: everything about pool files."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from asda_fast.core.errors import UserError, parse_cli
from asda_fast.parts.build import build_pool, cores
from asda_fast.parts.cut import Filters
from asda_fast.train.config import OptionalPath


@dataclass
class Build:
    """Cut people into parts: photos and label maps -> a pool file."""

    images: Path
    """folder of photos"""
    labels: Path
    """folder of label maps with the photos' names"""
    scheme: str
    """what the ids mean: lip, cihp, atr, ccp, pascal, or a .json file"""
    out: Path = Path("pool.safetensors")
    """the pool file"""
    instances: OptionalPath = None
    """folder of maps with a person number per pixel, where a photo shows several people"""
    people: OptionalPath = None
    """COCO annotation file that tells the people of a photo apart, instead of instance maps"""
    label_suffix: str = ""
    """what a map's name has more than its photo's: _lip for photo.jpg and photo_lip.png"""
    exclude_images: OptionalPath = None
    """photos not to cut: a text file of names, a COCO annotation file, or a folder of photos"""
    workers: int = field(default_factory=cores)
    """processes"""
    apart: bool = False
    """without instances or people: take labelled pixels that do not touch for different people"""
    strict: bool = False
    """stop at the first photo that cannot be used, instead of skipping it"""
    dropped: OptionalPath = None
    """also write a pool of what the border and low-semantics filters dropped, to look at with `show`"""
    report: OptionalPath = None
    """write the report as JSON"""
    filters: Annotated[Filters, tyro.conf.arg(name="")] = field(default_factory=Filters)

    def run(self) -> None:
        try:
            self._build()
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr)
            raise

    def _build(self) -> None:
        for path in (self.dropped, self.report):
            if path is not None:  # noticed now, not when everything has been cut
                path.parent.mkdir(parents=True, exist_ok=True)
        report = build_pool(
            self.images,
            self.labels,
            self.scheme,
            self.out,
            filters=self.filters,
            instances=self.instances,
            people=self.people,
            label_suffix=self.label_suffix,
            exclude=read_names(self.exclude_images),
            workers=self.workers,
            strict=self.strict,
            apart=self.apart,
            dropped=self.dropped,
        )
        from asda_fast.viz.pool_sheet import print_report

        print_report(report, self.out)
        if self.report is not None:
            self.report.write_text(report.to_json(), encoding="utf-8")


@dataclass
class Show:
    """Draw a contact sheet of a pool: every type on a checkerboard."""

    pool: tyro.conf.Positional[Path]
    out: Path = Path("sheet.png")
    """the picture"""
    per_type: int = 12
    """patches shown of each type"""
    cell: int = 112
    """pixels per patch"""
    zoom: float = 0.0
    """fixed magnification (4 shows the edges at 4x); 0 fits each patch into its cell"""
    seed: int = 0
    """which patches are shown"""

    def run(self) -> None:
        from asda_fast.viz.pool_sheet import contact_sheet, save_png

        if self.per_type < 1 or not 16 <= self.cell <= 1024 or not 0 <= self.zoom <= 64:
            raise UserError("expected --per-type from 1, --cell from 16 to 1024 and --zoom from 0 to 64")
        save_png(contact_sheet(self.pool, self.per_type, self.cell, self.zoom, self.seed), self.out)
        print(f"wrote {self.out}")


@dataclass
class Info:
    """Count a pool's patches by type."""

    pool: tyro.conf.Positional[Path]
    json: bool = False
    """for machines: {"types": {name: count}, ...}"""

    def run(self) -> None:
        from asda_fast.viz.pool_sheet import pool_info, print_info

        info = pool_info(self.pool)
        if self.json:
            print(json.dumps(info))
        else:
            print_info(info)


@dataclass
class Merge:
    """Put pools together, and leave out what was cut from given photos."""

    pools: tyro.conf.Positional[tuple[Path, ...]]
    out: Path
    """the new pool file"""
    exclude_images: OptionalPath = None
    """photos whose patches are left out: a text file of names, a COCO annotation file, or a folder of photos"""

    def run(self) -> None:
        from asda_fast.parts.pool_file import merge_pools, open_pool

        if not self.pools:
            raise UserError("expected the pools to merge, got none")
        left = merge_pools(self.pools, self.out, read_names(self.exclude_images))
        print(f"{self.out}: {len(open_pool(self.out))} patches" + (f", {left} left out" if left else ""))


def read_names(path: Path | None) -> set[str]:
    """Photo names without suffix, from a text file (one a line), a COCO annotation file, or a folder of photos."""
    if path is None:
        return set()
    try:
        if path.is_dir():
            lines = [p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()]
        elif path.suffix == ".json":
            lines = [image["file_name"] for image in json.loads(path.read_text(encoding="utf-8"))["images"]]
        else:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"--exclude-images {path}: expected names, a COCO file or a folder ({error!r})") from None
    suffixes = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
    return {line.rsplit(".", 1)[0] if line.lower().endswith(suffixes) else line for line in lines if line}


def main(argv: list[str] | None = None) -> None:
    commands: dict[str, Any] = {"build": Build, "show": Show, "info": Info, "merge": Merge}
    arguments = sys.argv[1:] if argv is None else argv
    command = parse_cli(
        lambda: tyro.extras.subcommand_cli_from_dict(commands, args=arguments, prog="python -m asda_fast.parts")
    )
    command.run()
