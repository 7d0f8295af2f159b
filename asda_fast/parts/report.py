"""What a build kept, what it left out or did otherwise, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from asda_fast.parts.cut import OUTCOMES

Outcomes = Counter[tuple[str, str]]  # (type, what became of it) -> components


@dataclass
class Notes:
    """What was left out or done otherwise, by kind: how often, and the first of them in the order of their names."""

    kinds: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, kind: str, example: str, count: int = 1) -> None:
        if count:
            before, first = self.kinds.get(kind, (0, example))
            self.kinds[kind] = before + count, min(first, example)

    def update(self, other: Notes) -> None:
        for kind, (count, example) in other.kinds.items():
            self.add(kind, example, count)


@dataclass
class PoolReport:
    """Of one build."""

    scheme: str
    photos: int = 0  # usable pairs
    excluded: int = 0  # photos that the exclusion list names
    seconds: float = 0.0  # wall time of the cutting, without what a resume found done
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # type -> outcome -> components
    problems: list[str] = field(default_factory=list)  # one line per photo or map that was skipped
    notes: Notes = field(default_factory=Notes)  # the same by kind, and what else was left out or done otherwise

    def add(self, outcomes: Outcomes) -> None:
        for (type_, outcome), count in outcomes.items():
            row = self.counts.setdefault(type_, dict.fromkeys(OUTCOMES, 0))
            row[outcome] += count

    def skip(self, problems: Iterable[tuple[str, str]]) -> None:
        """Note photos or maps that cannot be used: (kind, one line that names the file)."""
        for kind, line in problems:
            self.problems.append(line)
            self.notes.add(f"skipped, {kind}", line)

    @property
    def kept(self) -> int:
        return sum(row["kept"] for row in self.counts.values())

    def to_dict(self) -> dict[str, Any]:
        notes = {kind: {"count": count, "first": first} for kind, (count, first) in self.notes.kinds.items()}
        return {**asdict(self), "notes": notes}
