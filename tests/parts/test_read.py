"""Photos and label maps from disk: all kinds and linked folders found, damage caught, each refusal with its reason."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asda_fast.core.files import files_below
from asda_fast.core.images import SUFFIXES
from asda_fast.parts.cut import Filters
from asda_fast.parts.cut_pair import cut_pair
from asda_fast.parts.exclude import read_names
from asda_fast.parts.pairs import Pair, find_pairs
from asda_fast.parts.read import Unusable, read_map, read_photo
from asda_fast.parts.scheme import load_scheme


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
    }
    for form, path in forms.items():
        found = read_map(path)
        assert found.dtype == np.uint8
        assert (found == want).all(), form


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.where(ids() > 0, ids().astype(np.int32), -1), r"ids from -1 to 7; expected 0\.\.255"),
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
