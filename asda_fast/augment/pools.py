"""Which pool a command pastes from. The demo's is cut from its training photos on first use, then kept in the cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import Any

from asda_fast.augment.options import PasteOptions
from asda_fast.core.errors import UserError
from asda_fast.core.files import cache_folder
from asda_fast.data import demo_root
from asda_fast.parts.build import build_pool
from asda_fast.parts.cut import Filters
from asda_fast.parts.pool import PartPool


def path() -> Path:
    """Where the pool is kept. Another demo set is another file."""
    made_from = (demo_root() / "annotations" / "person_keypoints_train.json").read_bytes()
    name = f"demo-pool-{hashlib.sha256(made_from).hexdigest()[:12]}.safetensors"
    return cache_folder() / name


def demo_pool() -> PartPool:
    """The pool of the demo set, cut if it is not there yet. Two processes may come here at once: each cuts a file of
    its own, and the last one to finish gives it the name. Where nothing can be kept, it is cut for this process."""
    out = path()
    if out.is_file():
        return PartPool.load(out)
    why = "cannot be written"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or why
    if os.access(out.parent, os.W_OK):
        own = out.with_name(f"{os.getpid()}-{out.name}")
        cut(own)
        os.replace(own, out)
        return PartPool.load(out)
    warnings.warn(f"{out.parent}: {why}; ASDA_FAST_CACHE=FOLDER keeps the demo set's parts elsewhere", stacklevel=2)
    with tempfile.TemporaryDirectory() as folder:
        cut(Path(folder) / out.name)
        return PartPool.load(Path(folder) / out.name)


def cut(out: Path) -> None:
    root = demo_root()
    small = Filters(min_area=8**2)  # the demo's photos are small: the paper's 35^2 would leave no arm and no face
    folders = (root / "train", root / "labels" / "train")
    build_pool(*folders, "lip", out, instances=root / "instances" / "train", filters=small)


def choose(pool: str | Path | None, dataset: str, paste: PasteOptions) -> PartPool | None:
    """The given pool, or the demo set's own; None where the augmentation pastes no body parts and none was given.
    UserError naming `pool`."""
    if pool is None and not paste.needs_pool:
        return None
    if pool is None and dataset != "demo":
        raise UserError(f"pool: augment {paste.augment} needs one; make it with asda-fast parts build")
    if not pool:
        return demo_pool()
    loaded = PartPool.load(Path(pool))
    if not len(loaded):
        raise UserError(f"pool {pool}: holds no parts")
    return loaded


def mark(pool: PartPool | None) -> str | None:
    """Of the patches that are pasted."""
    if pool is None:
        return None
    parts = (pool.table, pool.type, pool.texels)
    return "-".join(f"{zlib.crc32(part.detach().cpu().contiguous().numpy().tobytes()):08x}" for part in parts)


def check_same(run: object, saved: Any, pool: PartPool | None, given: object) -> None:
    """UserError where a run was trained with other parts than those it is looked at with, and nobody asked for that."""
    now = mark(pool)
    if given is None and saved is not None and now is not None and saved != now:
        raise UserError(f"pool: the run in {run} was trained with another pool than the demo set's: name it")
