"""MATLAB files, by scipy, which crashes the process on damaged ones: so their structure is walked first.

MAT-File Level 5 (MATLAB 5 to 7.2): a header of 128 bytes, then elements of type, size and data, some of them
compressed, matrices made of further elements. Level 4 is left to scipy; level 7.3 is HDF5, which it does not read.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import Any

from asda_fast.core.errors import UserError, first_line

LARGEST = 1 << 31  # bytes of a decompressed element
# type -> bytes of one value
SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, CHAR, NUMERIC = 1, 2, 4, range(6, 16)  # kinds of matrix
DEEPEST = 20  # cells in cells


class _Damaged(ValueError):
    pass


def is_hdf5(data: bytes) -> bool:
    """Whether a file that begins so is HDF5, as MATLAB's 7.3 is after a header of 512 bytes."""
    return any(data[at : at + 8] == b"\x89HDF\r\n\x1a\n" for at in (0, 512))


def read_matlab(path: Path) -> dict[str, Any]:
    """Variable name -> value, as scipy.io.loadmat gives them. UserError for a file that cannot be read."""
    from scipy.io import loadmat

    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    try:
        if is_hdf5(data):
            raise _Damaged("it is of version 7.3 (save with -v7)")
        if len(data) < 20:
            raise _Damaged("it is too short")
        if 0 not in data[:4]:  # as scipy tells level 4, whose first number is small
            _check(data)
        return {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    except Exception as error:  # on a broken file scipy raises nearly anything
        why = first_line(error)
        raise UserError(f"{path}: not a readable .mat file ({why})") from None


def _check(data: bytes) -> None:
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise _Damaged("its header is damaged")
    at = 128
    while at < len(data):
        kind, start, size, at = _tag(data, at, len(data), order)
        if kind == COMPRESSED:
            unpacker = zlib.decompressobj()
            inner = unpacker.decompress(data[start : start + size], LARGEST)
            at = start + size  # compressed elements are not padded
            if not unpacker.eof:
                raise _Damaged("a compressed variable is cut short")
            kind, start, size, _ = _tag(inner, 0, len(inner), order)
            if kind == MATRIX:
                _matrix(inner, start, start + size, order, 0)
        elif kind == MATRIX:
            _matrix(data, start, start + size, order, 0)
        if kind != MATRIX:
            raise _Damaged(f"a variable is of type {kind}")


def _tag(data: bytes, at: int, end: int, order: str) -> tuple[int, int, int, int]:
    """Type, start, size of the element at `at`, and where the next one begins."""
    if at + 8 > end:
        raise _Damaged("an element is cut short")
    kind, size = struct.unpack_from(order + "II", data, at)
    start = at + 8
    if kind >> 16:  # up to four bytes, within the tag
        kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        if size > 4 or kind not in SIZES:
            raise _Damaged("an element is damaged")
        return kind, start, size, at + 8
    if start + size > end:
        raise _Damaged("an element is cut short")
    if kind not in SIZES and kind not in (MATRIX, COMPRESSED):
        raise _Damaged(f"an element is of type {kind}")
    return kind, start, size, start + size + -size % 8


def _values(data: bytes, at: int, end: int, order: str, kinds: tuple[int, ...]) -> tuple[bytes, int]:
    """The bytes of an element of one of `kinds`, and where the next one begins."""
    kind, start, size, at = _tag(data, at, end, order)
    if kind not in kinds or size % SIZES[kind]:
        raise _Damaged("an element is of another type than expected")
    return data[start : start + size], at


def _matrix(data: bytes, at: int, end: int, order: str, depth: int) -> None:
    if at == end:  # an empty matrix, as in unset fields
        return
    if depth > DEEPEST:
        raise _Damaged("its variables are nested too deeply")
    flags, at = _values(data, at, end, order, (6,))
    sides, at = _values(data, at, end, order, (5,))
    if len(flags) != 8 or not 8 <= len(sides) <= 128:
        raise _Damaged("a variable's size is damaged")
    word = struct.unpack_from(order + "I", flags)[0]
    kind, is_complex = word & 0xFF, bool(word & 0x800)
    shape = struct.unpack(f"{order}{len(sides) // 4}i", sides)
    if min(shape) < 0:
        raise _Damaged(f"a variable is of shape {shape}")
    count = math.prod(shape)
    _, at = _values(data, at, end, order, (1, 2, 16))  # its name
    if kind in NUMERIC or kind == CHAR:
        for _ in range(2 if is_complex and kind != CHAR else 1):
            element, _, size, at = _tag(data, at, end, order)
            if element not in SIZES or (kind in NUMERIC and size != count * SIZES[element]):
                raise _Damaged(f"a variable of shape {shape} has {size} bytes of type {element}")
    elif kind in (CELL, STRUCT):
        fields = 1
        if kind == STRUCT:
            length, at = _values(data, at, end, order, (5,))
            width = struct.unpack_from(order + "i", length)[0] if len(length) == 4 else 0
            names, at = _values(data, at, end, order, (1,))
            if width < 1 or len(names) % width:
                raise _Damaged("a struct's names are damaged")
            fields = len(names) // width
        for _ in range(count * fields):
            element, start, size, at = _tag(data, at, end, order)
            if element != MATRIX:
                raise _Damaged("a cell is damaged")
            _matrix(data, start, start + size, order, depth + 1)
    else:
        raise _Damaged(f"it holds a variable of MATLAB's class {kind} (sparse, function or object)")
