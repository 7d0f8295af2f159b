"""Joints from files as people publish them: .npy .npz .mat (old and v7.3) .h5 .json, in whatever order of axes.

Liberal in layout, strict in content: what is taken and how is reported in words (`Joints.how`), and what does not fit
is one line that says which of number of people, joints or key is wrong.
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError, first_line
from asda_fast.core.matlab import is_hdf5, read_matlab

SUFFIXES = (".npy", ".npz", ".mat", ".h5", ".hdf5", ".json")
# Names of predictions in published files, best first; then anything that says pred.
KNOWN = ("preds", "pred", "prediction_all", "pos_pred_src", "predictions", "all_preds", "prediction", "keypoints")
ONE_BASED = (".mat", ".h5", ".hdf5")  # written by MATLAB and Torch7, whose first pixel is 1


@dataclass(frozen=True)
class Joints:
    """Joints of one file."""

    xy: np.ndarray  # [N, J, 2] float64, the file's own coordinates
    extra: np.ndarray | None  # [N, J] a third coordinate (score, visibility), where there is one
    key: str
    how: str  # what was taken, in words


def joints(path: str | Path, people: Sequence[int], number: Sequence[int], key: str | None = None) -> Joints:
    """The joints in a file.

    Args:
        path: the file.
        people: numbers of people that are fine, best first.
        number: numbers of joints that are fine, best first.
        key: name of the array; found by its name and shape if None.
    """
    path = Path(path)
    found = arrays(path)
    for flat, array in found.items():  # a row per coordinate instead of one per person
        if array.ndim == 2 and not _layout(array, people, number) and _layout(array.T, people, number):
            found[flat] = array.T
    if key is not None:
        if key not in found:
            raise UserError(f"{path}: key={key!r}: no such array, there {_are(found)}")
        fitting = {key: found[key]}
    else:
        fitting = {name: a for name, a in found.items() if _layout(a, people, number) is not None}
        if not fitting:
            raise UserError(f"{path}: {_misfit(found, people, number)}")
    name = min(fitting, key=_liking)
    rivals = [n for n in fitting if _liking(n)[0] == _liking(name)[0] and n != name]
    if rivals and _liking(name)[0] >= len(KNOWN):
        raise UserError(f"{path}: several arrays fit ({', '.join(sorted(fitting))}): choose one with `key`")
    array = fitting[name]
    axes = _layout(array, people, number)
    if axes is None:
        raise UserError(f"{path}: key={name!r}: {_misfit({name: array}, people, number)}")
    shape = array.shape
    values = np.asarray(array, dtype=np.float64)  # uint8 predictions exist: subtracting those would wrap round
    if values.ndim == 2:
        values, text = values.reshape(shape[0], axes[0], axes[1]), f"rows of {axes[0]} x {axes[1]}"
    else:
        values, text = values.transpose(axes), "x".join("NJC"[axes.index(i)] for i in range(3))
    how = f"{name or 'array'} {array.dtype} {tuple(shape)} read as {text}"
    if missing := int((~np.isfinite(values[..., :2]).all(-1)).sum()):
        how += f"; {missing} joints are not finite and count as missed"
    extra = values[..., 2] if values.shape[2] == 3 else None
    if not np.isfinite(values[..., :2]).any():
        raise UserError(f"{path}: expected joints in pixels, but every value of the array is NaN or infinite")
    if len(values) > 1 and 0 < np.nanmax(np.abs(values[..., :2])) <= 1:
        raise UserError(f"{path}: expected joints in pixels, but every value of the array lies within -1 .. 1")
    return Joints(np.ascontiguousarray(values[..., :2]), extra, name, how)


def _liking(name: str) -> tuple[int, str]:
    """The place of an array's name among those that predictions have; the truth's own come last."""
    last = name.rsplit("/", 1)[-1].lower()
    if last in KNOWN:
        return KNOWN.index(last), name
    return len(KNOWN) + (0 if "pred" in last else 2 if "gt" in last or "truth" in last else 1), name


def _layout(array: np.ndarray, people: Sequence[int], number: Sequence[int]) -> tuple[int, ...] | None:
    """How to transpose an array to [N, J, 2 or 3]: the first fitting order of axes. A flat one [N, J * 2] or
    [N, J * 3] gives (J, 2) or (J, 3)."""
    if array.dtype.kind not in "iuf":
        return None
    if array.ndim == 2:
        for count, j, c in itertools.product(people, number, (2, 3)):
            if array.shape == (count, j * c):
                return j, c
        return None
    if array.ndim != 3:
        return None
    orders = ((0, 1, 2), (2, 1, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2), (1, 2, 0))
    for order, count, j in itertools.product(orders, people, number):
        shape = tuple(array.shape[i] for i in order)
        if shape[0] == count and shape[1] == j and shape[2] in (2, 3):
            return order
    return None


def _misfit(found: dict[str, np.ndarray], people: Sequence[int], number: Sequence[int]) -> str:
    """One line on why nothing fits: names the number of people or of joints where that is what differs."""
    wanted = f"expected {people[0]} people with {number[0]} joints of x, y"
    numeric = {n: a for n, a in found.items() if a.dtype.kind in "iuf" and a.ndim in (2, 3) and a.size > 4}
    if not numeric:
        return f"{wanted}, there {_are(found)}"
    name = min(numeric, key=lambda n: (-numeric[n].ndim, _liking(n)))
    shape = numeric[name].shape
    where = f"{name or 'the array'} has shape {shape}"
    if len(shape) == 3 and any(c in shape for c in (2, 3)):
        axes = list(shape)
        axes.remove(2 if 2 in axes else 3)
        if any(j in axes for j in number):
            axes.remove(next(j for j in number if j in axes))
            return f"wrong number of people: {wanted}, {where}: {axes[0]} people"
        if any(p in axes for p in people):
            axes.remove(next(p for p in people if p in axes))
            return f"wrong number of joints: {wanted}, {where}: {axes[0]} joints"
    return f"{wanted}, {where}"


def _are(found: dict[str, np.ndarray]) -> str:
    if not found:
        return "are no arrays"
    listed = [f"{name or 'one array'} {tuple(a.shape)}" for name, a in itertools.islice(found.items(), 8)]
    return ("is " if len(listed) == 1 else "are ") + ", ".join(listed)


def arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Every array of a file by its name. UserError where the file is missing or of another kind."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    readers: dict[str, Any] = {".npy": _numpy, ".npz": _numpy, ".mat": _matlab, ".h5": _hdf5, ".hdf5": _hdf5}
    readers[".json"] = _json
    if path.suffix.lower() not in readers:
        raise UserError(f"{path}: expected one of {' '.join(SUFFIXES)}, got {path.suffix or 'no suffix'}")
    try:
        return readers[path.suffix.lower()](path)
    except UserError:
        raise
    except Exception as error:  # each library has its own kinds for a damaged file
        why = first_line(error)
        raise UserError(f"{path}: not a readable {path.suffix} file ({why})") from None


def _numpy(path: Path) -> dict[str, np.ndarray]:
    try:
        content = np.load(path, allow_pickle=False)
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise UserError(f"{path}: holds pickled Python objects, which are never read: save a plain array") from None
    return {"": content} if isinstance(content, np.ndarray) else {name: content[name] for name in content.files}


def _matlab(path: Path) -> dict[str, np.ndarray]:
    from scipy.io.matlab import MatReadWarning

    with open(path, "rb") as file:
        hdf5 = is_hdf5(file.read(520))
    if hdf5:  # v7.3, its axes reversed
        return {n: a.transpose() for n, a in _hdf5(path).items() if not n.startswith("#")}
    with warnings.catch_warnings():
        warnings.simplefilter("error", MatReadWarning)  # of two variables of one name it would take the second
        content = read_matlab(path)
    found: dict[str, np.ndarray] = {}
    for name, value in content.items():
        _collect(name, value, found)
    return found


def _collect(name: str, value: Any, found: dict[str, np.ndarray]) -> None:
    """Arrays inside MATLAB's structs and cells; a cell of equal matrices (one per person) becomes one array."""
    if not isinstance(value, np.ndarray):
        return
    if value.dtype.names:
        for field in value.dtype.names:
            _collect(f"{name}/{field}", value[field].item() if value.size == 1 else value[field], found)
    elif value.dtype == object:
        _stack(name, list(value.ravel()), found)
    else:
        found[name] = value


def _stack(name: str, items: list[Any], found: dict[str, np.ndarray]) -> None:
    """A cell's matrices, one per person, as one array where they are alike."""
    alike = items and all(isinstance(v, np.ndarray) and v.shape == items[0].shape for v in items)
    if alike and items[0].dtype.kind in "iuf" and items[0].size > 1:
        found[name] = np.stack(items)


def _hdf5(path: Path) -> dict[str, np.ndarray]:
    import h5py

    found: dict[str, np.ndarray] = {}

    def visit(name: str, item: Any) -> None:
        # MATLAB 7.3's cells. Not by `==`: to numpy strings of any length are objects as well.
        if isinstance(item, h5py.Dataset) and h5py.check_ref_dtype(item.dtype) is not None:
            cells = [file[reference] for reference in item[()].ravel() if reference]
            _stack(name, [cell[()] for cell in cells if isinstance(cell, h5py.Dataset)], found)
        elif isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return {name: np.asarray(value) for name, value in found.items()}


def _json(path: Path) -> dict[str, np.ndarray]:
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    found: dict[str, np.ndarray] = {}

    def visit(name: str, value: Any) -> None:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            numbers = [record.get("bbox_id") if isinstance(record, dict) else None for record in value]
            if set(numbers) == set(range(len(value))):  # mmpose's results may be in any order
                value = sorted(value, key=lambda record: record["bbox_id"])
            for field in value[0]:
                visit(f"{name}/{field}" if name else field, [record.get(field) for record in value])
        elif isinstance(value, dict):
            for field, inner in value.items():
                visit(f"{name}/{field}" if name else field, inner)
        elif isinstance(value, list):
            try:
                array = np.array(value, dtype=np.float64)
            except (TypeError, ValueError):
                return
            found[name] = array

    visit("", content)
    return found


def base_of(path: Path, one_based: bool | None) -> tuple[float, str]:
    """What to add to predictions to make them 1-based as LSP's and MPII's annotations are, and why."""
    one = one_based if one_based is not None else path.suffix.lower() in ONE_BASED
    why = "as asked" if one_based is not None else f"as {path.suffix} files are, if not told otherwise"
    return (0.0, f"first pixel is 1, {why}") if one else (1.0, f"first pixel is 0, {why}")
