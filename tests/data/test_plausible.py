"""Values in another unit or layout, told from the whole table: refused, or said in a note."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import COCO
from asda_fast.data import Dataset, People, load

MIRROR = list(range(17))
for left, right in COCO.pairs:
    MIRROR[left], MIRROR[right] = right, left


def read(people: People, tmp_path: Path) -> People:
    return load(Dataset("mine", lambda root, split: people), tmp_path)


def swapped(people: People) -> dict[str, Any]:
    box, joints, centre = people.box[:, [1, 0, 3, 2]], people.joints[..., ::-1].copy(), people.centre[:, ::-1].copy()
    return {"box": box, "joints": joints, "centre": centre, "image_size": people.image_size * 0}


def upside_down(people: People) -> dict[str, Any]:
    top = people.image_size[people.file][:, :1].astype(np.float32)
    joints, centre = people.joints.copy(), people.centre.copy()
    joints[..., 1], centre[:, 1] = top - joints[..., 1], top[:, 0] - centre[:, 1]
    return {"joints": joints, "centre": centre}


def moved(pixels: float, rows: int, declared: bool = True) -> Any:
    def change(people: People) -> dict[str, Any]:
        there = np.where(np.arange(len(people)) < rows, pixels, 0)[:, None].astype(np.float32)
        size = people.image_size * declared
        return {"centre": people.centre + there, "joints": people.joints + there[..., None], "image_size": size}

    return change


@pytest.fixture(scope="module")
def people() -> People:
    return load("demo")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: {"scale": p.scale * 200}, r"scale: joints spread over 0\.34 % .* scale in pixels\?"),
        (moved(-5000, 2), "2 people lie wholly outside their photo, the first at x -.*, y -.* of .*jpg"),
        (moved(5000, 1), "1 people lie wholly outside"),
        (moved(-5000, 1, declared=False), "1 people lie wholly outside"),
        (moved(5000, 400, declared=False), r"jpg: is .* is wholly outside \(so .* of 64 photos looked at\)"),
    ],
)
def test_what_would_give_crops_of_nothing_is_refused(people: People, tmp_path: Path, change: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read(replace(people, **change(people)), tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: {"scale": np.where(np.arange(len(p)) == 7, 200, 1) * p.scale}, "1 people whose joints spread over"),
        (swapped, "most of 442 people lie on their side: are x and y swapped?"),
        (upside_down, "most of 442 people stand on their head"),
        (lambda p: {"joints": p.joints[:, MIRROR]}, "the left eye is left of the right one in 100% of photos"),
        (lambda p: {"visible": (p.visible > 0).astype(np.uint8)}, "all labelled joints are marked as occluded"),
        (lambda p: {"joints": np.concatenate([p.joints[:9], p.joints[:-9]])}, "9 people have the very joints of"),
        (lambda p: {"image_size": p.image_size * 2}, "of smaller copies of the photos?"),
        (lambda p: moved(5000, 30, declared=False)(p), "of 64 photos looked at"),
    ],
)
def test_what_is_odd_is_said(people: People, tmp_path: Path, change: Any, words: str) -> None:
    notes = read(replace(people, **change(people)), tmp_path).notes
    assert any(words in note and "\n" not in note for note in notes)


def test_real_people_are_as_they_should_be(people: People, shared_data: Path) -> None:
    assert people.notes == ()
    for name, folder in (("lsp", "lspet"), ("coco", "coco_mini")):
        for split in ("train", "val"):
            notes = load(name, shared_data / folder, split).notes
            assert all("left out" in note for note in notes)
