"""What a run shows while it runs: a bar on a terminal, a line now and then elsewhere, a table at the end."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console as Rich
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from asda_fast.metrics.pck import CROP_SHARE

SECONDS_BETWEEN_LINES = 15.0  # where there is no terminal


class Console:
    """Progress of the epochs. Silent on every rank but the first."""

    def __init__(self, enabled: bool = True) -> None:
        self.rich = Rich(highlight=False, quiet=not enabled)
        self.live = self.rich.is_terminal and enabled
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(compact=True),
            console=self.rich,
            disable=not self.live,
            transient=True,
        )
        self.spoken = time.monotonic()

    def __enter__(self) -> Console:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def say(self, text: str) -> None:
        self.rich.print(text, markup=False, soft_wrap=True)  # a log is searched by line

    def begin(self, title: str, total: int, done: int = 0) -> Any:
        return self.progress.add_task(title, total=total, completed=done, text="")

    def advance(self, task: Any, done: int, text: str = "") -> None:
        self.progress.update(task, completed=done, text=text)
        now = time.monotonic()
        if not self.live and now - self.spoken >= SECONDS_BETWEEN_LINES:
            shown = self.progress.tasks[[t.id for t in self.progress.tasks].index(task)]
            self.say(f"{shown.description} {done}/{int(shown.total or 0)}  {text}")
            self.spoken = now

    def end(self, task: Any) -> None:
        self.progress.remove_task(task)

    def table(self, title: str, history: list[dict[str, Any]]) -> None:
        """The end-of-run table: one row per epoch, the best PCK in bold; long runs show the last dozen and the best."""
        if not history:
            return
        best = max(range(len(history)), key=lambda i: history[i].get("pck", -1.0))
        found = f"PCK train: within {CROP_SHARE} of the crop's longer side; PCK val: as the dataset's protocol has it"
        table = Table(title=title, title_justify="left", caption=found, caption_justify="left")
        measured = any(row.get("hardness") is not None for row in history)
        hardness = ("hardness",) if measured else ()
        for name in ("epoch", "L_D", "L_G", *hardness, "PCK train", "PCK val", "lr", "images/s", "seconds"):
            table.add_column(name, justify="right")
        for i, row in enumerate(history):
            if len(history) > 13 and i < len(history) - 12 and i not in (0, best):
                continue
            loss_g = "" if row.get("loss_g") is None else f"{row['loss_g']:.5f}"
            s, error = row.get("hardness"), row.get("hardness_se")
            hard = "" if s is None else f"{s:.2f} +- {error:.2f}"
            cells = (
                str(row["epoch"]),
                f"{row['loss_d']:.5f}",
                loss_g,
                *([hard] if measured else []),
                f"{row['pck_train']:.1f}",
                f"{row['pck']:.1f}" if "pck" in row else "",
                f"{row['lr']:.0e}",
                f"{row['images_per_second']:.0f}",
                f"{row['seconds']:.1f}",
            )
            table.add_row(*cells, style="bold" if i == best else None)
        wide = (
            self.rich if self.live else Rich(highlight=False, quiet=self.rich.quiet, width=120)
        )  # a log has no columns
        wide.print(table)
