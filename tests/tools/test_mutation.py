"""The mutation runs: which mistakes are tried, and that a test which notices one is told from one that does not."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.mutation import cpp
from tools.mutation.mutants import mutants

ROOT = Path(__file__).resolve().parents[2]


def changes(source: str) -> set[tuple[str, str]]:
    return {(mutant.before, mutant.after) for mutant in mutants(ast.parse(source))}


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("y = a + b", {("a + b", "a - b"), ("a + b", "a"), ("a + b", "b")}),
        ("y = a - b", {("a - b", "a + b"), ("a - b", "a")}),
        ("y = -a", {("-a", "a")}),
        ("y = a[1]", {("1", "2"), ("1", "0")}),
        ("y = 0.5", {("0.5", "0.625")}),
        ("y = a < b", {("a < b", "a <= b"), ("a < b", "a >= b")}),
        ("y = a and b", {("a and b", "a or b"), ("a and b", "a"), ("a and b", "b")}),
        ("y = (a, b)", {("(a, b)", "(b, a)")}),
        ("y = f(a, b)", {("f(a, b)", "f(b, a)")}),
        ("y = max(a, b)", {("max", "min")}),  # whose arguments may stand in either order
        ("y = a if b else c", {("a if b else c", "c if b else a")}),
        ("a += b", {("a += b", "a -= b"), ("a += b", "pass")}),
        ("a[i] = b", {("a[i] = b", "pass")}),
    ],
)
def test_every_mistake_is_tried(source: str, wanted: set[tuple[str, str]]) -> None:
    assert changes(source) == wanted


@pytest.mark.parametrize(
    "source",
    [
        '"""Says 1 + 1."""',
        'raise ValueError(f"{a + 1}")',
        "import a",
        "y: X[1, 2]",
        "def f(a: X[1]) -> Y[2]: ...",
    ],
)
def test_what_only_people_read_is_left_alone(source: str) -> None:
    assert {change for change in changes(source) if change != ("...", "pass")} == set()


def test_a_mutant_is_applied_to_its_tree() -> None:
    tree = ast.parse("def f(a, b):\n    return (a - b) * 2")
    found = {mutant.after: mutant for mutant in mutants(tree)}
    found["a + b"].apply()
    assert ast.unparse(tree).endswith("return (a + b) * 2")


def test_lines_of_cpp() -> None:
    found = cpp.mutants("// a + b\nu = m[0] * x + m[1] * y; // a + b\nif (u < 0.5f)\n")
    assert {mutant.line for mutant in found} == {2, 3}
    assert {mutant.after for mutant in found} >= {
        "u = m[0] * x - m[1] * y; // a + b",
        "u = m[0] * x; // a + b",
        "u = m[1] * x + m[1] * y; // a + b",
        "if (u <= 0.5f)",
    }


def test_a_run_tells_what_a_test_notices(tmp_path: Path) -> None:
    """`double` is tested, `half` only run, `unused` not even that."""
    (tmp_path / "thing.py").write_text(
        "def double(x):\n    return x * 2\n\ndef half(x):\n    return x / 2\n\ndef unused(x):\n    return -x\n"
    )
    (tmp_path / "test_thing.py").write_text(
        "import thing\n\ndef test_double():\n    assert thing.double(3) == 6\n\ndef test_half():\n    thing.half(3)\n"
    )
    program = (
        "from pathlib import Path; from tools.mutation.run import chosen, prepare, run\n"
        "root = Path.cwd(); recorded = prepare(root, ['.'], ['thing.py'])\n"
        "tree, found = chosen(root, 'thing.py', 99, 0)\n"
        "for r in run(root, 'thing.py', tree, found, recorded): print(r.line, bool(r.by))\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-c", program]
    output = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout
    assert set(output.split("\n")) == {"2 True", "5 False", "8 False", ""}
