"""A skeleton file: what its owner knows of joints better than their names tell. YAML or JSON, in one of three forms.

- Ours, every key optional: `names`, `pairs`, `edges`, `sigmas`, `head`, `torso`, `upper`, `lower` (and `name`). A joint
  is its name or its number, counted from 0.
- MMPose's `dataset_info`: `keypoint_info` (its `swap` and `type`), `skeleton_info`, `sigmas`. A .py file is read as the
  literal that it is, never executed.
- Ultralytics' data file: `kpt_shape`, `flip_idx`, `kpt_names`.

What the file does not say comes from the known skeleton of these names, else from the names themselves.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asda_fast.core.errors import UserError, short
from asda_fast.core.files import read_json
from asda_fast.core.registry import nearest
from asda_fast.core.skeleton import Edges, Skeleton, canonical, from_names, order_of
from asda_fast.core.skeletons import COCO, SKELETONS

KEYS = ("name", "names", "pairs", "edges", "sigmas", "head", "torso", "upper", "lower")
LARGEST = 1 << 20  # bytes
MOST = 10_000  # joints


@dataclass(frozen=True)
class SkeletonFile:
    """A file's content in our own form, its joints not looked up yet."""

    path: Path
    joints: tuple[str, ...]  # none where the file does not name them
    count: int | None  # how many there are; None where the file does not say
    said: Mapping[str, Any]  # pairs, edges, .. as given

    def skeleton(self, joints: Sequence[str], edges: Edges = (), name: str = "") -> Skeleton:
        """The skeleton of annotations whose joints have these names (none: they are the file's own)."""
        given = self.joints or tuple(joints)
        if self.count is not None and given and len(given) != self.count:
            raise UserError(f"{self.path}: of {self.count} joints; the annotations have {len(given)}")
        if not given and self.count is None:
            raise UserError(f"{self.path}: names: needed, as the annotations do not name their joints")
        given = given or tuple(f"joint_{number}" for number in range(self.count or 0))
        base = next((known for known in SKELETONS.values() if order_of(given, known)), None)
        if base is None:
            at = {canonical(joint): number for number, joint in enumerate(given)}
            ends = [at.get(canonical(joint)) for joint in joints]
            own = [(ends[a], ends[b]) for a, b in edges]
            whole = [(a, b) for a, b in own if a is not None and b is not None]
            base = from_names(own_name(name or self.path.stem), given, whole)
        return self._changed(base, given)

    def _changed(self, base: Skeleton, given: tuple[str, ...]) -> Skeleton:
        place = {canonical(joint): number for number, joint in enumerate(base.joints)}
        order = [place[canonical(joint)] for joint in given]  # of the file's numbers

        def joint(key: str, value: Any) -> int:
            if isinstance(value, int) and not isinstance(value, bool):
                if 0 <= value < len(order):
                    return order[value]
                raise UserError(f"{self.path}: {key}: expected joint numbers 0 to {len(order) - 1}, got {value}")
            if isinstance(value, str) and canonical(value) in place:
                return place[canonical(value)]
            close = nearest(str(value), list(given))
            raise UserError(f"{self.path}: {key}: {short(value)} is none of its {len(order)} joints{close}")

        def joints(key: str, value: Any, count: int | None = None) -> tuple[int, ...]:
            if not isinstance(value, (list, tuple)) or (count is not None and len(value) != count):
                raise UserError(f"{self.path}: {key}: expected {count or 'a list of'} joints, got {short(value)}")
            return tuple(joint(key, each) for each in value)

        def both(key: str, value: Any) -> Edges:
            if not isinstance(value, (list, tuple)):
                raise UserError(f"{self.path}: {key}: expected a list of pairs of joints, got {short(value)}")
            return tuple(joints(key, pair, 2) for pair in value)  # type: ignore[misc]

        change: dict[str, Any] = {key: both(key, self.said[key]) for key in ("pairs", "edges") if key in self.said}
        change |= {key: joints(key, self.said[key], 2) for key in ("head", "torso") if key in self.said}
        if "sigmas" in self.said:
            change["sigmas"] = self._sigmas(order)
        halves = {key: set(joints(key, self.said[key])) for key in ("upper", "lower") if key in self.said}
        if halves:
            upper = halves.get("upper", set(range(len(order))) - halves.get("lower", set()))
            if "lower" in halves and halves["lower"] != set(range(len(order))) - upper:
                both_of = [base.joints[number] for number in sorted(upper ^ halves["lower"] ^ set(range(len(order))))]
                raise UserError(f"{self.path}: upper, lower: expected every joint in one of them; {both_of[0]} is not")
            change["upper"] = tuple(sorted(upper))
        for key in ("pairs", "edges"):  # as in the table where only the order differs
            if key in change and sorted(map(sorted, change[key])) == sorted(map(sorted, getattr(base, key))):
                del change[key]
        made = replace(base, **change)
        if made == base and base.name in SKELETONS:
            return SKELETONS[base.name]
        usual = self.path.stem if base.name in SKELETONS else base.name  # a known one with a change is another
        made = replace(made, name=own_name(str(self.said.get("name") or usual)))
        self._check_pairs(made)
        return made

    def _sigmas(self, order: list[int]) -> tuple[float, ...]:
        values = self.said["sigmas"]
        if (
            not isinstance(values, (list, tuple))
            or len(values) != len(order)
            or not all(isinstance(v, (int, float)) and not isinstance(v, bool) and 0 < v < 10 for v in values)
        ):
            raise UserError(f"{self.path}: sigmas: expected {len(order)} numbers above 0, got {short(values)}")
        placed = dict(zip(order, values))
        return tuple(float(placed[number]) for number in range(len(order)))

    def _check_pairs(self, made: Skeleton) -> None:
        """UserError for pairs that do not mirror."""
        seen: dict[int, tuple[str, str]] = {}
        for a, b in made.pairs:
            names = made.joints[a], made.joints[b]
            sides = {canonical(name).split("_")[0] for name in names}
            if a == b or sides in ({"left"}, {"right"}):
                raise UserError(f"{self.path}: pairs: {names[0]} and {names[1]} do not mirror each other")
            for end in (a, b):
                if end in seen:
                    raise UserError(f"{self.path}: pairs: {made.joints[end]} is in two: {seen[end]} and {names}")
                seen[end] = names


def own_name(name: str) -> str:
    """A name for a skeleton that is not in the table: protocols go by those names."""
    return f"own {name}" if name in SKELETONS else name


def read(path: Path) -> SkeletonFile:
    """The skeleton file at `path`. UserError for what is none; joints are looked up later (`skeleton`)."""
    content = load(path)
    inner = content.get("dataset_info") if isinstance(content, dict) else None
    content = inner if isinstance(inner, dict) else content
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: expected a skeleton: an object with some of {', '.join(KEYS)}, got {short(content)}")
    if "keypoint_info" in content:
        said = _mmpose(path, content)
    elif "kpt_shape" in content or "flip_idx" in content:
        said = _ultralytics(path, content)
    else:
        for key in content:
            if key not in KEYS:
                close = nearest(str(key), list(KEYS))
                raise UserError(f"{path}: expected the keys {', '.join(KEYS)}, got {short(key)}{close}")
        said = {key: value for key, value in content.items() if value is not None}
    names = said.pop("names", None)
    count = said.pop("count", None)
    if names is None:
        return SkeletonFile(path, (), count, said)
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(n, str) and n.strip() for n in names):
        raise UserError(f"{path}: names: expected a list of joints' names, got {short(names)}")
    by_name: dict[str, str] = {}
    for name in names:
        before = by_name.setdefault(canonical(name), name)
        if before is not name:
            raise UserError(f"{path}: names: {before!r} and {name!r} are one name")
    return SkeletonFile(path, tuple(names), len(names), said)


def load(path: Path) -> Any:
    """The content of a YAML or JSON file, or of the literal `dataset_info` in a .py file. Nothing is executed."""
    if path.suffix.lower() == ".json":
        return read_json(path, "a skeleton")
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path}: expected a small file, got {path.stat().st_size} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: expected text in UTF-8") from None
    if path.suffix.lower() == ".py":
        return _python(path, text)
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())[:160]}") from None


def _python(path: Path, text: str) -> Any:
    """The value of `dataset_info = dict(..)`: literals, dict(..), a list times a number and sums of lists are taken."""

    def value(node: ast.AST) -> Any:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
            return {keyword.arg: value(keyword.value) for keyword in node.keywords if keyword.arg}
        if isinstance(node, ast.Dict) and all(node.keys):
            return {value(key): value(each) for key, each in zip(node.keys, node.values) if key}
        if isinstance(node, (ast.List, ast.Tuple)):
            return [value(each) for each in node.elts]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            left, right = value(node.left), value(node.right)
            if isinstance(left, list) and isinstance(right, int) and len(left) * right <= MOST:
                return left * right
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = value(node.left), value(node.right)
            if isinstance(left, list) and isinstance(right, list):
                return left + right
        return ast.literal_eval(node)

    try:
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "dataset_info" for t in node.targets):
                return value(node.value)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise UserError(f"{path}: not a literal dataset_info, and nothing is executed ({short(str(error))})") from None
    raise UserError(f"{path}: expected dataset_info = dict(..) as in MMPose's configs")


def _mmpose(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    info = content["keypoint_info"]
    records = list(info.values()) if isinstance(info, dict) else info
    if not isinstance(records, list) or not all(
        isinstance(r, dict) and isinstance(r.get("name"), str) for r in records
    ):
        raise UserError(f"{path}: keypoint_info: expected objects with a name, got {short(info)}")
    records = [record for _, record in sorted(zip(_numbers(path, info), records), key=lambda pair: pair[0])]
    names = [record["name"] for record in records]
    swap = {record["name"]: record["swap"] for record in records if record.get("swap")}
    for name, other in swap.items():
        if other not in names:
            raise UserError(f"{path}: keypoint_info: {short(name)} has swap {short(other)}, none of its joints")
        if swap.get(other) != name:
            raise UserError(
                f"{path}: keypoint_info: {short(name)} has swap {short(other)}, but {short(other)} has "
                f"{short(swap[other]) if other in swap else 'none'}"
            )
    said: dict[str, Any] = {"names": names, "pairs": _once([(name, other) for name, other in swap.items()])}
    upper = [record["name"] for record in records if record.get("type") == "upper"]
    if upper:
        said["upper"] = upper
    links = content.get("skeleton_info")
    if links:
        links = list(links.values()) if isinstance(links, dict) else links
        if not isinstance(links, list) or not all(isinstance(link, dict) and "link" in link for link in links):
            raise UserError(f"{path}: skeleton_info: expected objects with a link, got {short(links)}")
        said["edges"] = [link["link"] for link in links]
    if content.get("sigmas"):
        said["sigmas"] = content["sigmas"]
    if content.get("dataset_name"):
        said["name"] = content["dataset_name"]
    return said


def _numbers(path: Path, info: dict[Any, Any] | list[Any]) -> list[int]:
    """The number of each joint: its key, as MMPose counts (the ids of some published files are wrong); else its id, or
    its place where nobody has one."""

    def number(value: Any) -> Any:
        digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 9
        return int(value) if digits else value

    numbers = list(map(number, info)) if isinstance(info, dict) else []
    if not numbers or not all(type(key) is int for key in numbers):
        records = list(info.values()) if isinstance(info, dict) else info
        without = not any("id" in record for record in records)
        numbers = list(range(len(records))) if without else [number(record.get("id")) for record in records]
    wrong = [n for n in numbers if type(n) is not int or not 0 <= n < MOST]
    if wrong or len(set(numbers)) < len(numbers):
        twice = next((n for at, n in enumerate(numbers) if n in numbers[:at]), None)
        came = short(wrong[0]) if wrong else f"{twice} twice"
        raise UserError(f"{path}: keypoint_info: expected each joint's own number as its key (or id), got {came}")
    return numbers


def _ultralytics(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    shape, flip = content.get("kpt_shape"), content.get("flip_idx")
    if not isinstance(shape, list) or len(shape) != 2 or not all(isinstance(n, int) for n in shape):
        raise UserError(f"{path}: kpt_shape: expected [joints, 2 or 3], got {short(shape)}")
    count = shape[0]
    if not 1 <= count <= MOST or shape[1] not in (2, 3):
        raise UserError(f"{path}: kpt_shape: expected [joints, 2 or 3], got {short(shape)}")
    said: dict[str, Any] = {"count": count}
    if flip is not None:
        if not isinstance(flip, list) or len(flip) != count or not all(isinstance(n, int) for n in flip):
            raise UserError(f"{path}: flip_idx: expected {count} joint numbers, got {short(flip)}")
        for joint, other in enumerate(flip):
            if not 0 <= other < count:
                raise UserError(f"{path}: flip_idx: expected joint numbers 0 to {count - 1}, got {other}")
            if flip[other] != joint:
                raise UserError(f"{path}: flip_idx: joint {joint} mirrors to {other}, but {other} to {flip[other]}")
        said["pairs"] = _once([(a, b) for a, b in enumerate(flip) if a != b])
    named = content.get("kpt_names")
    lists = list(named.values()) if isinstance(named, dict) else [named] if named else []
    if lists:
        if any(names != lists[0] for names in lists):
            raise UserError(f"{path}: kpt_names: the classes have other joints; one set of joints is learnt")
        if not isinstance(lists[0], list) or len(lists[0]) != count:
            raise UserError(f"{path}: kpt_names: expected {count} names, as kpt_shape says, got {short(lists[0])}")
        said["names"] = [str(name) for name in lists[0]]
    elif flip == list(COCO.swap):
        said["names"] = list(COCO.joints)  # nothing else of 17 joints is swapped as COCO's are
    return said


def _once(pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Each pair once, the first order kept."""
    first: dict[frozenset[Any], tuple[Any, Any]] = {}
    for pair in pairs:
        first.setdefault(frozenset(pair), pair)
    return list(first.values())
