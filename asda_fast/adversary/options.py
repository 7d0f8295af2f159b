"""Which adversary places the parts, and what it may cost, as options. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from asda_fast.core.errors import UserError
from asda_fast.core.options import AtLeast, Between, check

if TYPE_CHECKING:
    import torch

    from asda_fast.adversary.base import Placer
    from asda_fast.core.skeletons import Skeleton

PAIRS = 16384  # lessons that the critic keeps of pairs: what was learnt a thousand steps ago still helps
SEARCHED = 4  # placements that search tries unless told otherwise


@dataclass(frozen=True)
class AdversaryOptions:
    """Who chooses where parts are pasted (with augment asda)."""

    adversary: Literal["generator", "search", "cover", "critic"] = "generator"
    """asda: who places the parts; in brackets the cost of a step beside a plain one of HRNet-W32, and how hard the
    places are (0: as random ones, 1: the worst of 32). generator: the paper's network, by the gradient through the
    paste (1.8, .04) | search: the hardest of --verify random places, by forward passes (of 4: 2.0, .34) | cover: the
    place that hides most of the joints, nothing is learned (with --clean-pass 1.2, .21) | critic: a small network that
    learns from the losses of training itself which places are hard (1.0, .30; with --verify 4 --verify-share 0.35
    1.3, .52)"""
    verify: Annotated[int | None, AtLeast(1)] = None
    """proposals that the pose network judges by a forward pass, to take the hardest; 1: none is judged [search 4, else
    1]"""
    verify_share: Annotated[float, Between(0, 1)] = 1.0
    """cover, critic: share of each batch whose proposals are judged, those to whom the scores promise most"""
    candidates: Annotated[int, AtLeast(2)] = 64
    """cover, critic: random places that are scored for each part"""
    part_choices: Annotated[int, AtLeast(1)] = 1
    """search, cover, critic: parts that are drawn for each slot, over which the candidates are spread, so that the part
    is chosen with its place; never one that covers more than the first, or size would decide"""
    pairs: bool = False
    """critic: everybody of a batch twice, with the same part (of part_choices, two of them) at two places, from whose
    difference it learns at no cost; half as many people a step, so an epoch has twice the steps (half as many epochs
    are the same work)"""
    clean_pass: bool = False
    """cover, critic: first let the pose network look at the clean crop"""
    half_resolution: bool = False
    """make those passes at half the resolution: a quarter of their cost, and less sharp a judge"""
    explore: Annotated[float, Between(0, 1, below=True)] = 0.3
    """critic: share of the proposals in training that are random, to learn from"""
    target_hardness: Annotated[float, Between(0, 1)] = 1.0
    """cover, critic: propose the candidate whose score is nearest to this share of the way from the mean of a person's
    candidates to the best: 1 is as hard as can be, 0 like chance; of several that are verified the hardest is taken"""
    solvable: Annotated[float, AtLeast(0)] = 0.0
    """search, cover, critic: of the proposals that are judged take not the one of the largest loss, but of the largest
    loss minus so much of its teacher's, the mean of the weights (--ema): hard, yet solvable. 1 is TeachAugment's; as
    many forward passes again as --verify says [0: off]"""
    adversary_from: Annotated[int, AtLeast(1)] = 1
    """asda: the epoch in which the adversary begins; until then parts lie at random, and it does not learn"""

    def __post_init__(self) -> None:
        check(self)
        verify = self.verified
        if self.verify_share <= 0 or (self.verify_share < 1 and (verify == 1 or self.adversary == "search")):
            needs = "1, or more than 0 with verify 2 or more of cover or critic"
            raise UserError(f"verify_share: expected {needs}, got {self.verify_share}")
        if self.target_hardness < 1 and self.adversary in ("generator", "search"):
            raise UserError(f"target_hardness: expected adversary cover or critic beside it, got {self.adversary}")
        if self.solvable and verify < 2:
            had = "generator" if self.adversary == "generator" else f"{self.adversary} with verify {verify}"
            raise UserError(f"solvable: expected adversary search, cover or critic with verify 2 or more, got {had}")
        if self.pairs and self.adversary != "critic":
            raise UserError(f"pairs: expected adversary critic beside it, got {self.adversary}")
        if self.pairs and (self.clean_pass or self.adversary_from > 1):
            raise UserError("pairs: expected neither clean_pass nor a late adversary_from beside it, got one")
        if self.adversary == "generator":
            if self.verify is not None:
                raise UserError(f"verify: expected adversary search, cover or critic beside it, got {self.adversary}")
        elif self.adversary == "search":
            if verify < 2:
                raise UserError(f"verify: expected at least 2 places to search among, got {verify}")
            if self.part_choices > verify:
                raise UserError(f"part_choices: expected at most verify ({verify}) parts, got {self.part_choices}")
        elif verify >= self.candidates or self.candidates % verify:
            raise UserError(f"verify: expected a proper divisor of candidates ({self.candidates}), got {verify}")
        elif self.part_choices > self.candidates:
            most = f"candidates ({self.candidates})"
            raise UserError(f"part_choices: expected at most {most} parts, got {self.part_choices}")

    @property
    def verified(self) -> int:
        """`verify`, also where it was left out."""
        return self.verify or (SEARCHED if self.adversary == "search" else 1)

    @property
    def asks(self) -> bool:
        """Whether the pose network is asked, by forward passes of its own."""
        return self.verified > 1 or self.clean_pass

    def build(
        self, types: int, skeleton: Skeleton, people: int, seed: int, device: torch.device | str = "cpu"
    ) -> Placer | None:
        """The adversary; None for the generator, whose network the trainer makes. people: rows of the training data."""
        from asda_fast.adversary.critic import Critic
        from asda_fast.adversary.selection import Cover, Search

        if self.adversary == "generator":
            return None
        options: dict[str, Any] = {
            "verify": self.verified, "reduced": self.half_resolution, "parts": self.part_choices,
            "solvable": self.solvable, "seed": seed,
        }  # fmt: skip
        if self.adversary == "search":
            return Search(skeleton.edges, **options)
        options |= {"candidates": self.candidates, "share": self.verify_share}
        options |= {"clean": self.clean_pass, "target": self.target_hardness}
        if self.adversary == "cover":
            return Cover(skeleton.edges, **options)
        if self.pairs:
            options["memory"] = PAIRS
        shape = (types, len(skeleton.joints), skeleton.edges)
        return Critic(*shape, people=people, device=device, explore=self.explore, **options)
