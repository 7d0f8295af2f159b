"""Photos without label maps -> label maps, by a parsing network: in batches, in shards, resumable."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from asda_fast.core.ahead import in_order
from asda_fast.core.errors import UserError
from asda_fast.core.files import read_json, write_atomic
from asda_fast.core.shard import Shard
from asda_fast.parts.pairs import Pair, find_photos
from asda_fast.parts.parsing import ParsingNetwork
from asda_fast.parts.read import Unusable, read_photo
from asda_fast.parts.scheme import Scheme, load_scheme

RECORD = "labelled.json"  # in the folder of maps: by what they were made


@dataclass
class Labelled:
    """What became of the photos of one call."""

    made: list[str] = field(default_factory=list)  # names, as the photos below their folder, without suffix
    before: int = 0  # maps that were there already
    nobody: int = 0  # maps without a label but background
    problems: list[tuple[str, str]] = field(default_factory=list)  # kind, line


def palette(count: int = 256) -> np.ndarray:
    """[count, 3] uint8: a colour for every id, neighbours far apart, 0 black."""
    bits = (np.arange(count)[:, None] >> np.arange(8)) & 1
    return np.stack([(bits[:, c::3] << (7 - np.arange(bits[:, c::3].shape[1]))).sum(1) for c in range(3)], 1).astype(
        np.uint8
    )


def label_photos(
    images: str | Path,
    model: str | Path,
    scheme: str | Path | Scheme,
    out: str | Path,
    *,
    batch: int = 8,
    shard: Shard | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Labelled:
    """A map OUT/NAME.png for every photo IMAGES/NAME.jpg (or .png, ...): a palette picture whose indices are the ids
    of `scheme`, which `build_pool` cuts.

    model        an ONNX file (parsing.py says of which shape); scheme: one with a network's input (network_input.py)
    batch        photos at once; a network of a fixed batch has its own
    shard        label only this process's share of the photos
    progress     called with photos done and photos to do

    A map that is there already is not made again. Photos that cannot be read are left out, and said.
    """
    found = load_scheme(scheme) if not isinstance(scheme, Scheme) else scheme
    if batch < 1:
        raise UserError(f"batch: expected at least 1, got {batch}")
    if Path(out).resolve().is_relative_to(Path(images).resolve()):
        raise UserError(f"out {out}: expected a folder that is not among the photos of {images}: maps are pictures too")
    photos, problems = find_photos(Path(images))
    network, out = ParsingNetwork(model, found), Path(out)
    made_by = _made_by(network)
    _check_same(out, made_by)
    result = Labelled(problems=problems)
    mine = photos if shard is None else photos[shard.index :: shard.count]
    todo = [pair for pair in mine if not _map(out, pair).is_file()]
    result.before, done = len(mine) - len(todo), 0
    size = network.batch or batch
    batches = [todo[i : i + size] for i in range(0, len(todo), size)]
    with ThreadPoolExecutor(1) as pool:  # reads the next batch while this one is labelled
        for pairs, reading in in_order(pool, _read, batches, 2):
            read = reading.result()
            good = [(pair, photo) for pair, photo in zip(pairs, read) if isinstance(photo, np.ndarray)]
            result.problems += [(p.kind, str(p)) for p in read if isinstance(p, Unusable)]
            maps = network([photo for _, photo in good]) if good else []
            try:
                if maps and not (out / RECORD).is_file():
                    out.mkdir(parents=True, exist_ok=True)
                    write_atomic(out / RECORD, json.dumps(made_by).encode())
                for (pair, _), ids in zip(good, maps):
                    _save(_map(out, pair), ids)
                    result.made.append(pair.name)
                    result.nobody += not np.isin(ids, found.background, invert=True).any()
            except OSError as error:
                raise UserError(f"out {out}: cannot write there: {error.strerror or error}") from None
            done += len(pairs)
            progress(done, len(todo))
    return result


def _map(out: Path, pair: Pair) -> Path:
    return out / f"{pair.name}.png"


def _check_same(out: Path, made_by: dict[str, str]) -> None:
    """UserError where the maps that are there were made by another network, or for another scheme."""
    record = out / RECORD
    if record.is_file() and (before := read_json(record, "a record of label maps")) != made_by:
        before = before if isinstance(before, dict) else {}
        other = next((key for key in made_by if before.get(key) != made_by[key]), "network")
        raise UserError(f"out {out}: holds maps by another {other} ({RECORD} says so); expected a new folder")


def _made_by(network: ParsingNetwork) -> dict[str, str]:
    digest = hashlib.sha256()
    with network.model.open("rb") as file:
        while piece := file.read(1 << 24):
            digest.update(piece)
    how = repr((network.recipe, network.size))
    return {"scheme": network.scheme.name, "model": digest.hexdigest(), "input": how}


def _save(path: Path, ids: np.ndarray) -> None:
    picture = Image.fromarray(ids)
    picture.putpalette(palette().tobytes())
    data = io.BytesIO()
    picture.save(data, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data.getvalue())


def _read(pairs: list[Pair]) -> list[np.ndarray | Unusable]:
    """The photos of a batch; of one that cannot be used, why."""
    photos: list[np.ndarray | Unusable] = []
    for pair in pairs:
        try:
            photos.append(read_photo(pair.photo))
        except Unusable as error:
            photos.append(error)
    return photos
