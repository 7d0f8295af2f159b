"""Adversaries: where the parts of a batch are pasted, so that the pose network finds it hard; and how hard it is."""

from asda_fast.adversary.base import Adversary, Choice
from asda_fast.adversary.critic import Critic
from asda_fast.adversary.generator import Generated
from asda_fast.adversary.hardness import Hardness, held_out, measure
from asda_fast.adversary.scene import Scene
from asda_fast.adversary.selection import Cover, Search

__all__ = [
    "Adversary",
    "Choice",
    "Cover",
    "Critic",
    "Generated",
    "Hardness",
    "Scene",
    "Search",
    "held_out",
    "measure",
]
