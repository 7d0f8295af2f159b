"""Annotations of each format -> the Person table, and the plan of an epoch. Nothing here touches a pixel.

`load(name, root, split)` reads a dataset (dataset.py); `draw` makes the plan.
"""

from __future__ import annotations

from asda_fast.core.skeletons import Skeleton
from asda_fast.data.dataset import DATASETS, Dataset, Preset, dataset, load
from asda_fast.data.demo import demo_root
from asda_fast.data.people import People
from asda_fast.data.plan import GlobalAug, Plan, draw

__all__ = [
    "DATASETS", "Dataset", "GlobalAug", "People", "Plan", "Preset", "Skeleton", "dataset", "demo_root", "draw", "load",
]  # fmt: skip
