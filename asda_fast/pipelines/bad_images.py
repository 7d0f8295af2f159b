"""What happens when a photo cannot be read: an error that names it, or a substitute that is the same every time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import numpy as np

from asda_fast.core.errors import UserError
from asda_fast.core.images import BadImage
from asda_fast.data.people import People
from asda_fast.data.plan import GlobalAug, Plan, place

POLICIES = ("error", "skip")
LISTED = 5  # files named in a report
log = logging.getLogger("asda_fast")


class BadImages:
    """Counts bad photos and offers the rows that stand in for them. Used by several threads at once.

    The substitute of a row is the next row of the table that has another photo (from the end on to the start), with
    its own draw of the epoch: it depends on nothing but (seed, epoch, row) and on which photos are bad.
    """

    def __init__(self, people: People, size: tuple[int, int], seed: int, aug: GlobalAug | None, policy: str) -> None:
        if policy not in POLICIES:
            raise UserError(f"on_bad_image: expected one of {', '.join(POLICIES)}, got {policy!r}")
        self.people, self.size, self.seed, self.aug, self.policy = people, size, seed, aug, policy
        self.files: dict[str, str] = {}  # name -> reason
        self.skipped = 0  # samples that were replaced
        self._lock = threading.Lock()

    def substitutes(self, row: int, epoch: int, bad: BadImage) -> Iterator[Plan]:
        """One-sample plans to try in place of `row`. Raises a UserError where the policy is error, and when nobody is
        left."""
        if self.policy == "error":
            raise UserError(f"{bad.name}: {bad.reason} (on_bad_image='skip' goes on without it)") from bad
        with self._lock:
            self.skipped += 1
            self.files.setdefault(bad.name, bad.reason)
        tried = {int(self.people.file[row])}
        for step in range(1, len(self.people)):
            other = (row + step) % len(self.people)
            if int(self.people.file[other]) not in tried:
                tried.add(int(self.people.file[other]))
                yield place(self.people, np.array([other]), self.size, epoch=epoch, seed=self.seed, aug=self.aug)
        raise UserError(f"{bad.name}: {bad.reason}, and no other photo of {self.people.name} can be read either")

    def note(self, bad: BadImage) -> None:
        """Remember a bad photo that was met while looking for a substitute."""
        with self._lock:
            self.files.setdefault(bad.name, bad.reason)

    def report(self) -> None:
        """Log what was skipped so far, one line; nothing if all was well."""
        if not self.skipped:
            return
        shown = "; ".join(f"{name}: {reason}" for name, reason in sorted(self.files.items())[:LISTED])
        more = f"; and {len(self.files) - LISTED} more" if len(self.files) > LISTED else ""
        log.warning("replaced %d samples of %d bad photos: %s%s", self.skipped, len(self.files), shown, more)
