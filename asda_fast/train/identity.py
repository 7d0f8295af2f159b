"""Who is who: marks by which a run knows its people and joints again; of its parts: augment/pools.py."""

from __future__ import annotations

import hashlib
from typing import Any

from asda_fast.core.errors import UserError, short
from asda_fast.core.skeleton import Skeleton
from asda_fast.data.people import People


def people_mark(people: People) -> str:
    """Of a Person table: the same people, from photos or from a store, have the same mark."""
    digest = hashlib.sha256()
    for column in (people.joints, people.visible, people.box):
        digest.update(column.tobytes())
    return digest.hexdigest()[:16]


def check_same(what: str, saved: Any, now: Any, out: object) -> None:
    """UserError where a state says another mark than there is now; an older state says none."""
    if saved is not None and now is not None and saved != now:
        raise UserError(f"resume: the run in {out} had {what}: what is learnt would change without a word")


def check_skeleton(out: object, saved: Any, now: Skeleton) -> None:
    """UserError where a run learnt on a skeleton that differs in what is learnt; an older state does not say it."""
    if not isinstance(saved, dict):
        return
    current = now.to_dict()
    for name in ("joints", "pairs", "edges", "upper"):
        if saved.get(name) != current[name]:
            then, here = short(saved.get(name)), short(current[name])
            raise UserError(f"resume: the run in {out} has another skeleton: {name} {then}, now {here}")
