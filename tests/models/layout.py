"""The published layouts of layouts/*.txt, expanded to full lists of entries."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "layouts"
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def entries(name: str, **parameters: int) -> dict[str, tuple[int, ...]]:
    """Every entry of a layout and its shape; num_batches_tracked has shape ()."""
    found: dict[str, tuple[int, ...]] = {}
    for line in (FOLDER / f"{name}.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        line, _, condition = line.partition(" [")
        pattern, shape = line.split(" ", 1)
        for key, variables in expand(pattern):
            scope = {**parameters, **variables}
            if condition and not eval(condition.removesuffix("]"), {}, scope):
                continue
            norm = shape.startswith("bn ")
            sizes = tuple(int(eval(s, {}, scope)) for s in split(shape.removeprefix("bn ")))
            new = {f"{key}.{part}": sizes for part in BATCH_NORM} if norm else {key: sizes}
            if norm:
                new[f"{key}.num_batches_tracked"] = ()
            assert not found.keys() & new.keys(), f"{name}.txt: {key} twice"
            found.update(new)
    return found


def expand(pattern: str) -> list[tuple[str, dict[str, int | str]]]:
    """'a{k:0..1}' -> [('a0', {'k': 0}), ('a1', {'k': 1})]; a list without a name sets `word`."""
    parts = re.split(r"\{([^}]*)\}", pattern)
    choices = []
    for inside in parts[1::2]:
        name, _, values = inside.rpartition(":")
        if ".." in values and "," not in values:
            low, high = map(int, values.split(".."))
            choices.append([(name, value) for value in range(low, high + 1)])
        else:
            choices.append([(name or "word", value) for value in values.split(",")])
    result = []
    for chosen in itertools.product(*choices):
        words = [str(value) for _, value in chosen]
        key = "".join(a + b for a, b in itertools.zip_longest(parts[::2], words, fillvalue=""))
        result.append((key, dict(chosen)))
    return result


def split(text: str) -> list[str]:
    """Words, but nothing inside parentheses is split."""
    return re.findall(r"\([^()]*\)|[^\s()]+(?:\([^()]*\)[^\s()]*)*", text)
