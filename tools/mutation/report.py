"""`python -m tools.mutation.report`: README.md beside this file, from build/mutation and survivors.json's reasons."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FOUND = HERE.parent.parent / "build" / "mutation"
REASONS = HERE / "survivors.json"
Key = tuple[str, str, str]

HEAD = """# What no test notices

Mutation testing of the core: each small mistake (a sign, an off-by-one, swapped axes, a dropped term, another
comparison) is made alone, and the tests run that reach its line. Of a file with many, a sample drawn by seed 0. The
tests have no real photos and no GPU; the JIT of numba is off; the kernels run on the CPU.

"Equivalent" are survivors that change no result anybody asks for; each has its reason below. The score is killed of
the others. Written by `python -m tools.mutation.report` from these runs:

"""


def key(entry: dict[str, Any]) -> Key:
    """What tells a survivor from others, wherever its line moves."""
    return entry["file"], entry["before"], entry["after"]


def reasons() -> dict[Key, str]:
    """Why each explained survivor is none that a test should kill."""
    return {key(entry): entry["why"] for entry in json.loads(REASONS.read_text(encoding="utf-8"))}


def table(results: Iterable[dict[str, Any]], explained: dict[Key, str]) -> list[str]:
    """The scores, a line a file and a last one of all."""
    files: dict[str, list[int]] = {}
    for result in results:
        counts = files.setdefault(result["file"], [0, 0, 0])
        counts[0] += 1
        counts[1] += bool(result["by"])
        counts[2] += not result["by"] and key(result) in explained
    rows = [*sorted(files.items()), ("**all**", [sum(column) for column in zip(*files.values())])]
    lines = ["| file | mutants | killed | equivalent | left | score |", "|---|--:|--:|--:|--:|--:|"]
    for name, (number, killed, equivalent) in rows:
        score = 100 * killed / max(number - equivalent, 1)
        lines.append(
            f"| {name} | {number} | {killed} | {equivalent} | {number - killed - equivalent} | {score:.1f} % |"
        )
    return lines


def code(text: str) -> str:
    """As code in a table's cell."""
    return "`" + text.replace("|", "\\|").replace("\n", " ") + "`"


def main() -> None:
    results = [r for path in sorted(FOUND.glob("*.json")) for r in json.loads(path.read_text(encoding="utf-8"))]
    explained = reasons()
    survivors = [result for result in results if not result["by"]]
    lines = [HEAD + (HERE / "commands.txt").read_text(encoding="utf-8"), *table(results, explained), ""]
    lines += ["| survivor | becomes | why |", "|---|---|---|"]
    for result in sorted(survivors, key=lambda r: (r["file"], r["line"])):
        why = explained.get(key(result), "**not explained**")
        lines.append(f"| {result['file']} {code(result['before'])} | {code(result['after'])} | {why} |")
    (HERE / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(table(results, explained)))
    left = [result for result in survivors if key(result) not in explained]
    for result in left:
        print(f"{result['file']}:{result['line']}: {result['before']}  ->  {result['after']}")
    sys.exit(bool(left))


if __name__ == "__main__":
    main()
