"""The array `joints` of Leeds Sports Pose, for training and scoring alike: its axes, its third row's meaning.

LSP publishes (3, 14, N) with a third row that is 1 where a joint is occluded, LSP-extended (14, 3, N) with one that is
1 where a joint is labelled at all. Files are passed on with the shape of one and the meaning of the other, so the data
decide: few joints are occluded, and most are labelled.
"""

from __future__ import annotations

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import FAR, LSP

JOINTS = len(LSP.joints)
# Which axes of the array hold the joints, x y flag, and the people: LSP's, LSP-extended's, and those of numpy users.
LAYOUTS = ((1, 0, 2), (0, 1, 2), (1, 2, 0), (2, 1, 0), (0, 2, 1), (2, 0, 1))


def read_joints(where: str, table: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """joints [N, 14, 2] float64 as in the file (the first pixel is 1), visible [N, 14] uint8 (0 not labelled,
    1 occluded, 2 visible), and what is to be said of the file. UserError beginning with `where`."""
    if table.dtype.kind not in "buif" or table.ndim not in (2, 3):
        raise UserError(
            f"{where}: joints: expected numbers (3, {JOINTS}, N), got {table.dtype.name} of shape {table.shape}"
        )
    table = table.reshape(*table.shape, *[1] * (3 - table.ndim)).astype(np.float64)  # MATLAB drops a last axis of 1
    layout = next((axes for axes in LAYOUTS if table.shape[axes[0]] == JOINTS and table.shape[axes[1]] == 3), None)
    if layout is None or table.size == 0:
        raise UserError(f"{where}: joints: expected (3, {JOINTS}, N) of LSP or ({JOINTS}, 3, N), got {table.shape}")
    joint, row, person = layout
    table = table.transpose(person, joint, row)
    points, flag = table[..., :2], table[..., 2]
    bad = ~np.isin(flag, (0, 1)).all(axis=1)
    if bad.any():
        raise UserError(f"{where}: record {int(bad.argmax())}: third row: expected flags 0 or 1, got others")
    unset = (flag == 0) & ~(points > 0).all(axis=2)  # LSP-extended's missing joints: not one has both coordinates > 0
    extended = flag.mean() > 0.5 or unset.sum() * 2 > (flag == 0).sum()
    visible = np.where(flag > 0, 2, 0) if extended else np.where(flag > 0, 1, 2)
    known = visible > 0
    bad = ~(np.isfinite(points) & (np.abs(points) < FAR)).all(axis=2, where=known[..., None]).all(axis=1)
    if bad.any():
        raise UserError(f"{where}: record {int(bad.argmax())}: a labelled joint is not finite, or out of any photo")
    if known.any() and np.abs(points[known]).max() <= 1 and (points[known] % 1 > 0).any():
        raise UserError(f"{where}: joints: expected pixels; all lie in 0..1: shares of the photo's size?")
    notes = []
    if layout != LAYOUTS[int(extended)]:
        what = "LSP-extended's (1 labelled)" if extended else "LSP's (1 occluded)"
        shape = tuple("N" if axis == person else (JOINTS, 3)[axis == row] for axis in range(3))
        notes.append(f"joints of shape ({', '.join(map(str, shape))}), the third row read as {what}")
    return points, visible.astype(np.uint8), notes
