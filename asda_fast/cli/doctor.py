"""asda-fast doctor: what this machine has, what is missing and how to get it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass

from asda_fast.cli import entry
from asda_fast.doctor import trials
from asda_fast.doctor.checks import Check, check, works
from asda_fast.doctor.machine import look


@dataclass(frozen=True)
class DoctorOptions:
    """Say what this machine has, what is missing and how to get it, a line each. Exit code 0: asda_fast works here; 1:
    something that it needs is broken."""

    deep: bool = False
    """also try it: import torch, paste, load a batch with each pipeline, each in a process of its own"""
    json: bool = False
    """print it as JSON: works, checks (name, status, found, remedy), machine"""


def doctor(options: DoctorOptions) -> None:
    machine = look()
    checks = check(machine)
    if options.deep:
        checks += trials.run(machine)
    if options.json:
        facts = {"works": works(checks), "checks": [asdict(one) for one in checks], "machine": asdict(machine)}
        print(json.dumps(facts, indent=1))
    else:
        print(table(checks))
    if not works(checks):
        sys.exit(1)


def table(checks: list[Check]) -> str:
    width = max(len(one.name) for one in checks)
    lines = []
    for one in checks:
        lines.append(f"{one.status:8}{one.name:{width}}  {one.found}")
        if one.remedy:
            lines.append(f"{'':8}{'':{width}}  -> {one.remedy}")
    broken = [one.name for one in checks if one.status == "broken"]
    lines.append(f"asda_fast does not work here: {', '.join(broken)}" if broken else "asda_fast works here")
    return "\n".join(lines)


def main(prog: str = "asda-fast doctor") -> None:
    try:
        options = entry.parse(DoctorOptions, prog)
    except ModuleNotFoundError:  # the command-line library is one of the things that may be missing
        options = DoctorOptions(deep="--deep" in sys.argv, json="--json" in sys.argv)
    doctor(options)
