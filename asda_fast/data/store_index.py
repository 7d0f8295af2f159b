"""What a store says of itself: store.json and index.npz -> People whose source is the Store. No pixel is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError, first_line, short
from asda_fast.core.files import read_json
from asda_fast.core.skeletons import SKELETONS, Skeleton
from asda_fast.data.people import People
from asda_fast.data.store import Store

FORMAT, VERSION = "asda_fast store", 1
PERSON = ("box", "centre", "scale", "joints", "visible", "head", "id", "image_id", "image_size")  # columns of People
PLACES = ("shard", "offset", "length", "window", "shrink", "photo", "photo_bytes", "crc")  # columns of the Store
KEYS: dict[str, Any] = {
    "dataset": str, "fit": str, "root": str, "raw": bool, "margin": (int, float), "shards": list, "skeleton": dict
}  # fmt: skip
UNCHECKED = "packed before crops had checksums: damage to its raw pixels cannot be seen (pack again)"
LARGEST = 1 << 40  # pixels, bytes, places: nothing sound is beyond it


def is_store(folder: Path, split: str) -> bool:
    """Whether `folder` holds a finished store of this split (or is one)."""
    return (folder / split / "store.json").is_file() or (folder / "store.json").is_file()


def split_of(people: People) -> str:
    """train or val: which split a store holds, by the name that `load` gave its people, or by its folder's; else ""."""
    assert isinstance(people.source, Store)
    names = people.name.split()[-1], people.source.folder.resolve().name
    return next((name for name in names if name in ("train", "val")), "")


def read(folder: Path, split: str, photos: bool = True) -> People:
    """Open one split of a store. Reads the index only; shards are mapped on first use.

    photos: fall back to the original photos (where they still are) for what lies outside a window.
    Raises UserError for a folder that holds no finished store, and for one whose index is not what it should be.
    """
    folder = Path(folder)
    at = folder if (folder / "store.json").is_file() else folder / split
    if not (at / "store.json").exists():
        raise UserError(f"{folder}: no store here: expected {split}/store.json (python -m asda_fast.data pack)")
    about = read_json(at / "store.json")
    if not isinstance(about, dict) or about.get("format") != FORMAT or about.get("version") != VERSION:
        came = [about.get("format"), about.get("version")] if isinstance(about, dict) else about
        raise UserError(f"{at / 'store.json'}: expected {FORMAT!r} version {VERSION}, got {short(came)}")
    skeleton = _about(at / "store.json", about)
    path = at / "index.npz"
    try:
        with np.load(path, allow_pickle=False) as index:
            columns = {name: index[name] for name in index.files}
    except Exception as error:  # numpy and zipfile raise half a dozen kinds for a damaged file
        why = first_line(error)
        raise UserError(f"{path}: cannot read the store's index ({why})") from None
    _check(path, about, columns, len(skeleton.joints))
    return People(
        skeleton=skeleton,
        files=[str(Path(about["root"]) / name) for name in columns["files"].tolist()],
        file=columns["file_index"],
        **{name: columns[name] for name in PERSON},
        name=about["dataset"],
        fit=about["fit"],
        notes=(UNCHECKED,) if about["raw"] and (columns["crc"] < 0).any() else (),
        source=Store(
            folder=at,
            shards=about["shards"],
            raw=about["raw"],
            margin=about["margin"],
            photos=photos,
            **{name: columns[name] for name in PLACES},
            crop=np.arange(len(columns["shard"])),
        ),
    )


def _about(path: Path, about: dict[str, Any]) -> Skeleton:
    """Check store.json; its skeleton."""
    for key, kind in KEYS.items():
        value = about.get(key)
        if not isinstance(value, kind) or isinstance(value, bool) != (key == "raw"):
            raise UserError(f"{path}: {key}: got {short(value)}")
    if about["fit"] not in ("box", "square"):
        raise UserError(f"{path}: fit: expected box or square, got {short(about['fit'])}")
    shards = about["shards"]
    if not shards or not all(
        isinstance(s, str) and 0 < len(s) < 256 and s.isprintable() and "/" not in s for s in shards
    ):
        raise UserError(f"{path}: shards: expected names of files, got {short(shards)}")
    if not about["dataset"].strip() or "\0" in about["root"] or not about["dataset"].isprintable():
        raise UserError(f"{path}: dataset, root: got {short(about['dataset'])}, {short(about['root'])}")
    try:
        return _skeleton(about["skeleton"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"{path}: skeleton: {short(error)}") from None


def _skeleton(record: dict[str, Any]) -> Skeleton:
    known = SKELETONS.get(record["name"])
    if known and list(known.joints) == record["joints"]:
        return known  # also for stores that were packed before skeletons had groups and a torso
    return Skeleton.from_dict(record)


def _check(path: Path, about: dict[str, Any], columns: dict[str, np.ndarray], joints: int) -> None:
    """The index's columns: there, of their kind and shape, within bounds."""
    if "shard" in columns:  # of older stores: not recorded
        count = len(np.atleast_1d(columns["shard"]))
        columns.setdefault("photo_bytes", np.zeros(count, np.int64))
        columns.setdefault("crc", np.full(count, -1, np.int64))
    rows, photos = np.shape(columns.get("shard", ())), np.shape(columns.get("files", ()))
    shapes = {
        **{name: rows for name in PLACES}, **{name: rows for name in PERSON}, "file_index": rows, "files": photos,
        "window": (*rows, 4), "photo": (*rows, 2), "box": (*rows, 4), "centre": (*rows, 2),
        "joints": (*rows, joints, 2), "visible": (*rows, joints), "image_size": (*photos, 2),
    }  # fmt: skip
    floats = ("box", "centre", "scale", "joints", "head")
    for name, shape in shapes.items():
        kinds = "U" if name == "files" else "f" if name in floats else "iu"
        column = columns.get(name)
        if column is None or column.dtype.kind not in kinds or column.shape != shape or len(shape) == 0 or 0 in shape:
            came = "none" if column is None else f"{column.dtype} {column.shape}"
            what = "words" if kinds == "U" else "numbers"
            raise UserError(f"{path}: column {name}: expected {what} {shape}, got {came}")
    inside = {
        "shard": (0, len(about["shards"]) - 1), "offset": (0, LARGEST), "length": (1, LARGEST), "shrink": (1, 8),
        "photo": (0, 1 << 20), "photo_bytes": (0, LARGEST), "crc": (-1, (1 << 32) - 1),
        "file_index": (0, photos[0] - 1), "visible": (0, 2),
        "image_size": (0, 1 << 20), "box": (-2e6, 2e6), "centre": (-2e6, 2e6), "joints": (-2e6, 2e6),
        "scale": (1e-6, 1e6), "window": (0, 1 << 20),
    }  # fmt: skip
    for name, (low, high) in inside.items():
        bad = ~((columns[name] >= low) & (columns[name] <= high))
        if bad.any():
            row = int(np.argwhere(bad)[0][0])
            came = short(columns[name][row].tolist())
            raise UserError(f"{path}: column {name}, row {row}: expected {low} to {high}, got {came}")
    window, shrink = columns["window"].astype(np.int64), columns["shrink"].astype(np.int64)
    wrong = (window[:, 2:] < 1).any(1) | ~np.isin(shrink, (1, 2, 4, 8))
    if about["raw"]:
        wrong |= np.prod(-(-window[:, 2:] // shrink[:, None]), axis=1) * 3 != columns["length"]
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(f"{path}: row {row}: a window of {window[row].tolist()} at 1/{shrink[row]} cannot be")
    columns["file_index"] = columns["file_index"].astype(np.int32)
