"""Which pool a command pastes from. The demo's is cut from its training photos on first use, then kept in the cache."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from asda_fast.augment.options import PasteOptions
from asda_fast.core.errors import UserError
from asda_fast.data import demo_root
from asda_fast.parts.build import build_pool
from asda_fast.parts.cut import Filters
from asda_fast.parts.pool import PartPool


def path() -> Path:
    """Where the pool is kept: $ASDA_FAST_CACHE, else ~/.cache/asda_fast. Another demo set is another file."""
    cache = os.environ.get("ASDA_FAST_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made_from = (demo_root() / "annotations" / "person_keypoints_train.json").read_bytes()
    name = f"demo-pool-{hashlib.sha256(made_from).hexdigest()[:12]}.safetensors"
    return (Path(cache) if cache else home / "asda_fast") / name


def ready() -> Path:
    """The pool file, built if it is not there yet. Two processes may come here at once: each builds a file of its own,
    and the last one to finish gives it the name."""
    out, root = path(), demo_root()
    if not out.is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        small = Filters(min_area=8**2)  # the demo's photos are small: the paper's 35^2 would leave no arm and no face
        folders = (root / "train", root / "labels" / "train")
        own = out.with_name(f"{os.getpid()}-{out.name}")
        build_pool(*folders, "lip", own, instances=root / "instances" / "train", filters=small)
        os.replace(own, out)
    return out


def choose(pool: str | Path | None, dataset: str, paste: PasteOptions) -> PartPool | None:
    """The given pool, or the demo set's own; None where the augmentation pastes no body parts and none was given.
    UserError naming `pool`."""
    if pool is None and not paste.needs_pool:
        return None
    if pool is None and dataset != "demo":
        raise UserError(f"pool: augment {paste.augment} needs one; make it with asda-fast parts build")
    path = Path(pool) if pool else ready()
    loaded = PartPool.load(path)
    if not len(loaded):
        raise UserError(f"pool {path}: holds no parts")
    return loaded
