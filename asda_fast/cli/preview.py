"""asda-fast preview: see what an augmentation does to people, and what a trained generator chooses."""

from __future__ import annotations

from asda_fast.cli import entry
from asda_fast.viz.options import PreviewOptions


def preview(options: PreviewOptions) -> None:
    import numpy as np

    from asda_fast.viz.views import preview as draw

    shown = draw(options, print)
    by_name = {view.name: view.loss for view in shown if view.loss}
    if {"random", "chosen"} <= set(by_name):
        clean, random, chosen = (float(np.mean(by_name[k])) for k in ("clean", "random", "chosen"))
        print(f"mean loss: clean {clean:.6f}, random placement {random:.6f}, chosen placement {chosen:.6f}")
    print(", ".join(p for p in (options.out, options.html) if p))


def main(prog: str = "python -m asda_fast.preview") -> None:
    entry.command(PreviewOptions, prog, preview)
