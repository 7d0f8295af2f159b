"""What a run shows of an epoch that has ended: a line, the contact sheet, the curves of TensorBoard."""

from __future__ import annotations

from typing import Any

import torch

from asda_fast.core.batch import Batch
from asda_fast.pipelines.loader import make_loader
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

    @staticmethod
    def describe(means: dict[str, Any]) -> str:
        return f"{means['images_per_second']:.0f} images/s  L_D {means['loss_d']:.5f}  PCK {means['pck_train']:.1f}"

    def epoch(self, epoch: int, row: dict[str, Any]) -> None:
        """`epoch`: how many have ended; `row`: what metrics.jsonl says of the last one."""
        self._sheet(epoch)
        name = self.recipe.paste.augment
        if name != "none" and self.parts.augmentation.most and row.get("pasted") == 0:
            self.console.say(f"nobody got anything pasted in epoch {row['epoch']}: as augment none")
        hard = f"  hardness {row['hardness']:.2f} +- {row['hardness_se']:.2f}" if "hardness" in row else ""
        self.console.say(f"epoch {row['epoch']}: {self.describe(row)} (train)  {row['pck']:.1f} (val){hard}")
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        with SummaryWriter(str(self.folder.out / "tensorboard")) as writer:
            for name, value in row.items():
                if isinstance(value, (int, float)) and name != "epoch":
                    writer.add_scalar(name, value, row["epoch"])

    def _sheet(self, epoch: int) -> None:
        """The same few validation people after every epoch: crop | pasted | predicted."""
        batch = self._people()
        path = self.folder.out / "sheets" / f"epoch-{epoch:03d}.jpg"
        write_sheet(  # bare: DistributedDataParallel would wait here for ranks that draw nothing
            path, batch, self.parts.augmentation, self.parts.networks.judged, self.parts.adversary,
            self.parts.skeleton, epoch - 1, f"epoch {epoch}", self.parts.networks.coding,
            self.parts.networks.amp,
        )  # fmt: skip

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
