"""data.check: every photo of a set is read once, whole, and what is wrong with it is one line."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asda_fast.data import check, load
from asda_fast.data.people import People


@pytest.fixture
def people(tmp_path: Path) -> People:
    """The demo set's validation people, with photos of their own to break."""
    found = load("demo", split="val")
    files = []
    for name in found.files:
        files.append(str(tmp_path / Path(name).name))
        Path(files[-1]).write_bytes(Path(name).read_bytes())
    found.files[:] = files
    return found


def test_a_sound_set_has_no_problems(people: People) -> None:
    assert check.photos(people) == []
    assert check.photos(people, threads=3) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_each_problem_is_named_in_order_and_progress_told(people: People, threads: int) -> None:
    files = [people.files[n] for n in np.unique(people.file)]
    last = Path(files[9]).read_bytes()
    Path(files[9]).write_bytes(last[:-30] + bytes(20) + last[-10:])  # its lowest blocks: few crops would read them
    Path(files[2]).unlink()
    Path(files[5]).write_bytes(b"hello")
    people.image_size[people.files.index(files[7])] = (11, 22)
    told: list[tuple[int, int, str]] = []
    found = check.photos(
        people, threads, lambda done, count: told.append((done, count, threading.current_thread().name))
    )
    assert [problem.photo for problem in found] == [files[2], files[5], files[7], files[9]]
    words = ["No such file", "not a readable image", "its annotations say 22 x 11", "damaged JPEG"]
    for problem, word in zip(found, words):
        assert word in str(problem)
        assert "\n" not in str(problem)
        assert problem.people == (people.file == people.files.index(problem.photo)).sum()
    assert told == [(n + 1, len(files), "MainThread") for n in range(len(files))]


def test_a_store_is_read_crop_by_crop(people: People, tmp_path: Path) -> None:
    from asda_fast.data.store_index import read
    from asda_fast.data.store_pack import pack

    pack(people, tmp_path / "store", size=(64, 48), margin=1.2)
    store = read(tmp_path / "store", "train")
    for name in people.files:
        Path(name).unlink()  # it needs them no more
    assert check.photos(store) == []
    shard = tmp_path / "store" / store.source.shards[int(store.source.shard[3])]
    data = bytearray(shard.read_bytes())
    end = int(store.source.offset[3] + store.source.length[3])
    data[end - 40 : end - 10] = bytes(30)
    shard.write_bytes(data)
    (problem,) = check.photos(read(tmp_path / "store", "train"))
    assert problem.photo == f"{shard} (crop 3)"
    assert problem.people == 1


def test_where_no_size_is_declared_the_joints_tell_a_photo_of_another_scale(people: People, tmp_path: Path) -> None:
    from asda_fast.core.errors import UserError
    from asda_fast.data.store_pack import pack

    people.image_size[:] = 0
    assert check.photos(people) == []
    name = people.files[people.file[0]]
    known = people.visible[0] > 0
    edge = int(np.sort(people.joints[0][known].max(axis=1))[known.sum() // 2 - 1])  # half the joints lie beyond it
    with Image.open(name) as photo:
        photo.crop((0, 0, edge, edge)).save(name)
    found = check.photos(people)
    assert [problem.photo for problem in found] == [name]
    assert f"is {edge} x {edge}, " in found[0].reason
    assert f"of {known.sum()} labelled joints of a person, at x " in found[0].reason
    with pytest.raises(UserError, match=f"{name}: is {edge} x {edge}, .* joints of a person"):
        pack(people, tmp_path / "store", size=(64, 48))
    assert pack(people, tmp_path / "store", size=(64, 48), skip_bad=True)["skipped"] == found[0].people


def test_photos_of_one_colour_are_named(people: People) -> None:
    """What a camera that failed or a download that was denied leaves: sound files with nothing to see."""
    files = [people.files[n] for n in np.unique(people.file)]
    noise = np.random.default_rng(0)
    for number, value in ((1, 0), (3, 255), (4, 90)):
        width, height = Image.open(files[number]).size
        pixels = np.full((height, width, 3), value, np.uint8)
        if number == 4:  # grey, but of a sensor: somebody may be in it
            pixels = pixels + noise.integers(0, 12, pixels.shape, dtype=np.uint8)
        Image.fromarray(pixels).save(files[number], quality=80)
    assert [problem.photo for problem in check.photos(people)] == [files[1], files[3]]
    assert "one colour throughout" in str(check.photos(people)[0])


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_one_colour_in_any_kind_of_file(kind: str) -> None:
    for value, marked, empty in ((0, False, True), (200, False, True), (0, True, False)):
        pixels = np.full((480, 640, 3), value, np.uint8)
        if marked:
            pixels[100:140, 200:240] = (255, 200, 0)
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, kind)
        assert check.empty(data.getvalue(), "x") == empty
