"""python -m asda_fast.train: encoded photos and keypoints in, a trained pose network out."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from asda_fast import augment, data, models
from asda_fast.augment import pools as demo_pool
from asda_fast.augment.asda import Adversarial, generator_theta
from asda_fast.cli import evaluate
from asda_fast.core.batch import Batch
from asda_fast.core.errors import UserError, parse_cli
from asda_fast.data import GlobalAug
from asda_fast.models import heatmaps as targets
from asda_fast.models.weights import shorten
from asda_fast.parts.pool import PartPool
from asda_fast.pipelines.loader import make_loader
from asda_fast.train import adversarial, distributed
from asda_fast.train import checkpoint as state
from asda_fast.train.adversarial import Outcome, Players
from asda_fast.train.config import GLOBAL_AUG, TrainConfig, check_resumable, resolve
from asda_fast.train.console import Console
from asda_fast.train.distributed import Ranks
from asda_fast.viz import epoch_sheet as sheet

LOG_EVERY = 10  # steps between two read-backs of the running means: each is a host sync
SHOWN = 6  # people on the contact sheets
HIT = 0.05  # training PCK counts a joint found within this share of the crop's longer side (HRNet's own measure)


class Training:
    """All that a run holds, built in the order in which the data meets it; `run` is the loop."""

    def __init__(self, config: TrainConfig, ranks: Ranks, console: Console) -> None:
        self.config, self.ranks, self.console, self.out = config, ranks, console, Path(config.out or "")
        train, val = (data.load(config.dataset, config.root, split=split) for split in ("train", "val"))
        if config.limit is not None:
            train, val = (table.select(np.arange(min(config.limit, len(table)))) for table in (train, val))
        self.skeleton, self.people_val = train.skeleton, val
        common: dict[str, Any] = {"size": config.size, "batch_size": self._batch_size(len(train)), "seed": config.seed}
        common |= {"pipeline": config.pipeline, "device": str(ranks.device), "threads": config.threads}
        common |= {"on_bad_image": config.on_bad_image}
        self.loader = make_loader(
            train, train=True, aug=GlobalAug(**GLOBAL_AUG[config.dataset]), rank=ranks.rank, world=ranks.world, **common
        )
        self.val_loader = make_loader(val, train=False, **common)  # the first rank's: it alone evaluates
        if not len(self.loader):  # a store deals whole shards, so the smallest rank's decides
            raise UserError(
                f"--batch-size: {common['batch_size']} is more than the smallest of the {ranks.world} shares"
            )

        self.augmentation = self._augmentation()
        torch.manual_seed(config.seed)
        self.players = self._players()
        self.history: list[dict[str, Any]] = []
        self.epoch, self.step, self.seconds = 0, 0, 0.0  # seconds spent in this epoch before the last resume
        self.sums = torch.zeros(4, dtype=torch.float64, device=ranks.device)  # L_D, L_G, joints found, joints
        self.shown: Batch | None = None
        self.interrupted = self.saved = False

    @property
    def types(self) -> list[str] | None:
        """What the generator's outputs stand for, in their order."""
        pool = self.augmentation.pool
        return None if pool is None else list(pool.types)

    def run(self) -> None:
        """Train, evaluate, look, save: once per epoch."""
        assert self.config.epochs is not None
        while self.epoch < self.config.epochs:
            row = self.train_epoch()
            self.save()  # what was learnt is safe before the validation, however long that takes
            try:
                row |= self.evaluate() if self.ranks.first else {}
            except KeyboardInterrupt:
                self.interrupted = True
            self.stop_if_asked()
            if self.ranks.first:
                self.history.append(row)
            self.epoch, self.step, self.seconds = self.epoch + 1, 0, 0.0
            self.sums.zero_()
            self.save()
            self.report(row)
            self.ranks.wait()
        self.console.table(f"{self.out}: {self.config.model}, {self.config.augment}", self.history)

    def train_epoch(self) -> dict[str, Any]:
        rate = self.config.lr * 0.1 ** sum(self.epoch >= drop for drop in self.config.drops or ())
        for optimizer in (self.players.pose_optimizer, self.players.generator_optimizer):
            for group in optimizer.param_groups if optimizer else ():
                group["lr"] = rate
        self.players.pose.train()
        begun, means = time.monotonic() - self.seconds, {}
        self.loader.load_state({"epoch": self.epoch, "step": self.step})
        task = self.console.begin(f"epoch {self.epoch + 1}/{self.config.epochs}", len(self.loader), self.step)
        for batch in self.loader if self.step < len(self.loader) else ():  # at its end a loader would begin anew
            self.learn(batch)
            self.step += 1
            self.seconds = time.monotonic() - begun
            if self.step % LOG_EVERY == 0 or self.step == len(self.loader):
                means = self.means()
                self.console.advance(task, self.step, self.describe(means))
            if self.config.save_every and self.step % self.config.save_every == 0:
                self.means()  # raises where the network is no longer finite: such a one is not saved
                self.save()
            if self.ranks.world == 1 or self.step % LOG_EVERY == 0:
                self.stop_if_asked(save=True)
        self.console.end(task)
        means = means or self.means()  # a run that was stopped after the epoch's last step has no step left
        return {"epoch": self.epoch + 1, **means, "lr": rate, "seconds": round(self.seconds, 3)}

    def stop_if_asked(self, save: bool = False) -> None:
        """Leave, all ranks at the same step, where a signal has reached any of them. Called by all of them alike."""
        if self.ranks.any(self.interrupted):
            if save:
                self.means()
                self.save()
            self.ranks.wait()
            raise KeyboardInterrupt

    def _batch_size(self, rows: int) -> int:
        assert self.config.batch_size is not None
        most = rows // self.ranks.world
        if most < 1:
            raise UserError(
                f"--dataset {self.config.dataset}: {rows} people to train on for {self.ranks.world} processes"
            )
        if most < self.config.batch_size:
            self.console.say(f"only {rows} people to train on: batches of {most}, not {self.config.batch_size}")
        return min(most, self.config.batch_size)

    def _pool(self) -> PartPool | None:
        chosen = (self.config.pool, self.config.dataset, self.config.augment)
        pool = demo_pool.choose(*chosen) if self.ranks.first else None  # the first may have to build it
        self.ranks.wait()
        return pool if self.ranks.first else demo_pool.choose(*chosen)

    def _augmentation(self) -> augment.Augmentation:
        config = self.config
        low = config.parts if config.parts_least is None else config.parts_least
        options: dict[str, Any] = {"parts": (low, config.parts), "seed": config.seed, "mode": config.placement}
        options |= {"objects": config.objects, "paste_options": {"memory_format": torch.channels_last}}
        if config.augment in ("sda", "asda"):
            turn, shift = np.deg2rad(config.max_rotation), config.max_shift
            options["ranges"] = augment.Ranges(config.scale_range, (-turn, turn), (-shift, shift), (-shift, shift))
            options["rules"] = augment.Rules(
                config.paste_probability, config.part_types, not config.paste_half_bodies, config.paste_min_joints,
                config.patch_flip,
            )  # fmt: skip
            options["jitter"] = config.colour_jitter
        try:
            return augment.build(config.augment, self._pool(), **options)
        except ValueError as error:  # a part type that the pool has not, a folder without cut-outs
            raise UserError(f"--augment {config.augment}: {error}") from None

    def _players(self) -> Players:
        config, device = self.config, self.ranks.device
        gpu = device.type == "cuda"

        def prepare(network: nn.Module, weights: str | None, option: str) -> tuple[nn.Module, torch.optim.Optimizer]:
            if weights:
                part = "generator" if option == "--generator-init" else "pose"
                self.console.say(f"{option}: {models.load_into(network, weights, part)}")
            network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            optimizer = torch.optim.Adam(network.parameters(), lr=config.lr, fused=True)
            if gpu and config.compile and option == "--init":
                network.compile()  # in place: its keys stay the published ones
            return self.ranks.wrap(network), optimizer

        pose = models.build(config.model or "", joints=len(self.skeleton.joints))
        players = Players(*prepare(pose, config.init, "--init"), amp=torch.bfloat16 if gpu and config.amp else None)
        if isinstance(self.augmentation, Adversarial) and self.augmentation.pool is not None:
            width = 16 if config.model == "hrnet_tiny" else 64  # a CPU's generator for a CPU's network
            generator = models.Generator(types=len(self.augmentation.pool.types), width=width)
            players.generator, players.generator_optimizer = prepare(
                generator, config.generator_init, "--generator-init"
            )
        return players

    def learn(self, batch: Batch) -> None:
        """One batch, without waiting for the device."""
        target, weight = targets.heatmaps(batch.joints, batch.visible, self.config.size)
        if not isinstance(self.augmentation, Adversarial):
            image = self.augmentation(batch, self.epoch).image
            outcome = adversarial.step_alone(self.players, image, target, weight)
        else:
            asda = self.augmentation
            slots = asda.draw(batch, self.epoch)

            def paste(placement: Tensor) -> Tensor:
                return asda.render(batch, slots, generator_theta(placement, slots), self.epoch).image

            step = adversarial.step_joint if self.config.update == "joint" else adversarial.step_alternate
            outcome = step(self.players, asda.clean(batch), paste, target, weight)
        self.sums += tally(outcome, target, weight)

    def means(self) -> dict[str, Any]:
        """Means of the epoch so far, over all ranks. A host sync."""
        loss_d, loss_g, found, joints = self.ranks.mean(self.sums.clone()).tolist()
        if loss_d != loss_d or loss_d in (float("inf"), float("-inf")):
            raise UserError(f"L_D became {loss_d} in epoch {self.epoch + 1}, step {self.step}: try a lower --lr")
        people = self.step * self.loader.batch_size * self.ranks.world
        return {
            "loss_d": loss_d / self.step,
            "loss_g": loss_g / self.step if self.players.generator is not None else None,
            "pck_train": 100 * found / max(joints, 1),
            "images_per_second": round(people / self.seconds, 2),
        }

    def describe(self, means: dict[str, Any]) -> str:
        return f"{means['images_per_second']:.0f} images/s  L_D {means['loss_d']:.5f}  PCK {means['pck_train']:.1f}"

    def report(self, row: dict[str, Any]) -> None:
        """One line on screen, the contact sheet, and the curves of TensorBoard."""
        if not self.ranks.first:
            return
        self.draw_sheet()
        self.console.say(f"epoch {row['epoch']}: {self.describe(row)} (train)  {row['pck']:.1f} (val)")
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        with SummaryWriter(str(self.out / "tensorboard")) as writer:
            for name, value in row.items():
                if isinstance(value, (int, float)) and name != "epoch":
                    writer.add_scalar(name, value, row["epoch"])

    def evaluate(self) -> dict[str, Any]:
        """PCK of the validation people, flip test included, with the protocol of the dataset."""
        task = self.console.begin("validation", len(self.people_val))
        seen = 0

        def progress(people: int) -> None:
            nonlocal seen
            seen += people
            self.console.advance(task, seen)
            if self.interrupted:
                raise KeyboardInterrupt

        pose = bare(self.players.pose)
        found = evaluate.run(pose, self.val_loader, self.skeleton, self.people_val, progress=progress)
        self.console.end(task)
        return {"pck": found["pck"], "pck_per_joint": found["per_joint"], "protocol": found["protocol"]}

    def draw_sheet(self) -> None:
        """The same few validation people after every epoch, which has just ended: crop | pasted | predicted."""
        if self.shown is None:
            rows = torch.linspace(0, len(self.people_val) - 1, min(SHOWN, len(self.people_val))).long()
            few = self.people_val.select(rows.numpy())
            options: dict[str, Any] = {"size": self.config.size, "on_bad_image": self.config.on_bad_image}
            with make_loader(few, batch_size=len(few), pipeline="native", train=False, **options) as loader:
                self.shown = next(iter(loader)).to(self.ranks.device)
        path = self.out / "sheets" / f"epoch-{self.epoch:03d}.png"
        generator = self.players.generator
        alone = replace(  # DistributedDataParallel would wait here for ranks that draw nothing
            self.players, pose=bare(self.players.pose), generator=bare(generator) if generator is not None else None
        )
        sheet.contact(path, self.shown, self.augmentation, alone, self.skeleton, self.epoch - 1, f"epoch {self.epoch}")

    def state_dict(self, sums: Tensor) -> dict[str, Any]:
        players = self.players
        return {
            "config": self.config.to_dict(),
            "joints": len(self.skeleton.joints),
            "types": self.types,
            "world": self.ranks.world,
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "sums": sums,
            "history": self.history,
            "random": state.random_state(),
            "pose": bare(players.pose).state_dict(),
            "pose_optimizer": players.pose_optimizer.state_dict(),
            "generator": bare(players.generator).state_dict() if players.generator else None,
            "generator_optimizer": players.generator_optimizer.state_dict() if players.generator_optimizer else None,
        }

    def save(self) -> None:
        """Write the state, on the first rank; all ranks call this, since the sums are the means of all of them."""
        sums = self.ranks.mean(self.sums.clone())
        if not self.ranks.first:
            return
        if self.step == 0 and self.history and self.history[-1]["pck"] >= max(row["pck"] for row in self.history):
            card = {"model": self.config.model, "joints": len(self.skeleton.joints), "dataset": self.config.dataset}
            card |= {"input": self.config.input, "epoch": self.epoch, "pck": self.history[-1]["pck"]}
            models.save(self.out / "best.safetensors", bare(self.players.pose), card)
        state.save(self.out / "last.pt", self.state_dict(sums))  # last: what a resume begins with is all written
        state.write_history(self.out / "metrics.jsonl", self.history)
        self.saved = True

    def tidy(self) -> None:
        """After a kill: half-written files go, and metrics.jsonl says again what the checkpoint says."""
        if self.ranks.first:
            for partial in self.out.glob(".*.partial"):
                partial.unlink(missing_ok=True)
            state.write_history(self.out / "metrics.jsonl", self.history)

    def load(self, saved: dict[str, Any]) -> None:
        players, world = self.players, saved.get("world", 1)
        if world != self.ranks.world and saved["step"]:
            raise UserError(
                f"--resume: the run in {self.out} stopped within an epoch of {world} processes, not {self.ranks.world}"
            )
        if saved.get("types", self.types) != self.types:
            raise UserError(f"--pool: the run in {self.out} had parts of other types: {shorten(saved['types'] or [])}")
        if not 0 <= saved["step"] <= len(self.loader):
            raise UserError(f"--resume: the run in {self.out} had more people to train on than there are now")
        bare(players.pose).load_state_dict(saved["pose"])
        players.pose_optimizer.load_state_dict(saved["pose_optimizer"])
        if players.generator is not None and players.generator_optimizer is not None:
            bare(players.generator).load_state_dict(saved["generator"])
            players.generator_optimizer.load_state_dict(saved["generator_optimizer"])
        self.epoch, self.step, self.seconds = saved["epoch"], saved["step"], saved["seconds"]
        self.sums = saved["sums"].to(self.ranks.device)
        self.history = saved["history"]
        state.restore_random_state(saved["random"])


def bare(network: nn.Module) -> nn.Module:
    """The network itself, out of DistributedDataParallel: its keys are the published ones."""
    return network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network


def tally(outcome: Outcome, target: Tensor, weight: Tensor) -> Tensor:
    """[4] float64: L_D, L_G, joints found, joints; on the device."""

    def peak(maps: Tensor) -> Tensor:
        index = maps.flatten(2).argmax(-1)
        return torch.stack((index % maps.shape[-1], index // maps.shape[-1]), -1).float()

    distance = (peak(outcome.heatmaps) - peak(target)).norm(dim=-1)
    found = (distance <= HIT * max(target.shape[2:])) * weight
    loss_g = outcome.loss_d.new_zeros(()) if outcome.loss_g is None else outcome.loss_g
    return torch.stack((outcome.loss_d.double(), loss_g.double(), found.sum().double(), weight.sum().double()))


def set_aside(out: Path) -> Path | None:
    """Make room for a new run: an earlier one in `out` is renamed, never overwritten. Returns its new place."""
    if not (out / "last.pt").exists() and not (out / "metrics.jsonl").exists():
        return None
    number = 1
    while (kept := out.with_name(f"{out.name}.old-{number}")).exists():
        number += 1
    out.rename(kept)
    return kept


def train(config: TrainConfig) -> None:
    given, config = config, resolve(config)
    ranks = distributed.start(config.device)
    out = Path(config.out or "")
    saved = None
    if config.resume:
        saved = state.load(out / "last.pt")
        config = check_resumable(given, config, saved["config"])
    elif out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: expected a folder, found a file")
    with Console(ranks.first) as console:
        training = Training(config, ranks, console)
        if saved is not None:
            training.load(saved)
            training.tidy()
            console.say(f"going on with {out} at epoch {training.epoch + 1}, step {training.step}")
        elif ranks.first:
            kept = set_aside(out)
            out.mkdir(parents=True, exist_ok=True)
            if kept:
                console.say(f"the earlier run in {out} is now {kept}")
        ranks.wait()

        def interrupt(number: int, frame: Any) -> None:
            training.interrupted = True  # the step that is under way ends, the state is saved
            signal.signal(number, signal.default_int_handler)  # a second one stops at once

        before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            training.run()
        except KeyboardInterrupt:
            if training.saved or saved is not None:
                console.say(f"interrupted; the state is in {out / 'last.pt'}, --resume goes on")
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            training.loader.close()
            training.val_loader.close()
            distributed.stop()


def main() -> None:
    train(parse_cli(lambda: tyro.cli(TrainConfig, prog="python -m asda_fast.train", description=TrainConfig.__doc__)))
