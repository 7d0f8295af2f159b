"""What a report shows, as options. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from asda_fast.core.options import AtLeast, check
from asda_fast.data.custom import Files


@dataclass(frozen=True)
class ReportOptions:
    """Write a run as one HTML page that needs nothing else: curves, contact sheets, where each type of part lies, the
    worst people, options and versions."""

    run: str = field(metadata={"positional": True})
    """folder of a run, also of one that goes on"""
    out: str | None = None
    """the page [report.html in the run's folder]"""
    sheets: Annotated[int, AtLeast(0)] = 4
    """contact sheets shown: the first, the last, and as many between"""
    root: str | None = None
    """folder of the dataset: with it (demo needs none) the run's network looks at validation people"""
    files: Files = field(default_factory=Files)
    pool: str | None = None
    """pool of body parts; demo builds its own on first use"""
    people: Annotated[int, AtLeast(0)] = 64
    """validation people looked at, evenly spread [0: none]"""
    draws: Annotated[int, AtLeast(1)] = 8
    """parts of each of them, for the maps of where parts lie"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where the network runs"""

    def __post_init__(self) -> None:
        check(self)
