"""asda-fast predict: joints of the people in photos or a video."""

from __future__ import annotations

from asda_fast.cli import entry
from asda_fast.evaluate.options import PredictOptions


def predict(options: PredictOptions) -> None:
    import logging

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from asda_fast.viz.predicted import predict as run

    log = logging.getLogger("asda_fast")
    level = log.level
    log.setLevel(logging.ERROR)  # which photos are bad is said below
    with Progress(transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done)

        try:
            report = run(options, show)
        finally:
            log.setLevel(level)
    console = Console(highlight=False)
    for note in report.notes:
        console.print(f"[dim]{note}[/dim]", soft_wrap=True)
    for name, why in report.skipped.items():
        console.print(f"skipped: {name}: {why}", soft_wrap=True, markup=False)
    drawn = f", {report.pictures} pictures drawn" if report.pictures else ""
    console.print(f"{len(report.records)} people{drawn}: {report.written}", soft_wrap=True, markup=False)


def main(prog: str = "python -m asda_fast.predict") -> None:
    entry.command(PredictOptions, prog, predict)
