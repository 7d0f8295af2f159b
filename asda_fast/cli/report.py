"""asda-fast report: a run as one page."""

from __future__ import annotations

from asda_fast.cli import entry
from asda_fast.report.options import ReportOptions


def report(options: ReportOptions) -> None:
    from asda_fast.report.page import write

    print(write(options))


def main(prog: str = "asda-fast report") -> None:
    entry.command(ReportOptions, prog, report)
