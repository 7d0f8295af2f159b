"""asda-fast train: encoded photos and keypoints in, a trained pose network out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from asda_fast.cli import entry
from asda_fast.train.recipe import Recipe, RunOptions


@dataclass(frozen=True)
class Train:
    """Train a pose network against an adversarial generator of pasted body parts (ASDA, ECCV 2020).

    Options that are left out come from the dataset's preset: the paper's numbers for lsp, mpii and coco, and a small
    network that a CPU trains in minutes for demo.
    """

    recipe: Recipe = field(default_factory=Recipe)
    run: RunOptions = field(default_factory=RunOptions)


def train(options: Train) -> None:
    # Before torch starts its threads: they sleep, not spin, while they wait. Decoding shares the cores with the
    # network, and a spinning thread takes the core from the one that it waits for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from asda_fast.train.run import train as run

    run(options.recipe, options.run)


def main(prog: str = "python -m asda_fast.train") -> None:
    entry.command(Train, prog, train)
