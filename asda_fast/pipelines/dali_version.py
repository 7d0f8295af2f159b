"""Which DALI may decode regions of JPEGs on a GPU, and what is done where it may not.

nvImageCodec, DALI's decoder, breaks at this from 0.9.0 on: INTERNAL_ERROR on A100 and GB200, a segmentation fault on
H100 and B200 (github.com/NVIDIA/nvImageCodec/issues/55, open); 0.8.0 was good. DALI 2.3 and 2.4 require 0.9 or later,
DALI 2.2 requires 0.8: hence `<2.3` in pyproject.toml. Where a newer one is installed all the same, whole photos are
decoded on a GPU. DALI's decoder for the CPU is another one, and not affected.
"""

from __future__ import annotations

import re
import warnings
from importlib import metadata

BROKEN_FROM = (0, 9)  # nvImageCodec; no release after it is known to be good
DALI_WITH_IT = (2, 3)  # where nvImageCodec is not a package of its own


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: (2, 3, 0) of "2.3.0.dev1"; () of what has none."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def codec() -> str | None:
    """nvImageCodec's version, None where it is not installed as a package."""
    for package in ("nvidia-nvimgcodec-cu13", "nvidia-nvimgcodec-cu12"):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return None


def breaks_regions(dali: str, codec: str | None) -> bool:
    """Whether regions of JPEGs on a GPU are known to fail with these versions."""
    if codec is not None:
        return numbers(codec) >= BROKEN_FROM
    return numbers(dali) >= DALI_WITH_IT


def whole(asked: bool | None, device: str, dali: str) -> bool:
    """Whether to decode whole photos: None is what is safe; regions, asked for where they are known to crash, are
    granted. Either has its warning."""
    if device != "cuda" or asked or not breaks_regions(dali, found := codec()):
        return bool(asked)
    which = f"DALI {dali} with nvImageCodec {found or '0.9 or later'}"
    remedy = "'nvidia-dali-cuda130<2.3' (or cuda120) decodes regions safely"
    if asked is None:
        warnings.warn(f"whole photos are decoded: regions of JPEGs crash a GPU in {which}; {remedy}", stacklevel=3)
    else:
        warnings.warn(f"whole=False: regions of JPEGs are known to crash a GPU in {which}; {remedy}", stacklevel=3)
    return asked is None
