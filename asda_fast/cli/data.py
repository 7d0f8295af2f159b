"""asda-fast data pack | check: people cut out of their photos once; photos looked at before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from asda_fast.cli import entry
from asda_fast.core.errors import UserError
from asda_fast.core.files import check_suffix, check_target, read_json, write_json
from asda_fast.core.hardware import cores
from asda_fast.core.options import CROP, AtLeast, Between, Size, check
from asda_fast.data.custom import Files, shared_photos
from asda_fast.data.dataset import DATASETS

if TYPE_CHECKING:
    from asda_fast.core.skeleton import Skeleton
    from asda_fast.data.check import Problem
    from asda_fast.data.people import People


@dataclass(frozen=True)
class Pack:
    """Write person crops as WebDataset tar shards (or, with --raw, as memory-mapped pixels).

    Train on them with the dataset's own name and `--root DIR`."""

    out: Path
    """folder of the store; each split gets a folder in it"""
    dataset: Annotated[str, DATASETS] = "custom"
    """demo | lsp | mpii | coco | custom (with --train-annotations) | module:DATASET of your own"""
    root: Path | None = None
    """folder of the dataset (the demo set needs none)"""
    files: Files = field(default_factory=Files)
    split: Literal["both", "train", "val"] = "both"
    """which people"""
    input: Annotated[Size, CROP] = (256, 192)
    """crops that training will ask for, as HxW: their proportions shape the stored windows"""
    margin: Annotated[float, Between(1, 10)] = 1.7
    """side of the stored square, in longer sides of the unaugmented crop"""
    raw: bool = False
    """keep pixels, not JPEG: several times larger and faster"""
    quality: Annotated[int, Between(1, 100)] = 95
    """of the JPEGs, 1 to 100"""
    shards: Annotated[int | None, AtLeast(1)] = None
    """files per split, at least one per training rank [one per 1,000 people, at least 8]"""
    shrink: bool = True
    """keep people far larger than the input at 1/2, 1/4 or 1/8"""
    on_bad_image: Literal["error", "skip"] = "error"
    """error (stop, naming the file) | skip (leave its people out, say how many)"""
    shard: str | None = None
    """I/N: write only part I (from 0) of N, beside other processes or machines that write the others on the same disk
    [torchrun's RANK and WORLD_SIZE, or the task of a SLURM array]"""

    def __post_init__(self) -> None:
        check(self)

    def run(self) -> None:
        from rich.progress import track

        from asda_fast.core import shard as shards
        from asda_fast.data import load
        from asda_fast.data.store_pack import pack

        shard = shards.from_environment() if self.shard is None else shards.parse(self.shard)

        skeleton: Skeleton | None = None  # val's joints come in the order of train's
        asked = splits(self.split, self.files)
        finished = [split for split in asked if (self.out / split / "store.json").exists()]
        if shard is None and len(finished) == len(asked):
            finished = []  # nothing is left to go on with, which `pack` says
        tables: dict[str, People] = {}
        for split in asked:  # all, before anything is written beside a store of other options
            tables[split] = load(self.dataset, self.root, split, self.files, skeleton)
            skeleton = tables[split].skeleton
            if split in finished:
                self.check_finished(self.out / split, tables[split])
        for split, people in tables.items():
            if split in finished:
                print(f"{self.out / split}: finished already")
                continue
            for note in people.notes:
                print(f"{people.name}: {note}")
            try:
                counts = pack(
                    people, self.out / split, **self.options, skip_bad=self.on_bad_image == "skip", threads=cores(),
                    shard=shard, progress=lambda photos, split=split: track(list(photos), f"packing {split} photos"),
                )  # fmt: skip
            except shards.Unfinished:
                if shard is None:
                    what = "another process packs there too (several share the work with --shard)"
                    raise UserError(f"{self.out / split}: {what}") from None
                print(f"{shard} of {self.out / split} is done; the last to finish writes its index")
                continue
            skipped = f", {counts['skipped']} left out with bad photos" if counts["skipped"] else ""
            print(
                f"{self.out / split}: {counts['people']} people in {counts['shards']} shards, "
                f"{counts['bytes'] / 1e6:.1f} MB{skipped}"
            )

    @property
    def options(self) -> dict[str, Any]:
        """What shapes a store's bytes, as `pack` names it."""
        return {
            "size": self.input, "margin": self.margin, "raw": self.raw, "quality": self.quality,
            "shards": self.shards, "shrink": self.shrink,
        }  # fmt: skip

    def check_finished(self, store: Path, people: People) -> None:
        """UserError unless a finished store is the one that these options make of these people."""
        from asda_fast.data.store_index import read
        from asda_fast.data.store_pack import made_of

        read(store, store.name)  # whose mistakes are one line
        about = read_json(store / "store.json")
        was = (about["dataset"], about["raw"], about["margin"], about.get("size"))
        same = was == (people.name, self.raw, self.margin, list(self.input))
        if not same or about.get("made_of", mark := made_of(people, **self.options)) != mark:  # an older one says none
            raise UserError(
                f"{store}: holds a store of other people or options already: choose another --out, or --split"
            )


@dataclass(frozen=True)
class Check:
    """Read every photo of a dataset whole, once: damage, wrong sizes and what its annotations leave out.

    A loader reads only as far down as a crop reaches, so damage further down is seen here (and by pack) alone.
    """

    dataset: Annotated[str, DATASETS] = "custom"
    """demo | lsp | mpii | coco | custom (with --train-annotations) | module:DATASET of your own"""
    root: Path | None = None
    """folder of the dataset (the demo set needs none)"""
    files: Files = field(default_factory=Files)
    split: Literal["both", "train", "val"] = "both"
    """which people"""
    out: Path | None = None
    """draw a few people with their joints' names here, a .jpg or .png"""
    json: Path | None = None
    """write what was found here: {split: {"people", "photos", "notes", "problems": {photo: reason}}}"""

    def __post_init__(self) -> None:
        check(self)
        if self.out is not None:
            check_suffix(self.out)

    def run(self) -> None:
        import numpy as np

        from asda_fast.data import load
        from asda_fast.data.summary import mirror_problems, summary

        table: dict[str, Any] = {}
        tables: list[People] = []
        sound: list[People] = []  # in photos that can be drawn
        bad = 0
        if self.json is not None:
            check_target("json", self.json)
        for split in splits(self.split, self.files):
            people = load(self.dataset, self.root, split, self.files, tables[0].skeleton if tables else None)
            tables.append(people)
            problems = read_photos(people)
            sound.append(people.select(~np.isin(np.array(people.files)[people.file], [p.photo for p in problems])))
            bad += len(problems)
            notes = [*dict.fromkeys((*people.notes, *mirror_problems(people)))]
            notes += shared_photos(*tables) if len(tables) == 2 else []
            for line in (*notes, *(line for line in summary(people) if line not in notes), *map(str, problems)):
                print(f"{people.name}: {line}")
            count = len(set(people.file.tolist()))
            print(f"{people.name}: {len(people)} people in {count} photos, {len(problems)} bad")
            said = {problem.photo: problem.reason for problem in problems}
            table[split] = {"people": len(people), "photos": count, "notes": notes, "problems": said}
        if self.json is not None:
            write_json(self.json, table, indent=1)
        if self.out is not None and (shown := [some for some in sound if len(some)]):
            from asda_fast.viz import draw
            from asda_fast.viz.named_joints import named_joints

            print(draw.save(self.out, named_joints(shown)))
        if bad:
            raise UserError(f"{bad} bad photos, listed above (--on-bad-image skip leaves them out of a run)")


def splits(asked: str, files: Files) -> tuple[str, ...]:
    """Those asked for; of files of one's own those that are named."""
    if asked != "both":
        return (asked,)
    return tuple(split for split in ("train", "val") if not files.given or files.has(split))


def read_photos(people: People) -> list[Problem]:
    """What is wrong with the photos of `people`, with a bar meanwhile."""
    from rich.progress import Progress

    from asda_fast.data.check import photos

    with Progress(transient=True) as bar:
        task = bar.add_task(f"reading the photos of {people.name}")
        return photos(people, cores(), lambda done, total: bar.update(task, completed=done, total=total))


COMMANDS = {"pack": Pack, "check": Check}


def main(prog: str = "python -m asda_fast.data") -> None:
    entry.subcommand(COMMANDS, prog, "Datasets: made fast to read, and looked through.")
