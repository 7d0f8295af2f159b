"""The adversary of a run, out of its last.pt: for whoever wants to look at it, or to measure it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from asda_fast.adversary.base import Placer
from asda_fast.adversary.generator import Generated
from asda_fast.adversary.options import AdversaryOptions
from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import Skeleton
from asda_fast.models import Generator


def adversary_of(
    path: str | Path, types: tuple[str, ...], skeleton: Skeleton, device: torch.device | str = "cpu"
) -> Placer:
    """The one that placed the parts in the run; of a file that is not a run's, the generator in it.

    types: of the pool that is to be pasted from. UserError where the file holds none, or one of other types or joints.
    """
    saved = torch.load(path, map_location=device, weights_only=True)
    run: dict[str, Any] = saved if isinstance(saved, dict) and isinstance(saved.get("config"), dict) else {}
    augment = run.get("config", {}).get("augment", "asda")
    if augment != "asda":
        raise UserError(f"checkpoint {path}: expected a run with an adversary (augment asda), found one of {augment}")
    names = {field.name for field in fields(AdversaryOptions)}
    options = AdversaryOptions(**{key: value for key, value in run.get("config", {}).items() if key in names})
    generator = None
    if options.adversary == "generator":
        generator = Generator.of(path)
        if generator.types != len(types):
            raise UserError(f"pool: has {len(types)} part types, the checkpoint's generator places {generator.types}")
    if run.get("types") not in (None, list(types)):  # what it learnt of one would stand for another
        raise UserError(f"pool: has other part types than the run in {path}")
    if generator is not None:
        return Generated(generator.to(device))
    state = run["adversary"] or {}
    people = len(state["history"]) if "history" in state else 0
    adversary = options.build(len(types), skeleton, people, run["config"].get("seed", 0), device)
    assert adversary is not None
    try:
        adversary.load_state_dict(state)
    except ValueError as error:
        raise UserError(f"checkpoint {path}: {error}") from None
    return adversary
