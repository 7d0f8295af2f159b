"""asda-fast parts build | label | show | info | merge: everything about pool files."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from asda_fast.cli import entry
from asda_fast.core.errors import UserError
from asda_fast.core.files import check_target, write_json
from asda_fast.core.hardware import cores
from asda_fast.core.options import AtLeast, Between, check
from asda_fast.parts.cut import OUTCOMES, Filters

if TYPE_CHECKING:
    from asda_fast.parts.report import PoolReport

POSITIONAL = {"positional": True}


@dataclass(frozen=True)
class Build:
    """Cut people into parts: photos and label maps (or a COCO file with outlines and keypoints) -> a pool file."""

    images: Path
    """folder of photos"""
    labels: Path | None = None
    """folder of label maps with the photos' names"""
    scheme: str | None = None
    """what the ids mean: lip, cihp, atr, ccp, pascal, goliath28, sapiens2, or a .json file"""
    coco: Path | None = None
    """instead of label maps: a COCO annotation file with people's outlines and keypoints (person_keypoints_*.json);
    limbs are cut along the bones"""
    out: Path = Path("pool.safetensors")
    """the pool file"""
    instances: Path | None = None
    """folder of maps with a person number per pixel, where a photo shows several people"""
    people: Path | None = None
    """COCO annotation file that tells the people of a photo apart, instead of instance maps"""
    label_suffix: str = ""
    """what a map's name has more than its photo's: _lip for photo.jpg and photo_lip.png"""
    exclude_images: Path | None = None
    """photos not to cut: a text file of names, a COCO annotation file, or a folder of photos"""
    workers: Annotated[int, AtLeast(1)] = field(default_factory=cores)
    """processes"""
    apart: bool = False
    """without instances or people: take labelled pixels that do not touch for different people"""
    strict: bool = False
    """stop at the first photo that cannot be used, instead of skipping it"""
    shard: str | None = None
    """I/N: cut only part I (from 0) of N, beside other processes or machines that cut the others on the same disk; the
    last to finish writes the pool [torchrun's RANK and WORLD_SIZE, or the task of a SLURM array]"""
    dropped: Path | None = None
    """also write a pool of what the border and low-semantics filters dropped, to look at with `show`"""
    report: Path | None = None
    """write the report as JSON"""
    filters: Filters = field(default_factory=Filters)

    def __post_init__(self) -> None:
        check(self)

    def run(self) -> None:
        try:
            self._build()
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr)
            raise

    def _build(self) -> None:
        from asda_fast.core import shard as shards
        from asda_fast.parts.build import build_pool

        shard = shards.from_environment() if self.shard is None else shards.parse(self.shard)
        # What cannot be written is noticed now, not when everything has been cut.
        if self.dropped is not None:
            self.dropped.parent.mkdir(parents=True, exist_ok=True)
        if self.report is not None:
            if self.report.resolve() in [path.resolve() for path in (self.out, self.dropped) if path is not None]:
                raise UserError(f"report {self.report}: expected a file of its own to write, not that of a pool")
            check_target("report", self.report)
        try:
            report = build_pool(
                self.images,
                self.labels,
                self.scheme,
                self.out,
                filters=self.filters,
                instances=self.instances,
                people=self.people,
                coco=self.coco,
                label_suffix=self.label_suffix,
                exclude=self.exclude_images or (),
                workers=self.workers,
                strict=self.strict,
                apart=self.apart,
                dropped=self.dropped,
                shard=shard,
            )
        except shards.Unfinished as why:
            print(f"{shard} is done; {why}")
            return
        print_report(report, self.out)
        if self.report is not None:
            write_json(self.report, report.to_dict(), indent=1)


@dataclass(frozen=True)
class Label:
    """Make the label maps of photos with a human-parsing network of your own, as ONNX."""

    model: Path
    """the network: an .onnx file"""
    scheme: str
    """what its classes are and how it wants a photo: lip, atr, pascal (SCHP), goliath28, sapiens2, or a .json file"""
    images: Path
    """folder of photos"""
    out: Path
    """folder of the label maps; a map that is there is not made again"""
    batch_size: Annotated[int, AtLeast(1)] = 8
    """photos at once, unless the network has a fixed batch"""
    shard: str | None = None
    """I/N: label only part I (from 0) of N [torchrun's RANK and WORLD_SIZE, or the task of a SLURM array]"""
    sheet: Path | None = None
    """a picture of some photos with their maps, to look at [beside `out`: OUT.jpg]"""

    def __post_init__(self) -> None:
        check(self)

    def run(self) -> None:
        from rich.progress import Progress

        from asda_fast.core import shard as shards
        from asda_fast.parts.label import label_photos
        from asda_fast.parts.report import Notes
        from asda_fast.parts.scheme import load_scheme
        from asda_fast.viz.draw import save
        from asda_fast.viz.label_sheet import label_sheet

        shard = shards.from_environment() if self.shard is None else shards.parse(self.shard)
        scheme = load_scheme(self.scheme)
        with Progress(transient=True) as bar:
            task = bar.add_task("labelling photos")
            done = label_photos(
                self.images, self.model, scheme, self.out, batch=self.batch_size, shard=shard,
                progress=lambda done, of: bar.update(task, completed=done, total=of),
            )  # fmt: skip
        notes = Notes()
        for kind, line in done.problems:
            notes.add(kind, line)
        for kind, (count, first) in notes.kinds.items():
            print(f"{kind}: {count}" + (";" if count == 1 else "; the first:") + f" {first}")
        before = f", {done.before} were there" if done.before else ""
        nobody = f", {done.nobody} show nobody" if done.nobody else ""
        print(f"{self.out}: {len(done.made)} maps made{before}{nobody}" + (f" ({shard})" if shard else ""))
        if (done.made or done.before) and (shard is None or shard.index == 0):
            sheet = self.sheet or self.out.with_name(self.out.name + ".jpg")
            print(f"look: {save(sheet, label_sheet(self.images, self.out, scheme))}")


@dataclass(frozen=True)
class Show:
    """Draw a contact sheet of a pool: every type on a checkerboard."""

    pool: Path = field(metadata=POSITIONAL)
    """the pool file"""
    out: Path = Path("sheet.png")
    """the picture"""
    per_type: Annotated[int, AtLeast(1)] = 12
    """patches shown of each type"""
    cell: Annotated[int, Between(16, 1024)] = 112
    """pixels per patch"""
    zoom: Annotated[float, Between(0, 64)] = 0.0
    """fixed magnification (4 shows the edges at 4x); 0 fits each patch into its cell"""
    seed: int = 0
    """which patches are shown"""

    def __post_init__(self) -> None:
        check(self)

    def run(self) -> None:
        from asda_fast.viz.draw import save
        from asda_fast.viz.pool_sheet import contact_sheet

        save(self.out, contact_sheet(self.pool, self.per_type, self.cell, self.zoom, self.seed))
        print(f"wrote {self.out}")


@dataclass(frozen=True)
class Info:
    """Count a pool's patches by type."""

    pool: Path = field(metadata=POSITIONAL)
    """the pool file"""
    json: bool = False
    """for machines: {"types": {name: count}, ...}"""

    def run(self) -> None:
        from asda_fast.parts.pool_file import pool_info

        info = pool_info(self.pool)
        if self.json:
            print(json.dumps(info))
        else:
            print_info(info)


@dataclass(frozen=True)
class Merge:
    """Put pools together, and leave out what was cut from given photos."""

    pools: tuple[Path, ...] = field(metadata=POSITIONAL)
    """pool files"""
    out: Path
    """the new pool file"""
    exclude_images: Path | None = None
    """photos whose patches are left out: a text file of names, a COCO annotation file, or a folder of photos"""

    def run(self) -> None:
        from asda_fast.parts.pool_file import copies, merge_pools, open_pool

        if not self.pools:
            raise UserError("expected the pools to merge, got none")
        files = [open_pool(path) for path in self.pools]
        if not any(map(len, files)):
            raise UserError(f"pools {', '.join(map(str, self.pools))}: hold no patches to merge")
        for number, path in enumerate(self.pools):
            if path.resolve() in [other.resolve() for other in self.pools[:number]]:
                print(f"{path} is given twice: its patches will be drawn twice as often")
            elif same := copies(files[:number], files[number]):
                print(
                    f"{path}: {same} of its {len(files[number])} patches are in a pool before it: drawn twice as often"
                )
        left = merge_pools(self.pools, self.out, self.exclude_images or (), say=print)
        print(f"{self.out}: {len(open_pool(self.out))} patches" + (f", {left} left out" if left else ""))


def print_info(info: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"{info['patches']} patches, cut from {info['photos']} photos, {info['mebibytes']:.1f} MiB"
    table = Table("type", "patches", "median size", title=title)
    for name, count in info["types"].items():
        height, width = info["sizes"].get(name, (0, 0))
        table.add_row(name, str(count), f"{width} x {height}" if count else "")
    Console().print(table)


def print_report(report: PoolReport, out: Path) -> None:
    """What a build kept and dropped, per type and reason."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for kind, (count, first) in report.notes.kinds.items():
        example = (";" if count == 1 else "; the first:") + f" {first}" if first else ""
        console.print(f"{kind}: {count}{example}", markup=False, highlight=False, soft_wrap=True)
    title = f"connected components, scheme {report.scheme}"
    table = Table("type", "found", *OUTCOMES, title=title, padding=(0, 1, 0, 0), box=SIMPLE)  # fits 80 columns
    totals = {outcome: sum(row[outcome] for row in report.counts.values()) for outcome in OUTCOMES}
    for name, row in {**report.counts, "all": totals}.items():
        table.add_row(name, str(sum(row.values())), *(str(row[outcome] or "") for outcome in OUTCOMES))
    console.print(table)
    rate = report.photos / report.seconds if report.seconds > 0 else math.inf
    left = f"{len(report.problems)} skipped" + (f", {report.excluded} excluded" if report.excluded else "")
    line = f"{report.kept} patches; {report.photos} photos read, {left}; {rate:.0f} photos/s"
    console.print(f"{out}: {line}", highlight=False, soft_wrap=True)


COMMANDS = {"build": Build, "label": Label, "show": Show, "info": Info, "merge": Merge}


def main(args: Sequence[str] | None = None, prog: str = "python -m asda_fast.parts") -> None:
    entry.subcommand(COMMANDS, prog, "Pools of body parts: what training pastes.", args)
