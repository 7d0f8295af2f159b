"""Adversaries: where the parts of a batch are pasted, so that the pose network finds it hard; and how hard it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asda_fast.core import lazy

if TYPE_CHECKING:
    from asda_fast.adversary.base import Choice, Placer
    from asda_fast.adversary.critic import Critic
    from asda_fast.adversary.generator import Generated
    from asda_fast.adversary.hardness import Hardness, held_out, measure
    from asda_fast.adversary.scene import Scene
    from asda_fast.adversary.selection import Cover, Search

__all__ = ["Choice", "Cover", "Critic", "Generated", "Hardness", "Placer", "Scene", "Search", "held_out", "measure"]

__getattr__, __dir__ = lazy.exports(
    __name__,
    {
        **{name: f"asda_fast.adversary.base:{name}" for name in ("Placer", "Choice")},
        **{name: f"asda_fast.adversary.hardness:{name}" for name in ("Hardness", "held_out", "measure")},
        **{name: f"asda_fast.adversary.selection:{name}" for name in ("Cover", "Search")},
        "Critic": "asda_fast.adversary.critic:Critic",
        "Generated": "asda_fast.adversary.generator:Generated",
        "Scene": "asda_fast.adversary.scene:Scene",
    },
)
