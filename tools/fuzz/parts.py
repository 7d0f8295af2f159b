"""The readers of asda_fast.parts: label maps, instance maps, pools, exclusion lists, schemes, people files."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from asda_fast.core.errors import UserError
from asda_fast.parts.chunks import cut_pair
from asda_fast.parts.cut import Filters, cut
from asda_fast.parts.exclude import excluded, read_names
from asda_fast.parts.instances import instance_map, read_people
from asda_fast.parts.pairs import Pair
from asda_fast.parts.pool import PartPool
from asda_fast.parts.pool_file import merge_pools, open_pool, pool_info
from asda_fast.parts.read import Unusable
from asda_fast.parts.scheme import load_scheme
from tools.fuzz import mutations
from tools.fuzz.harness import Reader

HEIGHT, WIDTH = 48, 40
ALL = Filters(min_area=9, whole=0, border=9, thickness=0, share=0, contrast=0)


def _label() -> np.ndarray:
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[4:20, 8:30], label[20:44, 8:30], label[24:30, 2:8] = 13, 9, 14
    return label


def _photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def _picture(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _maps() -> tuple[tuple[str, ...], tuple[bytes, ...]]:
    grey = Image.fromarray(_label())
    palette = grey.copy()
    palette.putpalette([v for i in range(256) for v in (i * 7 % 256, i * 13 % 256, i * 29 % 256)])
    wide = Image.fromarray(_label().astype(np.uint16))
    kinds = [
        (".png", _picture(grey, "PNG")),
        (".png", _picture(palette, "PNG")),
        (".png", _picture(palette, "PNG", bits=4, transparency=0)),
        (".png", _picture(grey.convert("LA"), "PNG")),
        (".png", _picture(grey.convert("RGB"), "PNG")),
        (".png", _picture(wide, "PNG")),
        (".png", _picture(grey.convert("1"), "PNG")),
        (".bmp", _picture(grey, "BMP")),
        (".tif", _picture(grey, "TIFF")),
        (".tif", _picture(grey, "TIFF", compression="tiff_lzw")),
        (".tif", _picture(Image.fromarray(_label().astype(np.int32)), "TIFF")),
        (".tif", _picture(Image.fromarray(_label().astype(np.float32)), "TIFF")),
        (".gif", _picture(palette, "GIF")),
    ]
    return tuple(suffix for suffix, _ in kinds), tuple(data for _, data in kinds)


def _change_map(rng: np.random.Generator, data: bytes) -> bytes:
    if data[:4] == b"\x89PNG" and rng.random() < 0.8:
        return mutations.change_png(rng, data)
    return mutations.change_bytes(rng, data)


_FOLDER = tempfile.TemporaryDirectory()  # of sound files that a case needs beside its own


def _beside() -> tuple[Path, Path]:
    """A sound photo and its map."""
    photo, label = Path(_FOLDER.name) / "photo.png", Path(_FOLDER.name) / "map.png"
    if not label.exists():
        Image.fromarray(_photo()).save(photo)
        Image.fromarray(_label()).save(label)
    return photo, label


def _read_map(path: Path) -> None:
    cut_pair(Pair("x", _beside()[0], path, None), None, load_scheme("lip"), ALL, apart=True)


def _read_instances(path: Path) -> None:
    cut_pair(Pair("x", *_beside(), path), None, load_scheme("lip"), ALL)


def _pool() -> bytes:
    rng = np.random.default_rng(0)
    patches = [rng.integers(0, 256, (h, w, 4), dtype=np.uint8) for h, w in ((1, 1), (5, 7), (12, 9), (2, 20))]
    person = [[10.0, 20.0], [np.nan, np.nan], [3.5, 4.0], [1.0, 1.0]]
    pool = PartPool.from_patches(patches, [0, 1, 1, 0], ["Hat", "Face"], person, ["a/b", "b", "", "d"])
    path = Path(_FOLDER.name) / "pool.safetensors"
    pool.save(path)
    return path.read_bytes()


def _read_pool(path: Path) -> None:
    """Both ways to read a pool agree on whether it is one, and what is taken can be used."""
    file = open_pool(path)
    pool = PartPool.load(path)
    for i in range(len(file)):
        assert file.patch(i).shape == pool.patch(i).shape
    pool_info(path)
    merge_pools([path], Path(_FOLDER.name) / "merged", exclude=["d"] if "d" in file.source else [])


SCHEME = {
    "name": "own", "note": "x", "background": [0, 255],
    "labels": {"0": "background", "9": "Pants", "13": "Face", "14": "Left-arm", "15": "Right-arm"},
    "pairs": [["Left-arm", "Right-arm"]],
    "types": {"Face": ["Face"], "Tail": {"labels": ["Left-arm"], "each": True},
              "All": {"labels": ["Face", "Pants"], "need": [["Face"], ["Pants"]]}},
}  # fmt: skip


def _read_scheme(path: Path) -> None:
    cut(_photo(), _label(), load_scheme(path), ALL)


NAMES = ("first.jpg", "val2017/second.JPG", "./third.png", "C:\\x\\fourth", "fifth.v2")
COCO_NAMES = {"images": [{"id": i, "file_name": name} for i, name in enumerate(NAMES)], "annotations": []}


def _change_list(rng: np.random.Generator, data: bytes) -> bytes:
    return mutations.change_json(rng, data) if data[:1] in b"[{" else mutations.change_text(rng, data)


def _read_list(path: Path) -> None:
    read_names(path)
    excluded(["first", "a/second", "third"], path, "photos")


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


def _read_people(path: Path) -> None:
    people, _ = read_people(path)
    for photo in people.values():
        numbers, boxes, _ = instance_map(photo.people, HEIGHT, WIDTH)
        assert numbers.max(initial=0) <= len(photo.people)
        cut(_photo(), _label(), load_scheme("lip"), ALL, numbers, boxes)


def readers() -> list[Reader]:
    suffixes, maps = _maps()
    listed = ("\n".join(NAMES).encode(), "\r\n".join(NAMES).encode("utf-16"), json.dumps(NAMES).encode())
    lists = (*listed, json.dumps(COCO_NAMES).encode())
    scheme, people = json.dumps(SCHEME).encode(), json.dumps(PEOPLE).encode()
    return [
        Reader("maps", suffixes, maps, _change_map, _read_map, (Unusable,)),
        Reader("instances", suffixes, maps, _change_map, _read_instances, (Unusable,)),
        Reader("pools", (".safetensors",), (_pool(),), mutations.change_safetensors, _read_pool),
        Reader("exclude", (".txt", ".txt", ".json", ".json"), lists, _change_list, _read_list),
        Reader("schemes", (".json",), (scheme,), mutations.change_json, _read_scheme),
        Reader("people", (".json",), (people,), mutations.change_json, _read_people, (UserError,)),
    ]
