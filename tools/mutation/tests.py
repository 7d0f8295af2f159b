"""Which tests run which lines of the files in question, recorded once; and a chosen few of them, run."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from itertools import compress
from types import FrameType, ModuleType
from typing import Any

import pytest

QUIET = ["-q", "--tb=no", "-p", "no:cacheprovider", "--no-header", "--no-summary"]


@dataclass
class Recorded:
    """What the tests of a run do with the files in question."""

    lines: dict[str, dict[str, list[int]]] = field(default_factory=dict)  # test -> file -> lines
    seconds: dict[str, float] = field(default_factory=dict)  # test -> what it takes of a CPU
    loading: dict[str, list[int]] = field(default_factory=dict)  # file -> lines that run before the first test
    modules: list[str] = field(default_factory=list)  # what was imported of other people
    failed: list[str] = field(default_factory=list)

    def of(self, path: str, line: int, in_function: bool, seconds: float) -> list[str] | None:
        """Tests that a change of that line could fail, the likely and quick ones first, and no more of them than take
        so many seconds; None: nothing runs the file.

        What runs while modules are loaded, a table or a default, every test may read.
        """
        reached = [test for test, files in self.lines.items() if line in files.get(path, ())]
        if not in_function or (not reached and line in self.loading.get(path, ())):
            reached = list(self.seconds)
        if not reached:  # what torch calls in a thread of its own, as a backward, is not seen
            reached = [test for test, files in self.lines.items() if path in files]
        stem = path.rpartition("/")[2].removesuffix(".py")
        reached.sort(key=lambda test: (not self.lines[test].get(path), stem not in test, self.seconds[test]))
        within = [sum(self.seconds[test] for test in reached[:i]) < seconds for i in range(len(reached))]
        return list(compress(reached, within)) or None


class Recorder:
    """A pytest plugin that fills a Recorded."""

    def __init__(self, root: str, paths: set[str]) -> None:
        self.found = Recorded()
        self._files = {os.path.join(root, path): path for path in paths}
        self._seen: dict[str, set[int]] = {}

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        path = self._files.get(frame.f_code.co_filename)
        if path is None:
            return None
        lines = self._seen.setdefault(path, set())

        def line(frame: FrameType, event: str, _: Any) -> Any:
            lines.add(frame.f_lineno)
            return line

        return line(frame, event, None)

    def _take(self) -> dict[str, list[int]]:
        taken = {path: sorted(lines) for path, lines in self._seen.items()}
        self._seen = {}
        return taken

    def pytest_configure(self) -> None:
        threading.settrace(self._trace)
        sys.settrace(self._trace)

    def pytest_collection_finish(self) -> None:
        self.found.loading = self._take()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, None, None]:
        sys.settrace(self._trace)  # a test that sets its own takes ours away
        began = time.process_time()
        yield
        if item.nodeid in self.found.seconds:
            self.found.seconds[item.nodeid] = time.process_time() - began
        self.found.lines[item.nodeid] = self._take()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.found.seconds[report.nodeid] = 0.0
        elif report.failed:
            self.found.failed.append(report.nodeid)


class Chosen:
    """A pytest plugin that runs these tests only, in this order, and knows the first that failed."""

    def __init__(self, tests: list[str]) -> None:
        self._place = {test: i for i, test in enumerate(tests)}
        self.failed: str | None = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self._place), key=lambda item: self._place[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid


def record(root: str, tests: list[str], paths: set[str]) -> Recorded:
    """Run `tests` (files or folders) and see which lines of `paths` each of them runs."""
    recorder = Recorder(root, paths)
    pytest.main([*QUIET, *tests], plugins=[recorder])
    sys.settrace(None)
    found = recorder.found
    found.modules = sorted(name for name, module in sys.modules.items() if not _is_ours(root, module))
    found.lines = {test: lines for test, lines in found.lines.items() if test in found.seconds}  # not the skipped ones
    return found


def _is_ours(root: str, module: ModuleType) -> bool:
    path = getattr(module, "__file__", None) or ""
    return path.startswith(root) and "site-packages" not in path


def first_failure(tests: list[str]) -> str | None:
    """The first of these tests that fails, or "import" where they cannot be collected; None where all pass."""
    chosen = Chosen(tests)
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    code = pytest.main([*QUIET, "-x", *files], plugins=[chosen])
    if code == pytest.ExitCode.OK:
        return None
    return chosen.failed or "import"
