"""A loader that is alive at the interpreter's end."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import asda_fast
loader = asda_fast.make_loader(asda_fast.data.load("demo"), size=(64, 64), batch_size=4, pipeline="native")
batches = iter(loader)
next(batches)
"""


@pytest.mark.parametrize(
    "keeper", ["", "import numpy; numpy.kept = loader", "import threading; threading.kept = batches"]
)
def test_nothing_is_printed(keeper: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM + keeper], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
