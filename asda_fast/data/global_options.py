"""The global augmentation as options of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated

from asda_fast.core.options import Between, check
from asda_fast.data.plan import GlobalAug


@dataclass(frozen=True)
class GlobalOptions:
    """How the whole crop is turned, sized and mirrored before anything is pasted (GlobalAug). What is left out is as
    the dataset's preset has it."""

    flip: Annotated[float | None, Between(0, 1)] = None
    """probability that a crop is mirrored [preset]"""
    rotation: Annotated[float | None, Between(0, 180)] = None
    """crops are turned by up to so many degrees, either way (HRNet's ROT_FACTOR); parts are by --max-rotation
    [preset]"""
    scale: Annotated[float | None, Between(0, 1, below=True)] = None
    """crops are sized by a random factor of 1 +- this: 0.25 is 0.75 to 1.25 (HRNet's SCALE_FACTOR) [preset]"""
    half_body: Annotated[float | None, Between(0, 1)] = None
    """probability that a crop shows the upper or the lower body alone (HRNet's PROB_HALF_BODY) [preset]"""

    def __post_init__(self) -> None:
        check(self)

    def resolved(self, preset: GlobalAug) -> GlobalOptions:
        """With what was left out as the preset has it."""
        return GlobalOptions(
            **{f.name: getattr(self if getattr(self, f.name) is not None else preset, f.name) for f in fields(self)}
        )

    def of(self, preset: GlobalAug) -> GlobalAug:
        """The preset with these changes; how a draw is distributed stays as it has it."""
        return replace(preset, **asdict(self.resolved(preset)))
