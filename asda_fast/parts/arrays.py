"""Label maps that are arrays, not pictures: NumPy's .npy, and MATLAB's .mat, that of PASCAL-Part included."""

from __future__ import annotations

import io
import math
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError, first_line
from asda_fast.core.matlab import read_matlab
from asda_fast.parts.scheme import Scheme

# PASCAL-Part (Chen et al., 2014) names 24 parts of a person; Pascal-Person-Part counts them to these six.
PASCAL_PART = {
    "Head": ("head", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth", "hair"),
    "Torso": ("torso", "neck"),
    "Upper-arms": ("luarm", "ruarm"),
    "Lower-arms": ("llarm", "rlarm", "lhand", "rhand"),
    "Upper-legs": ("luleg", "ruleg"),
    "Lower-legs": ("llleg", "rlleg", "lfoot", "rfoot"),
}


class BadArray(Exception):
    """What is wrong with the array, in a few words."""


def read_npy(data: bytes) -> np.ndarray:
    """The array of a .npy file, [H, W] or [H, W, 1 to 4]. Raises BadArray; never unpickles."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, kind = read(file)
    except (ValueError, KeyError, SyntaxError, EOFError, TypeError, MemoryError, RecursionError, TokenError):
        raise BadArray("is not a readable .npy file") from None
    if kind.kind not in "biuf":
        raise BadArray(f"is an array of {kind.name}; expected ids")
    count = math.prod(shape)
    if len(data) - file.tell() != count * kind.itemsize:
        raise BadArray(f"has {len(data) - file.tell()} bytes for {shape} values of {kind.name}")
    flat = np.frombuffer(data, kind, count, file.tell())
    return _plane(flat.reshape(shape, order="F" if fortran else "C"))


def read_mat(path: Path, scheme: Scheme | None = None) -> np.ndarray:
    """The only array of numbers in a .mat file; or PASCAL-Part's people, as ids of the scheme pascal: where two
    overlap, the later in the file. Raises BadArray."""
    try:
        variables = read_matlab(path)
    except UserError as error:
        raise BadArray(str(error).removeprefix(f"{path}: ")) from None
    found = {name: value for name, value in variables.items() if value.dtype.kind in "biuf" and min(value.shape) > 1}
    if len(found) == 1:
        return _plane(next(iter(found.values())))
    if "anno" in variables:
        return _pascal_part(variables["anno"], scheme)
    held = ", ".join(f"{name} {value.shape}" for name, value in variables.items())
    raise BadArray(f"holds {held or 'nothing'}; expected one array of ids")


def _plane(values: np.ndarray) -> np.ndarray:
    if values.ndim == 3 and values.shape[0] == 1 and values.shape[2] > 4:
        values = values[0]
    if values.ndim != 2 and not (values.ndim == 3 and values.shape[2] <= 4):
        raise BadArray(f"is an array of shape {values.shape}; expected ids [height, width] (of scores, their argmax)")
    if not values.size:
        raise BadArray("is an empty array")
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _pascal_part(anno: Any, scheme: Scheme | None) -> np.ndarray:
    numbers = {label: number for number, label in scheme.labels.items()} if scheme is not None else {}
    if not set(PASCAL_PART) <= set(numbers):
        raise BadArray("holds PASCAL-Part's objects and parts; expected --scheme pascal for it")
    ids = {part: numbers[label] for label, parts in PASCAL_PART.items() for part in parts}
    try:
        objects = anno[0, 0]["objects"].ravel()
        out = np.zeros(objects[0]["mask"].shape, np.uint8)
        for thing in objects:
            for part in thing["parts"].ravel() if thing["class"][0] == "person" else ():
                out[part["mask"] != 0] = ids[str(part["part_name"][0])]
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise BadArray(f"holds `anno`, but not as PASCAL-Part's files do ({first_line(error)})") from None
    return _plane(out)
