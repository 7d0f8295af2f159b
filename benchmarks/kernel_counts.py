"""What the CUDA kernels of paste are made of, counted in their machine code: no GPU is needed.

    python -m benchmarks.kernel_counts [--arch sm_90] [--json FILE]

NVRTC compiles each kernel with the options that the package gives it, nvdisasm (pip: nvidia-cuda-nvdisasm, or the CUDA
toolkit's) shows the instructions, and a loop is what a branch backwards spans. `per pixel and slot` is the number of
instructions in the loop that pastes, each counted once, divided by the pixels that a thread makes in it: forward the
loop over the slots of a tile; backward the loop over tiles, which holds the loop over slots, that holds the walk over
the slots above. `alone` leaves the loops inside the slots' loop out: what runs where parts do not overlap.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch

from asda_fast.ops.paste_cuda import Variant
from benchmarks.common import Report, parser
from benchmarks.compile_kernels import Nvrtc, options, usage

F32, BF16, F16, U8 = torch.float32, torch.bfloat16, torch.float16, torch.uint8
KERNELS = {
    "forward float32": Variant("forward", F32, False, F32, False, True),
    "forward bfloat16": Variant("forward", BF16, False, BF16, False, True),
    "forward uint8 to float32": Variant("forward", U8, True, F32, False, True),
    "forward uint8 to bfloat16 channels_last": Variant("forward", U8, True, BF16, True, True),
    "backward float32": Variant("backward", F32, False, F32, False, True),
    "backward uint8 to bfloat16 channels_last": Variant("backward", U8, True, BF16, True, True),
    "backward float32 with image": Variant("backward", F32, False, F32, False, True, True),
}


class Loop(NamedTuple):
    """Instructions first .. last, of which the last branches back to the first."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    def holds(self, other: Loop) -> bool:
        return self != other and self.first <= other.first and other.last <= self.last


class Code(NamedTuple):
    """One kernel's instructions in their order (without predicates), and its loops."""

    instructions: list[str]
    loops: list[Loop]

    def texels(self, loop: Loop) -> int:
        """Loads of texels in a loop: four bytes, past no cache (the last block's sums of partial sums are others)."""
        within = self.instructions[loop.first : loop.last + 1]
        return sum(bool(re.match(r"LDG\.E(\.U8)?(\.CONSTANT)? ", op)) for op in within)


def nvdisasm() -> Path:
    """On PATH, or from pip."""
    found = shutil.which("nvdisasm")
    places = sorted(Path(sysconfig.get_path("purelib"), "nvidia").glob("**/bin/nvdisasm"))
    if found is None and not places:
        raise SystemExit("nvdisasm: expected on PATH or from 'pip install nvidia-cuda-nvdisasm', found neither")
    return Path(found or places[0])


def disassemble(cubin: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return subprocess.run([str(nvdisasm()), "-c", file.name], capture_output=True, text=True, check=True).stdout


def read(listing: str) -> Code:
    """nvdisasm's text -> instructions and loops."""
    instructions: list[str] = []
    labels: dict[str, int] = {}
    branches: list[tuple[int, str]] = []
    for line in listing.splitlines():
        if label := re.match(r"(\.L_x_\w+):", line):
            labels[label[1]] = len(instructions)
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?(.*?)\s*;", line):
            if to := re.match(r"BRA\b.*`\((\.L_x_\w+)\)", found[1]):
                branches.append((len(instructions), to[1]))
            instructions.append(found[1])
    loops = {Loop(labels[to], at) for at, to in branches if labels[to] < at}
    return Code(instructions, sorted(loops))


def count(code: Code, pixels: int) -> dict[str, float]:
    """The numbers of one kernel whose threads make `pixels` pixels at a time."""
    loops = [loop for loop in code.loops if code.texels(loop)]
    outer = max(loops, key=lambda loop: loop.length)
    inside = [loop for loop in loops if outer.holds(loop)]
    slots = max(inside, key=lambda loop: loop.length, default=outer)  # forward: the one loop
    deeper = [loop for loop in inside if loop != slots]
    return {
        "per pixel and slot": outer.length / pixels,
        "alone": (outer.length - sum(loop.length for loop in deeper)) / pixels,
        "all": len(code.instructions),
    }


def measure(variant: Variant, arch: str, compiler: Nvrtc) -> dict[str, float]:
    """name -> number, for one kernel on one architecture."""
    result, log, _, cubin = compiler.compile(variant.source(), options(variant, arch))
    if result:
        raise SystemExit(f"{variant}: does not compile\n{log}")
    return {**count(read(disassemble(cubin)), variant.pixels), **usage(log)}


def main() -> None:
    cli = parser("Count the instructions of paste's kernels")
    cli.add_argument("--arch", default="sm_90", help="what to compile for")
    given = cli.parse_args()
    compiler, report = Nvrtc(), Report(1)
    for name, variant in KERNELS.items():
        numbers = measure(variant, given.arch, compiler)
        for what, value in numbers.items():
            report.add(name, {"arch": given.arch, "count": what}, "", value)
        print(f"{name:42}" + "".join(f"  {what} {value:g}" for what, value in numbers.items()), flush=True)
    if given.json:
        report.save(given.json)


if __name__ == "__main__":
    main()
