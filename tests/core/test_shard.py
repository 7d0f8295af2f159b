"""Which part of the work is whose."""

from __future__ import annotations

import pytest

from asda_fast.core.errors import UserError
from asda_fast.core.shard import Shard, from_environment, parse


@pytest.mark.parametrize(("values", "found"), [
    ({}, None),
    ({"RANK": "0", "WORLD_SIZE": "1"}, None),
    ({"RANK": "3", "WORLD_SIZE": "4"}, (3, 4)),
    ({"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "1",
      "SLURM_ARRAY_TASK_STEP": "2"}, (2, 3)),
    ({"RANK": "1", "WORLD_SIZE": "2", "SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "9"}, (1, 2)),
])  # fmt: skip
def test_environment(values: dict[str, str], found: tuple[int, int] | None) -> None:
    shard = from_environment(values)
    assert (None if shard is None else (shard.index, shard.count)) == found


@pytest.mark.parametrize("values", [
    {"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "x", "WORLD_SIZE": "2"},
    {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "1"},
])  # fmt: skip
def test_a_wrong_environment_is_named(values: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"^shard: .*(RANK|SLURM_ARRAY_TASK_ID)"):
        from_environment(values)


def test_text() -> None:
    assert parse("0/3") == Shard(0, 3)
    for text in ("3/3", "1", "-1/3", "a/b", "1/0", ""):
        with pytest.raises(UserError, match=r"^shard: expected I/N"):
            parse(text)
