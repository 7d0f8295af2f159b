"""What asda_fast's metadata requires: names and versions stand in pyproject.toml alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

from asda_fast.pipelines.dali_version import numbers


@dataclass(frozen=True)
class Requirement:
    """A line of metadata, such as 'nvidia-cuda-nvrtc<14,>=13; extra == "cuda13"'."""

    name: str
    bounds: tuple[tuple[str, str], ...] = ()  # (">=", "13"), ("<", "14")
    extra: str | None = None

    @classmethod
    def parse(cls, line: str) -> Requirement:
        asked, _, marker = line.partition(";")
        name = re.match(r"[A-Za-z0-9._-]+", asked.strip())
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
        bounds = re.findall(r"(>=|<=|==|!=|~=|<|>)\s*([\w.+*]+)", asked)
        return cls(name[0] if name else asked.strip(), tuple(sorted(bounds, reverse=True)), extra[1] if extra else None)

    def met(self, version: str) -> bool:
        """Whether a version lies within the bounds: by their numbers, and those of >=, <=, < and > alone."""
        for sign, bound in self.bounds:
            have, want = numbers(version), numbers(bound)
            size = max(len(have), len(want))
            a, b = (n + (0,) * (size - len(n)) for n in (have, want))
            if not {">=": a >= b, "<=": a <= b, "<": a < b, ">": a > b}.get(sign, True):
                return False
        return True

    def __str__(self) -> str:
        """As pip takes it, quoted for a shell."""
        bounds = ",".join(sign + bound for sign, bound in self.bounds)
        return f"'{self.name}{bounds}'" if bounds else self.name


def of_extra(lines: tuple[str, ...], extra: str) -> list[Requirement]:
    """The requirements of one extra."""
    return [found for found in map(Requirement.parse, lines) if found.extra == extra]


def needed(lines: tuple[str, ...]) -> list[Requirement]:
    """What every use requires."""
    return [found for found in map(Requirement.parse, lines) if found.extra is None]
