"""A few hundred mutated files a reader; `python -m benchmarks.fuzz --count 10000` is the whole of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asda_fast.core.errors import UserError
from benchmarks.fuzz.__main__ import READERS, reader
from benchmarks.fuzz.harness import Reader, files_of, fuzz


@pytest.mark.parametrize("name", READERS)
def test_a_mutated_file_is_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    report = fuzz(reader(name), 150, tmp_path / "fuzzed", seed=1)
    assert report.failures == []
    assert report.read + report.refused == 150
    assert min(report.read, report.refused) >= 5  # neither all valid nor all broken at the door
    assert len(report.reasons) >= 5


def test_a_failure_is_seen(tmp_path: Path) -> None:
    def read(folder: Path) -> None:
        text = (folder / "a.txt").read_bytes()
        if text == b"[[1, 2], [3, 4]]":
            return
        if text[:1] == b"[" and len(text) > 9:
            raise KeyError("a trace")
        raise UserError(f"{folder}: several\nlines" if len(text) % 2 else "no file named")

    broken = Reader(lambda: [[1, 2], [3, 4]], lambda tree: {"a.txt": str(tree).encode()}, read)
    report = fuzz(broken, 200, tmp_path)
    assert len(report.failures) == 200 - report.read
    assert {line.split(": ")[1] for line in report.failures} == {"KeyError", "message"}


def test_a_try_is_a_function_of_its_number() -> None:
    coco = reader("coco")
    first = [files_of(coco, number, seed=3) for number in range(20)]
    assert first == [files_of(coco, number, seed=3) for number in range(20)]
    assert first != [files_of(coco, number, seed=4) for number in range(20)]


def test_matlab_files_that_crash_scipy_are_refused(tmp_path: Path) -> None:
    """A type of element that scipy does not know: it reads beyond its table of types, and the process dies."""
    from scipy.io import savemat

    from asda_fast.core.matlab import read_matlab

    path = tmp_path / "a.mat"
    content = {
        "numbers": np.arange(12.0).reshape(3, 4), "whole": np.arange(300, dtype=np.uint16), "word": "text",
        "complex": np.ones(3, complex), "struct": {"x": 1, "y": np.zeros((2, 2))}, "empty": np.zeros((0, 3)),
        "cells": np.array([1.5, "é", np.zeros(3)], dtype=object), "flags": np.array([True, False]),
    }  # fmt: skip
    for compressed in (False, True):
        savemat(path, content, do_compression=compressed)
        found = read_matlab(path)
        assert found.keys() == content.keys()
        assert (found["numbers"] == content["numbers"]).all()
        assert found["struct"]["y"][0, 0].shape == (2, 2)
        assert (found["whole"] == content["whole"]).all()
    savemat(path, {"numbers": content["numbers"]}, format="4")
    assert (read_matlab(path)["numbers"] == content["numbers"]).all()
    savemat(path, {"numbers": content["numbers"]})
    data = bytearray(path.read_bytes())
    at = data.index(b"numbers") + 8
    assert data[at] == 9  # double
    data[at + 1] = 2
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match="an element is of type 521"):
        read_matlab(path)
    (tmp_path / "b.mat").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    with pytest.raises(UserError, match="version 7"):
        read_matlab(tmp_path / "b.mat")
