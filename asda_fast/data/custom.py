"""Keypoint files of one's own, of any layout: named file by file instead of by a dataset's folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core import skeleton_file
from asda_fast.core.coco_json import annotation_numbers, checked
from asda_fast.core.errors import UserError, named
from asda_fast.core.files import read_json
from asda_fast.core.registry import nearest
from asda_fast.core.skeleton import Skeleton, described
from asda_fast.core.skeleton_file import SkeletonFile
from asda_fast.core.skeletons import AIC, MPII, SKELETONS
from asda_fast.data import aic, coco, mpii, yolo
from asda_fast.data.dataset import Dataset, Preset
from asda_fast.data.people import People
from asda_fast.data.plan import GlobalAug

NAME = "custom"


@dataclass(frozen=True)
class Files:
    """Annotation files of one's own and where their photos lie; with them the dataset is `custom` unless one is named,
    whose joints and preset are then taken."""

    train_annotations: str | None = None
    """keypoints to train on, instead of a dataset's: a JSON in COCO's form (also as CVAT, Label Studio and Roboflow
    export it) or MPII's, MPII's .mat, or the .yaml of a YOLO-pose folder, which names both splits; or a
    folder of JSONs, as PoseTrack18's, a video each"""
    val_annotations: str | None = None
    """the same, to validate on"""
    images: tuple[str, ...] = ()
    """folders of the photos [beside the annotations, or in images/ there or one folder up]"""
    val_images: tuple[str, ...] = ()
    """folders of the photos of --val-annotations [as --images]"""
    skeleton: str | None = None
    """whose joints they are: a file (YAML or JSON: names, pairs, edges, sigmas, head, torso, upper, lower; MMPose's
    dataset_info; Ultralytics' data file), or a known one: wholebody, halpe136, .. [as the annotations name them]"""
    category: str | None = None
    """the category to read, where the annotations have several with other joints"""

    @property
    def given(self) -> bool:
        """Whether annotations are named."""
        return self.train_annotations is not None or self.val_annotations is not None

    def dataset(self, name: str) -> str:
        """What a run on these files is called that was asked for as `name`."""
        return NAME if self.given and name == "demo" else name

    def check_given(self) -> None:
        """UserError where an option stands alone."""
        for name in ("images", "val_images", "skeleton", "category"):
            if getattr(self, name) and not self.given:
                raise UserError(f"{name}: goes with `train_annotations` or `val_annotations`, the files to read")

    def has(self, split: str) -> bool:
        """Whether a file of the split is named."""
        return self._named(split) is not None

    def _named(self, split: str) -> str | None:
        train, val = self.train_annotations, self.val_annotations
        if val is None and train is not None and train.lower().endswith((".yaml", ".yml")):
            val = train  # a YOLO data file names both
        return train if split == "train" else val

    def annotations(self, split: str) -> Path:
        """The file of a split. UserError where none is named."""
        named = self._named(split)
        if named is None:
            what = "to train on" if split == "train" else "to validate on"
            raise UserError(f"{split}_annotations: needed: the people {what}")
        return Path(named)

    def coco_form(self, people: People, split: str) -> dict[str, Any] | None:
        """A split's annotations as COCO's scorer takes them, with a box of `people` where one lacks; None of MPII's."""
        path = self.annotations(split)
        kind = path.suffix.lower()
        if kind in (".yaml", ".yml"):
            return yolo.read(path, split, self.category)[0]
        content = None if kind == ".mat" else _content(path)
        if aic.is_aic(content):
            content = aic.table(path, content or [])
        if content is None or isinstance(content, list):
            return None
        table = checked(path, content)
        box = dict(zip(people.id.tolist(), people.box.tolist(), strict=True))
        for number, annotation in zip(annotation_numbers(table)[0], table["annotations"], strict=True):
            if not annotation.get("bbox"):
                annotation["bbox"] = box.get(number, [0, 0, 0, 0])
        return table

    def told(self) -> Skeleton | SkeletonFile | None:
        """What `skeleton` says. UserError for what is neither a file nor known."""
        if self.skeleton is None:
            return None
        if self.skeleton in SKELETONS:
            return SKELETONS[self.skeleton]
        path = Path(self.skeleton)
        if not path.is_file():
            known = ", ".join(SKELETONS)
            raise UserError(
                f"skeleton {self.skeleton}: no such file, nor one of {known}{nearest(self.skeleton, list(SKELETONS))}"
            )
        return skeleton_file.read(path)

    def people(self, split: str, wanted: Skeleton | None = None) -> People:
        """The people of a split. wanted: whose joints they are where `skeleton` does not say. UserError naming the file
        and the record that is wrong."""
        path, told = self.annotations(split), self.told()
        told = wanted if told is None else told
        named = (self.val_images if split == "val" else ()) or self.images
        folders = [Path(folder) for folder in named] or usual_folders(path)
        for folder in named:
            if not Path(folder).is_dir():
                raise UserError(f"images {folder}: no such folder")
        name = f"{NAME} {split}"
        kind = path.suffix.lower()
        if kind in (".yaml", ".yml"):
            return self._yolo(path, split, told)
        if not path.exists():
            raise UserError(f"{path}: no such file or folder (annotations)")
        if kind not in (".json", ".mat") and not path.is_dir():
            raise UserError(f"{path}: expected JSON in COCO's or MPII's form (or a folder), MPII's .mat, a YOLO .yaml")
        content = None if kind == ".mat" else _content(path)
        if aic.is_aic(content):
            content = aic.table(path, content or [])
            told = AIC if told is None else told
        if content is None or isinstance(content, list):
            if self.category is not None or isinstance(told, SkeletonFile):
                raise UserError(f"{path}: MPII's form has no categories, and MPII's joints")
            if told is not None and told != MPII:
                raise UserError(f"{path}: of MPII's 16 joints, not the {len(told.joints)} of {told.name.upper()}")
            return mpii.read_file(path, folders, name, without=self._judged() if split == "train" else ())
        table = checked(path, content)
        people = coco.read_records(path, table, folders, name, told, self.category, unique=bool(named))
        return _with_joints_said(people)

    def _judged(self) -> set[str]:
        """The photos of MPII's people to validate on, where a JSON in HRNet's form names them."""
        val = self._named("val") or ""
        content = read_json(Path(val)) if val.lower().endswith(".json") else None
        return {str(r.get("image")) for r in content if isinstance(r, dict)} if isinstance(content, list) else set()

    def _yolo(self, path: Path, split: str, told: Skeleton | SkeletonFile | None) -> People:
        table, notes = yolo.read(path, split, self.category)
        told = told if told is not None else skeleton_file.read(path)
        people = coco.read_records(path, table, [Path()], f"{NAME} {split}", told)
        return _with_joints_said(replace(people, notes=(*notes, *people.notes)))


def _content(path: Path) -> Any:
    """What a JSON holds; of a folder, as PoseTrack18 has one of a video, all of its files as one in COCO's form."""
    if not path.is_dir():
        return read_json(path)
    files = sorted(path.glob("*.json"))
    if not files:
        raise UserError(f"{path}: no .json in this folder, of which each would be a part of the people")
    tables = [checked(file, read_json(file)) for file in files]
    for file, table in zip(files, tables):
        if table.get("categories") != tables[0].get("categories"):
            raise UserError(f"{file}: other categories than {files[0].name}: the files of a folder are read as one")
    _one_numbering(files, tables)
    return {**tables[0], **{kind: [r for table in tables for r in table[kind]] for kind in ("images", "annotations")}}


def _one_numbering(files: list[Path], tables: list[dict[str, Any]]) -> None:
    """UserError where a number is a photo's in one file and another photo's in another: each begins anew."""
    seen: dict[Any, tuple[Path, Any]] = {}
    for file, table in zip(files, tables):
        for photo in table["images"]:
            number, name = repr(photo.get("id")), photo.get("file_name")
            other, called = seen.setdefault(number, (file, name))
            if other != file and called != name:
                raise UserError(
                    f"{file}: photo {number} is {name!r}, and {called!r} in {other.name}: the files of a folder are "
                    "read as one, export them as one or number their photos through"
                )


def _with_joints_said(people: People) -> People:
    """Joints that are not in the table of skeletons are shown before anything is learnt of them."""
    lines = () if people.skeleton in SKELETONS.values() else described(people.skeleton)
    return replace(people, notes=(*people.notes, *lines))


def usual_folders(annotations: Path) -> list[Path]:
    """Where annotation tools and data sets put photos: beside the file, or in images/ there or one folder up."""
    here, above = annotations.parent, annotations.resolve().parent.parent
    split = annotations.stem.rsplit("_", 1)[-1]  # person_keypoints_default.json: images/default
    return [here, here / "images", above / "images" / split, above / split, above / "images", above]


def shared_photos(train: People, val: People) -> Sequence[str]:
    """What is to be said where people to validate on are trained on, or are in photos that are."""
    # One joint alone lies at the same pixel in photos that have nothing to do with each other.
    marks, others = ({row.tobytes() for row in p.joints[np.count_nonzero(p.visible, axis=1) > 1]} for p in (train, val))
    said = []
    if same := len(marks & others):  # also in copies of the photos, under other names
        said.append(f"{same} of {len(val)} people to validate on have the very joints of people who are trained on")
    theirs = _used(val)
    if both := _in_both(_used(train), theirs):
        said.append(
            f"{len(both)} of {len(theirs)} photos to validate on are trained on as well, {named(min(both))} for one"
        )
    return said


def _used(people: People) -> list[str]:
    """The photos that have somebody: `files` stays whole where people were selected."""
    return [people.files[number] for number in np.unique(people.file)]


def _in_both(train: list[str], val: list[str]) -> list[str]:
    """Those of `val` that are among `train`, however the two spell their paths, and through links. Only photos of one
    name are looked up, so that it costs nothing where there are none."""
    names, others = ({os.path.basename(path) for path in paths} for paths in (train, val))
    alike = names & others
    marks = {_mark(path) for path in train if os.path.basename(path) in alike}
    return [path for path in val if os.path.basename(path) in alike and _mark(path) in marks]


def _mark(path: str) -> object:
    """What a file is known by, whatever its path; of one that is not there, as of a store's photos, its whole path."""
    try:
        state = os.stat(path)
    except OSError:
        return os.path.abspath(path)
    return state.st_dev, state.st_ino


def _read(root: Path, split: str) -> People:
    raise UserError(f"{root}: dataset {NAME} has no layout: name its files with `{split}_annotations`")


DATASET = Dataset(
    NAME,
    _read,
    # rotation and scale as for COCO; half bodies only where the skeleton says which half a joint is of
    Preset(size=(256, 256), aug=GlobalAug(flip=0.5, rotation=40.0, scale=0.3, half_body=0.3)),
)
