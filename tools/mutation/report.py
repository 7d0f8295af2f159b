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
ROOT = HERE.parent.parent
Key = tuple[str, str, str, str]

HEAD = """# What no test notices

Mutation testing of the core: each small mistake (a sign, an off-by-one, swapped axes, a dropped term, another
comparison) is made alone, and the tests run that reach its line. Of a file with many, a sample drawn by seed 0. The
tests have no real photos and no GPU; the JIT of numba is off; the kernels run on the CPU, without the sanitizers. The
first run killed 77 %; the tests of the others came of it.

"Explained" are survivors that change no result that anybody asks for; each has its reason below. The score is the
share of the others that is killed. Written by `python -m tools.mutation.report` from these runs; a run with `--again`
tries only what survived, after a new test:

"""


def key(entry: dict[str, Any]) -> Key:
    """What tells a survivor from others, wherever its line moves."""
    return entry["file"], entry["code"], entry["before"], entry["after"]


def found() -> list[dict[str, Any]]:
    """All results, each with the line of code that it is about."""
    results = [r for path in sorted(FOUND.glob("*.json")) for r in json.loads(path.read_text(encoding="utf-8"))]
    code = {name: (ROOT / name).read_text(encoding="utf-8").splitlines() for name in {r["file"] for r in results}}
    return [{**result, "code": code[result["file"]][result["line"] - 1].strip()} for result in results]


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
    lines = ["| file | mutants | killed | explained | left | score |", "|---|--:|--:|--:|--:|--:|"]
    for name, (number, killed, known) in rows:
        score = 100 * killed / max(number - known, 1)
        lines.append(f"| {name} | {number} | {killed} | {known} | {number - killed - known} | {score:.1f} % |")
    return lines


def quoted(text: str) -> str:
    """As code in a table's cell."""
    return "`" + text.replace("|", "\\|").replace("\n", " ") + "`"


def main() -> None:
    results, explained = found(), reasons()
    survivors = [result for result in results if not result["by"]]
    runs = (HERE / "core.sh").read_text(encoding="utf-8")
    lines = [f"{HEAD}```sh\n{runs}```\n", *table(results, explained), ""]
    lines += ["| survivor | becomes | why |", "|---|---|---|"]
    for result in sorted(survivors, key=lambda r: (r["file"], r["line"])):
        why = explained.get(key(result), "**not explained**")
        lines.append(f"| {result['file']} {quoted(result['before'])} | {quoted(result['after'])} | {why} |")
    (HERE / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(table(results, explained)))
    left = [result for result in survivors if key(result) not in explained]
    for result in left:
        print(f"{result['file']}:{result['line']}: {result['before']}  ->  {result['after']}")
    sys.exit(bool(left))


if __name__ == "__main__":
    main()
