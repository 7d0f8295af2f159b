"""A whole run: options in, a folder with a trained network out; begun, gone on with, interrupted."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from asda_fast.train import checkpoint, distributed, watch
from asda_fast.train.checkpoint import RunFolder
from asda_fast.train.console import Console
from asda_fast.train.idle import without_effect
from asda_fast.train.place import check_writable, held, make_room
from asda_fast.train.recipe import Recipe, RunOptions, schedule_kept
from asda_fast.train.setup import prepare
from asda_fast.train.trainer import Trainer


def train(recipe: Recipe, run: RunOptions) -> None:
    """A whole run: begin in `run.out`, or with `run.resume` go on with what is saved there, if anything is. Ctrl-C,
    SIGTERM and a terminal that goes (SIGHUP) save the state and raise KeyboardInterrupt. UserError for what the options
    or the data have wrong."""
    given = replace(recipe, dataset=run.files.dataset(recipe.dataset))
    recipe = given.resolved()
    watch.check(run.log)
    folder = RunFolder(Path(run.out or f"runs/{recipe.dataset}"))
    ranks = distributed.start(run.device)
    try:
        _train(given, recipe, run, folder, ranks)  # the networks are its own: they must be gone before their processes
    finally:
        distributed.stop()


def _train(given: Recipe, recipe: Recipe, run: RunOptions, folder: RunFolder, ranks: distributed.Ranks) -> None:
    saved = checkpoint.load(folder.last) if run.resume and folder.last.exists() else None
    if saved is not None:
        recipe = recipe.continuing(given, saved["config"], str(folder.out))
    with Console(ranks.first) as console:
        for line in without_effect(given, run, recipe.epochs or 1, ranks.device.type, ranks.world):
            console.say(line)
        if saved is not None and (drops := schedule_kept(recipe, given, saved["config"])):
            console.say(drops)
        parts = prepare(recipe, run, ranks, console.say)
        trainer = Trainer(recipe, run, parts, folder, ranks, console)
        if ranks.first and (folder.out / ".running").exists():  # before anything there is moved or tidied
            with held(folder.out):
                pass
        if saved is not None:
            trainer.progress = folder.restore(saved, parts, ranks)
            if ranks.first:
                check_writable(folder.out)
                folder.tidy(trainer.progress.history)
            if trainer.progress.epoch >= (recipe.epochs or 0):
                console.say(f"the run in {folder.out} has had its {trainer.progress.epoch} epochs: more with --epochs")
            else:
                where = f"epoch {trainer.progress.epoch + 1}, step {trainer.progress.step}"
                console.say(f"going on with {folder.out} at {where}")
        elif ranks.first:
            if run.resume:
                console.say(f"nothing is saved in {folder.out} yet: the run begins")
            if kept := make_room(folder.out):
                console.say(f"the earlier run in {folder.out} is now {kept}")
        ranks.wait()
        trainer.saved = saved is not None
        before = catch_signals(trainer)
        try:
            with held(folder.out) if ranks.first else nullcontext():
                trainer.run()
        except KeyboardInterrupt:
            if not trainer.saved:
                raise
            raise KeyboardInterrupt(f"interrupted; the state is in {folder.last}, resume goes on") from None
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            trainer.report.close()
            parts.close()


def catch_signals(trainer: Trainer) -> dict[signal.Signals, Any]:
    """From now on a first Ctrl-C, SIGTERM or SIGHUP lets the step under way end and the state be saved. Under nohup the
    last stays ignored. Returns what was."""

    def interrupt(number: int, frame: Any) -> None:
        trainer.interrupted = True
        if number != signal.SIGHUP:  # that comes twice where a shell goes with its terminal, from it and the kernel
            signal.signal(number, signal.default_int_handler)  # a second one stops at once

    heard = [signal.SIGINT, signal.SIGTERM]
    heard += [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else []
    return {number: signal.signal(number, interrupt) for number in heard}
