"""The embedded demo set: rendered people as COCO keypoints, with a LIP-20 label map beside every photo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from asda_fast.core.errors import UserError
from asda_fast.data.coco import read_json
from asda_fast.data.people import People


def read(root: Path, split: str) -> People:
    """root/annotations/person_keypoints_{split}.json; root/{split}/ holds the photos (jpg) and label maps (png)."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder (the demo set)")
    annotations = root / "annotations" / f"person_keypoints_{split}.json"
    people = read_json(annotations, [root / split, root / "images" / split], name=f"demo {split}")
    labels = [_label(root, split, Path(photo)) for photo in people.files]
    return replace(people, labels=labels)


def _label(root: Path, split: str, photo: Path) -> str:
    for place in (root / "labels" / split / f"{photo.stem}.png", photo.with_suffix(".png")):
        if place.is_file():
            return str(place)
    raise UserError(f"{photo}: no label map {photo.stem}.png beside it or in {root / 'labels' / split}")
