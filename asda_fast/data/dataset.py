"""Dataset: what a set of people is called, how it is read, trained on and scored. One record, beside its reader.

A new one is one file, here or anywhere: `THING = Dataset(name, read, preset)`, given as `my.module:THING`; a line in
`DATASETS` gives it a name. A bare function (root, split) -> People will do as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asda_fast.core.errors import UserError
from asda_fast.core.registry import Registry
from asda_fast.core.skeletons import Skeleton
from asda_fast.data import plausible
from asda_fast.data.people import People
from asda_fast.data.plan import GlobalAug
from asda_fast.data.store_index import is_store, split_of
from asda_fast.data.store_index import read as read_store

if TYPE_CHECKING:
    from asda_fast.data.custom import Files

SPLITS = ("train", "val")
PAPER_EPOCHS = 210  # in the paper and in HRNet alike


@dataclass(frozen=True)
class Preset:
    """What a run on the dataset is unless told otherwise."""

    model: str = "hrnet_w32"
    size: tuple[int, int] = (256, 256)  # height, width of the crop
    epochs: int = PAPER_EPOCHS
    batch_size: int = 32
    aug: GlobalAug = field(default_factory=GlobalAug)


@dataclass(frozen=True)
class Dataset:
    """A dataset.

    read: (root, split) -> People; root is a folder that exists, split "train" or "val". It raises UserError naming the
    file and the record that is wrong.
    """

    name: str
    read: Callable[[Path, str], People]
    preset: Preset = field(default_factory=Preset)
    protocol: str = "pck"  # how it is scored: pck | pckh | oks | my.module:FUNCTION
    skeleton: Skeleton | None = None  # what its people have; None: as its files say
    home: Path | None = None  # of a set that comes with the package: the root where none is given
    annotations: Callable[[Path, str], Path] | None = None  # (root, split) -> the file that the official scorer reads


DATASETS = Registry(
    "dataset",
    {
        "demo": "asda_fast.data.demo:DATASET",
        "lsp": "asda_fast.data.lsp:DATASET",
        "mpii": "asda_fast.data.mpii:DATASET",
        "coco": "asda_fast.data.coco:DATASET",
        "custom": "asda_fast.data.custom:DATASET",
    },
)


def dataset(name: str) -> Dataset:
    """The record of a dataset: a built-in one, or `my.module:THING`."""
    found = DATASETS.load(name)
    if isinstance(found, Dataset):
        return found
    if not callable(found):
        raise UserError(f"dataset {name}: expected a Dataset or a function (root, split) -> People, got {found!r:.100}")
    return Dataset(name, found)


def load(
    name: str | Dataset,
    root: str | Path | None = None,
    split: str = "train",
    files: Files | None = None,
    skeleton: Skeleton | None = None,
) -> People:
    """The people of a dataset.

    files: annotation files to read instead of those of a root. skeleton: whose joints their people have, where neither
    they nor the dataset say; a checkpoint's, for instance.

    name: demo (embedded, needs no root), lsp (also LSP-extended), mpii (HRNet's JSON), coco (person keypoints),
    `my.module:THING`, or a Dataset; split: train or val. A root that `python -m asda_fast.data pack` wrote is read as a
    store (data/store.py), under the name of the dataset that was packed or as "store". People without a labelled joint,
    crowds and empty boxes are left out, as everywhere; `People.notes` says what was left out.
    Raises UserError naming the file and the record that is wrong.
    """
    if split not in SPLITS:
        raise UserError(f"split: expected train or val, got {split!r}")
    if files is not None:
        files.check_given()
        if files.given:
            return _from_files(name, root, split, files, skeleton)
    if root is not None and is_store(Path(root), split):
        people = read_store(Path(root), split)
        known = "store" if name == "store" else (name if isinstance(name, Dataset) else dataset(name)).name
        if known not in (people.name.split()[0], "store"):  # "coco train"
            raise UserError(f"{root}: a store of {people.name}, not of {known}")
        if split_of(people) not in (split, ""):
            raise UserError(f"{root}: a store of split {split_of(people)}, asked for {split} (give the folder of both)")
        return people
    packed = [other for other in SPLITS if root is not None and is_store(Path(root), other)]
    there = f", there is {packed[0]}/store.json alone" if packed else ""
    missing = UserError(f"{root}: no store here: expected {split}/store.json{there} (python -m asda_fast.data pack)")
    if name == "store":
        raise missing
    record = name if isinstance(name, Dataset) else dataset(name)
    if root is None and record.home is None:
        if record.name == "custom":
            raise UserError(f"{split}_annotations: needed: a file of keypoints (or `root`, which data pack wrote)")
        raise UserError(f"root: dataset {record.name} needs the folder that holds it")
    folder = Path(root) if root is not None else record.home
    assert folder is not None
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {what} (root of dataset {record.name})")
    try:
        people = record.read(folder, split)
    except UserError as error:  # its own files may lie beside a store of the other split
        raise (missing if packed else error) from None
    return _checked(record, people, split, str(folder))


def _from_files(
    name: str | Dataset, root: str | Path | None, split: str, files: Files, skeleton: Skeleton | None
) -> People:
    record = name if isinstance(name, Dataset) else dataset(files.dataset(name))
    if root is not None:
        raise UserError("root: goes without `train_annotations` and `val_annotations`, which are read instead")
    return _checked(record, files.people(split, record.skeleton or skeleton), split, str(files.annotations(split)))


def _checked(record: Dataset, people: People, split: str, place: str) -> People:
    """The people as their reader gave them, under the name of their dataset and split."""
    if not isinstance(people, People):
        raise UserError(f"dataset {record.name}: its reader gave {type(people).__name__}, not People")
    problem = people.problem() or plausible.refusal(people)
    if problem:
        raise UserError(f"dataset {record.name} ({place}): {problem:.300}")
    looked, strangers = plausible.strangers(people)
    if len(strangers) >= max(plausible.MANY, plausible.STRANGE * looked):
        name, why = strangers[0]
        raise UserError(f"{name}: {why} (so {len(strangers)} of {looked} photos looked at)")
    said = [f"{len(strangers)} of {looked} photos looked at: {name} {why}" for name, why in strangers[:1]]
    notes = (*people.notes, *plausible.remarks(people), *said)
    return replace(people, name=f"{record.name} {split}", notes=notes)
