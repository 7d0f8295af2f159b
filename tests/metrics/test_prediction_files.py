"""Predictions in every layout and format, and what is said of those that do not fit."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from asda_fast.core.errors import UserError
from asda_fast.metrics import prediction_files as files

XY = np.random.default_rng(0).integers(1, 200, (30, 14, 2)).astype(np.float64)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("columns", [2, 3])
def test_any_order_of_axes(tmp_path: Path, order: tuple[int, ...], columns: int) -> None:
    table = XY if columns == 2 else np.concatenate([XY, np.full((30, 14, 1), 0.5)], -1)
    np.save(tmp_path / "p.npy", table.transpose(order).astype(np.uint8))
    found = files.joints(tmp_path / "p.npy", [30], [14])
    assert found.xy.dtype == np.float64
    np.testing.assert_array_equal(found.xy, XY)
    assert (found.extra is None) == (columns == 2)
    assert "uint8" in found.how


def test_every_format(tmp_path: Path) -> None:
    savemat(tmp_path / "p.mat", {"pred": XY.transpose(2, 1, 0), "other": np.zeros((3, 3))})
    np.savez(tmp_path / "p.npz", preds=XY, scores=np.zeros((30, 14)))
    for name in ("p.h5", "v73.mat"):  # MATLAB 7.3 is HDF5 with reversed axes, behind a header of 512 bytes
        with h5py.File(tmp_path / name, "w", userblock_size=512 if name == "v73.mat" else 0) as file:
            file["group/preds"] = XY if name == "p.h5" else XY.transpose()
    with open(tmp_path / "v73.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    (tmp_path / "list.json").write_text(json.dumps(XY.tolist()))
    (tmp_path / "keys.json").write_text(json.dumps({"meta": "x", "preds": XY.tolist()}))
    (tmp_path / "records.json").write_text(
        json.dumps([{"image": f"{i}.jpg", "joints": p.tolist()} for i, p in enumerate(XY)])
    )
    cells = np.empty((1, 30), dtype=object)
    for i in range(30):
        cells[0, i] = XY[i]
    savemat(tmp_path / "cells.mat", {"keypointsAll": cells})
    for name in ("p.mat", "p.npz", "p.h5", "v73.mat", "list.json", "keys.json", "records.json", "cells.mat"):
        np.testing.assert_array_equal(files.joints(tmp_path / name, [30], [14]).xy, XY, err_msg=name)


def test_names_decide_between_arrays_that_fit(tmp_path: Path) -> None:
    savemat(tmp_path / "both.mat", {"pos_gt_src": XY * 0, "pos_pred_src": XY})
    found = files.joints(tmp_path / "both.mat", [30], [14])
    assert found.key == "pos_pred_src"
    np.testing.assert_array_equal(files.joints(tmp_path / "both.mat", [30], [14], key="pos_gt_src").xy, XY * 0)
    np.savez(tmp_path / "two.npz", a=XY, b=XY)
    with pytest.raises(UserError, match=r"two\.npz: several arrays fit \(a, b\): choose one with `key`"):
        files.joints(tmp_path / "two.npz", [30], [14])
    assert files.joints(tmp_path / "two.npz", [30], [14], key="b").key == "b"


SHAPE = "preds has shape (30, 14, 2)"


@pytest.mark.parametrize(
    ("people", "joints", "key", "line"),
    [
        ([29], [14], None, f"wrong number of people: expected 29 people with 14 joints of x, y, {SHAPE}: 30 people"),
        ([30], [16], None, f"wrong number of joints: expected 30 people with 16 joints of x, y, {SHAPE}: 14 joints"),
        ([30], [14], "wrong", "key='wrong': no such array, there are preds (30, 14, 2), scores (30, 14)"),
        ([30], [14], "scores", "key='scores': expected 30 people with 14 joints of x, y, scores has shape (30, 14)"),
        ([5], [6], None, f"expected 5 people with 6 joints of x, y, {SHAPE}"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, people: list[int], joints: list[int], key: str | None, line: str
) -> None:
    np.savez(tmp_path / "p.npz", preds=XY, scores=np.zeros((30, 14)))
    with pytest.raises(UserError) as caught:
        files.joints(tmp_path / "p.npz", people, joints, key)
    assert str(caught.value) == f"{tmp_path / 'p.npz'}: {line}"


def test_unreadable_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.npy: no such file"):
        files.arrays(tmp_path / "none.npy")
    for name in ("x.npy", "x.npz", "x.mat", "x.h5", "x.json"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(UserError, match=rf"{name}: not a readable {Path(name).suffix} file"):
            files.arrays(tmp_path / name)
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(UserError, match=r"expected one of \.npy .*, got \.txt"):
        files.arrays(tmp_path / "x.txt")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    with pytest.raises(UserError, match="holds pickled Python objects, which are never read"):
        files.arrays(tmp_path / "objects.npy")
    (tmp_path / "empty.json").write_text("{}")
    with pytest.raises(UserError, match=r"expected 3 people with 14 joints of x, y, there are no arrays"):
        files.joints(tmp_path / "empty.json", [3], [14])


def test_struct_arrays_cells_and_rows_of_coordinates(tmp_path: Path) -> None:
    """A struct per person, a cell per person in both MATLAB formats, coordinates down and people across."""
    import h5py

    people = np.zeros((1, 30), dtype=[("joints", object), ("name", object)])
    for i in range(30):
        people[0, i]["joints"], people[0, i]["name"] = XY[i], f"person {i}"
    savemat(tmp_path / "struct.mat", {"pred": people})
    with h5py.File(tmp_path / "cell.mat", "w", userblock_size=512) as file:
        matrices = [file.create_dataset(f"#refs#/{i}", data=XY[i].T) for i in range(30)]
        file["pred"] = np.array([[m.ref] for m in matrices], dtype=h5py.ref_dtype)
    with open(tmp_path / "cell.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    np.save(tmp_path / "rows.npy", XY.reshape(30, 28).T)
    for name in ("struct.mat", "cell.mat", "rows.npy"):
        np.testing.assert_array_equal(files.joints(tmp_path / name, [30], [14]).xy, XY, err_msg=name)


def test_records_are_put_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    records = [{"bbox_id": i, "keypoints": XY[i].tolist()} for i in np.random.default_rng(0).permutation(30).tolist()]
    (tmp_path / "p.json").write_text(json.dumps(records))
    np.testing.assert_array_equal(files.joints(tmp_path / "p.json", [30], [14]).xy, XY)


def test_normalised_joints_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", XY / XY.max())
    with pytest.raises(UserError, match=r"expected joints in pixels, but every value .* within -1 \.\. 1"):
        files.joints(tmp_path / "p.npy", [30], [14])
