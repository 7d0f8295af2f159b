"""What every adversary is: it chooses where the parts of a batch are pasted (some also which parts), and may learn from
what D then lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from asda_fast.adversary.scene import Scene
from asda_fast.augment.sampling import Slots


@dataclass
class Choice:
    """Where the parts go, and whatever the adversary wants to remember of it until it learns."""

    theta: Tensor  # [B, N, 4] s, r, tx, ty
    memory: Any = None
    slots: Slots | None = None  # [B, N] what is pasted there, where the adversary chose that, too; None: the scene's


class Placer:
    """Base of all. `choose`, train D on the result, `learn`: once a batch, in this order; nothing waits for the device.

    Its state is all that an exact resume needs. Over several processes all call `learn` alike, and hold equal states
    after it.
    """

    capturable = False  # whether a CUDA graph may repeat its part of a step: nothing that Python counts or keeps

    def choose(self, scene: Scene, explore: bool) -> Choice:
        """The placement of the scene's slots. explore: also try what seems less hard, to learn from it (training)."""
        raise NotImplementedError

    def learn(self, scene: Scene, choice: Choice, losses: Tensor) -> None:
        """Learn from D's losses [B, J] of the image that `choice` made; those that do not learn ignore it."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """ValueError where the state is of another adversary."""
        if state:
            raise ValueError(f"adversary: expected no state, got {', '.join(sorted(state))[:80]}")
