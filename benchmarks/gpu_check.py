"""All that needs a GPU, in the order of importance, with what is installed: `make gpu-check`.

    python -m benchmarks.gpu_check [--seconds 470] [--only cuda_tests paste] [--out build/gpu] [--pack FILE]
    python -m benchmarks.gpu_check --dry-run --device cpu       the same sections, tiny, without a GPU

A section is a command with its own time limit; one that fails, hangs or lacks its tool does not stop the others. With
--seconds, sections that no longer fit are left out by name. In the folder: a JSON per benchmark and check-GPU.json
(what became of each section), named after the GPU, and each section's log; --pack keeps them as one file, too, written
anew after each section. The exit code is 1 if any section failed.

Nothing is installed here. What is missing comes from the wheels of `make gpu-pack` (build/carry), unpacked into
build/gpu/site; what is missing even so is said in one line, and the sections that need it fail by themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import gpu_site

ROOT = Path(__file__).resolve().parent.parent
DRY_LIMIT = 600  # seconds: a CPU is slow
GRACE = 10  # seconds that a section has to end by itself
REMEDY = "with a package index: make env; without: make gpu-pack on a machine that has one, and build/carry from there"
SAID = re.compile(
    r"^(=+ .*(passed|failed|error)|FAILED|ERROR|error:|left out|.*ERROR SUMMARY)"
)  # log lines worth showing


@dataclass(frozen=True)
class Section:
    """{python}, {out}, {gpu}, {device} and {tool} are filled into `command`, `dry` is run instead on a dry run."""

    name: str
    limit: float  # seconds
    command: str
    dry: str
    tool: str | None = None  # a program without which the section is skipped
    needs: str | None = None  # a module without which it is
    env: tuple[tuple[str, str], ...] = ()
    beside: bool = False  # runs beside the section before it: they share the GPU, and nothing of either is timed


SANITIZER = (
    "{tool} --tool NAME --kernel-name kernel_substring=paste_ --report-api-errors no --error-exitcode 1 "
    "{python} -m pytest -q -x -p no:cacheprovider tests/ops/test_cuda_gpu.py "
    "-k '(same_as_cpu and not 256 and not float64) or slots'"
)
COLLECT = "{python} -m pytest -q -p no:cacheprovider --collect-only tests/ops/test_cuda_gpu.py"


PYTEST = (  # a test that hangs says where it does, and takes neither names nor results of the others with it
    "{python} -m pytest -m cuda -v -rs -p no:cacheprovider --durations=8 --continue-on-collection-errors "
    "-o faulthandler_timeout=60 --junitxml {out}/NAME-{gpu}.xml"
)


def tests(name: str, where: str, **more: Any) -> Section:
    return Section(name, 170, f"{PYTEST.replace('NAME', name)} {where}", COLLECT, **more)


def sanitizer(name: str) -> Section:
    # torch takes memory in large blocks, within which memcheck sees no overrun
    env = (("PYTORCH_NO_CUDA_MEMORY_CACHING", "1"),) if name == "memcheck" else ()
    return Section(name, 170, SANITIZER.replace("NAME", name), COLLECT, tool="compute-sanitizer", env=env, beside=True)


def benchmark(name: str, limit: float, options: str, dry: str) -> Section:
    command = f"{{python}} -m benchmarks.{name} --device {{device}} --json {{out}}/{name}-{{gpu}}.json"
    return Section(name, limit, f"{command} {options}", f"{command} {dry}")


SECTIONS = [
    tests("cuda_tests", "tests/ops"),
    tests("chain_tests", "tests --ignore tests/ops --ignore tests/pipelines/test_dali_cuda.py", beside=True),
    tests("dali_tests", "tests/pipelines/test_dali_cuda.py", needs="nvidia.dali", beside=True),
    *map(sanitizer, ("memcheck", "racecheck", "synccheck")),
    benchmark(
        "paste",
        80,
        "--batches 128 --sizes 256x256 --no-compile --seconds 1",
        "--batches 2 --sizes 64x64 --parts 1 --dtypes fp32 --no-compile --seconds 0.1",
    ),
    benchmark("step", 150, "", "--quick"),
    benchmark("loader", 120, "--images 1024 --seconds 1.5", "--images 32 --seconds 0.1"),
    Section(
        "train",
        60,
        "{python} -m asda_fast.train --dataset demo --augment asda --pipeline native --device {device} --epochs 1 "
        "--out {out}/run",
        "{python} -m asda_fast.train --dataset demo --augment sda --pipeline native --device {device} --epochs 1 "
        "--out {out}/run --limit 16 --model hrnet_tiny --input 64x64",
    ),
    Section(
        "ncu",
        60,
        "{tool} --clock-control none --kernel-name regex:paste_ --launch-skip 2 --launch-count 4 "
        "--section SpeedOfLight --section MemoryWorkloadAnalysis --section Occupancy --csv --page raw "
        "--log-file {out}/ncu-{gpu}.csv {python} -m benchmarks.paste_once",
        COLLECT,
        tool="ncu",
    ),
]


@dataclass(frozen=True)
class Outcome:
    name: str
    status: str  # passed, failed, timeout, skipped
    seconds: float
    said: str  # why, or the log's own summary


def find(tool: str) -> str | None:
    """A program on PATH, beside the toolkit, or from pip (nvidia-cuda-sanitizer-api)."""
    beside = [Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "bin" / tool]
    for site in map(Path, sys.path):
        beside += site.glob(f"nvidia/**/compute-sanitizer/{tool}")
    return shutil.which(tool) or next((str(path) for path in beside if os.access(path, os.X_OK)), None)


def lacks(section: Section, dry: bool) -> str:
    """Why a section cannot run here; nothing where it can."""
    if section.needs is None or dry:
        return ""
    with contextlib.suppress(ImportError):
        if importlib.util.find_spec(section.needs) is not None:
            return ""
    return f"{section.needs}: not installed"


def heed() -> None:
    """In a section's process: what was begun in the background does not hear that it is asked to end."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Running:
    """A section under way, in a process group of its own that ends with it."""

    def __init__(self, section: Section, command: list[str], log: Path, limit: float) -> None:
        self.section, self.log, self.limit, self.begun = section, log, limit, time.monotonic()
        with log.open("w") as out:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **dict(section.env)},
                start_new_session=True,
                preexec_fn=heed,
            )

    def wait(self) -> Outcome:
        name, code = self.section.name, None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(max(0.0, self.begun + self.limit - time.monotonic()))
        seconds, before = time.monotonic() - self.begun, last(self.log)
        self.end()
        said = last(self.log)
        if code is None and not SAID.match(said):  # how Python says that it was interrupted
            said = before
        if code is None:
            return Outcome(name, "timeout", seconds, f"ended after {self.limit:.0f} s; {said}")
        return Outcome(name, "failed" if code else "passed", seconds, f"exit code {code}; {said}" if code else said)

    def end(self) -> None:
        """First asked to, so that it writes what it has."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(self.process.pid, signal.SIGINT)
                self.process.wait(GRACE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def run(group: list[Section], place: dict[str, str], logs: Path, dry: bool, left: float) -> list[Outcome]:
    """The sections of a group, beside each other."""
    running, found = list[Running](), dict[str, Outcome]()
    try:
        for section in group:
            tool = find(section.tool) if section.tool and not dry else ""
            words = shlex.split(section.dry if dry else section.command)
            why = f"{section.tool}: not on PATH, nor from pip" if tool is None else lacks(section, dry)
            if tool is None or why:
                found[section.name] = Outcome(section.name, "skipped", 0.0, why)
                continue
            command = [word.format(**place, tool=tool) for word in words]
            try:
                running.append(
                    Running(
                        section, command, logs / f"{section.name}.log", DRY_LIMIT if dry else min(section.limit, left)
                    )
                )
            except OSError as error:
                found[section.name] = Outcome(section.name, "failed", 0.0, f"{command[0]}: {error.strerror}")
        found |= {job.section.name: job.wait() for job in running}
    finally:  # a Ctrl-C leaves nobody behind
        for job in running:
            job.end()
    return [found[section.name] for section in group]


def last(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return next((line for line in reversed(lines) if SAID.match(line)), lines[-1] if lines else "said nothing")[:200]


def groups(sections: list[Section]) -> list[list[Section]]:
    out: list[list[Section]] = []
    for section in sections:
        if section.beside and out:
            out[-1].append(section)
        else:
            out.append([section])
    return out


def check(
    sections: list[Section], out: Path, device: str, dry: bool, seconds: float, python: str, pack: Path | None = None
) -> list[Outcome]:
    """Run the sections; check-GPU.json is written anew after each, so that a machine taken away loses none of it."""
    begun, outcomes = time.monotonic(), list[Outcome]()
    machine = describe(python)
    gpu = re.sub(r"[^a-z0-9]+", "-", str(machine["gpu"] or "no-gpu").lower()).strip("-")
    logs = out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    place = {"python": python, "out": str(out), "gpu": gpu, "device": device}
    if device != "cpu":
        os.environ["ASDA_FAST_REQUIRE_CUDA"] = "1"  # a test that finds no GPU fails, it does not skip
    for group in groups(sections):
        left = seconds - (time.monotonic() - begun)
        if left < min(30.0, group[0].limit):
            found = [Outcome(s.name, "skipped", 0.0, f"{max(left, 0):.0f} s left of --seconds") for s in group]
        else:
            found = run(group, place, logs, dry, left)
        for outcome in found:
            print(f"{outcome.name:12} {outcome.status:8} {outcome.seconds:6.1f} s  {outcome.said}", flush=True)
        outcomes += found
        record = {"machine": machine, "dry_run": dry, "sections": [vars(outcome) for outcome in outcomes]}
        (out / f"check-{gpu}.json").write_text(json.dumps(record, indent=1) + "\n")
        if pack is not None:
            keep(out, pack)
    return outcomes


def keep(out: Path, pack: Path) -> None:
    """The results and the logs as one file: no run, nothing that was built."""
    half = pack.with_name(f".{pack.name}.partial")
    with tarfile.open(half, "w:gz") as archive:
        for path in sorted([*out.glob("*.json"), *out.glob("*.xml"), *out.glob("*.csv"), *out.glob("logs/*.log")]):
            archive.add(path, path.relative_to(out))
    half.replace(pack)


DESCRIBE = """
import importlib.metadata, json, os, sys, torch
names = ("numpy", "cupy-cuda13x", "cupy-cuda12x", "nvidia-dali-cuda130", "nvidia-dali-cuda120")
have = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"] in names}
on = torch.cuda.is_available()
print(json.dumps({"gpu": torch.cuda.get_device_name() if on else None, "cores": len(os.sched_getaffinity(0)),
    "capability": list(torch.cuda.get_device_capability()) if on else None, "python": sys.version.split()[0],
    "torch": torch.__version__, "cuda": torch.version.cuda, **dict.fromkeys(names), **have}))
"""


def describe(python: str) -> dict[str, object]:
    """The machine and its versions, asked of the Python that runs the sections."""
    done = subprocess.run([python, "-c", DESCRIBE], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"error: {python} cannot import torch: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, object] = json.loads(done.stdout)
    return found


def options(arguments: list[str] | None) -> argparse.Namespace:
    names = [section.name for section in SECTIONS]
    cli = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=(__doc__ or "").splitlines()[0])
    cli.add_argument("--out", type=Path, default=Path("build/gpu"), help="folder of the results")
    cli.add_argument("--seconds", type=float, default=900, help="in all; what no longer fits is left out")
    cli.add_argument("--only", nargs="+", choices=names, metavar="SECTION", help=f"of {', '.join(names)}")
    cli.add_argument("--pack", type=Path, help="also keep the results and logs in this one .tar.gz")
    cli.add_argument("--device", default="cuda", help="cuda, or cpu for a dry run")
    cli.add_argument("--dry-run", action="store_true", help="tiny sections, to try the command itself")
    cli.add_argument("--ready", action="store_true", help="only say whether all packages are there")
    return cli.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = options(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who ends us ends the sections, too
    missing = gpu_site.missing()
    if missing:
        missing = gpu_site.unpack()
    if said := gpu_site.unpack_dali():
        print(said, file=sys.stderr)
    if missing:  # sections that need it fail by themselves
        print(f"missing: {', '.join(missing)}; {REMEDY}", file=sys.stderr)
    if args.ready or "torch" in missing:
        return 2 if missing else 0
    if importlib.util.find_spec("asda_fast._C") is None and (failed := gpu_site.build()):
        print(f"error: asda_fast._C cannot be built: {failed}", file=sys.stderr)
        return 2
    wanted = [section for section in SECTIONS if not args.only or section.name in args.only]
    if args.only and wanted:
        wanted[0] = replace(wanted[0], beside=False)
    if args.device == "cpu" and not args.dry_run:
        print("error: --device cpu: only with --dry-run; everything here is about a GPU", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    gpu_site.on_path()
    os.environ.setdefault("CUPY_CACHE_DIR", str(args.out.resolve() / "cupy"))  # compiled once for all sections
    pack = args.pack and args.pack.resolve()
    outcomes = check(wanted, args.out.resolve(), args.device, args.dry_run, args.seconds, sys.executable, pack)
    counts = {
        status: sum(o.status == status for o in outcomes) for status in ("passed", "failed", "timeout", "skipped")
    }
    print(", ".join(f"{count} {status}" for status, count in counts.items() if count) + f"; {args.out}")
    return 1 if counts["failed"] or counts["timeout"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
