"""All that a run is made of, built in the order in which the data meets it: people, loaders, augmentation, networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from asda_fast import data, models
from asda_fast.adversary import Generated, Placer
from asda_fast.adversary.scene import reduced_size
from asda_fast.adversary.selection import judged_of
from asda_fast.augment import pools
from asda_fast.augment.asda import Adversarial
from asda_fast.augment.base import Augmentation
from asda_fast.core.errors import UserError
from asda_fast.core.options import keyword_values, size_text
from asda_fast.core.skeleton import check_joints
from asda_fast.core.skeletons import Skeleton
from asda_fast.data.custom import shared_photos
from asda_fast.data.dataset import dataset
from asda_fast.data.people import People
from asda_fast.evaluate.inference import Predictions
from asda_fast.evaluate.score import score_people
from asda_fast.models import checkpoints
from asda_fast.ops import PasteFormat
from asda_fast.pipelines.loader import Loader, make_loader
from asda_fast.train import optimizers
from asda_fast.train.adversarial import Networks
from asda_fast.train.average import Average
from asda_fast.train.distributed import Ranks, bare
from asda_fast.train.freezing import freeze
from asda_fast.train.identity import people_mark
from asda_fast.train.recipe import Recipe, RunOptions

IMAGENET_WIDTH = 64  # of ResNet-18
GENERATOR_WIDTH = {"hrnet_tiny": 16}  # a CPU's generator for a CPU's network
Say = Callable[[str], None]


@dataclass
class Parts:
    """What the loop needs; `val_loader` is the first rank's, which alone evaluates."""

    people_val: People
    loader: Loader
    val_loader: Loader
    augmentation: Augmentation
    networks: Networks
    people_mark: str  # of the people trained on (identity.py)
    pool_mark: str | None  # of the parts that are pasted
    adversary: Placer | None  # who places the parts; None: chance

    @property
    def skeleton(self) -> Skeleton:
        return self.people_val.skeleton

    @property
    def types(self) -> list[str] | None:
        """What the generator's outputs stand for, in their order."""
        pool = self.augmentation.pool
        return None if pool is None else list(pool.types)

    def close(self) -> None:
        self.loader.close()
        self.val_loader.close()


def prepare(recipe: Recipe, run: RunOptions, ranks: Ranks, say: Say) -> Parts:
    """Read, build and place everything on this rank's device; `recipe` is a resolved one."""
    train = data.load(recipe.dataset, run.root, "train", run.files)
    val = data.load(recipe.dataset, run.root, "val", run.files, train.skeleton)
    check_joints(train.name, train.skeleton.joints, val.skeleton)
    for people in (train, val):
        for note in people.notes:
            say(f"{people.name}: {note}")
    for note in shared_photos(train, val):
        say(f"{val.name}: {note}")
    for note in _impossible(recipe, train.skeleton):
        say(f"{train.name}: {note}")
    assert recipe.batch_size is not None
    for note in rounded(recipe, recipe.batch_size):
        say(note)
    if recipe.input is not None and recipe.input[1] > recipe.input[0]:
        say(f"input {size_text(recipe.input)}: {recipe.input[0]} high and {recipe.input[1]} wide, wider than high")
    if (recipe.train_people or 0) > len(train):
        say(f"{train.name}: train_people {recipe.train_people}, but there are {len(train)}: all are used")
    train, val = train.first(recipe.train_first), val.first(recipe.limit)
    check_scorable(val)
    loader, val_loader = _loaders(recipe, run, ranks, train, val, say)
    try:
        pool = _pool(recipe, run, ranks)
        amp = autocast_type(recipe, ranks)
        augmentation = recipe.paste.build(pool, recipe.seed, paste_format(amp))
        augmentation.epochs = recipe.epochs
        torch.manual_seed(recipe.seed)
        networks = _networks(recipe, run, ranks, len(train.skeleton.joints), augmentation, amp, say)
        mark = pools.mark(augmentation.pool if augmentation.needs_pool else None)  # once: it reads every texel
        adversary = _adversary(recipe, networks, augmentation, train, ranks)
    except BaseException:  # threads that decode would keep a failed run from ending
        loader.close()
        val_loader.close()
        raise
    return Parts(val, loader, val_loader, augmentation, networks, people_mark(train), mark, adversary)


def _impossible(recipe: Recipe, skeleton: Skeleton) -> list[str]:
    """What of a recipe a skeleton does not allow, and what is done instead."""
    found = []
    if recipe.crop.half_body and not skeleton.upper:
        found.append("no half bodies: nobody says which joints are the upper body's (a skeleton file does, with upper)")
    if recipe.paste.augment == "asda" and recipe.game.adversary in ("cover", "critic") and not skeleton.edges:
        found.append(
            f"no limb edges: adversary {recipe.game.adversary} looks at joints alone (a skeleton file adds them)"
        )
    return found


def rounded(recipe: Recipe, batch_size: int) -> list[str]:
    """What of a recipe comes out as something else, since crops have a smallest size and people are whole."""
    found: list[str] = []
    game = recipe.game
    assert recipe.input is not None
    if recipe.paste.augment != "asda" or game.adversary == "generator":
        return found
    if game.half_resolution and reduced_size(recipe.input) == recipe.input:
        found.append(f"half_resolution: no network takes less than {size_text(recipe.input)}, the passes are of that")
    judged = judged_of(batch_size, game.verify_share)
    if game.verify_share < 1 and abs(judged / batch_size / game.verify_share - 1) > 0.25:
        found.append(f"verify_share {game.verify_share:g}: of a batch of {batch_size} it is {judged}")
    return found


def check_scorable(people: People) -> None:
    """UserError where even the truth itself has no score: no validation person has what the protocol measures by."""
    truth = Predictions(people.joints, np.ones(people.visible.shape, np.float32))
    if not np.isfinite(score_people(truth, people).numbers["pck"]):
        raise UserError(
            f"{people.name}: nobody can be scored: the joints that the protocol measures by are labelled in no person"
        )


def check_types(path: str, types: list[str]) -> None:
    """UserError where a run's generator placed other types, or in another order: its outputs would stand for others."""
    placed = (checkpoints.read(path, "generator").config or {}).get("types")
    if placed not in (None, types):
        raise UserError(
            f"generator_init {path}: places {', '.join(placed[:3])}, ..; the pool has {', '.join(types[:3])}, .."
        )


def autocast_type(recipe: Recipe, ranks: Ranks) -> torch.dtype | None:
    """What the networks are autocast to; None: they are not."""
    return torch.bfloat16 if recipe.amp and ranks.device.type == "cuda" else None


def paste_format(amp: torch.dtype | None) -> PasteFormat:
    """What the networks take: the type of their autocast, and their layout."""
    return PasteFormat(out_dtype=amp, channels_last=True)


def _loaders(
    recipe: Recipe, run: RunOptions, ranks: Ranks, train: People, val: People, say: Say
) -> tuple[Loader, Loader]:
    size = recipe.input
    assert size is not None and recipe.batch_size is not None
    most = len(train) // ranks.world
    if most < 1:
        raise UserError(f"dataset {recipe.dataset}: {len(train)} people to train on for {ranks.world} processes")
    wanted = recipe.people_a_step
    if most < wanted:
        say(f"only {len(train)} people to train on: batches of {most}, not {wanted}")
    batch_size = min(most, wanted)
    device, aug = str(ranks.device), recipe.crop.of(dataset(recipe.dataset).preset.aug)

    def loader(people: People, training: bool) -> Loader:
        rank, world = (ranks.rank, ranks.world) if training else (0, 1)
        # In validation nobody is there twice, but --verify-share is of as large a batch.
        count = batch_size * 2 if recipe.game.pairs and not training else batch_size
        return make_loader(
            people, train=training, size=size, batch_size=count, seed=recipe.seed, pipeline=run.pipeline,
            device=device, threads=run.threads, on_bad_image=run.on_bad_image, aug=aug if training else None, rank=rank,
            world=world,
        )  # fmt: skip

    return loader(train, True), loader(val, False)


def _pool(recipe: Recipe, run: RunOptions, ranks: Ranks) -> pools.PartPool | None:
    chosen = (run.pool, recipe.dataset, recipe.paste)
    pool = pools.choose(*chosen) if ranks.first else None  # the first may have to build it
    ranks.wait()
    return pool if ranks.first else pools.choose(*chosen)


def _networks(
    recipe: Recipe, run: RunOptions, ranks: Ranks, joints: int, augmentation: Augmentation, amp: torch.dtype | None,
    say: Say,
) -> Networks:  # fmt: skip
    gpu = ranks.device.type == "cuda"
    if recipe.sync_bn and ranks.world > 1 and not gpu:
        raise UserError("sync_bn: torch's batch norm over several processes is for GPUs, got cpu")
    if gpu:
        torch.backends.cudnn.benchmark = True  # every batch has one size: the fastest convolutions, found once

    def ready(network: nn.Module, weights: str | None, argument: str) -> tuple[nn.Module, torch.optim.Optimizer]:
        if weights:
            part, within = ("generator", None) if argument == "generator_init" else ("pose", run.within)
            say(f"{argument}: {models.load_into(network, weights, part, random_body=run.random_body, within=within)}")
        if recipe.sync_bn and ranks.world > 1:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        network = network.to(ranks.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if argument == "init":
            for line in freeze(network, recipe.optimisation.freeze):
                say(line)
            optimizer = optimizers.make(network, recipe.lr or 0.0, recipe.optimisation, capturable=gpu)
        else:
            optimizer = optimizers.adam(network, recipe.lr or 0.0, capturable=gpu)
        if gpu and run.compile and argument == "init":
            network.compile()  # in place: its keys stay the published ones
        return ranks.wrap(network), optimizer

    name, options = recipe.model or "", keyword_values(recipe.model_options, "model_options")
    assert recipe.input is not None
    pose = models.build(name, joints=joints, size=recipe.input, **options)
    if recipe.target is not None:
        pose.target = recipe.target  # type: ignore[assignment]
    coding = models.coding_of(pose, recipe.input, joints)
    networks = Networks(
        *ready(pose, run.init, "init"),
        amp=amp,
        coding=coding,
        clip=recipe.optimisation.clip_gradient or None,
    )
    if recipe.optimisation.ema is not None:
        networks.average = Average(bare(networks.pose), recipe.optimisation.ema)
    learned = isinstance(augmentation, Adversarial) and recipe.game.adversary == "generator"
    if learned and augmentation.pool is not None:
        if run.generator_init:
            check_types(run.generator_init, list(augmentation.pool.types))
        width = recipe.generator_width or GENERATOR_WIDTH.get(name, IMAGENET_WIDTH)
        if not (run.generator_init or run.resume):
            fits = "" if width == IMAGENET_WIDTH else f"--generator-width {IMAGENET_WIDTH} "
            say(f"the generator starts at random; the paper's from ImageNet's ResNet-18: {fits}--generator-init FILE")
        generator = models.Generator(
            types=len(augmentation.pool.types), width=width, half_input=recipe.generator_input == "half"
        )
        networks.generator, networks.generator_optimizer = ready(generator, run.generator_init, "generator_init")
    return networks


def _adversary(
    recipe: Recipe, networks: Networks, augmentation: Augmentation, train: People, ranks: Ranks
) -> Placer | None:
    if networks.generator is not None:
        return Generated(bare(networks.generator))
    if not isinstance(augmentation, Adversarial) or augmentation.pool is None:
        return None
    types = len(augmentation.pool.types)
    return recipe.game.build(types, train.skeleton, len(train), recipe.seed, ranks.device)
