"""Skeleton files in their three forms. What is read must be what the file says, looked up here in the plainest way."""

from __future__ import annotations

import json
import pprint
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from asda_fast.core import skeleton_file
from asda_fast.core.skeleton import Skeleton, canonical
from benchmarks.fuzz.harness import Reader

NAMES = ("nose", "left_eye", "right_eye", "left_paw", "right_paw", "tail")
LINKS = ((0, 1), (0, 2), (0, 5), (3, 5))


def _checked(made: Skeleton) -> None:
    """What training relies on: joints to swap, to draw and to weigh."""
    assert made.problem() is None, made.problem()
    count = len(made.joints)
    assert count == len({canonical(joint) for joint in made.joints})
    assert all(made.swap[made.swap[joint]] == joint for joint in range(count))
    assert made.sigmas is None or np.isfinite(made.sigmas).all()
    assert Skeleton.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def _named(made: Skeleton, pairs: Any, names: list[Any]) -> set[frozenset[str]]:
    """Pairs of joints, by number (a file's, in its order) or by name, as sets of canonical names."""
    return {frozenset(canonical(names[end] if isinstance(end, int) else end) for end in pair) for pair in pairs}


def _read(path: Path) -> tuple[Skeleton, Any]:
    made = skeleton_file.read(path).skeleton(NAMES, LINKS)
    _checked(made)
    return made, skeleton_file.load(path)


def _of_ours(folder: Path) -> None:
    for name in ("own.yaml", "own.json"):
        made, said = _read(folder / name)
        names = said.get("names") or NAMES
        assert {canonical(joint) for joint in made.joints} == {canonical(joint) for joint in names}
        for key in ("pairs", "edges"):
            if said.get(key) is not None:
                assert _named(made, getattr(made, key), list(made.joints)) == _named(made, said[key], list(names))
        for key in ("head", "torso"):
            if said.get(key) is not None:
                of_file = [canonical(names[end] if isinstance(end, int) else end) for end in said[key]]
                assert [canonical(made.joints[end]) for end in getattr(made, key) or ()] == of_file
        if said.get("sigmas") is not None:
            by_name = dict(zip(map(canonical, names), said["sigmas"]))
            assert made.sigmas == tuple(float(by_name[canonical(joint)]) for joint in made.joints)


def _ours() -> Any:
    return {
        "name": "cat", "names": list(NAMES), "pairs": [["left_eye", "right_eye"], [3, 4]],
        "edges": [[0, 1], [0, 2], ["nose", "tail"], [3, 5]], "sigmas": [0.02, 0.03, 0.03, 0.1, 0.1, 0.2],
        "head": ["nose", 5], "torso": [3, 5], "upper": [0, 1, 2], "lower": [3, 4, "tail"],
    }  # fmt: skip


def dump_yaml(tree: Any) -> bytes:
    return yaml.safe_dump(tree, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")


def _mmpose() -> Any:
    swap = {"left_eye": "right_eye", "right_eye": "left_eye", "left_paw": "right_paw", "right_paw": "left_paw"}
    info = {
        number: {"name": name, "id": number, "color": [51, 153, 255], "type": "upper" if number < 3 else "lower",
                 "swap": swap.get(name, "")}
        for number, name in enumerate(NAMES)
    }  # fmt: skip
    links = {number: {"link": [NAMES[a], NAMES[b]], "id": number} for number, (a, b) in enumerate(LINKS)}
    weights = [1.0] * len(NAMES)
    return {"dataset_name": "cat", "keypoint_info": info, "skeleton_info": links, "joint_weights": weights,
            "sigmas": [0.02, 0.03, 0.03, 0.1, 0.1, 0.2]}  # fmt: skip


def _dump_mmpose(tree: Any) -> dict[str, bytes]:
    """As YAML below a `dataset_info`, and as MMPose's own Python literal."""
    literal = f"dataset_info = {pprint.pformat(tree)}\n"
    return {"info.yaml": dump_yaml({"dataset_info": tree}), "info.py": literal.encode("utf-8", "surrogatepass")}


def _of_mmpose(folder: Path) -> None:
    for name in ("info.yaml", "info.py"):
        made, said = _read(folder / name)
        said = said.get("dataset_info", said)
        if "keypoint_info" not in said:  # as one of ours, then
            continue
        info = said["keypoint_info"]
        records = list(info.values()) if isinstance(info, dict) else info
        swaps = [(record["name"], record["swap"]) for record in records if record.get("swap")]
        assert _named(made, made.pairs, list(made.joints)) == _named(made, swaps, [])
        assert {canonical(record["name"]) for record in records} == {canonical(joint) for joint in made.joints}


def _ultralytics() -> Any:
    return {
        "path": ".", "train": "images/train", "val": "images/val", "names": {0: "cat", 1: "dog"},
        "kpt_shape": [6, 3], "flip_idx": [0, 2, 1, 4, 3, 5], "kpt_names": {0: list(NAMES), 1: list(NAMES)},
    }  # fmt: skip


def _of_ultralytics(folder: Path) -> None:
    made, said = _read(folder / "data.yaml")
    if said.get("flip_idx") is not None and said.get("kpt_names"):  # else by names, or as one of ours
        flip, names = said["flip_idx"], said["kpt_names"]
        names = next(iter(names.values())) if isinstance(names, dict) else names
        swapped = [(a, b) for a, b in enumerate(flip) if a != b]
        assert _named(made, made.pairs, list(made.joints)) == _named(made, swapped, list(map(str, names)))


ours = Reader(_ours, lambda tree: {"own.yaml": dump_yaml(tree), "own.json": json.dumps(tree).encode()}, _of_ours)
mmpose = Reader(_mmpose, _dump_mmpose, _of_mmpose)
ultralytics = Reader(_ultralytics, lambda tree: {"data.yaml": dump_yaml(tree)}, _of_ultralytics)
