"""The bar hands on what it counts, on a terminal and elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from asda_fast.core.progress import bar


@pytest.mark.parametrize("terminal", [False, True])
def test_items_pass_in_order(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(bar(iter("abc"), 3, "counting")) == ["a", "b", "c"]
    assert ("counting" in stream.getvalue()) == terminal
