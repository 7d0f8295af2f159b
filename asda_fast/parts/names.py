"""Names of photos, as files, lists and annotations write them: one normal form, and which name means which photo."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

from asda_fast.core.images import SUFFIXES

_SUFFIX = re.compile("(" + "|".join(map(re.escape, (*SUFFIXES, ".gif"))) + ")$", re.IGNORECASE)


def plain(name: str) -> str:
    """A photo's name without suffix, dots that lead nowhere and a drive, with forward slashes:
    `.\\val2017\\X.JPG` -> `val2017/X`. A name without suffix stays, whatever dots it has."""
    steps = [step for step in name.strip().strip("\"'").replace("\\", "/").split("/") if step not in ("", ".")]
    if steps and re.fullmatch("[A-Za-z]:", steps[0]):
        del steps[0]
    return _SUFFIX.sub("", "/".join(steps))


def matching(photos: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """Which of `photos` (paths below their folder, without suffix) are meant by one of `names`: {photo: name}.

    One means the other where the shorter path is the end of the longer one: `val2017/x` and `x` either way round, but
    not `a/x` and `b/x`; the more steps they share, the better. A name that so means no photo means the only one, if
    there is only one, of the same last part: `val2017/x` then is the photo `images/x`.
    """
    return {photo: best[0] for photo, (_, best) in _meant(photos, names).items()}


def one_each(photos: Iterable[str], names: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """As `matching`, for what belongs to one photo alone, as its people do; and the photos of which nobody can tell:
    several names mean them equally well, or one name them and others."""
    meant = _meant(photos, names)
    best: dict[str, tuple[int, bool]] = {}
    for rank, some in meant.values():
        best[some[0]] = max(rank, best.get(some[0], rank))
    meant = {photo: (rank, some) for photo, (rank, some) in meant.items() if rank == best[some[0]]}
    claims = Counter(some[0] for _, some in meant.values())
    unclear = [photo for photo, (_, some) in meant.items() if len(some) > 1 or claims[some[0]] > 1]
    left = set(unclear)
    return {photo: some[0] for photo, (_, some) in meant.items() if photo not in left}, unclear


def _meant(photos: Iterable[str], names: Collection[str]) -> dict[str, tuple[tuple[int, bool], list[str]]]:
    """{photo: how well it is meant, and the names that mean it so well}; better: more steps shared, then all."""
    by_path = {path: name for name in names if (path := plain(name))}
    by_last: dict[str, list[str]] = {}  # last part -> names in normal form
    for path in by_path:
        by_last.setdefault(_last(path), []).append(path)
    found: dict[str, tuple[tuple[int, bool], list[str]]] = {}
    used: set[str] = set()
    alone: dict[str, list[str]] = {}  # last part -> photos that share nothing but this part with a name
    for photo in photos:
        path = photo if _last(photo) in by_last else plain(photo)  # a photo may be called x.jpg.png
        candidates = by_last.get(_last(path), ())
        exact = [c for c in candidates if f"/{c}".endswith(f"/{path}") or f"/{path}".endswith(f"/{c}")]
        if exact:
            ranks = {c: (min(c.count("/"), path.count("/")), c == path) for c in exact}
            best = max(ranks.values())
            found[photo] = best, [by_path[c] for c in exact if ranks[c] == best]
            used.update(found[photo][1])
        elif candidates:
            alone.setdefault(_last(path), []).append(photo)
    for last, same in alone.items():
        rest = [by_path[c] for c in by_last[last] if by_path[c] not in used]
        if len(same) == 1 and rest:
            found[same[0]] = (-1, False), rest
    return found


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]
