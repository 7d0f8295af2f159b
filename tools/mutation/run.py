"""The mutants of files, each against the tests that run its line."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import random
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

from tools.mutation.fork import Died, forked
from tools.mutation.mutants import Mutant, mutants
from tools.mutation.tests import Recorded, first_failure, record

RECORDING = 1800.0  # seconds
SLOWEST, LONGEST = 2.5, 12.0  # seconds of a test that a mutant waits for, and of all its tests together
TIMES, MORE = 3.0, 10.0  # as long may they take with a mutant: times what they took, plus seconds


@dataclass
class Result:
    """What became of a mutant. `by` is the test that failed, "import" or "time"; None: it survived."""

    file: str
    line: int
    column: int
    before: str
    after: str
    by: str | None


def prepare(root: Path, tests: list[str], files: Sequence[str]) -> Recorded:
    """Record which tests run which lines, and import here what they import of others."""
    found: Recorded = forked(record, str(root), tests, set(files), seconds=RECORDING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in found.modules:
            if name not in sys.modules:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
    found.seconds = {test: took for test, took in found.seconds.items() if took <= SLOWEST}
    found.lines = {test: lines for test, lines in found.lines.items() if test in found.seconds}
    return found


def chosen(root: Path, file: str, most: int, seed: int) -> tuple[ast.Module, list[Mutant]]:
    """A file's tree and its mutants, or `most` of them drawn by `seed`."""
    tree = ast.parse((root / file).read_text(encoding="utf-8"))
    found = mutants(tree)
    if len(found) > most:
        found = sorted(random.Random(f"{seed} {file}").sample(found, most), key=lambda mutant: mutant.line)
    return tree, found


def run(root: Path, file: str, tree: ast.Module, found: list[Mutant], recorded: Recorded) -> Iterator[Result]:
    """Each mutant's result, as soon as it is known."""
    for mutant in found:
        tests = recorded.of(file, mutant.line, mutant.in_function, LONGEST)
        by: str | None = None
        if tests:
            seconds = MORE + TIMES * sum(recorded.seconds[test] for test in tests)
            try:
                by = forked(_try, root, file, tree, mutant, tests, seconds=seconds)
            except Died:
                by = "time"
        yield Result(file, mutant.line, mutant.column, mutant.before, mutant.after, by)


def _try(root: Path, file: str, tree: ast.Module, mutant: Mutant, tests: list[str]) -> str | None:
    mutant.apply()
    name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    sys.meta_path.insert(0, _Finder(name, root / file, compile(tree, str(root / file), "exec")))
    return first_failure(tests)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, whose code is given."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=_Loader(fullname, self))

    @property
    def path(self) -> Path:
        return self._path

    @property
    def code(self) -> CodeType:
        return self._code


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, finder: _Finder) -> None:
        super().__init__(fullname, str(finder.path))
        self._code = finder.code

    def get_code(self, fullname: str) -> CodeType:
        return self._code
