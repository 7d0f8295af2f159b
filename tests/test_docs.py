"""README.md and docs/: Python blocks run as pasted, commands have the options shown, files that are named exist."""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from asda_fast.cli.completion import flags
from asda_fast.cli.entry import parse
from asda_fast.cli.records import RECORDS, records
from asda_fast.core.registry import load_object

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if "generated" not in path.parts)]
NAMES = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
FOREIGN = {
    "--gpus", "--shm-size", "--nnodes", "--rdzv-backend", "--rdzv-endpoint", "--nproc-per-node", "--cfg", "--array",
    "--cpus-per-task",
}  # fmt: skip
TOOLS = {"--out", "--train", "--val", "--seed", "--dry-run", "--device", "--help"}  # of tools/ and benchmarks/


@functools.cache
def options() -> dict[str, set[str]]:
    """Command -> its flags."""
    return {name: {flag for flag, _ in flags(kind)} | {"--help"} for name, kind in records().items()}


def blocks(page: str, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", NAMES[page], re.DOTALL | re.MULTILINE)
    return [block.replace("\\\n", " ") if language == "sh" else block for block in found]


@pytest.mark.parametrize("page", [page for page in NAMES if blocks(page, "python")])
def test_python_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), space)
    if page == "README.md":
        assert space["out"].shape == (8, 3, 256, 192)
        assert space["shift"].grad is not None
        assert space["pasted"].shape == (8, 3, 256, 192)
    if page == "docs/pieces.md":
        assert space["image"].shape == (8, 3, 256, 192)
        assert space["batch"].image.shape[1:] == (256, 192, 3)


def whole(page: str, line: str) -> bool:
    """Whether it is a command with options to be pasted, not one named in passing."""
    return " --" in line and any(line in block.splitlines() for block in blocks(page, "sh"))


def commands() -> list[tuple[str, str]]:
    """(page, line) of every command of ours, in blocks and within text."""
    found = []
    for page in NAMES:
        lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
        lines += re.findall(r"`((?:asda-fast|python -m asda_fast)[^`]*)`", NAMES[page].replace("\n", " "))
        found += [(page, line) for line in lines if re.search(r"asda-fast|asda_fast\.", line)]
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_are_understood(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    start = next(i for i, word in enumerate(words) if word == "asda-fast" or word.startswith("asda_fast."))
    words = [words[start].removeprefix("asda_fast."), *words[start + 1 :]]
    words = [w for w in (words[1:] if words[0] == "asda-fast" else words) if w not in ("..", "...")]
    words[:1] = ["networks"] if words[:1] == ["models"] else words[:1]
    if not words or "COMMAND" in words:
        return
    assert words[0] in RECORDS, f"{page}: {line}"
    name = " ".join(words[:2]) if " ".join(words[:2]) in options() else words[0]
    if name not in options():  # `asda-fast data`, named as a whole
        assert isinstance(load_object(RECORDS[name], "command"), dict)
        return
    rest = words[len(name.split()) :]
    if whole(page, line) and rest != ["--help"] and "$" not in line:
        parse(records()[name], "x", rest)
    assert {word for word in rest if word.startswith("--")} <= options()[name], f"{page}: {line}"


@pytest.mark.parametrize("page", NAMES)
def test_options_and_files_that_are_named_exist(page: str) -> None:
    text = NAMES[page]
    known = set().union(FOREIGN, TOOLS, *options().values())
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)))
    assert named <= known
    for path in re.findall(r"`((?:\w+/)+\w+\.(?:py|h|cpp|cu))", text):
        assert any((ROOT / above / path).is_file() for above in ("", "asda_fast")), path
    for path, name in re.findall(r"`((?:\w+/)+\w+\.py): (\w+)`", text):
        assert re.search(rf"^(def|class) {name}\b", (ROOT / "asda_fast" / path).read_text(encoding="utf-8"), re.M), name
