"""Does a Person table look like people in photos? What no format's reader can tell from its own fields, of any dataset.

Values in another unit or layout train a network on garbage in silence: most people so is refused, a few are said.
"""

from __future__ import annotations

import numpy as np

from asda_fast.core.images import BadImage, read_bytes, size_of
from asda_fast.core.skeletons import Skeleton
from asda_fast.data.people import PIXEL_STD, People
from asda_fast.data.strangers import lost

SPREAD = 0.03  # of their region: joints of a whole person spread wider (the least of MPII's 2,958 is 0.18)
WHOLE = 8  # labelled joints that make a whole person
LOOKED_AT = 64  # photos whose size is looked up, spread over the table
MANY = 3  # people or photos below which nothing is refused
STRANGE = 0.1  # share of the photos looked at from which they are refused: of LSP-extended's 4,000 it is none
STANDING = 20  # people below whom nothing is told from how they stand
CORNER = 0.6  # of a photo's width and height, beyond which somebody has a joint
FACING = 0.3  # share of people with both eyes labelled whose left one lies right in the photo: nearly all
LYING = 0.55  # share of people that lie: 0.29 of LSP-extended's sportsmen, under 0.1 of COCO's and MPII's
TOP, BOTTOM, ANIMAL = ("head", "neck", "nose", "eye", "shoulder"), ("ankle", "knee"), ("paw", "tail", "hoof", "withers")


def refusal(people: People) -> str | None:
    """What makes the table no use, with the first photo; None where nothing does."""
    photo = people.image_size[people.file][:, ::-1].astype(np.float64)
    reach = people.scale[:, None] * PIXEL_STD / 2
    edge = np.where(photo > 0, photo, np.inf)
    away = np.flatnonzero(((people.centre + reach <= 0) | (people.centre - reach >= edge)).any(axis=1))
    if len(away):
        (x, y), half = people.centre[away[0]], float(reach[away[0], 0])
        return (
            f"{len(away)} people lie wholly outside their photo, the first at x {x - half:.0f} to {x + half:.0f}, "
            f"y {y - half:.0f} to {y + half:.0f} of {_photo(people, away[0])}"
        )
    spread, whole = _spread(people)
    tiny = whole & (spread < SPREAD)
    if whole.sum() >= MANY and 2 * tiny.sum() > whole.sum():
        return (
            f"scale: joints spread over {100 * float(np.median(spread[whole])):.2g} % of their person's region, which "
            f"is {PIXEL_STD:g} x scale pixels: expected most of it; scale in pixels? The first: "
            f"{_photo(people, np.flatnonzero(tiny)[0])}"
        )
    return None


def remarks(people: People) -> list[str]:
    """What is odd, and read all the same, a line each. No photo is looked at."""
    spread, whole = _spread(people)
    tiny = np.flatnonzero(whole & (spread < SPREAD))
    found = []
    if len(tiny):
        found.append(
            f"{len(tiny)} people whose joints spread over less than {SPREAD:.0%} of their region (200 x scale), the "
            f"first in {_photo(people, tiny[0])}"
        )
    if twice := _twice(people):
        found.append(f"{twice} people have the very joints of somebody before them")
    hidden = people.visible > 0
    if len(people) >= STANDING and hidden.any() and (people.visible[hidden] == 1).all():
        found.append("all labelled joints are marked as occluded (1): are 1 and 2, or 0 and 1, what the file means?")
    if away := _cornered(people):
        found.append(away)
    if posture := _posture(people.joints.astype(np.float64), people.visible, people.skeleton):
        found.append(posture)
    return found


def strangers(people: People) -> tuple[int, list[tuple[str, str]]]:
    """Of photos of no declared size, how many were looked at, and which have not the people annotated, with what tells
    so (strangers.py). Photos that cannot be read are for whoever reads them whole."""
    rows = np.flatnonzero(people.image_size[people.file].min(axis=1) == 0)
    files = np.unique(people.file[rows])
    files = files[np.linspace(0, len(files) - 1, min(len(files), LOOKED_AT)).astype(int)] if len(files) else files
    looked, found = 0, []
    for file in files.tolist():
        name = people.files[file]
        try:
            why = lost(people, np.flatnonzero(people.file == file), size_of(read_bytes(name), name))
        except BadImage:
            continue
        looked += 1
        if why is not None:
            found.append((name, why))
    return looked, found


def _twice(people: People) -> int:
    """How many people have the joints of another, to the bit: one person twice, or a template left as it is."""
    whole = (people.visible > 0).sum(axis=1) >= MANY
    marks = [row.tobytes() for row in people.joints[whole]]
    return len(marks) - len(set(marks))


def _cornered(people: People) -> str | None:
    """What it means where nobody has a joint in the right or the lower part of a photo of declared size."""
    size = people.image_size[people.file].astype(np.float64)
    there = (size > 0).all(axis=1)
    if len(np.unique(people.file[there])) < STANDING:
        return None
    part = np.where(people.visible[there, :, None] > 0, people.joints[there] / size[there][:, None, ::-1], 0)
    if part.max() >= CORNER:
        return None
    return f"nobody has a joint beyond {part.max():.0%} of a photo: are the joints of smaller copies of the photos?"


def _photo(people: People, row: int | np.integer) -> str:
    return people.files[people.file[row]]


def _spread(people: People) -> tuple[np.ndarray, np.ndarray]:
    """[P] the longer side of the rectangle round the labelled joints, of the region's; [P] whether a whole person."""
    known = people.visible > 0
    whole = known.sum(axis=1) >= min(WHOLE, known.shape[1])
    low, high = (np.where(known[..., None], people.joints, edge) for edge in (np.inf, -np.inf))
    side = np.where(whole, (high.max(axis=1) - low.min(axis=1)).max(axis=1), 0)
    return side / (people.scale * PIXEL_STD), whole


def _posture(joints: np.ndarray, visible: np.ndarray, skeleton: Skeleton) -> str | None:
    """What it means where most people lie on their side, stand on their head or are mirrored."""
    names = [name.lower() for name in skeleton.joints]
    if not any("ankle" in name for name in names) or any(word in name for name in names for word in ANIMAL):
        return None
    top, bottom = (
        _middle(joints, visible > 0, [i for i, name in enumerate(names) if any(word in name for word in words)])
        for words in (TOP, BOTTOM)
    )
    up = (bottom - top)[np.isfinite(bottom - top).all(axis=1)]
    eyes = [names.index(name) for name in ("left_eye", "right_eye") if name in names]
    if len(eyes) == 2 and (both := (visible[:, eyes] == 2).all(axis=1)).sum() >= STANDING:
        share = float((joints[both, eyes[0], 0] > joints[both, eyes[1], 0]).mean())
        if share < FACING:
            return f"the left eye is left of the right one in {1 - share:.0%} of photos: is left the viewer's left?"
    if len(up) < STANDING:
        return None
    if (np.abs(up[:, 0]) > 1.5 * np.abs(up[:, 1])).mean() > LYING:
        return f"most of {len(up)} people lie on their side: are x and y swapped?"
    if (-up[:, 1] > 1.5 * np.abs(up[:, 0])).mean() > LYING:
        return f"most of {len(up)} people stand on their head: is y measured from the photo's lower edge?"
    return None


def _middle(joints: np.ndarray, known: np.ndarray, members: list[int]) -> np.ndarray:
    """[P, 2] mean of those joints that are labelled; nan where none is."""
    known, joints = known[:, members, None], joints[:, members]
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, joints, 0).sum(axis=1) / np.maximum(count, 1), np.nan)
