"""A few people with their annotated joints and the joints' names: what a reader understood, for eyes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from asda_fast.core.batch import Batch
from asda_fast.data.people import People
from asda_fast.pipelines.loader import make_loader
from asda_fast.viz import draw

SIDE = 512  # pixels of a crop
MOST_NAMES = 40  # joints that are written as names; more as numbers
SMALL, LINE = 11, 13  # text, in pixels


def named_joints(tables: Sequence[People], people: int = 4) -> np.ndarray:
    """[H, W, 3] RGB: a row of `people` persons of each table, those with the most labelled joints spread over it."""
    rows, captions = [], []
    for table in tables:
        some = _rows(table, people)
        with make_loader(
            table.select(some), size=(SIDE, SIDE), batch_size=len(some), pipeline="native", train=False
        ) as loader:
            batch = next(iter(loader))
        rows.append([_drawn(batch, i, table) for i in range(len(batch))])
        captions.append([f"{table.name}, {table.files[table.file[row]].rsplit('/', 1)[-1]}" for row in some])
    count = len(tables[0].skeleton.joints)
    title = f"{count} joints" + (", by their numbers from 0" if count > MOST_NAMES else "")
    return draw.sheet(rows, captions, title=title, cell=SIDE)


def _rows(table: People, count: int) -> np.ndarray:
    """Of each stretch of the table the person with the most labelled joints."""
    stretches = np.array_split(np.arange(len(table)), min(count, len(table)))
    labelled = (table.visible > 0).sum(axis=1)
    return np.array([stretch[labelled[stretch].argmax()] for stretch in stretches])


def _drawn(batch: Batch, i: int, table: People) -> np.ndarray:
    joints, visible = batch.joints[i].numpy(), batch.visible[i].numpy()
    picture = draw.skeleton(batch.image[i].numpy(), joints, visible, table.skeleton, thickness=2.5)
    names = table.skeleton.joints
    taken: list[tuple[float, float, float]] = []  # left, right and baseline of what is written already
    for j in np.flatnonzero(visible):
        words = names[j] if len(names) <= MOST_NAMES else str(j)
        wide = draw.text_width(words, SMALL)
        free = [spot for spot in _spots(joints[j], wide) if not _meets(spot, taken)]
        if not free:  # crowded: the joint stays without its name
            continue
        left, _, base = free[0]
        taken.append(free[0])
        at = round(left), round(base)
        cv2.putText(picture, words, at, cv2.FONT_HERSHEY_DUPLEX, SMALL / 32, draw.INK, 3, cv2.LINE_AA)
        draw.text(picture, at, words, SMALL, draw.PAPER)
    return picture


def _spots(joint: np.ndarray, wide: float) -> list[tuple[float, float, float]]:
    """Where a name may stand: right or left of its joint, a line or two higher or lower."""
    found = []
    for line in (0, -1, 1, -2, 2):
        for x in (joint[0] + 6, joint[0] - 6 - wide):
            left = float(np.clip(x, 0, SIDE - wide - 1))
            found.append((left, left + wide, float(np.clip(joint[1] + 4 + line * LINE, LINE, SIDE - 3))))
    return found


def _meets(spot: tuple[float, float, float], taken: list[tuple[float, float, float]]) -> bool:
    return any(left < spot[1] and spot[0] < right and abs(spot[2] - base) < LINE for left, right, base in taken)
