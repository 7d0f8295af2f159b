"""Annotations of each format -> the Person table, and the plan of an epoch. Nothing here touches a pixel.

`load(name, root, split)` reads demo, lsp, mpii or coco; `draw` makes the plan.
"""

from __future__ import annotations

from pathlib import Path

from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import Skeleton
from asda_fast.data.people import People
from asda_fast.data.plan import GlobalAug, Plan, draw
from asda_fast.data.store import is_store
from asda_fast.data.store import read as read_store

__all__ = ["NAMES", "GlobalAug", "People", "Plan", "Skeleton", "demo_root", "draw", "load"]

NAMES = ("demo", "lsp", "mpii", "coco", "store")
SPLITS = ("train", "val")


def load(name: str, root: str | Path | None = None, split: str = "train") -> People:
    """The people of a dataset.

    name: demo (embedded, needs no root), lsp (also LSP-extended), mpii (HRNet's JSON), coco (person keypoints), store;
    split: train or val. A root that `python -m asda_fast.data pack` wrote is read as a store (data/store.py), under the
    name of the dataset that was packed or as "store". People without a labelled joint, crowds and empty boxes are left
    out, as everywhere.
    Raises UserError naming the file and the record that is wrong.
    """
    import importlib

    if name not in NAMES:
        raise UserError(f"dataset: expected one of {', '.join(NAMES)}, got {name!r}")
    if split not in SPLITS:
        raise UserError(f"split: expected train or val, got {split!r}")
    if root is not None and is_store(Path(root), split):
        people = read_store(Path(root), split)
        if name not in (people.name.split()[0], "store"):  # "coco train"
            raise UserError(f"{root}: a store of {people.name}, not of {name}")
        return people
    if name == "demo":
        from asda_fast.data import demo

        return demo.read(demo_root() if root is None else Path(root), split)
    if root is None:
        raise UserError(f"--root: dataset {name!r} needs the folder that holds it")
    folder = Path(root)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder (root of dataset {name!r})")
    found: People = importlib.import_module(f"asda_fast.data.{name}").read(folder, split)
    return found


def demo_root() -> Path:
    """The folder of the embedded demo set."""
    return Path(__file__).resolve().parent / "demo"
