"""The loop: an epoch of steps, its state saved, a look at the validation people, again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from asda_fast.adversary import Scene, held_out, measure
from asda_fast.augment.asda import Adversarial, generator_theta
from asda_fast.augment.base import Augmented
from asda_fast.augment.sda import Semantic
from asda_fast.core.batch import Batch
from asda_fast.core.cuda_graph import Record, record
from asda_fast.core.errors import UserError
from asda_fast.evaluate.score import evaluate_network
from asda_fast.train import adversarial, graph
from asda_fast.train.checkpoint import Progress, RunFolder
from asda_fast.train.console import Console
from asda_fast.train.distributed import Ranks, bare
from asda_fast.train.freezing import hold
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.report import Report
from asda_fast.train.setup import Parts
from asda_fast.train.tally import SUMS, tally

LOG_EVERY = 10  # steps between two read-backs of the running means: each is a host sync


class Trainer:
    """A run under way. `run` trains to the recipe's last epoch; all ranks call everything alike."""

    def __init__(
        self, recipe: Recipe, run: RunOptions, parts: Parts, folder: RunFolder, ranks: Ranks, console: Console
    ) -> None:
        self.recipe, self.options, self.parts, self.folder = recipe, run, parts, folder
        self.ranks, self.console = ranks, console
        self.progress = Progress([], torch.zeros(SUMS, dtype=torch.float64, device=ranks.device))
        self.report = Report(folder, recipe, run, parts, console)
        self.interrupted = self.saved = False
        self.graphed = False
        self.record: Record | None = None  # of the validation's forward
        if ranks.device.type == "cuda" and run.cuda_graph == "auto":
            self.record = record if ranks.world == 1 and not run.compile else None
            rival = None if parts.networks.generator else parts.adversary
            if why := graph.obstacle(ranks.world, run.compile, rival, recipe.optimisation.accumulate):
                console.say(f"cuda_graph: none with {why}")
            else:
                self.graphed = True
        self.step = self.new_step()

    def new_step(self) -> Callable[[Batch, int], None]:
        """What learns from a batch: a graph of its own, where there is one."""
        if not self.graphed:
            return self.learn_from
        networks = self.parts.networks
        return graph.GraphedStep(
            self.learn_from, lambda: graph.state_of(networks, self.progress.sums), self.console.say
        )

    def run(self) -> None:
        """Train, save, evaluate, save, look: once per epoch."""
        assert self.recipe.epochs is not None
        now = self.progress
        while now.epoch < self.recipe.epochs:
            row = self.train_epoch()
            self.save()  # what was learnt is safe before the validation, however long that takes
            try:
                if self.ranks.first and self.looks:
                    row |= self.evaluate()
            except KeyboardInterrupt:
                self.interrupted = True
            self.stop_if_asked()
            if self.ranks.first:
                now.history.append(row)
            now.epoch, now.step, now.seconds = now.epoch + 1, 0, 0.0
            now.sums.zero_()
            self.save()
            if self.ranks.first:
                self.report.epoch(now.epoch, row)
            self.ranks.wait()
        self.console.table(f"{self.folder.out}: {self.recipe.model}, {self.recipe.paste.augment}", now.history)

    def train_epoch(self) -> dict[str, Any]:
        now, loader, networks = self.progress, self.parts.loader, self.parts.networks
        full = self.recipe.lr or 0.0
        rate = full * 0.1 ** sum(now.epoch >= drop for drop in self.recipe.drops or ())
        options, every = self.recipe.optimisation, self.recipe.optimisation.accumulate
        warmth: float | None = None
        updates = math.ceil(len(loader) / every)  # steps of the optimiser in an epoch
        networks.pose.train()
        hold(bare(networks.pose), options.freeze)
        if now.epoch + 1 == self.recipe.game.adversary_from > 1:
            self.step = self.new_step()  # another one than that of the epochs before
        begun, means = time.monotonic() - now.seconds, {}
        loader.load_state({"epoch": now.epoch, "step": now.step})
        saved, asked = now.step // max(self.options.save_every, 1), now.step // LOG_EVERY
        task = self.console.begin(f"epoch {now.epoch + 1}/{self.recipe.epochs}", len(loader), now.step)
        for batch in loader if now.step < len(loader) else ():  # at its end a loader would begin anew
            before, warmth = warmth, options.warmth(now.epoch * updates + now.step // every, updates)
            if warmth != before:
                networks.set_rate(rate * warmth, None if self.recipe.generator_drops else full * warmth)
            networks.turn = self.turn()
            self.learn(batch)
            now.step += 1
            now.seconds = time.monotonic() - begun
            if now.step % LOG_EVERY == 0 or now.step == len(loader):
                means = self.means()
                self.console.advance(task, now.step, self.report.describe(means))
            if not networks.turn.last:  # the gradients that wait for a step are in no checkpoint
                continue
            if self.options.save_every and now.step // self.options.save_every > saved:
                self.save()
                saved = now.step // self.options.save_every
            if self.ranks.world == 1 or now.step // LOG_EVERY > asked:
                self.stop_if_asked(save=True)
                asked = now.step // LOG_EVERY
        self.console.end(task)
        means = means or self.means()  # a run that was stopped after the epoch's last step has no step left
        return {"epoch": now.epoch + 1, **means, "lr": rate, "seconds": round(now.seconds, 3)}

    def turn(self) -> adversarial.Turn:
        """The next batch's place among those of its optimiser step; an epoch's last step may have fewer."""
        every, step, steps = self.recipe.optimisation.accumulate, self.progress.step, len(self.parts.loader)
        place, count = step % every, min(every, steps - step + step % every)
        return adversarial.Turn(place == 0, place == count - 1, 1 / count)

    def learn(self, batch: Batch) -> None:
        """One batch, without waiting for the device."""
        self.step(batch, self.progress.epoch)

    def learn_from(self, batch: Batch, epoch: int | Tensor) -> None:
        """One batch of an epoch; all that it changes is in graph.state_of."""
        augmentation, networks = self.parts.augmentation, self.parts.networks
        assert self.recipe.input is not None
        pasted: Augmented
        coding = networks.coding
        if self.recipe.game.pairs:
            batch = batch.twice()
        target, weight = coding.encode(batch.joints, batch.visible, self.recipe.input)
        adversary = self.parts.adversary
        if isinstance(augmentation, Adversarial) and not self.adversary_plays:
            slots = augmentation.draw(batch, epoch)
            pasted = augmentation.render(batch, slots, slots.theta, epoch)
            output = adversarial.step_alone(networks, pasted.image, target, weight)
        elif adversary is not None and networks.generator is None:
            assert isinstance(augmentation, Adversarial)
            self.share_statistics()
            slots = augmentation.draw(batch, epoch)
            scene = Scene(
                batch, slots, target, weight, augmentation, bare(networks.pose), epoch, networks.amp, coding=coding,
                teacher=networks.teacher, pairs=self.recipe.game.pairs,
            )  # fmt: skip
            output, pasted = adversarial.step_against(networks, adversary, scene)
        elif isinstance(augmentation, Adversarial):
            slots = augmentation.draw(batch, epoch)

            def paste(placement: Tensor) -> Tensor:
                nonlocal pasted
                theta = generator_theta(placement, slots)
                pasted = augmentation.render(batch, slots, theta, epoch)
                return pasted.image

            step = adversarial.step_joint if self.recipe.update == "joint" else adversarial.step_alternate
            output = step(networks, augmentation.clean(batch), paste, target, weight)
        else:
            pasted = augmentation(batch, epoch)
            output = adversarial.step_alone(networks, pasted.image, target, weight)
        self.progress.sums += tally(output, target, weight, pasted, coding)

    @property
    def looks(self) -> bool:
        """Whether this epoch ends with a look at the validation people."""
        ended = self.progress.epoch + 1
        return ended % self.options.validate_every == 0 or ended == self.recipe.epochs

    @property
    def adversary_plays(self) -> bool:
        return self.progress.epoch + 1 >= self.recipe.game.adversary_from

    def means(self) -> dict[str, Any]:
        """Means of the epoch so far, over all ranks. A host sync. UserError where one is no longer finite."""
        now, networks = self.progress, self.parts.networks
        loss_d, loss_g, found, joints, pasted, lost = self.ranks.mean(now.sums.clone()).tolist()
        where, last = self._where(), self._last_good()
        for name, loss in (("L_D", loss_d), ("L_G", loss_g)):
            if not math.isfinite(loss):
                raise UserError(f"{name} became {loss} {where}: try a lower `lr`{last}")
        if lost:  # paste leaves out a part whose place is not finite: asda would be none, without a word
            raise UserError(f"the generator's output is not finite {where}: try a lower `lr`{last}")
        twice = 1 + self.recipe.game.pairs
        people = now.step * self.parts.loader.batch_size * twice * self.ranks.world
        return {
            "loss_d": loss_d / now.step,
            "loss_g": loss_g / now.step if networks.generator is not None and self.adversary_plays else None,
            "pck_train": 100 * found / max(joints, 1),
            "pasted": self.ranks.world * pasted / people,  # share of the people who got a part
            "images_per_second": round(people / now.seconds, 2),
        }

    def evaluate(self) -> dict[str, Any]:
        """PCK of the validation people, flip test included, with the protocol of the dataset."""
        people = self.parts.people_val
        task, seen = self.console.begin("validation", len(people)), 0

        def progress(count: int) -> None:
            nonlocal seen
            seen += count
            self.console.advance(task, seen)
            if self.interrupted:
                raise KeyboardInterrupt

        networks, loader = self.parts.networks, self.parts.val_loader
        found = evaluate_network(
            networks.judged, loader, people, decode=networks.coding.decoders[0], progress=progress,
            amp=networks.amp, record=self.record, say=self.console.say,
        )  # fmt: skip
        self.console.end(task)
        row = {"pck": found["pck"], "pck_per_joint": found["per_joint"], "protocol": found["protocol"]}
        return row | self.hardness()

    def hardness(self) -> dict[str, Any]:
        """How hard the adversary's places are for the network on the validation people; of chance where there is no
        adversary, or not yet. Nothing where no parts are pasted, or nobody gets one."""
        parts, people = self.parts, self.options.hardness_people
        if not people or not isinstance(parts.augmentation, Semantic):
            return {}
        networks = parts.networks
        # With a teacher the network itself, as in training: the mean, which is evaluated otherwise, is the teacher.
        pose = bare(networks.pose) if self.recipe.game.solvable else networks.judged
        scenes = held_out(
            parts.val_loader, parts.augmentation, pose, self.ranks.device, networks.amp, networks.coding,
            networks.teacher,
        )  # fmt: skip
        try:
            playing = parts.adversary if self.adversary_plays else None
            found = measure(scenes, playing, people=people, seconds=self.options.hardness_seconds)
        except ValueError as error:
            self.console.say(f"hardness: not measured ({error})")
            return {}
        numbers = {"hardness": found.s, "hardness_se": found.s_se, "hardness_room": found.room}
        return {**numbers, "hardness_people": found.people}

    def save(self) -> None:
        """Write the state, on the first rank; all ranks call this. UserError instead of saving what is not finite."""
        if self.progress.step:
            self.means()
        broken = self.parts.networks.not_finite()
        if self.ranks.any(bool(broken)):
            what = broken or "a network"
            raise UserError(f"{what} is not finite {self._where()}: try a lower `lr`{self._last_good()}")
        sums = self.ranks.mean(self.progress.sums.clone())
        if self.ranks.first:
            stored = Progress(**{**vars(self.progress), "sums": sums})
            self.folder.save(self.recipe, self.parts, stored, self.ranks.world)
        self.saved = True

    def share_statistics(self) -> None:
        """The first rank's batch-norm statistics for all: an adversary's passes use them, and what it learns must hang
        neither on the rank nor on when a state was saved. Without such passes nothing that learns reads them."""
        game, networks = self.recipe.game, self.parts.networks
        if game.asks:
            self.ranks.share(bare(networks.pose))
            if game.solvable and networks.teacher is not None:
                self.ranks.share(networks.teacher)

    def _where(self) -> str:
        return f"in epoch {self.progress.epoch + 1}, step {self.progress.step}"

    def _last_good(self) -> str:
        return f"; the last good state is in {self.folder.last}" if self.saved else ""

    def stop_if_asked(self, save: bool = False) -> None:
        """Leave, all ranks at the same step, where a signal has reached any of them. Called by all of them alike."""
        if self.ranks.any(self.interrupted):
            if save:
                self.save()
            self.ranks.wait()
            raise KeyboardInterrupt
