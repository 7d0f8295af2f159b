"""What is pasted and how, as options: the record that training and preview share. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from asda_fast.augment import AUGMENTATIONS
from asda_fast.core.errors import UserError
from asda_fast.core.options import AtLeast, Between, check, keyword_values

if TYPE_CHECKING:
    from asda_fast.augment.base import Augmentation
    from asda_fast.ops import PasteFormat
    from asda_fast.parts.pool import PartPool


@dataclass(frozen=True)
class PasteOptions:
    """What an augmentation pastes."""

    augment: Annotated[str, AUGMENTATIONS] = "asda"
    """what is pasted: none | cutout (holes; RTMPose's with --augment-options preset=rtmpose) | ror (keypoint masking) |
    objects | sda (parts at random) | asda (parts where a generator puts them) | module:CLASS of your own"""
    augment_options: tuple[str, ...] = ()
    """NAME=VALUE options of the augmentation's own class, e.g. extent=0.2,0.4 for cutout"""
    objects: str | None = None
    """folder of RGBA cut-outs for --augment objects"""
    parts: Annotated[int, AtLeast(0)] = 1
    """parts pasted per person (the paper's best is 1)"""
    parts_least: Annotated[int | None, AtLeast(0)] = None
    """fewest parts, where their number is drawn anew for each person (the paper's Table 5 fixes it) [--parts]"""
    paste_probability: Annotated[float, Between(0, 1)] = 1.0
    """share of the people who get parts at all"""
    part_types: tuple[str, ...] | None = None
    """only these part types, e.g. Left-arm Right-arm [all that the pool has]"""
    paste_half_bodies: bool = False
    """also paste on crops that were narrowed to a half body (the released code does not)"""
    paste_min_joints: Annotated[int, AtLeast(0)] = 0
    """only on people with so many labelled joints (the released code: 8 on COCO)"""
    patch_flip: Annotated[float, Between(0, 1)] = 0.0
    """probability to mirror a patch; left and right stay true"""
    colour_jitter: Annotated[float, Between(0, 1, below=True)] = 0.0
    """brightness, contrast and tint of each patch change by up to this share"""
    max_rotation: Annotated[float, AtLeast(0)] = 90.0
    """sda: r is uniform within this many degrees either way"""
    max_shift: Annotated[float, AtLeast(0)] = 1.0
    """sda: tx and ty are uniform within this many half crops either way"""
    scale_range: tuple[float, float] = (0.7, 1.3)
    """sda and asda: s is uniform in this range"""
    placement: Literal["paper", "reference"] = "paper"
    """conventions: the paper's, or the released code's for its checkpoints"""

    def __post_init__(self) -> None:
        check(self)
        if self.parts == 0 and self.augment in ("sda", "asda"):
            raise UserError(
                f"parts: expected at least 1 with augment {self.augment}, got 0 (augment none pastes nothing)"
            )
        if self.parts_least is not None and self.parts_least > self.parts:
            raise UserError(f"parts_least: expected at most `parts` {self.parts}, got {self.parts_least}")
        if not 0 < self.scale_range[0] <= self.scale_range[1] < float("inf"):
            raise UserError(f"scale_range: expected 0 < low <= high, got {self.scale_range}")
        keyword_values(self.augment_options, "augment_options")

    @property
    def needs_pool(self) -> bool:
        """Whether the augmentation pastes body parts of a pool. Imports its class."""
        return bool(AUGMENTATIONS.load(self.augment).needs_pool)

    def build(self, pool: PartPool | None, seed: int, paste_format: PasteFormat | None = None) -> Augmentation:
        """The augmentation, which writes images of that format. UserError for what the pool or folder has not."""
        import math

        from asda_fast.augment import Ranges, Rules, build

        least = self.parts if self.parts_least is None else self.parts_least
        options: dict[str, Any] = {"parts": (least, self.parts), "seed": seed, "mode": self.placement}
        options["objects"] = self.objects
        if paste_format is not None:
            options["paste_format"] = paste_format
        if self.needs_pool:  # sda and all that derive from it
            turn, shift = math.radians(self.max_rotation), self.max_shift
            options["ranges"] = Ranges(self.scale_range, (-turn, turn), (-shift, shift), (-shift, shift))
            options["rules"] = Rules(
                self.paste_probability, self.part_types, not self.paste_half_bodies, self.paste_min_joints,
                self.patch_flip,
            )  # fmt: skip
            options["jitter"] = self.colour_jitter
        options |= keyword_values(self.augment_options, "augment_options")
        try:
            return build(self.augment, pool, **options)
        except UserError:
            raise
        except (ValueError, TypeError) as error:  # a part type that the pool has not, an option that the class has not
            words = str(error)
            if words.startswith("types: "):  # of sampling.Rules
                raise UserError(f"part_types: {words.removeprefix('types: ')}") from None
            raise UserError(f"augment {self.augment}: {words}") from None
