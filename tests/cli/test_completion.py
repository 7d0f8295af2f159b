"""The shell's completion, run in bash: commands, sub-commands, options, choices."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess

import pytest

from asda_fast.cli import completion
from asda_fast.cli.entry import flag_names
from asda_fast.cli.main import COMMANDS
from asda_fast.cli.records import RECORDS, records

POSITIONAL = {"checkpoint", "pool", "pools", "run"}  # of score, parts, report


def complete(*words: str) -> list[str]:
    if not shutil.which("bash"):
        pytest.skip("no bash here")
    code = f'{completion.script()}\nCOMP_WORDS=(asda-fast "$@"); COMP_CWORD=$#; _asda_fast; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", code, "bash", *words], capture_output=True, text=True, timeout=20)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["tr"], ["train"]),
        (["train", "--augm"], ["--augment", "--augment-options"]),
        (["train", "--augment", "s"], ["sda"]),
        (["train", "--dataset", "demo", "--update", ""], ["alternate", "joint"]),
        (["train", "--no-am"], ["--no-amp"]),
        (["train", "--out", ""], []),  # the shell's own: files
        (["parts", "b"], ["build"]),
        (["parts", "build", "--sche"], ["--scheme"]),
        (["data", "pack", "--split", ""], ["both", "train", "val"]),
        (["data", "pack", "--on-bad-image", "s"], ["skip"]),
        (["nonsense", "--"], []),
    ],
)
def test_completion(words: list[str], found: list[str]) -> None:
    assert complete(*words) == found


def test_every_command_has_its_record() -> None:
    assert list(RECORDS) == list(COMMANDS)
    for name, kind in records().items():
        assert dataclasses.is_dataclass(kind), name
        asked = {flag for flag, _ in completion.flags(kind)}
        assert all(f"--{field.replace('_', '-')}" in asked for field in flag_names(kind) if field not in POSITIONAL)
