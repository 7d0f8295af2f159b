"""The arms of an ablation: what each changes in the recipe, what it is compared with, and about what it costs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from asda_fast.core.errors import UserError
from asda_fast.core.options import keyword_values
from asda_fast.core.registry import nearest
from asda_fast.train.recipe import GROUPS, Recipe

BASELINE = "none"
# What an arm changes: "epochs" is a factor (a half where an epoch has twice the steps), the rest are fields of Recipe
# and its groups. The cost is that of a step of HRNet-W32 beside a plain one (docs/adversary.md).
ARMS: dict[str, tuple[float, dict[str, Any]]] = {
    "none": (1.0, {"augment": "none"}),
    "none-twice": (1.0, {"augment": "none", "epochs": 2}),
    "cutout": (1.0, {"augment": "cutout"}),
    "cutout-rtmpose": (1.0, {"augment": "cutout", "augment_options": ("extent=0.2,0.4",)}),
    "ror": (1.0, {"augment": "ror"}),
    "random": (1.0, {"augment": "sda"}),
    "random-twice": (1.0, {"augment": "sda", "epochs": 2}),
    "search": (2.0, {"augment": "asda", "adversary": "search", "verify": 4}),
    "cover": (1.3, {"augment": "asda", "adversary": "cover", "clean_pass": True}),
    "generator": (1.7, {"augment": "asda", "adversary": "generator"}),
    "generator-joint": (1.2, {"augment": "asda", "adversary": "generator", "update": "joint"}),
    "critic": (1.0, {"augment": "asda", "adversary": "critic"}),
    "critic-pairs": (1.0, {"augment": "asda", "adversary": "critic", "pairs": True, "epochs": 0.5}),
    "critic-verify-2": (1.5, {"augment": "asda", "adversary": "critic", "verify": 2}),
    "critic-verify-4": (1.4, {"augment": "asda", "adversary": "critic", "verify": 4, "verify_share": 0.3}),
}
NETWORKS = ("hourglass_2", "hourglass_8", "simple_r50", "simple_r101", "hrnet_w32", "hrnet_w48")
# Arms by one word: the paper's tables (of occlusion, of the number of parts, of networks), and what tells most soonest.
SETS: dict[str, tuple[str, ...]] = {
    "table-4": ("none", "ror", "random", "generator"),
    "table-5": ("none", "generator", *(f"generator:parts={n}" for n in (2, 3, 4, 6, 8))),
    "table-6": tuple(f"{arm}:model={name}" for name in NETWORKS for arm in ("none", "generator")),
    "telling": ("none", "critic-verify-4", "random", "generator"),
}


def expand(names: Sequence[str]) -> tuple[str, ...]:
    """The arms of a list of arms and sets of arms. UserError for what is neither, for none, and for one twice."""
    arms = tuple(arm for name in names for arm in SETS.get(name, (name,)))
    for arm in arms:
        split(arm)
    if not arms or len(set(arms)) < len(arms):
        raise UserError(f"arms: expected different ones, at least one, got {' '.join(arms)}")
    return arms


def split(arm: str) -> tuple[str, dict[str, Any]]:
    """ "generator:parts=2" -> ("generator", {"parts": 2}): an arm, and further fields of the recipe that it changes."""
    name, *changes = re.split(r":(?=\w+=)", arm)
    if name not in ARMS:
        raise UserError(f"arms: expected some of {', '.join((*SETS, *ARMS))}, got {name!r}{nearest(name, list(ARMS))}")
    found = keyword_values(changes, "arms")
    for field in found:
        known = [f.name for kind in (Recipe, *GROUPS.values()) for f in fields(kind)]
        if field in ("seed", "epochs"):
            raise UserError(f"arms: {field} is not an arm's, got {arm!r}: every arm has the same (--{field})")
        if field not in known or field in GROUPS:
            raise UserError(f"arms: expected ARM:FIELD=VALUE of the recipe, got {arm!r}{nearest(field, known)}")
    return name, found


def recipe_of(arm: str, seed: int, recipe: Recipe) -> Recipe:
    """The recipe of one run."""
    name, more = split(arm)
    change = ARMS[name][1] | more
    factor = change.pop("epochs", 1)
    change |= {"seed": seed, "epochs": max(1, round((recipe.resolved().epochs or 1) * factor))}
    if recipe.drops is not None and "drops" not in change:
        change["drops"] = [max(1, round(drop * factor)) for drop in recipe.drops]
    try:
        return Recipe.from_dict({**recipe.to_dict(), **change})
    except UserError as error:
        raise UserError(f"arms: {arm}: {error}") from None


def baseline_of(arm: str, arms: Sequence[str]) -> str:
    """The one of `arms` that an arm is compared with: `none`, or else the first, that is trained alike."""

    def training(each: str) -> dict[str, Any]:
        return {key: value for key, value in split(each)[1].items() if key in {f.name for f in fields(Recipe)}}

    alike = [each for each in arms if training(each) == training(arm)]
    return next((each for each in alike if split(each)[0] == BASELINE), alike[0])


def folder_of(arm: str, seed: int) -> str:
    return f"{re.sub(r'[^A-Za-z0-9_.]+', '-', arm)}-{seed}"


def costs(arms: Sequence[str], recipe: Recipe) -> dict[str, float]:
    """About what a run of each arm costs: multiply-adds of the network x epochs x the arm's own factor."""
    import torch

    from asda_fast import models
    from asda_fast.models.count import multiply_adds

    sizes: dict[Any, int] = {}  # of each network: to make one takes a while
    found = {}
    for arm in arms:
        made = recipe_of(arm, 0, recipe).resolved()
        assert made.model is not None and made.input is not None and made.epochs is not None
        network = (made.model, made.model_options, made.input)
        if network not in sizes:
            with torch.device("meta"):
                built = models.build(made.model, joints=17, **keyword_values(made.model_options, "model_options"))
                sizes[network] = multiply_adds(built, made.input).true
        found[arm] = ARMS[split(arm)[0]][0] * made.epochs * (1 + made.game.pairs) * sizes[network]
    return found
