"""Photos and label maps from disk: all kinds and linked folders found, damage caught, each refusal with its reason."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from asda_fast.core.files import files_below
from asda_fast.core.images import SUFFIXES
from asda_fast.parts.cut import Filters
from asda_fast.parts.cut_pair import cut_pair
from asda_fast.parts.exclude import read_names
from asda_fast.parts.pairs import Pair, find_pairs
from asda_fast.parts.read import Unusable, read_map, read_photo
from asda_fast.parts.scheme import Scheme, load_scheme


def ids() -> np.ndarray:
    return (np.arange(40 * 60) // 300 % 20).reshape(40, 60).astype(np.uint8)


def photo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".jfif": "JPEG", ".jpe": "JPEG"}.get(path.suffix)
    Image.fromarray(np.dstack([ids() * 9] * 3)).save(path, kind)
    return path


def label(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids()).save(path)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_photos_of_every_kind_are_found_and_read(tmp_path: Path, suffix: str) -> None:
    path = photo(tmp_path / "photos" / f"x{suffix.upper()}" if suffix == ".jpg" else tmp_path / "photos" / f"x{suffix}")
    label(tmp_path / "maps" / "x.png")
    (pair,), problems = find_pairs(tmp_path / "photos", tmp_path / "maps")
    assert (pair.name, pair.photo, problems) == ("x", path, [])
    assert read_photo(pair.photo).shape == (40, 60, 3)
    assert read_names(tmp_path / "photos") == {"x"}


def test_linked_folders_are_followed_without_going_round(tmp_path: Path) -> None:
    for kind, make in (("photos", photo), ("maps", label)):
        make(tmp_path / "elsewhere" / kind / f"deep/x.{'jpg' if kind == 'photos' else 'png'}")
        (tmp_path / kind).mkdir()
        os.symlink(f"../elsewhere/{kind}", tmp_path / kind / "set1")
        os.symlink(".", tmp_path / kind / "here")  # back to itself, and to the folder above
        os.symlink("..", tmp_path / "elsewhere" / kind / "deep" / "up")
        os.symlink("nowhere.png", tmp_path / kind / "broken.png")
    (pair,), problems = find_pairs(tmp_path / "photos", tmp_path / "maps")
    assert pair.name == "set1/deep/x"
    assert not problems
    assert read_photo(pair.photo).shape[:2] == read_map(pair.label).shape
    assert read_names(tmp_path / "photos") == {"set1/deep/x"}


def test_one_folder_linked_twice_counts_twice(tmp_path: Path) -> None:
    photo(tmp_path / "set" / "x.jpg")
    (tmp_path / "both").mkdir()
    for name in ("a", "b"):
        os.symlink("../set", tmp_path / "both" / name)
    assert [str(path.relative_to(tmp_path / "both")) for path in files_below(tmp_path / "both")] == [
        "a/x.jpg",
        "b/x.jpg",
    ]


def save(path: Path, values: np.ndarray, mode: str | None = None) -> Path:
    picture = Image.fromarray(values)
    picture.convert(mode).save(path) if mode else picture.save(path)
    return path


def test_maps_of_many_forms_give_their_ids(tmp_path: Path) -> None:
    want = ids()
    palette = Image.fromarray(want)
    palette.putpalette([v for i in range(256) for v in (i * 7 % 256, i * 13 % 256, i * 29 % 256)])
    palette.save(tmp_path / "palette.png")
    forms = {
        "palette.png": tmp_path / "palette.png",
        "grey": save(tmp_path / "grey.png", want),
        "grey with alpha": save(tmp_path / "alpha.png", want, "LA"),
        "RGB of equal channels": save(tmp_path / "rgb.png", want, "RGB"),
        "RGBA": save(tmp_path / "rgba.png", want, "RGBA"),
        "16 bits": save(tmp_path / "deep.png", want.astype(np.uint16)),
        "int32": save(tmp_path / "int.tif", want.astype(np.int32)),
        "float": save(tmp_path / "float.tif", want.astype(np.float32)),
        "int32 with -1": save(tmp_path / "less.tif", np.where(want == 0, -1, want.astype(np.int32))),
    }
    arrays = {
        "npy": want,
        "npy of int64 with -1": np.where(want == 0, -1, want.astype(np.int64)),
        "npy of float, as Fortran lays it": np.asfortranarray(want.astype(">f4")),
        "npy [1, H, W]": want[None],
        "npy [H, W, 1]": want[..., None],
    }
    for form, values in arrays.items():
        forms[form] = tmp_path / f"{form}.npy"
        np.save(forms[form], values)
    forms["mat"] = tmp_path / "x.mat"
    savemat(forms["mat"], {"seg": want, "size": [40.0, 60.0]})
    for form, path in forms.items():
        found = read_map(path)
        assert found.dtype == np.uint8
        assert (found == want).all(), form


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_pngs_of_few_bits_keep_their_ids(tmp_path: Path, bits: int) -> None:
    """Optimisers write them; Pillow spreads 2 and 4 bits over 0..255."""
    want = (np.arange(24).reshape(3, 8) * 5 % 2**bits).astype(np.uint8)
    bit = np.unpackbits(want[..., None], axis=-1)[..., 8 - bits :].reshape(3, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bit)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 8, 3, bits, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "few.png").write_bytes(data)
    assert np.array_equal(read_map(tmp_path / "few.png"), want)


def scheme(**more: object) -> Scheme:
    """Of 20 labels, id 0 without a name."""
    return replace(load_scheme("cihp"), **more)


def test_maps_in_colour_give_the_ids_of_their_scheme(tmp_path: Path) -> None:
    want = ids()
    palette = np.random.default_rng(0).permutation(256)[: 20 * 3].reshape(20, 3).astype(np.uint8)
    colours = {tuple(colour): number for number, colour in enumerate(palette.tolist())}
    painted = Image.fromarray(palette[want])
    painted.save(tmp_path / "rgb.png")
    painted.convert("RGBA").save(tmp_path / "rgba.png")
    painted.quantize(20).save(tmp_path / "palette.png")  # in another order than the ids
    np.save(tmp_path / "rgb.npy", palette[want])
    for path in sorted(tmp_path.iterdir()):
        assert (read_map(path, scheme=scheme(colours=colours)) == want).all(), path.name
    with pytest.raises(Unusable, match=r"rgb\.png: is in colour; expected ids .*a scheme of your own .* or 'red'"):
        read_map(tmp_path / "rgb.png", scheme=scheme())
    other = dict(list(colours.items())[1:])
    with pytest.raises(Unusable, match=rf"rgb\.png: has the colour \{palette[0].tolist()}, .* cihp does not name"):
        read_map(tmp_path / "rgb.png", scheme=scheme(colours=other))


def test_red_is_the_id_where_the_scheme_says_so(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", np.dstack([ids(), ids() * 3, ids() * 0]))
    assert (read_map(path, scheme=scheme(red=True)) == ids()).all()
    assert (read_map(save(tmp_path / "y.png", ids()), scheme=scheme(red=True)) == ids()).all()


def test_pascal_part_s_people_are_counted_to_six_labels(tmp_path: Path) -> None:
    def part(name: str, rows: slice) -> dict[str, object]:
        mask = np.zeros((40, 60), np.uint8)
        mask[rows, 10:20] = 1
        return {"part_name": name, "mask": mask}

    people = [part("head", slice(0, 10)), part("lear", slice(4, 6)), part("neck", slice(10, 12))]
    people += [part("rlleg", slice(30, 36)), part("rfoot", slice(36, 40))]
    horse = [part("head", slice(20, 25))]
    things = [{"class": c, "mask": np.ones((40, 60), np.uint8), "parts": p} for c, p in
              (("person", people), ("horse", horse), ("person", []))]  # fmt: skip
    savemat(tmp_path / "x.mat", {"anno": {"imname": "x", "objects": as_structs(things)}})
    want = np.zeros((40, 60), np.uint8)
    want[0:10, 10:20], want[10:12, 10:20], want[30:40, 10:20] = 1, 2, 6
    assert (read_map(tmp_path / "x.mat", scheme=load_scheme("pascal")) == want).all()
    with pytest.raises(Unusable, match=r"x\.mat: holds PASCAL-Part's objects and parts; expected --scheme pascal"):
        read_map(tmp_path / "x.mat", scheme=load_scheme("lip"))


def as_structs(records: list[dict]) -> np.ndarray:
    """A MATLAB struct array [1, N], and so what is a list of records within."""
    if not records:
        return np.zeros((0, 0))
    out = np.empty((1, len(records)), [(name, object) for name in records[0]])
    for i, record in enumerate(records):
        for name, value in record.items():
            out[0, i][name] = as_structs(value) if isinstance(value, list) else value
    return out


class Trap:
    """Unpickled, it would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_arrays_that_are_no_maps_are_refused_with_the_reason(tmp_path: Path) -> None:
    def refused(words: str, name: str = "x.npy") -> None:
        with pytest.raises(Unusable, match=rf"{name}: {words}"):
            read_map(tmp_path / name)

    path = tmp_path / "x.npy"
    np.save(path, np.zeros((28, 40, 60), np.float32))
    refused(r"is an array of shape \(28, 40, 60\); expected ids \[height, width\] \(of scores, their argmax\)")
    np.save(path, np.array([Trap(tmp_path / "sprung")], object), allow_pickle=True)
    refused("is an array of object; expected ids")
    assert not (tmp_path / "sprung").exists()
    np.save(path, ids())
    path.write_bytes(path.read_bytes()[:-1])
    refused(r"has 2399 bytes for \(40, 60\) values of uint8")
    path.write_bytes(b"\x93NUMPY\x01\x00")
    refused("is not a readable .npy file")
    np.save(path, ids())
    path.write_bytes(path.read_bytes().replace(b"60), }", b"60    "))  # numpy's reader leaves a tokenizer's error
    refused("is not a readable .npy file")
    savemat(tmp_path / "x.mat", {"a": ids(), "b": ids()})
    refused(r"holds a \(40, 60\), b \(40, 60\); expected one array of ids", "x.mat")
    (tmp_path / "x.mat").write_bytes(b"MATLAB 7.3".ljust(512) + b"\x89HDF\r\n\x1a\n")
    refused(r"not a readable \.mat file \(it is of version 7\.3", "x.mat")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.where(ids() > 0, ids().astype(np.int32), -2), r"ids from -2 to 7; expected 0\.\.255 \(and -1"),
        (ids().astype(np.int32) * 100, r"ids up to 700; expected 0\.\.255"),
        (ids() + np.float32(0.5), r"has fractions; expected whole ids"),
        (np.full((4, 4), np.nan, np.float32), r"ids up to nan"),
    ],
)
def test_ids_that_are_none_are_refused_with_the_reason(tmp_path: Path, values: np.ndarray, words: str) -> None:
    path = save(tmp_path / "x.tif", values)
    with pytest.raises(Unusable, match=rf"x\.tif: .*{words}"):
        read_map(path)


@pytest.mark.parametrize("shift", [0, 1])
def test_ids_of_another_scheme_show_along_the_edge(tmp_path: Path, shift: int) -> None:
    label = np.zeros((60, 50), np.uint8)
    label[10:60, 10:40] = 5  # who stands on the lower edge
    Image.fromarray(label + np.uint8(shift)).save(tmp_path / "map.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 50, 3), np.uint8)).save(tmp_path / "x.png")
    pair = Pair("x", tmp_path / "x.png", tmp_path / "map.png", None)
    notes = cut_pair(pair, None, load_scheme("lip"), Filters())[2]
    said = "maps with a part, not the background, nearly all along their edge: ids of another scheme?"
    assert notes.kinds.get(said) == ((1, f"{tmp_path / 'map.png'}: id 1, Hat") if shift else None)


def test_bit_damage_of_a_label_map_is_caught(tmp_path: Path) -> None:
    path = label(tmp_path / "x.png")
    good, rng = path.read_bytes(), np.random.default_rng(0)
    for at in rng.integers(8, len(good), 60):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << int(rng.integers(8))]) + good[at + 1 :])
        with pytest.raises(Unusable, match=r"x\.png: is damaged or not a picture \(damaged PNG"):
            read_map(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photo_and_map_are_as_stored_whatever_a_tiff_says(orientation, tmp_path):
    ids = np.random.default_rng(0).integers(0, 20, (6, 9), np.uint8)
    Image.fromarray(ids).save(tmp_path / "x.tif", tiffinfo={0x0112: orientation})
    assert (read_map(tmp_path / "x.tif") == ids).all()
    assert (read_photo(tmp_path / "x.tif") == ids[..., None]).all()
