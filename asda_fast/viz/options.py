"""What preview draws, as options. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from asda_fast.augment.options import PasteOptions
from asda_fast.core.errors import UserError
from asda_fast.core.files import check_suffix
from asda_fast.core.options import CROP, AtLeast, Size, check
from asda_fast.data.custom import Files
from asda_fast.data.dataset import DATASETS


@dataclass(frozen=True)
class PreviewOptions:
    """Draw people before and after an augmentation: a contact sheet, and a gallery to flip through in a browser."""

    dataset: Annotated[str, DATASETS] = "demo"
    """demo | lsp | mpii | coco | custom (with --val-annotations) | module:DATASET of your own"""
    root: str | None = None
    """folder of the dataset"""
    files: Files = field(default_factory=Files)
    split: Literal["val", "train"] = "val"
    """which people"""
    pool: str | None = None
    """pool of body parts; demo builds its own on first use"""
    paste: PasteOptions = field(default_factory=lambda: PasteOptions(augment="sda"))
    checkpoint: str | None = None
    """last.pt of a run: its adversary places the parts of asda, and the network tells the loss of each placement"""
    people: Annotated[int, AtLeast(1)] = 12
    """people shown, evenly spread over the split"""
    draws: Annotated[int, AtLeast(0)] = 32
    """asda with a checkpoint: draws of every person that two more pictures sum up, at random and as chosen, by as many
    forward passes each [0: without]"""
    input: Annotated[Size | None, CROP] = None
    """crop as HxW [the checkpoint's, else the dataset's preset, 256x256 for demo]"""
    seed: int = 0
    """of the random draws"""
    out: str = "sheet.png"
    """contact sheet to write"""
    html: str | None = None
    """gallery to write: one file, needs nothing else"""

    def __post_init__(self) -> None:
        check(self)
        check_suffix(self.out)
        if self.html is not None and Path(self.html).resolve() == Path(self.out).resolve():
            raise UserError(f"html {self.html}: expected a file of its own to write, not the contact sheet's")
