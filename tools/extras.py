"""What to install beside the torch that is there: `pip install $(python tools/extras.py [train|dev])`, in the root.

DALI and CuPy come as one build per CUDA major version, and so does torch, which therefore chooses. A torch without CUDA
gets CUDA 13's DALI, which runs on a CPU too, and CuPy only for the tests (they compile the kernels). constraints.txt
holds for the torch that it names; beside another one only that one is held, so that no install replaces it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETS = ("train", "dev")
BUILDS = ("12", "13")


def arguments(wanted: str, torch_version: str, cuda: str | None, constraints: str) -> list[str]:
    """pip's arguments for one of SETS. torch_version: such as 2.9.1+cu126. cuda: torch.version.cuda."""
    major = cuda.split(".")[0] if cuda else "13"
    if major not in BUILDS:
        raise SystemExit(
            f"error: torch {torch_version} is built for CUDA {cuda}; expected {' or '.join(BUILDS)}, or none"
        )
    release = torch_version.split("+")[0]
    pinned = re.search(r"^torch==(\S+)$", constraints, re.MULTILINE)
    extras = [f"dali-cuda{major}"]
    if cuda or wanted == "dev":
        extras.append(f"cuda{major}")
    if wanted == "dev":
        extras += ["synth", "docs", "dev"]
    held = ["-c", "constraints.txt"] if pinned and pinned[1] == release else [f"torch=={torch_version}"]
    return [*held, "-e", f".[{','.join(extras)}]"]


def main() -> None:
    wanted = sys.argv[1] if len(sys.argv) > 1 else "train"
    if wanted not in SETS or len(sys.argv) > 2:
        raise SystemExit(f"error: expected one of {', '.join(SETS)}, got {' '.join(sys.argv[1:])}")
    import torch

    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    print(*arguments(wanted, torch.__version__, torch.version.cuda, constraints))


if __name__ == "__main__":
    main()
