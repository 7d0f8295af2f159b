"""The demo set's pool of body parts: cut from its training photos on first use, then kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from asda_fast.data import demo_root
from asda_fast.parts.build import build_pool
from asda_fast.parts.cut import Filters


def path() -> Path:
    """Where the pool is kept: $ASDA_FAST_CACHE, else ~/.cache/asda_fast. Another demo set is another file."""
    cache = os.environ.get("ASDA_FAST_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made_from = (demo_root() / "annotations" / "person_keypoints_train.json").read_bytes()
    name = f"demo-pool-{hashlib.sha256(made_from).hexdigest()[:12]}.safetensors"
    return (Path(cache) if cache else home / "asda_fast") / name


def ready() -> Path:
    """The pool file, built if it is not there yet."""
    out, root = path(), demo_root()
    if not out.is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        small = Filters(min_area=12**2)  # the demo's photos are small: the paper's 35^2 would leave no arm and no face
        folders = (root / "train", root / "labels" / "train")
        build_pool(*folders, "lip", out, instances=root / "instances" / "train", filters=small)
    return out
