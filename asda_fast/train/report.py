"""What a run shows of an epoch that has ended: a line, the contact sheet, and its numbers to whoever watches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from asda_fast.core.batch import Batch
from asda_fast.core.errors import first_line
from asda_fast.pipelines.loader import make_loader
from asda_fast.train import watch
from asda_fast.train.checkpoint import RunFolder
from asda_fast.train.console import Console
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.setup import Parts
from asda_fast.viz.epoch_sheet import write_sheet

SHOWN = 6  # people on the contact sheets


class Report:
    """The first rank's; the others make one and never call it."""

    def __init__(self, folder: RunFolder, recipe: Recipe, run: RunOptions, parts: Parts, console: Console) -> None:
        self.folder, self.recipe, self.run, self.parts, self.console = folder, recipe, run, parts, console
        self._shown: Batch | None = None
        self._watchers: dict[str, watch.Watcher] = {}  # made when there is something to watch

    @staticmethod
    def describe(means: dict[str, Any]) -> str:
        return f"{means['images_per_second']:.0f} images/s  L_D {means['loss_d']:.5f}  PCK {means['pck_train']:.1f}"

    def epoch(self, epoch: int, row: dict[str, Any]) -> None:
        """`epoch`: how many have ended; `row`: what metrics.jsonl says of the last one."""
        picture = self._sheet(epoch) if "pck" in row else None
        name = self.recipe.paste.augment
        if name != "none" and self.parts.augmentation.most and row.get("pasted") == 0:
            self.console.say(f"nobody got anything pasted in epoch {row['epoch']}: as augment none")
        hard = f"  hardness {row['hardness']:.2f} +- {row['hardness_se']:.2f}" if "hardness" in row else ""
        looked = f"  {row['pck']:.1f} (val){hard}" if "pck" in row else ""
        self.console.say(f"epoch {row['epoch']}: {self.describe(row)} (train){looked}")
        values = {name: float(v) for name, v in row.items() if isinstance(v, (int, float)) and name != "epoch"}
        for name in dict.fromkeys(self.run.log):
            try:
                if name not in self._watchers:
                    self._watchers[name] = watch.watcher(name, self.folder.out, self.recipe.to_dict())
                self._watchers[name].epoch(row["epoch"], values, picture)
            except Exception as error:  # somebody's server is away: no reason to lose the run
                what = f"did not take epoch {row['epoch']} (metrics.jsonl has it)"
                self.console.say(f"log: {name} {what}: {first_line(error)}")

    def close(self) -> None:
        """Tell those who watch that the run has ended, or stopped."""
        for name, watcher in self._watchers.items():
            try:
                watcher.close()
            except Exception as error:
                self.console.say(f"log: {name} was not told the end of the run: {first_line(error)}")

    def _sheet(self, epoch: int) -> Path:
        """The same few validation people after every epoch: crop | pasted | predicted."""
        batch = self._people()
        path = self.folder.out / "sheets" / f"epoch-{epoch:03d}.jpg"
        write_sheet(  # bare: DistributedDataParallel would wait here for ranks that draw nothing
            path, batch, self.parts.augmentation, self.parts.networks.judged, self.parts.adversary,
            self.parts.skeleton, epoch - 1, f"epoch {epoch}", self.parts.networks.coding,
            self.parts.networks.amp,
        )  # fmt: skip
        return path

    def _people(self) -> Batch:
        if self._shown is None:
            people = self.parts.people_val
            assert self.recipe.input is not None
            few = people.select(torch.linspace(0, len(people) - 1, min(SHOWN, len(people))).long().numpy())
            with make_loader(
                few, size=self.recipe.input, batch_size=len(few), pipeline="native", train=False,
                on_bad_image=self.run.on_bad_image,
            ) as loader:  # fmt: skip
                self._shown = next(iter(loader)).to(self.parts.networks.device)
        return self._shown
