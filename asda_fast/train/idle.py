"""Options that were given and have no effect: said at the beginning, not found out after a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from asda_fast.adversary.options import AdversaryOptions
from asda_fast.augment import AUGMENTATIONS
from asda_fast.train.recipe import Recipe, RunOptions

GENERATOR = ("update", "generator_input", "generator_width", "generator_drops", "generator_init")
POOL = (
    "pool", "paste_probability", "part_types", "paste_half_bodies", "paste_min_joints", "patch_flip", "colour_jitter",
    "max_rotation", "max_shift", "scale_range", "placement",
)  # fmt: skip
PARTS = ("parts", "parts_least")
PASSES = ("candidates", "part_choices", "explore", "clean_pass", "half_resolution")
LATE = ("adversary_from",)
UNUSED = {  # by the adversary
    "generator": PASSES,
    "search": (*GENERATOR, "candidates", "explore", "clean_pass"),
    "cover": (*GENERATOR, "explore"),
    "critic": GENERATOR,
}


def without_effect(recipe: Recipe, run: RunOptions, epochs: int, device: str, processes: int = 1) -> list[str]:
    """The options that are not as by default and that nothing reads, a line for each reason. (What a crop is too small
    for, or a batch: setup.py.)

    recipe: as given, not resolved; epochs: that it trains."""
    given = {name for record in (recipe, run, recipe.paste, recipe.game) for name in changed(record)}
    lines = lines_of(given, _idle(recipe, run, device, processes))
    late = [drop for drop in recipe.drops or () if drop >= epochs]
    if late:
        lines.append(f"without effect in {epochs} epochs: drops {' '.join(map(str, late))}")
    if recipe.paste.augment == "asda" and recipe.game.adversary_from > epochs:
        lines.append(f"without effect in {epochs} epochs: the adversary, from epoch {recipe.game.adversary_from} on")
    return lines


def lines_of(given: set[str], idle: Iterable[tuple[str, tuple[str, ...]]]) -> list[str]:
    """A line for each reason why options that were given have no effect; an option is told of once."""
    found: dict[str, list[str]] = {}
    for why, names in idle:
        told = [name for name in names if name in given]
        given = given - set(told)
        if told:
            found.setdefault(why, []).extend(told)
    return [f"without effect with {why}: {', '.join(names)}" for why, names in found.items()]


def idle_of(game: AdversaryOptions) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(why, the options that an adversary does not read)."""
    yield f"adversary {game.adversary}", UNUSED[game.adversary]
    if not game.asks:
        yield "no forward pass", ("half_resolution",)


def _idle(recipe: Recipe, run: RunOptions, device: str, processes: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(why, the options that have no effect therefore)."""
    augment = recipe.paste.augment
    with_augment = f"augment {augment}"
    if augment == "none":
        yield with_augment, PARTS
    if augment in AUGMENTATIONS and not recipe.paste.needs_pool:
        yield with_augment, POOL
    if augment in AUGMENTATIONS and augment != "objects":
        yield with_augment, ("objects",)
    if augment in AUGMENTATIONS and augment != "asda":
        yield with_augment, (*GENERATOR, *PASSES, *LATE)
    elif augment == "asda":
        yield from idle_of(recipe.game)
    if augment in AUGMENTATIONS and not recipe.paste.needs_pool and run.hardness_people:
        yield with_augment, ("hardness_people", "hardness_seconds")  # it is measured of pasted parts, also by chance
    if run.hardness_people == 0:
        yield "hardness_people 0", ("hardness_seconds",)
    if run.init is None:
        yield "no init", ("within",) if run.generator_init else ("within", "random_body")
    if device == "cpu":
        yield "device cpu", ("compile",)
    if processes == 1:
        yield "one process", ("sync_bn",)


def changed(record: Any) -> Iterator[str]:
    """The fields of a record that are not as by default."""
    plain = type(record)()
    for field in fields(record):
        if getattr(record, field.name) != getattr(plain, field.name):
            yield field.name
