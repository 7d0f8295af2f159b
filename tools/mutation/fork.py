"""A function in a process of its own, forked from this one: what is imported here is there already."""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from typing import Any

MEMORY = 8 << 30  # a mutant that asks for more of data is stopped, as one that takes too long


class Died(Exception):
    """It took too long, or ended without an answer."""


def forked(function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
    """function(*arguments), whose result can be pickled; what it prints goes to the file $MUTATION_LOG, or nowhere. It
    may take so many seconds of a CPU, and ten times that by the clock: others may be at work here too."""
    with tempfile.NamedTemporaryFile() as answer:
        child = os.fork()
        if child == 0:
            _answer(function, arguments, answer.name, seconds)
        end = time.monotonic() + 10 * seconds
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                _stop(child)
                os.waitpid(child, 0)
                raise Died(f"more than {seconds:.0f} s")
            time.sleep(0.01)
        _stop(child)  # what it started and left behind
        with open(answer.name, "rb") as file:
            content = file.read()
    if not content:
        raise Died("no answer")
    return pickle.loads(content)


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...], path: str, seconds: float) -> None:
    try:
        os.setsid()
        log = os.open(os.environ.get("MUTATION_LOG", os.devnull), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        used = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, int(used + seconds) + 1))
        result = pickle.dumps(function(*arguments))
        with open(path, "wb") as file:
            file.write(result)
    finally:
        os._exit(0)  # nothing of the parent's is to be closed or flushed twice


def _stop(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
