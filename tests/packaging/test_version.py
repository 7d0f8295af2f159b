"""The version stands in asda_fast/__init__.py; what repeats it for readers agrees."""

from __future__ import annotations

import re
from pathlib import Path

import asda_fast

ROOT = Path(__file__).resolve().parents[2]


def test_what_repeats_the_version_agrees() -> None:
    changes = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited is not None
    assert (changes[0], cited[1]) == (asda_fast.__version__, asda_fast.__version__)
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
