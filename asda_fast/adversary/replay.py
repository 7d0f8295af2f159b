"""Replay: the latest lessons of a critic, as one ring of tensors on the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from asda_fast.core.random import below, random_bits

LARGEST = 64 * 2**20  # bytes; where a lesson is large (many parts, many joints), fewer are kept


class Replay:
    """At most `capacity` lessons, each a row of every tensor. Draws are counter-based: (seed, number of the draw)."""

    def __init__(self, capacity: int, seed: int) -> None:
        self.capacity, self.seed = capacity, seed
        self.ring: dict[str, Tensor] = {}
        self.filled = self.place = self.draws = 0

    def add(self, lessons: dict[str, Tensor]) -> None:
        """Put rows [n, ...] in the place of the oldest ones."""
        if not self.ring:
            row = sum(value[0].numel() * value.element_size() for value in lessons.values())
            self.capacity = max(1, min(self.capacity, LARGEST // row))
            self.ring = {n: v.new_zeros((self.capacity, *v.shape[1:])) for n, v in lessons.items()}
        count = min(len(next(iter(lessons.values()))), self.capacity)
        head = min(count, self.capacity - self.place)
        for name, ring in self.ring.items():
            rows = lessons[name][-count:]
            ring[self.place : self.place + head] = rows[:head]
            ring[: count - head] = rows[head:]
        self.filled = min(self.filled + count, self.capacity)
        self.place = (self.place + count) % self.capacity

    def draw(self, count: int) -> dict[str, Tensor]:
        """`count` of them, uniformly, with repetition."""
        device = next(iter(self.ring.values())).device
        bits = random_bits(torch.arange(count, device=device), 1, self.seed, self.draws)[:, 0]
        self.draws += 1
        index = below(bits, self.filled)
        return {name: ring[index] for name, ring in self.ring.items()}

    def state_dict(self) -> dict[str, Any]:
        counters = {"filled": self.filled, "place": self.place, "draws": self.draws}
        return {**counters, "ring": {name: ring[: self.filled].clone() for name, ring in self.ring.items()}}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        self.ring, self.filled, self.place = {}, 0, 0
        rows = {name: value.to(device) for name, value in state["ring"].items()}
        larger = state["filled"] > self.capacity
        if larger:  # the newest lessons of a larger memory, oldest first
            rows = {name: value.roll(-state["place"], 0) for name, value in rows.items()}
        if rows and state["filled"]:
            self.add(rows)
        if not larger:
            self.filled, self.place = state["filled"], state["place"]
        self.draws = state["draws"]
