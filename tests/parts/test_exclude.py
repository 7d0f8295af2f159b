"""Lists of photos not to cut: every way of writing a name means the photo; a list that means none is one line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from asda_fast.cli.parts import main
from asda_fast.core.errors import UserError
from asda_fast.parts.build import build_pool
from asda_fast.parts.exclude import excluded, read_names
from asda_fast.parts.names import matching, one_each, plain
from asda_fast.parts.pool_file import merge_pools, open_pool, pool_info, save_pool


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Four photos with maps; first and second are to be left out."""
    root = tmp_path_factory.mktemp("exclude")
    (root / "photos").mkdir()
    (root / "labels").mkdir()
    label = np.zeros((120, 90), np.uint8)
    label[10:60, 20:60] = 13
    for i, name in enumerate(("first", "second", "third", "fourth.v2")):
        noise = np.random.default_rng(i).integers(0, 256, (120, 90, 3), dtype=np.uint8)
        cv2.imwrite(str(root / "photos" / f"{name}.jpg"), noise)
        Image.fromarray(label).save(root / "labels" / f"{name}.png")
    return root


def build(folder: Path, exclude, out: str = "pool.safetensors"):
    return build_pool(
        folder / "photos", folder / "labels", "lip", folder / out, exclude=exclude, workers=1, progress=False
    )


LISTS = {
    "plain.txt": "first.jpg\nsecond.jpg\n",
    "stems.txt": "first\nsecond\n",
    "folder.txt": "val2017/first.jpg\nval2017/second.jpg\n",
    "absolute.txt": "/data/coco/val2017/first.jpg\n/data/coco/val2017/second.jpg\n",
    "dot.txt": "./first.jpg\n./second.jpg\n",
    "windows.txt": "C:\\data\\first.jpg\r\nval2017\\second.jpg\r\n",
    "suffixes.txt": "first.JPG\nsecond.PNG\n",
    "quoted.txt": " \"first.jpg\" \n\n'second.jpg'\n",
    "strangers.txt": "first\nsecond\nelsewhere\n000000000139.jpg\n",
    "bom.txt": "\ufefffirst.jpg\nsecond.jpg\n",
    "names.json": '["val2017/first.jpg", "second"]',
    "coco.json": '{"images": [{"id": 1, "file_name": "val2017/first.jpg"}, {"id": 2, "file_name": "second.jpg"}]}',
    "COCO.JSON": '{"images": [{"file_name": "first.jpg"}, {"file_name": "second.jpg"}]}',
}


@pytest.mark.parametrize("name", LISTS)
def test_every_way_of_writing_a_name(folder, name):
    path = folder / name
    path.write_text(LISTS[name], encoding="utf-8", newline="")
    report = build(folder, path)
    assert set(open_pool(folder / "pool.safetensors").source) == {"third", "fourth.v2"}
    assert (report.photos, report.excluded) == (2, 2)
    assert report.to_dict()["excluded"] == 2


def test_a_list_of_windows_shell(folder):
    path = folder / "utf16.txt"
    path.write_text("first.jpg\r\nsecond.jpg\r\n", encoding="utf-16", newline="")
    assert read_names(path) == {"first", "second"}


def test_a_folder_of_photos(folder, tmp_path):
    (tmp_path / "val" / "deep").mkdir(parents=True)
    for name in ("deep/first.JPG", "second.png", "notes.txt", ".hidden"):
        (tmp_path / "val" / name).write_bytes(b"")
    assert read_names(tmp_path / "val") == {"deep/first", "second"}
    assert build(folder, tmp_path / "val").excluded == 2


NONE_OF_THEM = {
    "others.txt": ("000000000139.jpg\n", r"names none of the 4 photos in .*'000000000139', the photos .*'first'"),
    "labels.csv": ("first.jpg,3\nsecond.jpg,4\n", "names none of the 4 photos"),
    "empty.txt": ("\n \n", "found none in it"),
    "dots.txt": ("./\n/\n", "found none in it"),
    "empty.json": ("[]", "found none in it"),
    "object.json": ('{"info": {}}', "expected a list of names, or a COCO file"),
    "number.json": ('{"images": 3}', "expected a list of names, or a COCO file"),
    "entry.json": ('["first", null]', "entry 1 of its images: expected a name"),
    "nameless.json": ('{"images": [{"file_name": "a"}, {"id": 7}]}', "entry 1 of its images: expected a file_name"),
    "broken.json": ("[", "not JSON"),
    "deep.json": ("[" * 100_000, "nested too deeply"),
    "photo.jpg": (b"\xff\xd8\xff\xe0\0\x10JFIF", "line 1: expected names in UTF-8"),
    "latin.txt": (b"first.jpg\nsec\xf6nd.jpg\n", "line 2: expected names in UTF-8"),
    "zeros.txt": (b"first.jpg\n\0\0\0\0", "line 2: .* a zero byte"),
}


@pytest.mark.parametrize("name", NONE_OF_THEM)
def test_a_list_that_names_nothing_is_one_line(folder, name):
    content, words = NONE_OF_THEM[name]
    path = folder / f"none-{name}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=words) as caught:
        build(folder, path, "none.safetensors")
    assert str(caught.value).startswith(f"exclude_images {path}: ") or str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert not (folder / "none.safetensors").exists()


def test_a_list_that_names_all_is_one_line(folder):
    with pytest.raises(UserError, match="names all 4 photos"):
        build(folder, ["first", "second", "third", "fourth.v2"])
    with pytest.raises(UserError, match=r"^exclude_images .*photos: names all 4 photos"):
        build(folder, folder / "photos")


def test_names_may_be_given_as_they_are(folder):
    assert build(folder, {"val2017/first.jpg"}).excluded == 1
    assert build(folder, ()).excluded == 0
    with pytest.raises(UserError, match=r"^exclude: names none"):
        build(folder, {"nobody"})


def test_which_name_means_which_photo():
    photos = ["s0/p1", "s1/p1", "s0/p2", "deep/s0/p3"]
    assert set(matching(photos, ["p1"])) == {"s0/p1", "s1/p1"}  # all that are called so
    assert set(matching(photos, ["s1/p1.jpg"])) == {"s1/p1"}  # not its namesake in another folder
    assert set(matching(photos, ["root/s0/p1"])) == {"s0/p1"}
    assert set(matching(photos, ["other/p1"])) == set()  # two are called so: which is not known
    assert set(matching(photos, ["val2017/p2", "s0/p3.png"])) == {"s0/p2", "deep/s0/p3"}
    assert set(matching(photos, ["2", "p", ""])) == set()
    assert matching(["x"], ["a/x.jpg", "y"]) == {"x": "a/x.jpg"}
    assert matching(["x.jpg"], ["x.jpg.png", "x.jpg"]) != {}  # a photo x.jpg.png


def test_which_photo_a_name_belongs_to_alone():
    assert one_each(["x", "b/x"], ["x.jpg", "a/x.jpg"]) == ({"x": "x.jpg"}, [])  # spelled alike comes first
    assert one_each(["a/x", "b/x"], ["x"]) == ({}, ["a/x", "b/x"])  # one for two
    assert one_each(["x"], ["a/x", "b/x"]) == ({}, ["x"])  # two for one
    assert one_each(["c/x"], ["a/x", "b/x"]) == ({}, ["c/x"])
    assert one_each(["s/x", "x"], ["deep/s/x"]) == ({"s/x": "deep/s/x"}, [])  # the more steps they share
    assert one_each(["a/x", "y"], ["b/x", "val2017/y.png", "z"])[0] == {"a/x": "b/x", "y": "val2017/y.png"}
    assert matching(["x"], ["a/x", "x"]) == {"x": "x"}


def test_plain():
    assert plain(".\\val2017\\X.JPG") == plain("./val2017//X.jpeg") == "val2017/X"
    assert plain("D:/a/b.c") == "a/b.c"
    assert plain("photo.v2") == "photo.v2"
    assert plain("../x.tiff") == "../x"


def test_names_of_the_list_that_are_no_photo_are_counted():
    found, strangers = excluded(["a", "b"], ["a", "x", "y"], "photos")
    assert (set(found), strangers) == ({"a"}, 2)


def test_merging_leaves_out_by_the_same_rule(folder, tmp_path):
    patch = np.full((2, 2, 4), 255, np.uint8)
    save_pool(tmp_path / "pool", [patch] * 3, [0] * 3, [[1, 1]] * 3, ["s0/a", "s1/a", "b"], ["Face"])
    (tmp_path / "list.txt").write_text("val2017/b.JPG\ns0/a.png\n")
    assert merge_pools([tmp_path / "pool"], tmp_path / "rest", exclude=tmp_path / "list.txt") == 2
    assert open_pool(tmp_path / "rest").source == ["s1/a"]
    with pytest.raises(UserError, match="names none of the 3 photos in the pools"):
        merge_pools([tmp_path / "pool"], tmp_path / "rest", exclude={"c"})


def test_what_a_merge_cannot_leave_out_or_has_twice_is_said(tmp_path, capsys):
    patch = np.arange(16, dtype=np.uint8).reshape(2, 2, 4)
    save_pool(tmp_path / "one", [patch, patch + 1, patch], [0, 0, 0], [[1, 1]] * 3, ["a", "b", ""], ["Face"])
    save_pool(tmp_path / "two", [patch, patch + 2, patch], [1, 1, 0], [[1, 1]] * 3, ["a", "b", "a"], ["Hand", "Face"])
    save_pool(tmp_path / "none", [], [], [], [], ["Face"])
    (tmp_path / "list.txt").write_text("./a.JPG\nc.jpg\n")
    one, two, none, out = (str(tmp_path / name) for name in ("one", "two", "none", "out"))
    main(["merge", one, two, "--out", out, "--exclude-images", str(tmp_path / "list.txt")])
    assert capsys.readouterr().out.splitlines() == [
        f"{two}: 1 of its 3 patches are in a pool before it: drawn twice as often",
        "excluded names that are no photo of the pools: 1",
        "patches of no known photo, which no name leaves out: 1",
        f"{out}: 3 patches, 3 left out",
    ]
    assert pool_info(one)["photos"] == 2
    before = Path(out).read_bytes()
    (tmp_path / "list.txt").write_text("a.jpg\nb.jpg\n")
    for pools, more, words in (
        (
            [two],
            ["--exclude-images", str(tmp_path / "list.txt")],
            "--exclude-images .*: names all 2 photos of the pools",
        ),
        ([none, none], [], "hold no patches to merge"),
    ):
        with pytest.raises(UserError, match=words):
            main(["merge", *pools, "--out", out, *more])
    assert Path(out).read_bytes() == before


def test_the_command_says_how_many(folder, capsys):
    path = folder / "said.txt"
    path.write_text("val2017/first.jpg\nelsewhere.jpg\n")
    common = ["--images", str(folder / "photos"), "--labels", str(folder / "labels"), "--scheme", "lip"]
    main(["build", *common, "--workers", "1", "--out", str(folder / "said"), "--exclude-images", str(path)])
    said = capsys.readouterr().out
    assert "photos excluded by their names, not cut: 1; first" in said
    assert "excluded names that are no photo of" in said
    assert "3 photos read, 0 skipped, 1 excluded" in said
