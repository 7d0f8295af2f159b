"""Damaged label maps, pools, lists, schemes and people files: taken, or refused in one line that names the file.

Some cases of each; `python -m tools.fuzz` runs 10,000. The harness itself must notice what it is there for.
"""

from __future__ import annotations

import time

import pytest

from asda_fast.core.errors import UserError
from tools.fuzz import harness, parts

READERS = {reader.name: reader for reader in parts.readers()}


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_taken_or_refused(name):
    figures = harness.run(READERS[name], 250, seed=1)
    assert figures.failures == []
    assert figures.taken + figures.refused == 250
    assert min(figures.taken, figures.refused) > 15  # the damage is neither too small nor too large


@pytest.mark.parametrize("name", READERS)
def test_sound_files_are_taken(name, tmp_path):
    reader = READERS[name]
    for i, (suffix, data) in enumerate(zip(reader.suffixes, reader.seeds)):
        path = tmp_path / f"{i}{suffix}"
        path.write_bytes(data)
        reader.read(path)


def refuse(path, said):
    raise UserError(said.format(path=path))


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda path: 1 / 0, "ZeroDivisionError"),
        (lambda path: refuse(path, "wrong"), "does not name the file"),
        (lambda path: refuse(path, "{path}\nwrong"), "more than one line"),
        (lambda path: time.sleep(5), "took longer"),
    ],
)
def test_the_harness_notices(read, words, monkeypatch):
    monkeypatch.setattr(harness, "LIMIT", 0.05)
    reader = harness.Reader("x", (".txt",), (b"abc",), lambda rng, data: data, read)
    figures = harness.run(reader, 2)
    assert figures.failed == 2
    assert words in figures.failures[0][1]


def test_a_case_can_be_made_again(tmp_path):
    reader = READERS["people"]
    contents = [harness.make(reader, tmp_path, 3, case).read_bytes() for case in (7, 8, 7)]
    assert contents[0] == contents[2] != contents[1]
