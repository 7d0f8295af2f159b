"""Label maps: pictures, arrays, PASCAL-Part's, maps in colour; and instance maps."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from asda_fast.core.errors import UserError
from asda_fast.core.images import PNG
from asda_fast.parts.cut import Filters
from asda_fast.parts.cut_pair import cut_pair
from asda_fast.parts.pairs import Pair
from asda_fast.parts.read import Unusable, read_map
from asda_fast.parts.scheme import load_scheme
from benchmarks.fuzz.harness import Reader, matlab_struct

HEIGHT, WIDTH = 48, 40
ALL = Filters(min_area=9, whole=0, border=9, thickness=0, share=0, contrast=0)


def label() -> np.ndarray:
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[4:20, 8:30], ids[20:44, 8:30], ids[24:30, 2:8] = 13, 9, 14
    return ids


def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


# ---- pictures --------------------------------------------------------------------------------------------------------


def _beside(folder: Path) -> None:
    Image.fromarray(photo()).save(folder / "photo.png")
    Image.fromarray(label()).save(folder / "sound.png")


def _read_maps(folder: Path) -> None:
    """As a label map, and as an instance map of a sound one. A map that cannot be used is refused by its line."""
    path, shown = folder / "map.png", folder / "photo.png"
    refusals = []
    for pair in (Pair("x", shown, path, None), Pair("x", shown, folder / "sound.png", path)):
        try:
            cut_pair(pair, None, load_scheme("lip"), ALL, apart=True)
        except Unusable as error:
            refusals.append(str(error))
    if len(refusals) == 2:
        raise UserError(refusals[0])


def _content_maps() -> Any:
    """A map as Pillow writes it: mode, kind of file and options of its writer vary with the try."""
    return {"ids": label(), "mode": "L", "kind": "PNG", "options": {"bits": 8, "transparency": 0}}


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
    rows = np.pad(label(), ((0, 0), (1, 0)))  # each after its filter, 0
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


# ---- arrays ----------------------------------------------------------------------------------------------------------


def _as_array(suffix: str) -> Callable[[Path], None]:
    """A map that is an array, cut as one of LIP; what is read has the values of the array, -1 as 0."""

    def read(folder: Path) -> None:
        path, scheme = folder / f"map{suffix}", load_scheme("pascal" if suffix == ".mat" else "lip")
        try:
            ids = read_map(path, scheme=scheme)
            cut_pair(Pair("x", folder / "photo.png", path, None), None, scheme, ALL)
        except Unusable as error:
            raise UserError(str(error)) from None
        if suffix == ".npy":
            values = np.load(path, allow_pickle=False)
            values = values[0] if values.ndim == 3 and values.shape[0] == 1 and values.shape[2] > 4 else values
            values = values if values.ndim == 2 else values[..., 0]  # a colour's red: all three are the same
            assert ids.dtype == np.uint8 and (ids == np.where(values == -1, 0, values)).all()

    return read


def _dump_npy(tree: Any) -> dict[str, bytes]:
    out = io.BytesIO()
    np.save(out, np.asarray(tree["ids"], order="F" if tree["fortran"] is True else "C"), allow_pickle=False)
    return {"map.npy": out.getvalue()}


npy_maps = Reader(lambda: {"ids": label().astype(np.int16) - 1, "fortran": True}, _dump_npy, _as_array(".npy"), _beside)


def _dump_mat(tree: Any) -> dict[str, bytes]:
    from scipy.io import savemat

    out = io.BytesIO()
    savemat(out, tree, do_compression=len(tree) == 1)
    return {"map.mat": out.getvalue()}


mat_maps = Reader(
    lambda: {"ids": np.minimum(label(), 6), "note": "made by hand", "version": 1.0},
    _dump_mat, _as_array(".mat"), _beside,
)  # fmt: skip


def _content_pascal() -> Any:
    """PASCAL-Part's anno: objects with a class, a mask and parts."""
    person = label() > 0
    parts = [{"part_name": name, "mask": (label() == number).astype(np.uint8)}
             for name, number in (("head", 13), ("torso", 9), ("luarm", 14))]  # fmt: skip
    objects = [{"class": "person", "class_ind": 15, "mask": person.astype(np.uint8), "parts": parts},
               {"class": "dog", "class_ind": 12, "mask": (~person).astype(np.uint8), "parts": parts[:1]}]  # fmt: skip
    return {"imname": "x", "objects": objects}


def _dump_pascal(tree: Any) -> dict[str, bytes]:
    return _dump_mat({"anno": matlab_struct([tree])})


pascal = Reader(_content_pascal, _dump_pascal, _as_array(".mat"), _beside)


COLOURED = {"labels": {"9": "Pants", "13": "Face", "14": "Left-arm"}, "types": {"Face": ["Face"], "Arm": ["Left-arm"]}}


def _coloured(folder: Path) -> None:
    """A map in colour by a scheme of its own: each pixel has the id of its colour."""
    path, scheme = folder / "map.png", load_scheme(folder / "own.json")
    try:
        ids = read_map(path, scheme=scheme)
    except Unusable as error:
        raise UserError(str(error)) from None
    with Image.open(path) as image:
        colour, pixels = image.mode in ("RGB", "RGBA", "P"), np.asarray(image.convert("RGB"))
    if scheme.colours and colour:
        by_id = {number: colour for colour, number in scheme.colours.items()}
        assert all((pixels[ids == number] == by_id[number]).all() for number in np.unique(ids).tolist())


def _content_coloured() -> Any:
    colours = {"0": [0, 0, 0], "9": [128, 0, 0], "13": [0, 128, 0], "14": [0, 0, 128]}
    names = {int(number): colour for number, colour in colours.items()}
    pixels = np.array([names.get(number, [0, 0, 0]) for number in range(15)], np.uint8)[label()]
    return {"colours": colours, "pixels": pixels, "mode": "RGB"}


def _dump_coloured(tree: Any) -> dict[str, bytes]:
    image = Image.fromarray(np.asarray(tree["pixels"]))
    if tree["mode"] != "RGB":
        image = image.convert(("P", "RGBA", "L", "LA")[hash_of(tree["mode"]) % 4])
    out = io.BytesIO()
    image.save(out, "PNG")
    return {"map.png": out.getvalue(), "own.json": json.dumps({**COLOURED, "colours": tree["colours"]}).encode()}


coloured = Reader(_content_coloured, _dump_coloured, _coloured)
