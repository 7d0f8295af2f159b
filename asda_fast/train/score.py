"""How hard the adversary of a run is for the network that it was trained against, on the validation people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from asda_fast.adversary.options import AdversaryOptions
from asda_fast.augment.options import PasteOptions
from asda_fast.core.errors import UserError
from asda_fast.core.options import Above, AtLeast, check
from asda_fast.data.custom import Files
from asda_fast.train.idle import LATE, changed, idle_of, lines_of
from asda_fast.train.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from asda_fast.adversary import Hardness, Placer
    from asda_fast.augment.sda import Semantic
    from asda_fast.core.skeletons import Skeleton


LONE = 32  # people per step where no run says how many


@dataclass(frozen=True)
class ScoreOptions:
    """Measure how hard an adversary's places are: the same part of each validation person pasted at random places, in
    the centre, and where the adversary puts it; s = 0 is chance, 1 the hardest of the random places."""

    checkpoint: str = field(metadata={"positional": True})
    """folder of a run or its last.pt, whose own adversary is measured; or a pose network's file; --adversary search or
    cover measures that one on the network of either"""
    root: str | None = None
    """folder of the dataset"""
    files: Files = field(default_factory=Files)
    pool: str | None = None
    """pool of body parts; demo builds its own on first use"""
    dataset: str | None = None
    """of the people [the checkpoint's]"""
    game: AdversaryOptions = field(default_factory=AdversaryOptions)
    draws: Annotated[int, AtLeast(2)] = 32
    """random places of each part"""
    people: Annotated[int | None, AtLeast(2)] = None
    """stop after so many people [all]"""
    seconds: Annotated[float | None, Above(0)] = None
    """stop after so much time, with the people seen until then"""
    batch_size: Annotated[int | None, AtLeast(1)] = None
    """people per step, of whom a --verify-share is judged [the run's; 32 for a lone network]"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where the network runs"""
    threads: Annotated[int | None, AtLeast(1)] = None
    """decoding threads [all cores]"""
    json: str | None = None
    """write the numbers here: clean, random, centre, best_of_32 (of --draws), chosen, s, s_se, people, draws"""

    def __post_init__(self) -> None:
        check(self)


def score(options: ScoreOptions, say: Callable[[str], object] = lambda text: None) -> Hardness:
    """`say` is told where chance is measured, not an adversary. UserError for what is no checkpoint, and for a pool or
    a dataset that does not go with it."""
    import torch

    from asda_fast import data, models
    from asda_fast.adversary import held_out, measure
    from asda_fast.augment import pools
    from asda_fast.augment.sda import Semantic
    from asda_fast.core.hardware import choose_device
    from asda_fast.core.progress import bar
    from asda_fast.evaluate.network import learnt_skeleton
    from asda_fast.ops import PasteFormat
    from asda_fast.pipelines.loader import make_loader
    from asda_fast.train import checkpoint
    from asda_fast.train.setup import rounded

    path = Path(options.checkpoint)
    path = path / "last.pt" if path.is_dir() else path
    pose, device = models.load(path), choose_device(options.device)
    card: dict[str, Any] = pose.config  # type: ignore[assignment]
    run = is_run(path)
    saved = checkpoint.load(path) if run else None
    recipe = _recipe(path, saved, card, options)
    step = options.batch_size or (recipe.batch_size if run else None) or LONE
    late = (f"adversary {options.game.adversary}", LATE)  # it is measured as one that has begun
    for line in lines_of(set(changed(options.game)), (*idle_of(options.game), late)):
        say(line)
    learnt = learnt_skeleton(str(path), card)
    people = data.load(recipe.dataset, options.root, "val", options.files, learnt)
    joints, had = len(people.skeleton.joints), card["joints"]
    if joints != had:
        raise UserError(f"checkpoint {path}: predicts {had} joints, but {recipe.dataset} has {joints}")
    pool = pools.choose(options.pool, recipe.dataset, recipe.paste)
    augmentation = recipe.paste.build(pool, recipe.seed, PasteFormat(channels_last=True))
    assert isinstance(augmentation, Semantic) and recipe.input is not None
    if saved is not None and options.pool is None:
        pools.check_same(path.parent, saved.get("pool"), augmentation.pool, options.pool)
    teacher = None
    if recipe.game.solvable:  # the teacher is what the run evaluates, and chooses beside the network itself
        pose, teacher = models.load(path, mean=False), pose
        teacher.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    adversary = adversary_of_run(path if run else None, recipe, augmentation, people.skeleton, device)
    if adversary is None:
        say(f"places by chance: {path} holds no adversary (the folder of a run that trained one does)")
    else:
        told = [f"{name} {getattr(recipe.game, name)}" for name in changed(recipe.game) if name != "adversary"]
        say(f"adversary: {', '.join((recipe.game.adversary, *told))}")
        for line in rounded(recipe, min(step, len(people))):
            say(line)
    pose = pose.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    amp = torch.bfloat16 if device.type == "cuda" and recipe.amp else None
    with make_loader(
        people, size=recipe.input, batch_size=min(step, len(people)), pipeline="native", train=False,
        threads=options.threads,
    ) as loader:  # fmt: skip
        seen = bar(loader, len(loader), f"placing parts on {len(people)} people")
        scenes = held_out(seen, augmentation, pose, device, amp, models.coding_of(pose, recipe.input), teacher)
        try:
            return measure(scenes, adversary, options.draws, options.seconds, options.people)
        except UserError:
            raise
        except ValueError as error:
            raise UserError(str(error)) from None


def is_run(path: Path) -> bool:
    """Whether a file is a training run's last.pt, not a lone network's."""
    from asda_fast.models.checkpoints import read

    return path.suffix != ".safetensors" and read(path).config is not None


def _recipe(path: Path, saved: dict[str, Any] | None, card: dict[str, Any], options: ScoreOptions) -> Recipe:
    """What the run was, or for a lone network what its file says; parts are pasted in any case."""
    asked = options.game.adversary in ("search", "cover")
    if saved is not None:
        recipe = Recipe.from_dict(saved["config"])
        if asked:
            paste = recipe.paste if recipe.paste.augment == "asda" else PasteOptions()
            recipe = replace(recipe, paste=paste, game=options.game)
        elif options.game != AdversaryOptions():
            given = ", ".join(changed(options.game))
            raise UserError(f"{given}: a run's own adversary is measured as it was trained; expected search or cover")
        if not recipe.paste.needs_pool:
            recipe = replace(recipe, paste=PasteOptions(augment="sda"))
    else:
        if options.game.adversary == "critic":
            raise UserError(f"adversary: expected the folder of a run that trained a critic, got {path}")
        if options.game.solvable:
            raise UserError(f"solvable: expected a run that was trained with ema, got {path}: it has no teacher")
        if not asked and options.game != AdversaryOptions():
            raise UserError("adversary: expected search or cover beside the options of one, got none")
        flat = {name: card[name] for name in ("dataset", "input") if isinstance(card.get(name), str)}
        recipe = Recipe.from_dict({**flat, **asdict(options.game), "augment": "asda" if asked else "sda"})
    recipe = replace(recipe, dataset=options.dataset) if options.dataset else recipe
    return replace(recipe, dataset=options.files.dataset(recipe.dataset)).resolved()


def adversary_of_run(
    path: Path | None, recipe: Recipe, augmentation: Semantic, skeleton: Skeleton, device: torch.device
) -> Placer | None:
    """Who places the parts in a run's last.pt, or as the recipe says; None where chance does. path: None of no run."""
    from asda_fast.adversary.saved import adversary_of
    from asda_fast.augment.asda import Adversarial

    if not isinstance(augmentation, Adversarial) or augmentation.pool is None:
        return None
    types = augmentation.pool.types
    if path is not None and recipe.game.adversary not in ("search", "cover"):
        return adversary_of(path, types, skeleton, device)
    return recipe.game.build(len(types), skeleton, 0, recipe.seed, device)
