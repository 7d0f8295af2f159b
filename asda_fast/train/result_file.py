"""result.json, what one run of an ablation leaves: read, and checked for whoever compares it with others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from asda_fast.core.errors import UserError, short
from asda_fast.core.files import read_json

RESULT = "result.json"
LOSSES = ("random", "best_of_32")
COUNTS = {"clean": "counted", "random": "counted", "worst": "counted", "hidden": "hidden_counted"}  # of which joints
LARGEST = 1e15


def read_result(path: Path, arm: str, seed: int) -> dict[str, Any]:
    """The result of the run of this arm and seed. UserError naming the file and the field that is wrong."""
    result = read_json(path, "the result of a run")

    def wrong(field: str, wanted: str, came: Any) -> UserError:
        return UserError(f"{path}: {field}: expected {wanted}, got {short(came)}; without it the run is made again")

    if not isinstance(result, dict):
        raise wrong("content", "an object", result)
    for field, name in (("arm", arm), ("seed", seed)):
        if result.get(field) != name or type(result[field]) is not type(name):
            raise wrong(field, short(name), result.get(field))
    for field in ("recipe", "losses", "people"):
        if not isinstance(result.get(field), dict):
            raise wrong(field, "an object", result.get(field))
    numbers = {field: result.get(field) for field in ("steps", "seconds", "pck_train")}
    numbers |= {f"losses.{name}": result["losses"].get(name) for name in LOSSES}
    numbers |= {field: result[field] for field in ("hardness", "hardness_se") if result.get(field) is not None}
    for field, value in numbers.items():
        if not _is_number(value):
            raise wrong(field, "a number", value)
    result = {"hardness": None, "hardness_se": None, **result}
    looks = result["looks"] if isinstance(result.get("looks"), list) else []
    for field in ("looks", "pck_by_look", "pck_train_by_look"):
        values = result.get(field)
        if not isinstance(values, list) or not values or not all(map(_is_number, values)) or len(values) != len(looks):
            raise wrong(field, "a number of each look at the validation people", values)
    people = result["people"]
    for name, of in COUNTS.items():
        hits, counted = people.get(name), people.get(of)
        for field, values in ((of, counted), (name, hits)):
            if not isinstance(values, list) or not values or not all(map(_is_count, values)):
                raise wrong(f"people.{field}", "a number of joints of each person", values)
        if len(hits) != len(counted) or any(hit > most for hit, most in zip(hits, counted)):
            raise wrong(f"people.{name}", f"at most people.{of} of each person", hits)
    return result


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < LARGEST and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def check_alike(results: list[tuple[Path, dict[str, Any]]]) -> None:
    """UserError where two runs were measured on other people, or two of an arm after other epochs: differences are
    taken person by person, means look by look. And where two learnt from other people, though their recipes ask for as
    many: an arm would be compared with another dataset."""
    first_path, first = results[0]
    of_many: dict[Any, tuple[Path, Any]] = {}
    of_arm: dict[str, tuple[Path, Any]] = {}
    for path, result in results:
        for field in sorted(set(COUNTS.values())):
            if result["people"][field] != first["people"][field]:
                raise UserError(f"{path}: people.{field}: measured on other people than {first_path}")
        many = tuple(result["recipe"].get(name) for name in ("train_people", "limit"))
        if trained := result.get("trained_on"):  # older results do not say it
            other, learnt_from = of_many.setdefault(many, (path, trained))
            if trained != learnt_from:
                raise UserError(f"{path}: trained_on: learnt from other people than {other}; take another --out")
        before, looks = of_arm.setdefault(result["arm"], (path, result["looks"]))
        if result["looks"] != looks:
            raise UserError(f"{path}: looks: expected those of {before}, {short(looks)}, got {short(result['looks'])}")
