"""python -m tools.limb_agreement --labels DIR --poses DIR [--scheme lip]: limbs from joints beside maps.

For photos that have both a label map and an OpenPose BODY_25 file: of the pixels that the map calls an arm (bare skin)
or a leg, how many get the same limb from the joints and the person's outline alone (parts/limbs.py), how many the other
side, and the intersection over union of the heads.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from asda_fast.parts.instances import Joint, Person
from asda_fast.parts.limbs import HEAD, LIMBS, limb_map
from asda_fast.parts.read import read_map
from asda_fast.parts.scheme import load_scheme

BODY_25 = {
    "nose": 0, "right_shoulder": 2, "right_elbow": 3, "right_wrist": 4, "left_shoulder": 5, "left_elbow": 6,
    "left_wrist": 7, "right_hip": 9, "right_knee": 10, "right_ankle": 11, "left_hip": 12, "left_knee": 13,
    "left_ankle": 14, "right_eye": 15, "left_eye": 16, "right_ear": 17, "left_ear": 18,
}  # fmt: skip
NAMES = {3: "Left-arm", 4: "Right-arm", 5: "Left-leg", 6: "Right-leg"}
OTHER_SIDE = {3: 4, 4: 3, 5: 6, 6: 5}


def pose_of(path: Path) -> dict[str, Joint]:
    """The joints of the first person in an OpenPose file."""
    values = json.loads(path.read_text())["people"][0]["pose_keypoints_2d"]
    rows = {name: values[3 * i : 3 * i + 3] for name, i in BODY_25.items()}
    return {name: (x, y, 2) for name, (x, y, confidence) in rows.items() if confidence > 0}


def agreement(label: np.ndarray, joints: dict[str, Joint], scheme: str) -> dict[str, tuple[int, int, int]]:
    """name -> (pixels, those that agree, those of the other side); for the head (union, intersection, 0)."""
    ids = {name: i for i, name in load_scheme(scheme).labels.items()}
    made, _ = limb_map((Person("it", None, [0], joints),), (label > 0).astype(np.uint8))
    found = {}
    for limb in LIMBS:
        mine = label == ids[NAMES[limb]]
        if (made == limb).any() and mine.any():
            same, other = ((made[mine] == kind).sum() for kind in (limb, OTHER_SIDE[limb]))
            found[NAMES[limb]] = int(mine.sum()), int(same), int(other)
    head = np.isin(label, [ids[name] for name in ("Hat", "Hair", "Sunglasses", "Face")])
    if (made == HEAD).any():
        found["Head"] = int((head | (made == HEAD)).sum()), int((head & (made == HEAD)).sum()), 0
    return found


def main() -> None:
    out = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("labels", "poses"):
        out.add_argument(f"--{name}", type=Path, required=True)
    out.add_argument("--scheme", default="lip")
    options = out.parse_args()
    totals: dict[str, np.ndarray] = {}
    for path in sorted(options.labels.glob("*.png")):
        pose = options.poses / f"{path.stem}_keypoints.json"
        for name, row in agreement(read_map(path), pose_of(pose), options.scheme).items():
            totals[name] = totals.get(name, np.zeros(3, int)) + row
    for name, (pixels, same, other) in totals.items():
        kind = "intersection over union" if name == "Head" else "of its pixels agree"
        print(f"{name:10s} {same / pixels:6.1%} {kind}" + ("" if name == "Head" else f", {other / pixels:.1%} swapped"))


if __name__ == "__main__":
    main()
