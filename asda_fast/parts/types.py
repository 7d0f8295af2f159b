"""The 26 part types of the paper: names, usual sizes, and what a mirror makes of each."""

from __future__ import annotations

# The 25 types of the released generator's output, in its order (REFERENCE.md 2.1), then Glove: the paper's 26.
TYPES: tuple[str, ...] = (
    "Left-arm",
    "Right-arm",
    "Left-leg",
    "Right-leg",
    "Upper-body",
    "Upper-body-with-head",
    "Lower-body",
    "Left-leg-with-shoe",
    "Right-leg-with-shoe",
    "All",
    "Hat",
    "Hair",
    "Sunglasses",
    "Face",
    "Head",
    "UpperClothes",
    "Dress",
    "Coat",
    "Socks",
    "Pants",
    "Jumpsuits",
    "Scarf",
    "Skirt",
    "Left-shoe",
    "Right-shoe",
    "Glove",
)

# Patch diagonal / body diagonal of each type in the released code (REFERENCE.md 2.2); Glove is not in it: as a shoe.
SHARE: tuple[float, ...] = tuple(
    {
        **dict.fromkeys(("Left-arm", "Right-arm", "Left-leg", "Right-leg", "UpperClothes", "Dress", "Coat"), 0.3),
        **dict.fromkeys(("Hat", "Hair", "Face", "Head"), 0.2),
        **dict.fromkeys(("Sunglasses", "Socks", "Scarf", "Skirt", "Left-shoe", "Right-shoe", "Glove"), 0.1),
        **dict.fromkeys(("Pants", "Upper-body", "Left-leg-with-shoe", "Right-leg-with-shoe"), 0.4),
        **dict.fromkeys(("Upper-body-with-head", "Lower-body"), 0.5),
        "Jumpsuits": 0.7,
        "All": 0.9,
    }[name]
    for name in TYPES
)


def mirrored(name: str) -> str:
    """The type that a mirror makes of `name`: Left-arm <-> Right-arm; a type without a side stays."""
    for side, other in (("Left-", "Right-"), ("Right-", "Left-")):
        if name.startswith(side):
            return other + name[len(side) :]
    return name
