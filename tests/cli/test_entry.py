"""The command line over the library: names become flags, mistakes are one line, help costs no torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

from asda_fast.cli import entry, main, parts
from asda_fast.core.errors import UserError
from asda_fast.core.options import CROP, AtLeast, Size, check

NAMES = {"batch_size", "lr", "on_bad_image"}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("batch_size: expected at least 1, got 0", "--batch-size: expected at least 1, got 0"),
        ("lr 3 is too much", "--lr 3 is too much"),
        ("L_D became nan: try a lower `lr`; `other` stays", "L_D became nan: try a lower --lr; `other` stays"),
        ("a.jpg: cut short (on_bad_image='skip' goes on)", "a.jpg: cut short (--on-bad-image skip goes on)"),
        ("batch_sizes: another word", "batch_sizes: another word"),
        ("a/lr: a path", "a/lr: a path"),
    ],
)
def test_arguments_become_flags(message: str, shown: str) -> None:
    assert entry.with_flags(message, NAMES) == shown


@dataclass(frozen=True)
class Example:
    """An example."""

    count: Annotated[int, AtLeast(1)]
    """how many"""
    kind: Literal["dog", "cat"] = "dog"
    """which"""
    size: Annotated[Size, CROP] = (64, 64)
    """crop"""
    names: tuple[str, ...] | None = None
    """whose"""
    loud: bool = False
    """say it"""
    folder: Path | None = None
    """where"""
    colours: tuple[Literal["red", "blue"], ...] = ("red",)
    """of what"""

    def __post_init__(self) -> None:
        check(self)


def test_what_is_given_is_what_is_made() -> None:
    words = ["--count", "3", "--kind", "cat", "--size", "96x64", "--names", "a", "b", "--loud", "--folder", "x/y"]
    assert entry.parse(Example, "x", words) == Example(3, "cat", (96, 64), ("a", "b"), True, Path("x/y"))
    assert entry.parse(Example, "x", ["--count", "1"]) == Example(1)
    for colours in (("blue",), ("blue", "red")):
        assert entry.parse(Example, "x", ["--count", "1", "--colours", *colours]).colours == colours
    assert type(entry.parse(Example, "x", ["--count", "1"])) is Example


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--count 0", "--count: expected at least 1, got 0"),
        ("--count 1 --kind cow", "--kind: expected one of dog, cat, got 'cow'; did you mean"),
        ("--count 1 --size 60x60", "--size: expected multiples of 32 from 64 up, got '60x60'"),
        ("--count 1 --size large", "--size: expected HxW such as 256x192, got 'large'"),
        ("--count 1 --lout", "Unrecognized option: --lout; perhaps you meant --loud"),
        ("--count 1 --size=64x64 --foldr=x", "Unrecognized option: --foldr; perhaps you meant --folder"),
        ("--count 1 --colours red green", "--colours: expected one of red, blue, got 'green'"),
        ("--count one", "Error parsing --count: invalid literal for int() with base 10: 'one'"),
        ("", "--count"),
        ("--count", "Missing value for argument '--count'"),
        ("--count 1 stray", "stray"),
    ],
)
def test_a_mistake_is_one_line(words: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        entry.parse(Example, "x", words.split())
    assert says.replace("; did you mean", "") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not set("│╭╰─") & set(str(caught.value))


def test_a_mistake_is_told_in_ascii_too() -> None:
    for words, says in (([], "Missing from asda-fast score"), (["x", "--json"], "Missing value for argument '--json'")):
        done = subprocess.run(
            [sys.executable, "-m", "asda_fast", "score", *words], capture_output=True, text=True, timeout=120,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
        )  # fmt: skip
        assert done.stderr.startswith(f"error: {says}") and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("command", [*main.COMMANDS, "data pack", "data check", "parts build", "parts merge", ""])
def test_help_needs_no_torch(command: str) -> None:
    code = (
        "import sys\nfrom asda_fast.cli.main import main\n"
        "try:\n    main()\nfinally:\n    print([m for m in ('torch', 'nvidia.dali', 'cupy') if m in sys.modules])"
    )
    words = [sys.executable, "-c", code, *command.split(), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: asda-fast")
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_interrupt_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Also while a command is imported, before anything of it runs; and once, with what is saved."""
    code = (  # a shell's background jobs are born deaf to it
        "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler); import asda_fast.cli\n"
        "os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(9)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "interrupted\n")

    def stop() -> None:
        raise KeyboardInterrupt("interrupted; the state is in x")

    with pytest.raises(SystemExit) as ended_:
        entry.run(stop)
    assert (ended_.value.code, capsys.readouterr().err) == (130, "interrupted; the state is in x\n")


def test_help_shows_no_empty_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parts.main(["merge", "--help"])
    shown = capsys.readouterr().out
    assert "pool files" in shown and "default: )" not in shown and "[[" not in shown
