"""Names of photos, as files, lists and annotations write them: one normal form, and which name means which photo."""

from __future__ import annotations

import re
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
    not `a/x` and `b/x`. A name that so means no photo means the only one, if there is only one, of the same last part:
    `val2017/x` then is the photo `images/x`.
    """
    by_path = {path: name for name in names if (path := plain(name))}
    by_last: dict[str, list[str]] = {}  # last part -> names in normal form
    for path in by_path:
        by_last.setdefault(_last(path), []).append(path)
    found: dict[str, str] = {}
    alone: dict[str, list[str]] = {}  # last part -> photos that share nothing but this part with a name
    for photo in photos:
        path = photo if _last(photo) in by_last else plain(photo)  # a photo may be called x.jpg.png
        candidates = by_last.get(_last(path), ())
        exact = [c for c in candidates if f"/{c}".endswith(f"/{path}") or f"/{path}".endswith(f"/{c}")]
        if exact:
            found[photo] = by_path[max(exact, key=len)]
        elif candidates:
            alone.setdefault(_last(path), []).append(photo)
    used = set(found.values())
    for last, same in alone.items():
        rest = [by_path[c] for c in by_last[last] if by_path[c] not in used]
        if len(same) == 1 and rest:
            found[same[0]] = rest[0]
    return found


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]
