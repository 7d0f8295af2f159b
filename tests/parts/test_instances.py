"""Who is who by a COCO file: outlines as pycocotools draws them; what cannot be drawn is told apart by its box and
counted, or is one line that names the annotation."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from asda_fast.cli.parts import main
from asda_fast.core.errors import UserError
from asda_fast.parts.build import build_pool
from asda_fast.parts.cut import Filters
from asda_fast.parts.instances import Person, instance_map, read_people
from asda_fast.parts.pool_file import open_pool

HEIGHT, WIDTH = 60, 80
BOX = (10.0, 5.0, 30.0, 40.0)


def random_mask(seed: int, shape=(HEIGHT, WIDTH)) -> np.ndarray:
    """A blob with holes, or, now and then, noise."""
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) > 0.5
    if seed % 3:
        mask = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 4) > 0.5
    return mask


def as_string(mask: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": rle["counts"].decode()}


def as_numbers(mask: np.ndarray) -> dict:
    flat = mask.T.reshape(-1).astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    counts = np.diff(np.concatenate([[0], edges, [len(flat)]]))
    return {"size": list(mask.shape), "counts": counts.tolist()}


def drawn(outline, box=BOX) -> tuple[np.ndarray, dict[str, tuple[int, str]]]:
    numbers, _, notes = instance_map((Person("annotation 40", box, outline),), HEIGHT, WIDTH)
    return numbers > 0, notes.kinds


def box_mask() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5:45, 10:40] = True
    return mask


@pytest.mark.parametrize("form", [as_string, as_numbers])
def test_rle_is_read_as_it_was_written(form):
    for seed in range(40):
        mask = random_mask(seed)
        got, notes = drawn(form(mask))
        assert (got == mask).all()
        assert notes == {}
    large = random_mask(1, (1000, 1400))  # numbers of several characters
    assert (instance_map((Person("a", BOX, form(large)),), 1000, 1400)[0] == large).all()


def test_polygons_are_drawn_as_pycocotools_does():
    rng = np.random.default_rng(0)
    for _ in range(40):
        polygons = [(rng.random(2 * rng.integers(3, 12)) * 100 - 10).tolist() for _ in range(rng.integers(1, 4))]
        expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, HEIGHT, WIDTH))) > 0
        got, notes = drawn(polygons)
        assert (got == expected).all() or not expected.any()
        assert notes == {} or not expected.any()


TRIANGLE = [10, 10, 40, 10, 40, 40]
BY_BOX = {
    "absent": (None, "no outline"),
    "no polygon": ([], "no outline"),
    "empty polygon": ([[]], "no outline"),
    "zero": (0, "no outline"),
    "a box": ([[10, 10, 60, 90]], "no polygon of three points"),
    "two points": ([[1, 2, 3, 4], [5, 6]], "no polygon of three points"),
    "odd": ([[1, 2, 3, 4, 5, 6, 7]], "no polygon of three points"),
    "words": ([["1", "2", "3", "4", "5", "6"]], "no polygon of three points"),
    "pairs": ([[1, 2], [3, 4], [5, 6]], "no polygon of three points"),
    "NaN": ([[1, 2, math.nan, 4, 5, 6]], "no polygon of three points"),
    "infinite": ([[1, 2, math.inf, 4, 5, 6]], "no polygon of three points"),
    "huge": ([[1, 2, 10**400, 4, 5, 6]], "no polygon of three points"),
    "far away": ([[1e6, 1e6, 2e6, 1e6, 2e6, 2e6]], "outside the photo"),
    "outside": ([[100, 100, 120, 100, 120, 120]], "outside the photo"),
    "a word": ("polygon", "neither polygons nor RLE"),
    "a number": (7.5, "neither polygons nor RLE"),
    "RLE of another size": (as_string(random_mask(1, (HEIGHT // 2, WIDTH // 2))), "of another size than the photo"),
    "RLE with the sides swapped": (as_numbers(random_mask(1, (WIDTH, HEIGHT))), "of another size than the photo"),
    "RLE without size": ({"counts": "abc"}, "has no size"),
    "RLE with a word for size": ({"size": "60x80", "counts": "abc"}, "has no size"),
    "RLE without counts": ({"size": [HEIGHT, WIDTH]}, "damaged"),
    "RLE cut short": ({"size": [HEIGHT, WIDTH], "counts": as_string(random_mask(1))["counts"][:-3]}, "damaged"),
    "RLE of nonsense": ({"size": [HEIGHT, WIDTH], "counts": "\u00e9\n~"}, "damaged"),
    "RLE without end": ({"size": [HEIGHT, WIDTH], "counts": "o" * 1000}, "damaged"),
    "RLE too long": ({"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH, 1]}, "damaged"),
    "RLE below zero": ({"size": [HEIGHT, WIDTH], "counts": [-5, HEIGHT * WIDTH + 5]}, "damaged"),
    "RLE of words": ({"size": [HEIGHT, WIDTH], "counts": ["a"]}, "damaged"),
    "RLE of floats": ({"size": [HEIGHT, WIDTH], "counts": [0.0, float(HEIGHT * WIDTH)]}, "damaged"),
    "RLE of nobody": ({"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}, "outside the photo"),
}


@pytest.mark.parametrize("name", BY_BOX)
def test_who_cannot_be_drawn_is_told_apart_by_the_box(name):
    outline, why = BY_BOX[name]
    got, notes = drawn(outline)
    assert (got == box_mask()).all()
    ((kind, counted),) = notes.items()
    assert kind.startswith("people told apart by their box")
    assert why in kind
    assert counted == (1, "annotation 40")
    lost, notes = drawn(outline, None)  # and without a box there is nothing to go by
    assert not lost.any()
    ((kind, counted),) = notes.items()
    assert kind.startswith("people left out")
    assert counted == (1, "annotation 40")


def test_a_part_of_an_outline_that_cannot_be_drawn_is_counted():
    got, notes = drawn([TRIANGLE, [1, 2, 3, 4]])
    assert (got == drawn([TRIANGLE])[0]).all()
    assert got.any()
    assert [k.startswith("people drawn without a piece of their outline") for k in notes] == [True]


def test_one_polygon_not_in_a_list():
    assert (drawn(TRIANGLE)[0] == drawn([TRIANGLE])[0]).all()
    assert drawn(TRIANGLE)[1] == {}


def test_a_box_outside_the_photo():
    got, notes = drawn(None, (500.0, 500.0, 10.0, 10.0))
    assert not got.any()
    assert ["the box lies outside the photo" in k for k in notes] == [True]
    assert drawn(None, (-20.0, -20.0, 30.0, 30.0))[0].sum() == 100


def test_smaller_people_win_and_more_than_255_have_numbers():
    people = tuple(Person(f"annotation {i}", (0.0, 0.0, 80.0 - i / 10, 60.0), None) for i in range(300))
    inner = Person("inner", (4.0, 4.0, 8.0, 8.0), None)
    numbers, boxes, _ = instance_map((*people, inner), HEIGHT, WIDTH)
    assert numbers[0, 0] == 300  # the last is the smallest
    assert numbers[5, 5] == 301
    assert boxes[300] == people[-1].box
    assert len(boxes) == 301


# ---- the file -------------------------------------------------------------------------------------------------------


def write(path: Path, annotations: list, images: list | None = None, **more) -> Path:
    images = [{"id": 1, "file_name": "p.png"}] if images is None else images
    path.write_text(json.dumps({"images": images, "annotations": annotations, **more}))
    return path


ONE = {"id": 40, "image_id": 1, "bbox": list(BOX)}


def test_people_are_read(tmp_path):
    images = [{"id": "im1", "file_name": "val2017/a.jpg", "width": 80, "height": 60}, {"id": 2, "file_name": "b.png"}]
    rows = [{**ONE, "image_id": "im1"}, {**ONE, "id": "x", "image_id": 2}, {**ONE, "image_id": 2, "iscrowd": 1}]
    people, notes = read_people(write(tmp_path / "p.json", rows, images))
    assert people["val2017/a"].size == (80, 60)
    assert people["val2017/a"].people == (Person("annotation 40", BOX, None),)
    assert people["b"].size is None
    assert [p.name for p in people["b"].people] == ["annotation x"]
    assert notes.kinds == {"crowds, not cut": (1, "annotation 40")}


def test_only_people_of_several_categories(tmp_path):
    rows = [{**ONE, "id": i, "category_id": 1 + i % 3} for i in range(9)]
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "person"}, {"id": 3, "name": "chair"}]
    people, notes = read_people(write(tmp_path / "p.json", rows, categories=categories))
    assert [p.name for p in people["p"].people] == ["annotation 1", "annotation 4", "annotation 7"]
    assert notes.kinds == {"annotations of another category than person, not cut": (6, "annotation 0")}
    with pytest.raises(UserError, match=r"None is called 'person'.*'dog' .*'chair'"):
        read_people(write(tmp_path / "p.json", rows, categories=categories[::2]))
    rows = [{**ONE, "id": 1, "category_id": 5}, {**ONE, "id": 2}, {**ONE, "id": 3, "category_id": 6}]
    people, notes = read_people(write(tmp_path / "p.json", rows, categories=[{"id": 5, "name": "pedestrian"}]))
    assert [p.name for p in people["p"].people] == ["annotation 1", "annotation 2"]
    assert notes.kinds == {"annotations of another category than person, not cut": (1, "annotation 3")}


def test_boxes_that_are_corners_are_refused(tmp_path):
    """They would make everybody larger than they are, and their parts smaller."""
    images = [{"id": 1, "file_name": "p.png", "width": 80, "height": 60}]
    rows = [{**ONE, "id": i, "bbox": [40, 20, 70 + i, 50 + i]} for i in range(4)]
    with pytest.raises(UserError, match=r"p\.json: boxes: expected x, y, width, height; most reach out of their photo"):
        read_people(write(tmp_path / "p.json", rows, images))
    assert read_people(write(tmp_path / "p.json", rows))[0]["p"].people  # of no known size: nothing can be told


def test_categories_that_differ_name_no_option(tmp_path):
    categories = [{"id": 1, "name": "dog", "keypoints": ["a"]}, {"id": 2, "name": "cat", "keypoints": ["b"]}]
    rows = [{**ONE, "category_id": 1}, {**ONE, "id": 2, "category_id": 2}]
    with pytest.raises(UserError, match="and their joints differ: 'dog'"):  # there is none here to choose one by
        read_people(write(tmp_path / "p.json", rows, categories=categories))


@pytest.mark.parametrize(
    "box", [None, [1, 2, 0, 5], [1, 2, -3, 5], [math.nan, 2, 3, 4], [1, 2, math.inf, 4], [True] * 4]
)
def test_a_box_without_area_is_none(tmp_path, box):
    people, _ = read_people(write(tmp_path / "p.json", [{**ONE, "bbox": box, "segmentation": [TRIANGLE]}]))
    assert people["p"].people[0].box is None
    numbers, boxes, notes = instance_map(people["p"].people, HEIGHT, WIDTH)
    assert numbers.any()
    assert boxes == {}
    assert notes.kinds == {"people as large as their outline (no box with an area)": (1, "annotation 40")}


REFUSED = [
    ([], {}, "expected COCO annotations, an object"),
    ({"images": []}, {}, "an object with 'images' and 'annotations'"),
    ({"images": [3], "annotations": []}, {}, r"images\[0\]: expected an object"),
    ({"annotations": {}}, {}, "expected a list of 'annotations'"),
    ({}, {"id": None}, r"images\[0\]: id: expected a number or a word, got None"),
    ({}, {"id": [1]}, r"images\[0\]: id: expected a number or a word, got \[1\]"),
    ({}, {"file_name": 5}, r"images\[0\] .*: file_name: expected a photo's name, got 5"),
    ({}, {"file_name": ""}, r"images\[0\] .*: file_name: expected"),
    ({}, {"width": "80", "height": 60}, r"images\[0\] .*: width: expected a number of pixels"),
    ({"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}, {}, r"images\[1\]: id 1 is also"),
    ({"annotations": [{**ONE, "bbox": [1, 2, 3]}]}, {}, r"annotation 40: bbox: expected 4 numbers .* \[1, 2, 3\]"),
    ({"annotations": [{**ONE, "bbox": ["a"] * 4}]}, {}, "annotation 40: bbox"),
    ({"annotations": [{**ONE, "bbox": 7}]}, {}, "annotation 40: bbox"),
    ({"annotations": [{**ONE, "image_id": "1"}]}, {}, "annotation 40: image_id '1' is not the id of an image"),
    ({"annotations": [{**ONE, "image_id": {}}]}, {}, "annotation 40: image_id {} is not"),
    ({"annotations": [{"image_id": 9}]}, {}, r"annotations\[0\]: image_id 9 is not"),
    ({"annotations": [{**ONE, "bbox": [0.1, 0.2, 0.3, 0.6]}]}, {}, r"0..0.6: expected pixels"),
]


@pytest.mark.parametrize(("data", "image", "words"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_another_form_is_one_line(tmp_path, data, image, words):
    path = tmp_path / "people.json"
    whole = {"images": [{"id": 1, "file_name": "p.png", **image}], "annotations": [ONE]}
    path.write_text(json.dumps({**whole, **data} if data != [] and data != {"images": []} else data))
    with pytest.raises(UserError, match=words) as caught:
        read_people(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_strangers_are_counted(tmp_path):
    _, notes = read_people(write(tmp_path / "p.json", [ONE, {**ONE, "id": 41, "image_id": 9}]))
    ((kind, (count, first)),) = notes.kinds.items()
    assert kind == "annotations without an image in the people file"
    assert (count, first) == (1, "annotation 41: image_id 9 is not the id of an image")


# ---- in a build -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    """One photo of two people beside one another."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "labels").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (120, 100, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "photos" / "p.png"), noise)
    label = np.zeros((120, 100), np.uint8)
    label[20:80, 5:45] = label[20:80, 55:95] = 13
    Image.fromarray(label).save(tmp_path / "labels" / "p.png")
    return tmp_path


LEFT, RIGHT = [0, 10, 50, 90], [50, 10, 50, 90]


def build(folder: Path, rows: list, **image):
    images = [{"id": 1, "file_name": "p.png", **image}]
    people = write(folder / "people.json", [{"id": i, "image_id": 1, **row} for i, row in enumerate(rows)], images)
    options = {"filters": Filters(share=0, border=9), "workers": 1, "progress": False}
    return build_pool(folder / "photos", folder / "labels", "lip", folder / "pool", people=people, **options)


@pytest.mark.parametrize("outline", [[[]], [[10, 10, 60, 90]], None, {"size": [5, 5], "counts": [25]}])
def test_the_build_goes_on_by_the_box(folder, outline):
    report = build(folder, [{"bbox": LEFT, "segmentation": outline}, {"bbox": RIGHT, "segmentation": outline}])
    assert report.counts["Face"]["kept"] == 2
    assert open_pool(folder / "pool").person.tolist() == [[50.0, 90.0]] * 2
    ((kind, counted),) = report.notes.kinds.items()
    assert kind.startswith("people told apart by their box")
    assert counted == (2, "annotation 0")
    assert report.to_dict()["notes"][kind] == {"count": 2, "first": "annotation 0"}


def test_people_and_pixels_that_are_lost_are_counted(folder, capsys):
    report = build(folder, [{"bbox": LEFT}, {"bbox": [0, 100, 20, 20]}])
    assert report.counts["Face"]["kept"] == 1
    lost = {kind: first for kind, (_, first) in report.notes.kinds.items()}
    assert lost["people who own no labelled pixel, not cut"] == f"annotation 1 in {folder / 'photos' / 'p.png'}"
    report = build(folder, [{"bbox": [0, 10, 30, 90]}])
    assert "photos most of whose labelled pixels are nobody's, these not cut" in report.notes.kinds
    common = [
        "--images",
        str(folder / "photos"),
        "--labels",
        str(folder / "labels"),
        "--scheme",
        "lip",
        "--border",
        "9",
    ]
    common += ["--out", str(folder / "pool"), "--people", str(folder / "people.json"), "--workers", "1", "--share", "0"]
    main(["build", *common])
    said = capsys.readouterr().out
    assert "photos most of whose labelled pixels are nobody's, these not cut: 1; " in said
    assert "people told apart by their box (no outline): 1; annotation 0" in said


def test_a_photo_of_another_size_than_declared_is_skipped(folder):
    with pytest.raises(UserError, match="is 100 x 120, the people file says 200 x 240"):
        build(folder, [{"bbox": LEFT}], width=200, height=240)
    assert build(folder, [{"bbox": LEFT}], width=100, height=120).photos == 1


def test_names_are_matched_as_in_lists(folder):
    assert build(folder, [{"bbox": LEFT}], file_name="val2017\\p.JPG").photos == 1
    with pytest.raises(UserError, match=r"knows none of the photos: they are called as 'p', the file's .* 'q'"):
        build(folder, [{"bbox": LEFT}], file_name="q.jpg")


def test_a_resume_counts_the_same(folder, monkeypatch):
    from asda_fast.parts import build as build_module

    rows = [{"bbox": LEFT, "segmentation": [[]]}, {"bbox": RIGHT}]
    whole = build(folder, rows)
    monkeypatch.setattr(build_module.shutil, "rmtree", lambda *a, **k: None)  # as if the last step were interrupted
    build(folder, rows)
    shards = {path: path.stat().st_mtime_ns for path in (folder / "pool.partial.d").glob("0*")}
    again = build(folder, rows)
    assert {path: path.stat().st_mtime_ns for path in (folder / "pool.partial.d").glob("0*")} == shards
    assert again.notes == whole.notes
    assert again.counts == whole.counts


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_instance_maps_may_number_more_than_255_people(folder, suffix):
    numbers = np.zeros((120, 100), np.uint16)
    numbers[:, :50], numbers[:, 50:] = 7, 7 + 256  # the same number in 8 bits
    (folder / "numbers").mkdir()
    Image.fromarray(numbers).save(folder / "numbers" / f"p{suffix}")
    options = {"filters": Filters(share=0, border=9), "workers": 1, "progress": False}
    args = (folder / "photos", folder / "labels", "lip", folder / "pool")
    report = build_pool(*args, instances=folder / "numbers", **options)
    assert report.counts["Face"]["kept"] == 2
    assert report.problems == []
