"""`python -m tools.mutation asda_fast/metrics/pck.py --tests tests/metrics`: the mutants, and which test kills each."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from tools.mutation.run import chosen, prepare, run

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.mutation", description=__doc__)
    parser.add_argument("files", nargs="+", help="Python files of the package, as asda_fast/metrics/pck.py")
    parser.add_argument("--tests", nargs="+", default=["tests"], help="files or folders of tests")
    parser.add_argument("--most", type=int, default=10**6, help="mutants of a file, drawn by --seed where it has more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/mutation"), help="a JSON a file comes here")
    parser.add_argument("--again", action="store_true", help="only what survived in --out, or took too long")
    parser.add_argument("--count", action="store_true", help="only count the mutants")
    options = parser.parse_args()
    os.chdir(ROOT)
    os.environ["NUMBA_DISABLE_JIT"] = "1"  # or numba would run from its cache what it compiled without the mutant
    if options.count:
        for file in options.files:
            print(f"{len(chosen(ROOT, file, 10**6, 0)[1]):5d} {file}")
        return
    recorded = prepare(ROOT, options.tests, options.files)
    if recorded.failed:
        sys.exit(f"error: fails without a mutant: {', '.join(recorded.failed[:3])}")
    print(f"{len(recorded.seconds)} tests in {sum(recorded.seconds.values()):.0f} s", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    for file in options.files:
        out = options.out / (file.replace("/", ".").removesuffix(".py") + ".json")
        before = json.loads(out.read_text()) if options.again else []
        tree, found = chosen(ROOT, file, options.most, options.seed)
        if options.again:
            left = {(r["line"], r["column"], r["before"], r["after"]) for r in before if r["by"] in (None, "time")}
            before = [r for r in before if r["by"] not in (None, "time")]
            out = out.with_suffix(".again")  # until it is through
            found = [m for m in found if (m.line, m.column, m.before, m.after) in left]
        results = []
        for result in run(ROOT, file, tree, found, recorded):
            results.append(asdict(result))
            if not result.by:
                print(f"{file}:{result.line}: {result.before}  ->  {result.after}", flush=True)
            out.write_text(json.dumps(sorted(before + results, key=lambda r: r["line"]), indent=0) + "\n")
        every = before + results
        if results:
            out.replace(out.with_suffix(".json"))
        killed = sum(bool(r["by"]) for r in every)
        print(f"{file}: {killed} of {len(every)} killed", flush=True)


if __name__ == "__main__":
    main()
