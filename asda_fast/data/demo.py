"""The embedded demo set: rendered people as COCO keypoints, with a LIP-20 label map beside every photo."""

from __future__ import annotations

from pathlib import Path

from asda_fast.core.skeletons import COCO
from asda_fast.data.coco import read_file
from asda_fast.data.dataset import Dataset, Preset
from asda_fast.data.people import People
from asda_fast.data.plan import GlobalAug


def read(root: Path, split: str) -> People:
    """root/annotations/person_keypoints_{split}.json; root/{split}/ holds the photos."""
    return read_file(annotations_of(root, split), [root / split, root / "images" / split], f"demo {split}", COCO)


def annotations_of(root: Path, split: str) -> Path:
    """The annotation file of a split."""
    return root / "annotations" / f"person_keypoints_{split}.json"


def demo_root() -> Path:
    """The folder of the embedded set."""
    return Path(__file__).resolve().parent / "demo"


DATASET = Dataset(
    "demo",
    read,
    Preset("hrnet_tiny", (128, 128), epochs=12, batch_size=16, aug=GlobalAug(flip=0.5, rotation=30.0, scale=0.25)),
    protocol="oks",
    skeleton=COCO,
    home=demo_root(),
    annotations=annotations_of,
)
