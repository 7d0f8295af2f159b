"""The same for the kernels, line by line: `python -m tools.mutation.cpp kernels/paste_math.h`.

In a copy of the checkout; each mutant is compiled for the CPU, under the shim of tests/cuda_host, and compared there
with the plain-torch reference. paste_math.h, the arithmetic that the CPU's own loops include too, is changed here only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SWAPPED = {
    " + ": " - ", " - ": " + ", " * ": " / ", " / ": " * ", " < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > ",
    " == ": " != ", " != ": " == ", " && ": " || ", " || ": " && ", " & ": " | ", " | ": " & ", " << ": " >> ",
    " >> ": " << ", " += ": " -= ", " -= ": " += ", "++": "--", "true": "false", "false": "true", "min(": "max(",
    "max(": "min(",
}  # fmt: skip
OPERATOR = re.compile("|".join(re.escape(text) for text in sorted(SWAPPED, key=len, reverse=True)))
NUMBER = re.compile(r"(?<![\w.\"])\d+(?:\.\d*)?(?=f?\b)(?![\w.]*x)")
TERM = re.compile(r" [-+*] (?:[\w.\->]+(?:\[[\w +]+\])*(?:\([\w., ]*\))?)(?: \* [\w.]+(?:\[\w+\])*)*(?=[ ;),])")
SIGN = re.compile(r"(?<=[=(,?:] )-(?=[\w(])|(?<=\()-(?=[\w(])|!(?=[\w(])")
SKIPPED = re.compile(r"^\s*(//|#|template|typedef|using|namespace|static_assert|throw|\"|extern|case \w+:$)")
QUIET = ["-q", "-x", "--tb=short", "--no-header", "-p", "no:cacheprovider"]
TESTS = ["tests/ops/test_cuda_host.py", "-k", "not sanitizer and not planted"]
SECONDS = 600


@dataclass
class Mutant:
    """One change of one line."""

    line: int
    before: str
    after: str


def mutants(source: str) -> list[Mutant]:
    """All mutants of a file that clang-format laid out: a binary operator stands between spaces."""
    found = []
    for number, line in enumerate(source.splitlines(), 1):
        code, slashes, comment = line.partition("//")
        if SKIPPED.match(line) or ("ASDA_FN" in line and "return" not in line):  # a signature
            continue
        for changed in dict.fromkeys(_changed(code)):
            if changed != code:
                found.append(Mutant(number, line, changed + slashes + comment))
    return found


def _changed(code: str) -> Iterator[str]:
    for match in OPERATOR.finditer(code):
        yield code[: match.start()] + SWAPPED[match[0]] + code[match.end() :]
    for match in NUMBER.finditer(code):
        value = float(match[0]) if "." in match[0] else int(match[0])
        others: list[float] = [value * 1.25 or 1.0] if isinstance(value, float) else [value + 1, value - 1]
        for other in others:
            yield f"{code[: match.start()]}{other}{code[match.end() :]}"
    for pattern in (TERM, SIGN):
        for match in pattern.finditer(code):
            yield code[: match.start()] + code[match.end() :]
    if re.match(r"\s+[\w.\[\] *]+ [-+*]?= .*;$", code) and not re.match(r"\s+(const|int|S|auto|float) ", code):
        yield re.match(r"\s*", code)[0] + ";"  # type: ignore[index]  # a statement left out


def prepare(copy: Path) -> None:
    """A copy of the checkout, with its compiled module."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    for path in [*map(ROOT.joinpath, tracked.stdout.splitlines()), *(ROOT / "asda_fast").glob("_C*.so")]:
        if path.is_file():
            to = copy / path.relative_to(ROOT)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, to)


def verdict(copy: Path) -> str | None:
    """What noticed the state of the copy: "compiler", a test, or "time"; None: nothing."""
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", *QUIET, *TESTS], cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)},
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        output = run.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        return "time"
    if run.returncode == 0:
        return None
    if re.search(r":\d+:\d+: (fatal )?error: ", output):
        return "compiler"
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    return failed[1] if failed else f"exit {run.returncode}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.mutation.cpp", description=__doc__)
    parser.add_argument("files", nargs="+", help="files of kernels/")
    parser.add_argument("--most", type=int, default=20, help="mutants of a file, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutation", help="a JSON a file comes here")
    options = parser.parse_args()
    copy = (options.out / "copy").resolve()
    prepare(copy)
    if by := verdict(copy):
        sys.exit(f"error: fails without a mutant: {by}")
    for file in options.files:
        source = (ROOT / file).read_text(encoding="utf-8")
        found = mutants(source)
        if len(found) > options.most:
            found = random.Random(f"{options.seed} {file}").sample(found, options.most)
        results, out = [], options.out / (file.replace("/", ".") + ".json")
        for mutant in sorted(found, key=lambda mutant: mutant.line):
            lines = source.splitlines(keepends=True)
            lines[mutant.line - 1] = mutant.after + "\n"
            (copy / file).write_text("".join(lines), encoding="utf-8")
            by = verdict(copy)
            before, after = mutant.before.strip(), mutant.after.strip()
            print(f"{file}:{mutant.line}: {before}  ->  {after}  {by or 'SURVIVED'}", flush=True)
            if by != "compiler":  # what does not compile is no mutant
                results.append({"file": file, "line": mutant.line, "before": before, "after": after, "by": by})
                out.write_text(json.dumps(results, indent=0) + "\n", encoding="utf-8")
        (copy / file).write_text(source, encoding="utf-8")
        print(f"{file}: {sum(bool(r['by']) for r in results)} of {len(results)} killed", flush=True)


if __name__ == "__main__":
    main()
