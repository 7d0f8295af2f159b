"""The readers of parts/ but for label maps: pools, exclusion lists, schemes, people files."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from asda_fast.parts.cut import cut
from asda_fast.parts.exclude import excluded, read_names
from asda_fast.parts.instances import instance_map, read_people
from asda_fast.parts.pool import PartPool
from asda_fast.parts.pool_file import merge_pools, open_pool, pool_info
from asda_fast.parts.scheme import load_scheme
from benchmarks.fuzz.harness import Reader
from benchmarks.fuzz.maps import ALL, HEIGHT, WIDTH, label, photo

# ---- pools ----------------------------------------------------------------------------------------------------------


@functools.cache
def _pool() -> bytes:
    rng = np.random.default_rng(0)
    patches = [rng.integers(0, 256, (h, w, 4), dtype=np.uint8) for h, w in ((1, 1), (5, 7), (12, 9), (2, 20))]
    size = np.array([patch.shape[:2] for patch in patches])
    pixels = size.prod(1)
    person = np.array([[10, 20], [np.nan, np.nan], [3.5, 4], [1, 1]], np.float32)
    columns = {"offset": np.cumsum(pixels) - pixels, "size": size, "type": np.array([0, 1, 1, 0]), "person": person}
    return save_tensors({"rgba": np.concatenate([patch.reshape(-1, 4) for patch in patches]), **columns})


def _content_pool() -> Any:
    lists = {"types": ["Hat", "Face"], "source": ["a/b", "b", "", "d"]}
    text = {"format": "asda_fast.parts", "version": "1", "scheme": "lip", "report": "{}", "note": "x", "more": "y"}
    return {"tensors": load_tensors(_pool()), "text": text, "lists": lists}


def _dump_pool(tree: Any) -> dict[str, bytes]:
    text = {**tree["text"], **{key: json.dumps(value) for key, value in tree["lists"].items()}}
    tensors = {key: np.ascontiguousarray(value) for key, value in tree["tensors"].items()}
    return {"pool.safetensors": save_tensors(tensors, text)}


def _content_header() -> Any:
    data = _dump_pool(_content_pool())["pool.safetensors"]
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    meta = {**header.pop("__metadata__"), **{f"note {i}": "x" for i in range(20)}}  # so that some changes do no harm
    return {"header": header, "meta": meta, "body": np.frombuffer(data[8 + length :], np.uint8)}


def _dump_header(tree: Any) -> dict[str, bytes]:
    """A header that says what it likes of the bytes behind it."""
    meta = {key: str(value) for key, value in tree["meta"].items()}  # texts, or the file is none at all
    header = json.dumps({**tree["header"], "__metadata__": meta}).encode()
    return {"pool.safetensors": len(header).to_bytes(8, "little") + header + np.asarray(tree["body"]).tobytes()}


def _read_pool(folder: Path) -> None:
    """What is taken can be used, in every way."""
    path = folder / "pool.safetensors"
    file, pool = open_pool(path), PartPool.load(path)
    for i in range(len(file)):
        assert file.patch(i).shape == pool.patch(i).shape
    pool_info(path)
    merge_pools([path], folder / "merged", exclude=["d"] if "d" in file.source else [])
    assert len(open_pool(folder / "merged")) == sum(source != "d" for source in file.source)


pools = Reader(_content_pool, _dump_pool, _read_pool)
pool_headers = Reader(_content_header, _dump_header, _read_pool)


# ---- JSON and lists -------------------------------------------------------------------------------------------------


def _json(name: str) -> Callable[[Any], dict[str, bytes]]:
    return lambda tree: {name: json.dumps(tree).encode()}


SCHEME = {
    "name": "own", "note": "x", "background": [0, 255],
    "labels": {"0": "background", "9": "Pants", "13": "Face", "14": "Left-arm", "15": "Right-arm"},
    "pairs": [["Left-arm", "Right-arm"]],
    "types": {"Face": ["Face"], "Tail": {"labels": ["Left-arm"], "each": True},
              "All": {"labels": ["Face", "Pants"], "need": [["Face"], ["Pants"]]}},
    "network": {"size": [32, 40], "channels": "BGR", "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.3],
                "resize": "fit", "corners": True},
}  # fmt: skip


def _read_scheme(folder: Path) -> None:
    """Cut by it, and a photo made ready for the network that it describes, and back."""
    scheme = load_scheme(folder / "own.json")
    cut(photo(), label(), scheme, ALL)
    if scheme.network is not None and max(scheme.network.size) <= 1024:
        ready = scheme.network.prepare(photo(), scheme.network.size)
        assert ready.shape == (3, *scheme.network.size) and np.isfinite(ready).all()
        ids = scheme.network.labels(np.ones((3, 8, 10), np.float32), (HEIGHT, WIDTH), scheme.network.size)
        assert ids.shape == (HEIGHT, WIDTH) and not ids.any()


schemes = Reader(
    lambda: SCHEME,
    _json("own.json"),
    _read_scheme,
)

NAMES = ("first.jpg", "val2017/second.JPG", "./third.png", "C:\\x\\fourth", "fifth.v2", "sixth", "7.tif")


def _dump_lists(tree: Any) -> dict[str, bytes]:
    text = "\n".join(str(name) for name in tree["lines"])
    coding = "utf-16" if len(tree["lines"]) % 3 == 0 else "utf-8"
    return {"list.txt": text.encode(coding), "list.json": json.dumps(tree["json"]).encode()}


def _read_lists(folder: Path) -> None:
    for name in ("list.txt", "list.json"):
        read_names(folder / name)
        excluded(["first", "a/second", "third"], folder / name, "photos")


exclude = Reader(
    lambda: {"lines": list(NAMES), "json": {"images": [{"id": 1, "file_name": name} for name in NAMES] + ["a"]}},
    _dump_lists,
    _read_lists,
)

PEOPLE = {
    "images": [{"id": 1, "file_name": "a/x.jpg", "width": WIDTH, "height": HEIGHT},
               {"id": "two", "file_name": "y.png"}],
    "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
    "annotations": [
        {"id": 40, "image_id": 1, "category_id": 1, "bbox": [8, 4, 22, 40], "segmentation": [[8, 4, 30, 4, 30, 44]]},
        {"id": 41, "image_id": 1, "category_id": 1, "bbox": [2, 24, 6, 6], "iscrowd": 0,
         "segmentation": {"size": [HEIGHT, WIDTH], "counts": [100, 20, 28, 20, 1752]}},
        {"id": 42, "image_id": "two", "category_id": 1, "bbox": [2.5, 4, 6, 6.25], "iscrowd": 0,
         "segmentation": {"size": [HEIGHT, WIDTH], "counts": "T3d0L4Mi0"}},
        {"id": 43, "image_id": "two", "category_id": 2, "bbox": [0, 0, 5, 5], "segmentation": []},
    ],
}  # fmt: skip


def _read_people(folder: Path) -> None:
    people, notes = read_people(folder / "people.json")
    for beside in people.values():
        numbers, boxes, more = instance_map(beside.people, HEIGHT, WIDTH)
        notes.update(more)
        assert numbers.max(initial=0) <= len(beside.people)
        cut(photo(), label(), load_scheme("lip"), ALL, numbers, boxes)
    assert not any("\n" in kind + first for kind, (_, first) in notes.kinds.items())


people = Reader(lambda: PEOPLE, _json("people.json"), _read_people)
