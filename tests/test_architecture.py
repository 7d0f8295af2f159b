"""The rules of ARCHITECTURE.md, held by the machine: who may import whom, and what an import may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "asda_fast"

# Layers from the bottom up. A module imports from lower layers, and from its own only where that is its own folder.
LAYERS = [
    {"errors", "batch"},
    {"config", "state", "distributed", "console"},
    {"data", "parts", "models", "targets", "metrics", "ops"},
    {"draw", "demo_pool"},
    {"pipelines", "augment"},
    {"adversarial"},
    {"predict", "sheet"},
    {"evaluate"},
    {"train", "preview"},
]
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}


def stem(path: Path) -> str:
    return layer_name(path.relative_to(PACKAGE).parts[0].removesuffix(".py"))


def layer_name(name: str) -> str:
    return name.split("_")[0] if name.startswith("preview_") else name


def imports(path: Path) -> set[str]:
    """The asda_fast modules (first component) that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "asda_fast" and len(parts) > 1 and parts[1] not in ("_C", "__version__"):
                found.add(layer_name(parts[1]))
    return found


def files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_points_up(path: Path) -> None:
    own = stem(path)
    assert own in LEVEL, f"{own} has no layer: add it to LAYERS and to ARCHITECTURE.md"
    for other in imports(path) - {own}:
        assert other in LEVEL, f"{path.name} imports {other}, which has no layer"
        assert LEVEL[other] < LEVEL[own], f"{own} may not import {other}"


@pytest.mark.parametrize(("library", "home"), [("nvidia", "pipelines"), ("cupy", "ops")])
def test_a_heavy_library_has_one_home(library: str, home: str) -> None:
    for path in files():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            used = any(name.split(".")[0] == library for name in names)
            assert not used or stem(path) == home, f"{path} imports {library}"


def test_import_pulls_in_neither_dali_nor_cupy() -> None:
    code = (
        "import sys, asda_fast; asda_fast.paste, asda_fast.PartPool, asda_fast.make_loader, asda_fast.SemanticPaste;"
        "print([m for m in ('nvidia.dali', 'cupy', 'matplotlib', 'tensorboard') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
    light = "import sys, asda_fast; print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )


def test_every_file_has_its_line() -> None:
    root = PACKAGE.parent
    text = (root / "ARCHITECTURE.md").read_text()
    sources = [*files(), *root.glob("csrc/*.[ch]*"), *root.glob("kernels/*"), *root.glob("benchmarks/*.py")]
    missing = [str(p.relative_to(root)) for p in sources if f"`{p.name}`" not in text]
    assert not missing, f"ARCHITECTURE.md lacks a line for {missing}"
