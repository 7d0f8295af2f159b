"""Who is who: marks by which a run knows its people, joints and parts again."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

from asda_fast.core.errors import UserError, short
from asda_fast.core.skeleton import Skeleton
from asda_fast.data.people import People
from asda_fast.parts.pool import PartPool


def people_mark(people: People) -> str:
    """Of a Person table: the same people, from photos or from a store, have the same mark."""
    digest = hashlib.sha256()
    for column in (people.joints, people.visible, people.box):
        digest.update(column.tobytes())
    return digest.hexdigest()[:16]


def pool_mark(pool: PartPool | None) -> str | None:
    """Of the patches that are pasted."""
    if pool is None:
        return None
    parts = (pool.table, pool.type, pool.texels)
    return "-".join(f"{zlib.crc32(part.detach().cpu().contiguous().numpy().tobytes()):08x}" for part in parts)


def check_same(what: str, saved: Any, now: Any, out: object) -> None:
    """UserError where a state says another mark than there is now; an older state says none."""
    if saved is not None and now is not None and saved != now:
        raise UserError(f"resume: the run in {out} had {what}: what is learnt would change without a word")


def check_pool(path: object, saved: Any, pool: PartPool | None, given: object) -> None:
    """UserError where a run was trained with other parts than those it is looked at with, and nobody asked for that."""
    now = pool_mark(pool)
    if given is None and saved is not None and now is not None and saved != now:
        raise UserError(f"pool: the run in {path} was trained with another pool than the demo set's: name it")


def check_skeleton(out: object, saved: Any, now: Skeleton) -> None:
    """UserError where a run learnt on a skeleton that differs in what is learnt; an older state does not say it."""
    if not isinstance(saved, dict):
        return
    current = now.to_dict()
    for name in ("joints", "pairs", "edges", "upper"):
        if saved.get(name) != current[name]:
            then, here = short(saved.get(name)), short(current[name])
            raise UserError(f"resume: the run in {out} has another skeleton: {name} {then}, now {here}")
