"""Which map belongs to which photo; and where none does, what was looked for, where, and what lies there instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from asda_fast.core.errors import UserError
from asda_fast.parts.pairs import find_pairs


def make(folder: Path, *files: str) -> tuple[Path, Path]:
    """Empty files; the folders photos and maps."""
    for name in ("photos", "maps"):
        (folder / name).mkdir(exist_ok=True)
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder / "photos", folder / "maps"


def test_pairs_by_name_below_the_folders(tmp_path):
    pairs, problems = find_pairs(*make(tmp_path, "photos/a/x.jpg", "photos/y.PNG", "maps/a/x.png", "maps/y.png"))
    assert [(p.name, p.photo.name, p.label.name) for p in pairs] == [("a/x", "x.jpg", "x.png"), ("y", "y.PNG", "y.png")]
    assert problems == []


def test_a_suffix_and_one_folder_for_both(tmp_path):
    photos, _ = make(tmp_path, "photos/x.jpg", "photos/x_lip.png", "photos/x_other.png")
    pairs, problems = find_pairs(photos, photos, "_lip")
    assert [(p.name, p.label.name) for p in pairs] == [("x", "x_lip.png")]
    assert problems == []


def test_what_has_no_partner_is_a_problem_by_kind(tmp_path):
    files = ["photos/x.jpg", "photos/alone.jpg", "photos/z.jpg", "maps/x.png", "maps/lost.png", "maps/z.png"]
    photos, maps = make(tmp_path, *files, "numbers/x.png")
    pairs, problems = find_pairs(photos, maps, instances=tmp_path / "numbers")
    assert [p.name for p in pairs] == ["x"]
    assert problems == [
        ("no photo of the map's name", f"{maps}/lost.png: no photo lost.jpg (or .png, ...) in {photos}"),
        ("no instance map", f"{maps}/z.png: no instance map {tmp_path}/numbers/z.png (or .tif, ...)"),
        ("no label map", f"{photos}/alone.jpg: no label map alone.png in {maps}"),
    ]


@pytest.mark.parametrize("twins", ["photos/x.jpg photos/x.png", "maps/x.png maps/x.tif", "numbers/x.bmp numbers/x.png"])
def test_of_two_files_of_one_name_neither_is_taken(tmp_path, twins):
    files = {"photos/x.jpg", "photos/y.jpg", "maps/x.png", "maps/y.png", "numbers/x.png", "numbers/y.png"}
    first, second = twins.split()
    photos, maps = make(tmp_path, *files, first, second)
    line = f"{tmp_path}/{first}: {tmp_path}/{second} has the same name but for its suffix; neither is taken"
    pairs, problems = find_pairs(photos, maps, instances=tmp_path / "numbers")
    assert [p.name for p in pairs] == ["y"]
    assert problems == [("two photos or two maps of one name", line)]
    (photos / "y.jpg").unlink()
    with pytest.raises(UserError, match=f"^{line}$"):
        find_pairs(photos, maps, instances=tmp_path / "numbers")


NOTHING = [
    (["photos/x.jpg", "maps/x.npz", "maps/y.npz", "maps/z.txt"],
     r"expected label maps \(.*\) in .*maps, found 2 .npz, 1 .txt; of an .npz file, save the array of ids as .npy"),
    (["photos/x.jpg"], r"expected label maps .*, found no file$"),
    (["photos/x.heic", "maps/x.png"], r"expected photos \(.*\) in .*photos, found 1 .heic$"),
    (["photos/x.jpg", "maps/x_lip.png"], r"the photos are called as 'x', the maps as 'x_lip'; .* suffix '_lip'\?$"),
    (["photos/a.jpg", "maps/b.png"], r"the photos are called as 'a', the maps as 'b'; expected 'a'$"),
    (["photos/train/a.jpg", "maps/a.png"], r"the photos are called as 'train/a', the maps as 'a'; expected 'train/a'$"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "words"), NOTHING, ids=[str(i) for i in range(len(NOTHING))])
def test_nothing_fits(tmp_path, files, words):
    photos, maps = make(tmp_path, *files)
    with pytest.raises(UserError, match=words) as caught:
        find_pairs(photos, maps)
    assert str(caught.value).startswith(f"labels {maps}: no label map has a photo of the same name in {photos}: ")
    assert "\n" not in str(caught.value)


def test_no_instance_map_at_all(tmp_path):
    photos, maps = make(tmp_path, "photos/x.jpg", "maps/x.png", "numbers/x.npz")
    with pytest.raises(UserError, match=r"^instances .*numbers: expected maps called as the photos .* found 1 .npz"):
        find_pairs(photos, maps, instances=tmp_path / "numbers")


def test_instance_maps_of_any_kind(tmp_path):
    photos, maps = make(tmp_path, "photos/x.jpg", "photos/y.jpg", "maps/x.png", "maps/y.png", "n/x.tif", "n/y.PNG")
    pairs, problems = find_pairs(photos, maps, instances=tmp_path / "n")
    assert [p.instance.name for p in pairs if p.instance] == ["x.tif", "y.PNG"]
    assert problems == []
