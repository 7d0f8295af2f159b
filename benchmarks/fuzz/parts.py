"""The readers of parts/: label maps, instance maps, pools, exclusion lists, schemes, people files."""

from __future__ import annotations

import functools
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from asda_fast.core.errors import UserError
from asda_fast.core.images import PNG
from asda_fast.parts.cut import Filters, cut
from asda_fast.parts.cut_pair import cut_pair
from asda_fast.parts.exclude import excluded, read_names
from asda_fast.parts.instances import instance_map, read_people
from asda_fast.parts.pairs import Pair
from asda_fast.parts.pool import PartPool
from asda_fast.parts.pool_file import merge_pools, open_pool, pool_info
from asda_fast.parts.read import Unusable
from asda_fast.parts.scheme import load_scheme
from benchmarks.fuzz.harness import Reader

HEIGHT, WIDTH = 48, 40
ALL = Filters(min_area=9, whole=0, border=9, thickness=0, share=0, contrast=0)


def _label() -> np.ndarray:
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[4:20, 8:30], label[20:44, 8:30], label[24:30, 2:8] = 13, 9, 14
    return label


def _photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


# ---- maps -----------------------------------------------------------------------------------------------------------


def _beside(folder: Path) -> None:
    Image.fromarray(_photo()).save(folder / "photo.png")
    Image.fromarray(_label()).save(folder / "sound.png")


def _read_maps(folder: Path) -> None:
    """As a label map, and as an instance map of a sound one. A map that cannot be used is refused by its line."""
    path, photo = folder / "map.png", folder / "photo.png"
    refusals = []
    for pair in (Pair("x", photo, path, None), Pair("x", photo, folder / "sound.png", path)):
        try:
            cut_pair(pair, None, load_scheme("lip"), ALL, apart=True)
        except Unusable as error:
            refusals.append(str(error))
    if len(refusals) == 2:
        raise UserError(refusals[0])


def _content_maps() -> Any:
    """A map as Pillow writes it: mode, kind of file and options of its writer vary with the try."""
    return {"ids": _label(), "mode": "L", "kind": "PNG", "options": {"bits": 8, "transparency": 0}}


def _dump_map(tree: Any) -> dict[str, bytes]:
    image = Image.fromarray(np.asarray(tree["ids"]))
    if tree["mode"] != "L":  # another word: one of the modes that Pillow knows
        image = image.convert(("P", "LA", "RGB", "RGBA", "1", "I", "F", "CMYK", "I;16")[hash_of(tree["mode"]) % 9])
    kind = "PNG" if tree["kind"] == "PNG" else ("TIFF", "BMP", "GIF")[hash_of(tree["kind"]) % 3]
    out = io.BytesIO()
    options = tree["options"] if kind == "PNG" and image.mode == "P" else {}
    image.save(out, kind, **{key: value for key, value in options.items() if isinstance(value, int)})
    return {"map.png": out.getvalue()}  # Pillow looks at the content, not at the name


def hash_of(value: Any) -> int:
    """The same in every run, unlike hash()."""
    return zlib.crc32(repr(value).encode(errors="backslashreplace"))


maps = Reader(_content_maps, _dump_map, _read_maps, _beside)


def _content_png() -> Any:
    header = np.frombuffer(WIDTH.to_bytes(4, "big") + HEIGHT.to_bytes(4, "big") + bytes([8, 3, 0, 0, 0]), np.uint8)
    rows = np.pad(_label(), ((0, 0), (1, 0)))  # each after its filter, 0
    palette, clear = np.arange(96, dtype=np.uint8), np.zeros(3, np.uint8)
    chunks = [("IHDR", header), ("PLTE", palette), ("tRNS", clear), ("IDAT", rows), ("IEND", clear[:0])]
    return [{"name": name, "bytes": content} for name, content in chunks]


def _dump_png(tree: Any) -> dict[str, bytes]:
    """Chunks with right checksums, whatever they hold; an IDAT's rows are compressed."""
    data = PNG
    for chunk in tree:
        name, content = chunk["name"].encode()[:4].ljust(4, b"x"), np.asarray(chunk["bytes"]).tobytes()
        content = zlib.compress(content) if name == b"IDAT" else content
        data += len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")
    return {"map.png": data}


pngs = Reader(_content_png, _dump_png, _read_maps, _beside)


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
}  # fmt: skip
schemes = Reader(
    lambda: SCHEME,
    _json("own.json"),
    lambda folder: cut(_photo(), _label(), load_scheme(folder / "own.json"), ALL),
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
    for photo in people.values():
        numbers, boxes, more = instance_map(photo.people, HEIGHT, WIDTH)
        notes.update(more)
        assert numbers.max(initial=0) <= len(photo.people)
        cut(_photo(), _label(), load_scheme("lip"), ALL, numbers, boxes)
    assert not any("\n" in kind + first for kind, (_, first) in notes.kinds.items())


people = Reader(lambda: PEOPLE, _json("people.json"), _read_people)
