"""A folder of cut-outs: what can be used is, what cannot is counted and said, and nothing usable is one line."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from asda_fast.augment.objects import load_folder
from asda_fast.core.errors import UserError


def cut_out(alpha: int = 255, dtype: type = np.uint8) -> np.ndarray:
    """A red square of 6 x 6 in a transparent picture, BGRA."""
    picture = np.zeros((20, 20, 4), dtype)
    picture[5:11, 4:10] = (0, 0, 200, alpha)
    return picture


def spoil(folder: Path) -> list[str]:
    """Everything that is no cut-out; the words about each kind."""
    rgb = np.full((20, 20, 3), 90, np.uint8)
    (folder / "sub").mkdir()
    for name in ("a.jpg", "sub/b.jpg"):
        cv2.imwrite(str(folder / name), rgb)
    cv2.imwrite(str(folder / "rgb.png"), rgb)
    cv2.imwrite(str(folder / "grey.tif"), rgb[..., 0])
    cv2.imwrite(str(folder / "deep.png"), cut_out(9000, np.uint16))
    cv2.imwrite(str(folder / "void.png"), cut_out(0))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "empty.webp").touch()
    (folder / "README").touch()
    return [
        "2 .jpg files (a.jpg, ..)",
        "2 without an alpha channel (grey.tif, ..)",
        "1 of 16 bits a channel (deep.png)",
        "1 transparent everywhere (void.png)",
        "2 damaged or not a picture (broken.png, ..)",
        "1 files without suffix (README)",
    ]


def test_what_is_left_out_is_one_warning(tmp_path, caplog):
    cv2.imwrite(str(tmp_path / "good.png"), cut_out())
    wanted = spoil(tmp_path)
    with caplog.at_level(logging.WARNING):
        pool = load_folder(tmp_path)
    assert pool.source == ["good"]
    assert pool.patch(0).tolist() == [[[200, 0, 0, 255]] * 6] * 6
    (said, solid) = (record.getMessage() for record in caplog.records)
    assert said.startswith(f"objects {tmp_path}: 1 cut-outs used; left out: ")
    assert all(words in said for words in wanted)
    assert said.count(";") == len(wanted)
    assert "1 have no transparent pixel: rectangles are pasted (good)" in solid  # the square is one


def test_nothing_usable_says_what_lies_there(tmp_path):
    wanted = spoil(tmp_path)
    with pytest.raises(
        UserError, match=r"^objects .*: expected 8-bit pictures with an alpha channel, found "
    ) as caught:
        load_folder(tmp_path)
    assert all(words in str(caught.value) for words in wanted)
    assert "\n" not in str(caught.value)


def test_folders_without_any(tmp_path):
    with pytest.raises(UserError, match=r"found no file$"):
        load_folder(tmp_path)
    with pytest.raises(UserError, match=r"^objects .*absent: expected a folder of RGBA pictures, found none$"):
        load_folder(tmp_path / "absent")


def test_a_sound_folder_is_silent(tmp_path, caplog):
    picture = cut_out()
    picture[5, 4, 3] = 0
    for name in ("a.png", "b.webp", "c.TIF"):
        cv2.imwrite(str(tmp_path / name), picture)
    assert load_folder(tmp_path).source == ["a", "b", "c"]
    assert not caplog.records
