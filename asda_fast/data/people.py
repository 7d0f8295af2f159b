"""People: the Person table, one row per annotated person, columns of numpy, no pixels."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from asda_fast.core.skeletons import Skeleton
from asda_fast.data.sources import PHOTOS, EncodedImage, Photo, Source

PIXEL_STD = 200.0  # the unit of `scale`, from MPII by way of HRNet

DTYPES: dict[str, Any] = {
    "file": np.int32, "box": np.float32, "centre": np.float32, "scale": np.float32, "joints": np.float32,
    "visible": np.uint8, "head": np.float32, "id": np.int64, "image_id": np.int64, "image_size": np.int32,
}  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class People:
    """P people in F photos.

    Convention: coordinates are (x, y), continuous, pixel i covers [i, i + 1), its centre is i + 0.5. A reader adds 0.5
    to a 0-based pixel index (0.5 less a whole pixel to a 1-based one); boxes are edges already. Unlabelled joints are
    (0, 0) with `visible` 0.

    Before any augmentation the crop is the smallest rectangle of the asked proportions, centred on `centre`, that
    contains the person's region. The region's longer side is `scale` * 200 photo pixels, padding included; its shape
    is that of `box` (`fit` "box", COCO), or a square (`fit` "square", MPII and LSP). Both are what HRNet does.
    """

    skeleton: Skeleton
    files: list[str]  # F photo paths
    file: np.ndarray  # [P] int32, index into files
    box: np.ndarray  # [P, 4] float32 x, y, width, height: the person's own box in the photo
    centre: np.ndarray  # [P, 2] float32 crop centre
    scale: np.ndarray  # [P] float32 longer side of the padded region / 200
    joints: np.ndarray  # [P, J, 2] float32 photo pixels
    visible: np.ndarray  # [P, J] uint8: 0 not labelled, 1 labelled but occluded, 2 visible
    head: np.ndarray  # [P] float32 head size in photo pixels (PCKh); nan where unknown
    id: np.ndarray  # [P] int64 annotation id
    image_id: np.ndarray  # [P] int64
    image_size: np.ndarray  # [F, 2] int32 height, width; 0 where unknown
    name: str
    fit: str = "box"
    source: Source = PHOTOS
    notes: tuple[str, ...] = ()  # what the reader left out or took as what, a line each, to be printed

    def __post_init__(self) -> None:
        rows, joints = len(self.file), len(self.skeleton.joints)
        shapes = {
            "box": (rows, 4), "centre": (rows, 2), "scale": (rows,), "joints": (rows, joints, 2),
            "visible": (rows, joints), "head": (rows,), "id": (rows,), "image_id": (rows,),
            "image_size": (len(self.files), 2),
        }  # fmt: skip
        for name, shape in {"file": (rows,), **shapes}.items():
            column = np.asarray(getattr(self, name))
            if column.shape != shape:
                raise ValueError(f"People.{name}: expected shape {shape}, got {column.shape}")
            if column.dtype != DTYPES[name]:  # a reader of one's own need not know them
                column = column.astype(DTYPES[name])
            object.__setattr__(self, name, column)
        if self.fit not in ("box", "square"):
            raise ValueError(f"People.fit: expected 'box' or 'square', got {self.fit!r}")

    def __len__(self) -> int:
        return len(self.file)

    def __repr__(self) -> str:
        return f"People({self.name}: {len(self)} people in {len(self.files)} photos, {self.skeleton.name} joints)"

    def problem(self) -> str | None:
        """What no later stage could make sense of, with its row; None where the table is sound."""
        bad = {
            "file: expected a place in files": (self.file < 0) | (self.file >= len(self.files)),
            "box: expected finite x, y and sides >= 0": ~np.isfinite(self.box) | (self.box[:, [2, 3, 2, 3]] < 0),
            "centre: expected finite numbers": ~np.isfinite(self.centre),
            "scale: expected a finite number > 0": ~(np.isfinite(self.scale) & (self.scale > 0)),
            "joints: expected finite numbers": ~np.isfinite(self.joints),
            "visible: expected 0, 1 or 2": self.visible > 2,
        }
        for what, rows in bad.items():
            if rows.any():
                row = int(np.argwhere(rows)[0][0])
                return f"row {row}: {what}, got {getattr(self, what.split(':')[0])[row].tolist()}"
        return None

    def photo(self, row: int) -> Photo:
        """The photo of a row."""
        file = self.file[row]
        height, width = self.image_size[file].tolist()
        return Photo(self.files[file], (height, width) if height else None)

    def fetch(self, row: int, matrix: np.ndarray, size: tuple[int, int]) -> EncodedImage:
        """The pixels of one sample. matrix [2, 3] crop pixel -> photo pixel, size (height, width) of the crop.

        Raises BadImage for a file that cannot be read, or that is another than it was; UserError for a broken store.
        """
        return self.source.fetch(row, self.photo(row), matrix, size)

    def shard(self, visit: np.ndarray, *, rank: int, world: int, batch_size: int, drop_last: bool) -> np.ndarray:
        """This rank's part of `visit` (rows in visiting order)."""
        return self.source.share(visit, rank=rank, world=world, batch_size=batch_size, drop_last=drop_last)

    def first(self, count: int | None) -> People:
        """The first so many people; all where there are fewer, or with None."""
        return self if count is None else self.select(np.arange(min(count, len(self))))

    def select(self, rows: np.ndarray) -> People:
        """The same table with these rows only (indices or a mask); `files` stays whole."""
        rows = np.asarray(rows)
        if rows.size == 0:
            rows = rows.astype(np.int64)
        per_file = ("image_size",)
        return replace(
            self,
            source=self.source.select(rows),
            **{
                f.name: getattr(self, f.name)[rows]
                for f in fields(self)
                if isinstance(getattr(self, f.name), np.ndarray) and f.name not in per_file
            },
        )


def box_of_joints(joints: np.ndarray, visible: np.ndarray, margin: float = 0.1) -> np.ndarray:
    """The box round each person's labelled joints, wider by `margin` of its longer side on every side, because hands,
    feet and hair lie outside the joints.

    joints [P, J, 2], visible [P, J] -> [P, 4] x, y, width, height; people with fewer than two joints get zeros.
    """
    known = visible > 0
    low = np.where(known[..., None], joints, np.inf).min(axis=1)
    high = np.where(known[..., None], joints, -np.inf).max(axis=1)
    enough = known.sum(axis=1) >= 2
    low, high = np.where(enough[:, None], low, 0.0), np.where(enough[:, None], high, 0.0)
    pad = margin * (high - low).max(axis=1, keepdims=True)
    return np.concatenate([low - pad, high - low + 2 * pad], axis=1)
