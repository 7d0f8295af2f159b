"""Mutations: of a tree (dicts, lists, numbers, words, arrays) and of bytes. A generator decides all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 2, 3, 17, 255, 256, 65536, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**70, -(2**63) - 1, 10**400,
    0.0, -0.0, 0.5, 1e-320, 1e6, 1e38, 1e39, 1e308, -1e308, math.nan, math.inf, -math.inf,
)  # fmt: skip
WORDS: tuple[Any, ...] = ("", " ", "x", "1", "-1", "nan", "é", "\0", "a\nb", "../..", "/", ".", "person", "a" * 5000)
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], [{}], {"": None}, [None], [0] * 1000)
DTYPES = ("bool", "uint8", "int8", "int32", "uint64", "float16", "float64", "complex64", "U3", "S5")


def mutate(tree: Any, rng: np.random.Generator) -> Any:
    """The tree with one change at a random place; it may be changed in place."""
    places = list(_places(tree))
    if not places:
        return _value(tree, rng)
    parent, key = places[rng.integers(len(places))]
    old = parent[key]
    action = rng.integers(8)
    if action == 0:
        del parent[key]
    elif action == 1 and isinstance(parent, list):
        parent.insert(key, old)
    elif action == 1:
        parent[_rename(key, rng)] = parent.pop(key)
    elif action == 2:  # another node's value
        other, there = places[rng.integers(len(places))]
        parent[key] = _copy(other[there])
    elif action == 3 and isinstance(old, list) and old:
        parent[key] = old[: rng.integers(len(old))] if rng.random() < 0.7 else old * 2
    elif action == 4 and isinstance(old, list):
        rng.shuffle(old)
    elif action == 5:  # wrapped or unwrapped
        parent[key] = [old] if rng.random() < 0.5 or not isinstance(old, list) or not old else old[0]
    else:
        parent[key] = _value(old, rng)
    return tree


def _places(tree: Any) -> Any:
    """(parent, key) of every node below the root; of a long list of plain numbers only two."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            keys: Any = list(node)
        elif isinstance(node, list):
            keys = range(len(node)) if any(isinstance(v, (dict, list)) for v in node) else range(0, len(node), 19)
        else:
            continue
        for key in keys:
            yield node, key
            stack.append(node[key])


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _rename(key: Any, rng: np.random.Generator) -> Any:
    return (f"{key}s", str(key).upper(), str(key)[:-1], "")[rng.integers(4)]


def _value(old: Any, rng: np.random.Generator) -> Any:
    if isinstance(old, np.ndarray):
        return array(old, rng)
    pool = (NUMBERS, WORDS, OTHERS)[rng.integers(3)]
    if isinstance(old, (int, float)) and not isinstance(old, bool) and abs(old) < 1e300 and rng.random() < 0.4:
        return (-old, old * 1000, old / 100, float(old), str(old), old + 0.5)[rng.integers(6)]
    return _copy(pool[rng.integers(len(pool))])


def array(old: np.ndarray, rng: np.random.Generator) -> Any:
    """An array changed in its values, shape or type; or something else altogether."""
    action = rng.integers(9)
    with np.errstate(all="ignore"):
        if action < 3 and old.size and old.dtype.kind in "iuf":
            new = old.copy()
            flat = new.reshape(-1)
            at = rng.integers(len(flat), size=rng.integers(1, 4))
            value = NUMBERS[rng.integers(len(NUMBERS))]
            if old.dtype.kind == "f":
                flat[at] = float(value) if abs(value) < 1e300 or value != value else np.inf
            else:
                limit = np.iinfo(old.dtype)
                flat[at] = 0 if value != value else int(max(min(value, int(limit.max)), int(limit.min)))
            return new
        if action == 3 and old.ndim:
            return old[: rng.integers(len(old) + 1)]
        if action == 4 and old.ndim > 1:
            return old.transpose(rng.permutation(old.ndim))
        if action == 5:
            return old.reshape(-1) if rng.random() < 0.5 else old[None]
        if action == 6:
            name = DTYPES[rng.integers(len(DTYPES))]
            return old.astype(name) if old.dtype.kind in "biuf" else np.zeros(old.shape, name)
        if action == 7 and old.ndim:
            return np.concatenate([old, old])
    others = (np.zeros(0), np.array(3.5), np.array("word"), np.zeros((2, 0, 3)), np.full(old.shape, np.nan))
    return others[rng.integers(5)]


def mutate_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Bits flipped, or a piece lost, doubled, cut off or overwritten."""
    if not data:
        return bytes(rng.integers(0, 256, 20, np.uint8))
    a, b = sorted(rng.integers(0, len(data) + 1, 2).tolist())
    b = min(b, a + int(rng.integers(1, 200)))
    action = rng.integers(6)
    if action == 0:
        out = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 9)):
            out[at] ^= 1 << int(rng.integers(8))
        return bytes(out)
    if action == 1:
        return data[:a] + data[b:]
    if action == 2:
        return data[:b] + data[a:]
    if action == 3:
        return data[:a]
    if action == 4:
        return data[:a] + bytes(rng.integers(0, 256, b - a, np.uint8)) + data[b:]
    return data[:a] + bytes([int(rng.integers(256))]) * int(rng.integers(1, 40)) + data[a:]
