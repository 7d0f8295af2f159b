"""The arms of an ablation: what each changes in the recipe, what it is compared with, and about what it costs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_args, get_origin

from asda_fast.adversary.options import AdversaryOptions
from asda_fast.augment.options import PasteOptions
from asda_fast.core.errors import UserError
from asda_fast.core.options import field_types, keyword_values
from asda_fast.core.registry import nearest
from asda_fast.train.recipe import GROUPS, Recipe

BASELINE = "none"
PASS = 0.25  # a forward pass of the network beside a plain step (docs/adversary.md)
GENERATOR = {"alternate": 1.7, "joint": 1.2}  # a step with it beside a plain one
# What an arm changes: "epochs" is a factor (a half where an epoch has twice the steps), the rest are fields of Recipe
# and its groups.
ARMS: dict[str, dict[str, Any]] = {
    "none": {"augment": "none"},
    "none-twice": {"augment": "none", "epochs": 2},
    "cutout": {"augment": "cutout"},
    "cutout-rtmpose": {"augment": "cutout", "augment_options": ("extent=0.2,0.4",)},
    "ror": {"augment": "ror"},
    "random": {"augment": "sda"},
    "random-twice": {"augment": "sda", "epochs": 2},
    "search": {"augment": "asda", "adversary": "search", "verify": 4},
    "cover": {"augment": "asda", "adversary": "cover", "clean_pass": True},
    "generator": {"augment": "asda", "adversary": "generator"},
    "generator-joint": {"augment": "asda", "adversary": "generator", "update": "joint"},
    "critic": {"augment": "asda", "adversary": "critic"},
    "critic-pairs": {"augment": "asda", "adversary": "critic", "pairs": True, "epochs": 0.5},
    "critic-verify-2": {"augment": "asda", "adversary": "critic", "verify": 2},
    "critic-verify-4": {"augment": "asda", "adversary": "critic", "verify": 4, "verify_share": 0.3},
}
SAME = ("seed", "epochs", "limit", "dataset")  # what is compared: nothing that an arm may change
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
    name, *changes = re.split(r":(?=[\w-]+=)", arm)
    if name not in ARMS:
        raise UserError(f"arms: expected some of {', '.join((*SETS, *ARMS))}, got {name!r}{nearest(name, list(ARMS))}")
    texts = [re.sub(r"^[^=]*", lambda field: field[0].replace("-", "_"), text) for text in changes]
    found, known = keyword_values(texts, "arms"), _fields()
    for field, value in found.items():
        if field in SAME:
            raise UserError(f"arms: {field} is not an arm's, got {arm!r}: every arm has the same (--{field})")
        if field in ("augment", "adversary", "pairs"):
            raise UserError(f"arms: {field} is not a field to change, got {arm!r}: each has an arm of its own")
        if field not in known:
            raise UserError(f"arms: expected ARM:FIELD=VALUE of the recipe, got {arm!r}{nearest(field, list(known))}")
        if known[field] and not isinstance(value, (list, tuple)):
            found[field] = (value,)
    return name, found


def _fields() -> dict[str, bool]:
    """The fields of a Recipe and of its groups: whether there may be several values."""

    def several(hint: Any) -> bool:
        return any(get_origin(each) is tuple and get_args(each)[-1] is ... for each in (hint, *get_args(hint)))

    types = {name: hint for kind in (Recipe, *GROUPS.values()) for name, (hint, _) in field_types(kind).items()}
    return {name: several(hint) for name, hint in types.items() if name not in GROUPS}


def check_own(arms: Sequence[str], recipe: Recipe) -> None:
    """UserError where the recipe of all arms says what an arm says by itself: it would have no effect."""
    given, usual = recipe.to_dict(), Recipe(dataset=recipe.dataset).to_dict()
    for field, instead in (("seed", "seeds"), ("augment", "arms"), ("adversary", "arms")):
        if given[field] != usual[field]:
            raise UserError(f"{field}: is for `{instead}` to say in an ablation, got {given[field]}")
    for arm in arms:
        name, more = split(arm)
        own = {field: value for field, value in ARMS[name].items() if field in usual and field not in ("epochs", *more)}
        for field, value in own.items():
            came = tuple(given[field]) if isinstance(value, tuple) else given[field]
            if given[field] != usual[field] and came != value:
                raise UserError(f"{field}: arm {arm} has its own, {value}, got {given[field]}: {arm}:{field}=VALUE")


def recipe_of(arm: str, seed: int, recipe: Recipe) -> Recipe:
    """The recipe of one run."""
    name, more = split(arm)
    change = ARMS[name] | more
    factor = change.pop("epochs", 1)
    epochs = (recipe.resolved().epochs or 1) * factor
    if epochs != int(epochs):
        raise UserError(f"epochs: expected an even number beside arm {arm}, of half as many, got {recipe.epochs}")
    change |= {"seed": seed, "epochs": int(epochs)}
    if recipe.drops is not None and "drops" not in change:
        change["drops"] = [max(1, round(drop * factor)) for drop in recipe.drops]
    try:
        return Recipe.from_dict({**recipe.to_dict(), **change})
    except UserError as error:
        raise UserError(f"arms: {arm}: {error}") from None


def baseline_of(arm: str, arms: Sequence[str], wanted: str | None = None) -> str:
    """The one of `arms` that an arm is compared with: the one that is wanted, or `none`, or else the first, that is
    trained alike, but for what is pasted and where."""
    alike = [each for each in arms if _training(each) == _training(arm)]
    if wanted in alike:
        return wanted
    return next((each for each in alike if split(each)[0] == BASELINE), alike[0])


def lacks_baseline(arm: str, baselines: Sequence[str]) -> str | None:
    """The baseline that an arm would need, where it is its own though others have one to be compared with."""
    if split(arm)[0] == BASELINE or len(baselines) < 2:
        return None
    return ":".join((BASELINE, *(f"{field}={value}" for field, value in _training(arm).items())))


def _training(arm: str) -> dict[str, Any]:
    """What an arm changes of how the network is trained, not of what is pasted and where."""
    pasted = {field.name for kind in (PasteOptions, AdversaryOptions) for field in fields(kind)}
    pasted |= {field.name for field in fields(Recipe) if field.name == "update" or field.name.startswith("generator_")}
    return {key: value for key, value in split(arm)[1].items() if key not in pasted}


def folder_of(arm: str, seed: int) -> str:
    """critic:verify=2 -> critic+verify=2-SEED. Signs that a folder's name should not have are replaced; where two arms
    differ in nothing else, `plan` refuses them."""
    return f"{re.sub(r'[^A-Za-z0-9_.=,:-]+', '-', arm)}-{seed}".replace(":", "+")


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
        found[arm] = step_cost(made) * made.epochs * (1 + made.game.pairs) * sizes[network]
    return found


def step_cost(recipe: Recipe) -> float:
    """About what a step costs beside a plain one: the adversary's forward passes, or the generator's and its own."""
    game = recipe.game
    if recipe.paste.augment != "asda":
        return 1.0
    if game.adversary == "generator":
        return GENERATOR[recipe.update]
    judged = game.verified * game.verify_share if game.verified > 1 else 0.0
    passes = judged * (2 if game.solvable else 1) + (game.clean_pass and game.adversary != "search")
    return 1 + passes * PASS * (0.25 if game.half_resolution else 1)
