"""asda-fast score: how hard an adversary's places are, as one number with its error."""

from __future__ import annotations

from asda_fast.cli import entry
from asda_fast.train.score import ScoreOptions


def score(options: ScoreOptions) -> None:

    from asda_fast.core.files import check_target, write_json
    from asda_fast.train.score import score as measured

    if options.json:
        check_target("json", options.json)
    found = measured(options, print)
    print(f"{found.people} people, {found.draws} random places each; mean loss, 1e-3")
    for name in ("clean", "random", "centre", "chosen", "best_of_32"):
        label = f"best of {found.draws}" if name == "best_of_32" else name
        print(f"  {label:12s} {1e3 * getattr(found, name):8.4f}")
    print(found)
    if options.json:
        from pathlib import Path

        write_json(Path(options.json), found.to_dict(), indent=1)


def main(prog: str = "asda-fast score") -> None:
    entry.command(ScoreOptions, prog, score)
