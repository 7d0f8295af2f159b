"""python -m tools.fuzz [READER ...] [--cases N]: damaged files for every reader, and a line of figures each.

    python -m tools.fuzz                       # all readers, 10,000 cases each
    python -m tools.fuzz pools --first 4711 --cases 1 --keep case.safetensors   # one case again, and its file

Exit code 1 if any case ended in a trace, a hang, or a refusal that is not one line naming the file.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import resource
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

from tools.fuzz import harness, parts

GROUPS = (parts.readers,)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("readers", nargs="*", help="default: all")
    options.add_argument("--cases", type=int, default=10_000, help="of each reader")
    options.add_argument("--first", type=int, default=0, help="number of the first case")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--keep", type=Path, default=None, help="also write the first case's file there")
    args = options.parse_args()
    faulthandler.enable()
    logging.disable(logging.CRITICAL)  # readers may warn; only refusals and failures count here
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (24 << 30, 24 << 30))  # a small file must not ask for all memory
    failed = 0
    for reader in harness.chosen([reader for group in GROUPS for reader in group()], args.readers):
        if args.keep is not None:
            with tempfile.TemporaryDirectory() as folder:
                shutil.copy(harness.make(reader, Path(folder), args.seed, args.first), args.keep)
        figures = harness.run(reader, args.cases, args.seed, args.first)
        print(harness.line(reader, figures), flush=True)
        for case, what in figures.failures:
            print(f"  case {case}: {what}")
        failed += figures.failed
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
