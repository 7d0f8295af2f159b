"""asda-fast COMMAND: every command by name; only the one that is asked for is imported."""

from __future__ import annotations

import importlib
import sys

from asda_fast.cli import entry
from asda_fast.core.errors import UserError
from asda_fast.core.registry import nearest

COMMANDS = {
    "train": "train a pose network against pasted body parts",
    "evaluate": "score a network or a file of predictions as the literature does",
    "predict": "joints of the people in photos or a video: COCO results and pictures",
    "ablate": "train arms and seeds, and compare them with intervals",
    "score": "measure how hard the places are that an adversary chooses",
    "report": "write a run as one page: curves, sheets, where parts lie, the worst people",
    "preview": "see what an augmentation does to people",
    "data": "pack people into shards; check a dataset before it is trained on",
    "parts": "build, show, count and merge pools of body parts",
    "doctor": "what this machine has, what is missing and how to get it",
    "networks": "list the networks; say what a checkpoint holds and export it",
    "completion": "print what completes commands, options and their choices in bash and zsh",
}


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, what in COMMANDS.items()]
    first = ["usage: asda-fast COMMAND [OPTIONS]", "", "Adversarial semantic data augmentation for pose training.", ""]
    return "\n".join([*first, *lines, "", "asda-fast COMMAND --help explains a command; asda-fast --version."])


def run() -> None:
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return
    name = arguments[0]
    if name == "--version":
        import asda_fast

        print(asda_fast.__version__)
        return
    if name not in COMMANDS:
        raise UserError(f"expected a command ({', '.join(COMMANDS)}), got {name!r}{nearest(name, list(COMMANDS))}")
    sys.argv = [f"asda-fast {name}", *arguments[1:]]
    importlib.import_module(f"asda_fast.cli.{name}").main(prog=f"asda-fast {name}")


def main() -> None:
    entry.run(run)
