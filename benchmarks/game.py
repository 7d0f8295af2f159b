"""python -m benchmarks.game: the live game of D against each adversary, from scratch, and how hard its placements are.

    python -m benchmarks.game --root DATA/lspet --pool pool.safetensors --out runs/game --json game.json

Every run (arm, seed) trains a pose network for `--steps` steps with its adversary, then measures the adversary's
hardness against it on held-out people (asda_fast.adversary.measure), and the network's own gap: how much worse than
random the worst of 32 placements is. A finished run is never repeated; `--only` and `--seeds` pick runs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asda_fast import data, models
from asda_fast.adversary import Cover, Critic, Generated, Placer, Scene, Search, measure
from asda_fast.adversary.options import PAIRS
from asda_fast.augment import build
from asda_fast.augment.asda import generator_theta
from asda_fast.core.batch import Batch
from asda_fast.data import GlobalAug
from asda_fast.models import heatmaps as targets
from asda_fast.ops import PasteFormat
from asda_fast.parts.pool import PartPool
from asda_fast.pipelines.loader import make_loader
from asda_fast.train import adversarial
from asda_fast.train.adversarial import Networks
from benchmarks.common import Report

# name -> (kind, options); None: random placement
MANY = {"candidates": 64, "reduced": False}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("random", {}),
    "generator": ("generator", {}),
    "search 4": ("search", {"verify": 4, "reduced": False}),
    "cover": ("cover", {"clean": True, **MANY}),
    "critic": ("critic", MANY),
    "critic, clean": ("critic", {"clean": True, **MANY}),
    "critic, verify 2": ("critic", {"verify": 2, **MANY}),
    "critic, verify 2, 4 parts": ("critic", {"verify": 2, "parts": 4, **MANY}),
    "critic, clean, verify 2": ("critic", {"clean": True, "verify": 2, **MANY}),
    "critic, verify 4, 1 of 16": ("critic", {"verify": 4, "share": 1 / 16, **MANY}),
    "critic, verify 4, 1 of 4": ("critic", {"verify": 4, "share": 0.25, **MANY}),
    "critic, verify 4, 5 of 16": ("critic", {"verify": 4, "share": 5 / 16, **MANY}),
    "critic, verify 4, 11 of 32": ("critic", {"verify": 4, "share": 11 / 32, **MANY}),
    "critic, verify 4, 3 of 8": ("critic", {"verify": 4, "share": 0.375, **MANY}),
    "critic, verify 4, 5 of 8": ("critic", {"verify": 4, "share": 0.625, **MANY}),
    "critic, verify 4, 5 of 16, half": ("critic", {"verify": 4, "share": 5 / 16, **MANY, "reduced": True}),
    "critic, verify 2, half": ("critic", {"verify": 2, **MANY, "reduced": True}),
    "critic, verify 4, half": ("critic", {"verify": 4, **MANY, "reduced": True}),
    # Half as many people a step, everybody twice: images a step are as many.
    "critic, pairs": ("critic", {"memory": PAIRS, **MANY}),
    "critic, pairs, verify 4, 1 of 16": ("critic", {"verify": 4, "share": 1 / 16, "memory": PAIRS, **MANY}),
    "critic, pairs, verify 4, 1 of 8": ("critic", {"verify": 4, "share": 1 / 8, "memory": PAIRS, **MANY}),
}


class Game:
    """One run: an arm and a seed."""

    def __init__(self, options: argparse.Namespace, arm: str, seed: int) -> None:
        self.options, self.seed, self.pairs = options, seed, "pairs" in arm
        self.kind, settings = ARMS[arm]
        if "candidates" in settings:
            settings = {**settings, "candidates": options.candidates}
        train, val = (data.load("lsp", options.root, split=split) for split in ("train", "val"))
        if options.people:
            train = train.select(np.arange(min(options.people, len(train))))
        size = (options.size, options.size)
        common: dict[str, Any] = {"size": size, "seed": seed, "threads": 1}
        people = options.batch // (1 + self.pairs)
        self.loader = make_loader(train, train=True, aug=GlobalAug(), batch_size=people, **common)
        self.val_loader = make_loader(val, train=False, batch_size=options.batch, **common)
        pool = PartPool.load(options.pool)
        self.augmentation = build("asda", pool, seed=seed, paste_format=PasteFormat(channels_last=True))
        torch.manual_seed(seed)
        joints, edges = len(train.skeleton.joints), train.skeleton.edges
        pose = models.build(options.model, joints=joints).to(memory_format=torch.channels_last)
        self.networks = Networks(pose, torch.optim.Adam(pose.parameters(), lr=options.lr, fused=True))
        self.adversary: Placer | None = None
        if self.kind == "generator":
            generator = models.Generator(types=len(pool.types), width=16).to(memory_format=torch.channels_last)
            self.networks.generator = generator
            self.networks.generator_optimizer = torch.optim.Adam(generator.parameters(), lr=options.lr, fused=True)
            self.adversary = Generated(generator)
        elif self.kind == "critic":
            known = {"types": len(pool.types), "joints": joints, "edges": edges, "people": len(train)}
            self.adversary = Critic(**known, seed=seed, **settings)
        elif self.kind != "random":
            self.adversary = {"search": Search, "cover": Cover}[self.kind](edges, seed=seed, **settings)

    def scene(self, batch: Batch, epoch: int, trained: bool = True) -> Scene:
        return Scene.of(batch, self.augmentation, self.networks.pose, epoch, trained=trained)

    def step(self, batch: Batch, epoch: int) -> None:
        scene = self.scene(batch.twice(), epoch) if self.pairs else self.scene(batch, epoch)
        scene.pairs = self.pairs
        if self.kind == "generator":
            asda, slots = self.augmentation, scene.slots
            adversarial.step_alternate(
                self.networks, asda.clean(batch),
                lambda placement: asda.render(batch, slots, generator_theta(placement, slots), epoch).image,
                scene.target, scene.weight,
            )  # fmt: skip
            return
        if self.adversary is None:
            adversarial.step_alone(self.networks, scene.render(scene.slots.theta), scene.target, scene.weight)
            return
        adversarial.step_against(self.networks, self.adversary, scene)

    def play(self) -> dict[str, Any]:
        self.networks.pose.train()
        looks: list[dict[str, Any]] = []
        done, epoch, began = 0, 0, time.process_time()
        seconds = 0.0
        while done < self.options.steps:
            for batch in self.loader:
                self.step(batch, epoch)
                done += 1
                if done == self.options.steps:
                    break
                if done % self.options.look == 0:
                    seconds += time.process_time() - began
                    looks.append({"step": done, **self.hardness(self.options.look_people)})
                    print(f"  step {done}: {looks[-1]['s']:.2f} +- {looks[-1]['s_se']:.2f}", flush=True)
                    began = time.process_time()
            epoch += 1
        seconds += time.process_time() - began
        found = self.hardness(None)
        return {**found, "pck": self.pck(), "steps": done, "cpu_seconds": round(seconds, 1), "looks": looks}

    def hardness(self, people: int | None) -> dict[str, Any]:
        return measure(self.scenes(people), self.adversary).to_dict()

    def scenes(self, people: int | None) -> Iterator[Scene]:
        seen = 0
        for batch in self.val_loader:
            yield self.scene(batch, 0, trained=False)
            seen += len(batch)
            if people is not None and seen >= people:
                return

    def pck(self) -> float:
        """PCK at a tenth of the crop's side, without flip: a share of the labelled joints of the held-out people."""
        found = total = 0.0
        for batch in self.val_loader:
            scene = self.scene(batch, 0)
            xy, _ = targets.decode(scene.predict(self.augmentation.clean(batch)))
            near = (xy - batch.joints).norm(dim=-1) <= 0.1 * self.options.size
            found += float((near * scene.weight).sum())
            total += float(scene.weight.sum())
        return 100 * found / total


def parse() -> argparse.Namespace:
    out = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("--root", type=Path, required=True, help="LSP-extended: joints.mat, images/, val.txt")
    out.add_argument("--pool", type=Path, required=True, help="pool of body parts")
    out.add_argument("--out", type=Path, required=True, help="folder of the finished runs, a JSON each")
    out.add_argument("--json", type=Path, default=None, help="write the table of all finished runs here")
    out.add_argument("--only", nargs="+", default=list(ARMS), choices=list(ARMS), metavar="ARM", help=str(list(ARMS)))
    out.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    out.add_argument("--steps", type=int, default=1000)
    out.add_argument("--batch", type=int, default=32)
    out.add_argument("--size", type=int, default=96, help="of the square crop")
    out.add_argument("--model", default="hrnet_tiny")
    out.add_argument("--lr", type=float, default=2e-3)
    out.add_argument("--candidates", type=int, default=64, help="placements that cover and critic score for a part")
    out.add_argument("--people", type=int, default=None, help="train on the first so many")
    out.add_argument("--look", type=int, default=250, help="steps between two looks at the hardness")
    out.add_argument("--look-people", type=int, default=96)
    return out.parse_args()


def summary(rows: list[dict[str, Any]], options: argparse.Namespace) -> Report:
    """The runs of each arm: a row for its hardness, its network's own gap, and its score."""
    report = Report(threads=1)
    fixed = {"model": options.model, "size": options.size, "batch": options.batch, "steps": options.steps,
             "candidates": options.candidates}  # fmt: skip
    for arm in dict.fromkeys(row["arm"] for row in rows):
        runs = [row for row in rows if row["arm"] == arm]
        error = sum(run["s_se"] ** 2 for run in runs) ** 0.5 / len(runs)  # of the mean over seeds, people resampled
        mean = sum(run["s"] for run in runs) / len(runs)
        params = {**fixed, "seeds": len(runs), "people": runs[0]["people"], "draws": runs[0]["draws"]}
        each = ", ".join(f"{run['s']:.2f}" for run in runs)
        hardness = {**params, "mean": round(mean, 4), "se": round(error, 4), "each": each}
        report.add(arm, hardness, "s", [run["s"] for run in runs])
        report.add(arm, params, "centre's s", [run["s_centre"] for run in runs])
        gaps = [1e3 * (run["best_of_32"] - run["random"]) for run in runs]
        report.add(arm, params, "own gap, 1e-3", gaps)
        for name in ("clean", "random", "best_of_32"):
            report.add(arm, params, f"{name} loss, 1e-3", [1e3 * run[name] for run in runs])
        report.add(arm, params, "PCK@0.1 crop", [run["pck"] for run in runs])
    return report


def main() -> None:
    options = parse()
    rows: list[dict[str, Any]] = []
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for arm in options.only:
            file = options.out / f"{arm.replace(', ', '-').replace(' ', '-')}.{seed}.json"
            if not file.exists():
                print(f"{arm}, seed {seed}", flush=True)
                game = Game(options, arm, seed)
                row = {"arm": arm, "seed": seed, **game.play()}
                card = {"model": options.model, "joints": len(game.loader.people.skeleton.joints)}
                models.save(file.with_suffix(".safetensors"), game.networks.pose, card)
                partial = file.with_suffix(".partial")
                partial.write_text(json.dumps(row, indent=1) + "\n")
                partial.replace(file)
            row = json.loads(file.read_text())
            rows.append(row)
            print(
                f"{arm:24s} {seed}: s {row['s']:.2f} +- {row['s_se']:.2f}  centre {row['s_centre']:.2f}  "
                f"PCK {row['pck']:.1f}  {row['cpu_seconds']:.0f} s",
                flush=True,
            )
    if options.json:
        summary(rows, options).save(options.json)


if __name__ == "__main__":
    main()
