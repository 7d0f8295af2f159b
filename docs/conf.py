"""The site: `make docs` builds it, warnings are errors. Pages on options and the API are generated (generate.py)."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import generate  # noqa: E402

import asda_fast  # noqa: E402

generate.write(HERE / "generated")

project = "asda_fast"
author = "The asda_fast maintainers"
copyright = "the asda_fast maintainers, Apache-2.0"
release = version = asda_fast.__version__
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
smartquotes = False  # -- stays --
exclude_patterns = ["build"]
html_theme = "furo"
html_title = f"asda_fast {release}"
html_static_path: list[str] = []
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
suppress_warnings = ["myst.header"]  # an included section begins at its own level
