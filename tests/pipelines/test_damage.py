"""Damaged photos, and photos of another size than declared: every reader takes and refuses the same ones, by name."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asda_fast import make_loader
from asda_fast.core.errors import UserError
from asda_fast.core.images import OtherSize
from asda_fast.data import GlobalAug, People, check, load
from asda_fast.data.store_index import read as read_store
from asda_fast.data.store_pack import pack
from asda_fast.parts.read import read_photo

SIZE = (64, 48)


@pytest.fixture
def damage(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))
    from benchmarks import damage

    return damage


def pipelines() -> list[str]:
    try:
        import nvidia.dali  # noqa: F401
    except ImportError:
        return ["native"]
    return ["native", "dali"]


def test_all_readers_agree_on_generated_damage(damage, tmp_path: Path) -> None:
    """300 of them; `python -m benchmarks.damage --count 3000` runs more, and says what libjpeg lets pass."""
    found = damage.cases(300, seed=1)
    people = damage.write(tmp_path / "set", found)
    refused, apart = damage.refusals(people, tmp_path / "store")
    assert set(refused) >= {"native", "pack", "parts", "data check", *pipelines()}
    assert set.union(*refused.values()) == set.intersection(*refused.values())
    assert apart < 0.2
    wrong = {name: 0 for name in damage.PEERS}
    for case in found:
        for name, reader in damage.PEERS.items():
            wrong[name] += damage.verdict(case, reader) == "wrong"
    assert wrong["asda_fast"] < wrong["libjpeg-turbo, warnings are errors"] < wrong["Pillow"] / 2
    assert 150 < len(refused["native"]) < 290  # most damage shows, and some cannot


@pytest.mark.parametrize("encoding", ["4:2:0", "4:4:4", "progressive", "restart", "grey"])
def test_no_sound_photo_is_refused(damage, tmp_path: Path, encoding: str) -> None:
    found = [damage.Case(encoding, "none", good, good) for good in damage.encoded(12)[encoding]]
    people = damage.write(tmp_path / "set", found)
    refused, _ = damage.refusals(people, tmp_path / "store")
    assert not set.union(*refused.values())


def write_set(root: Path, stored: dict[str, bytes], declared: tuple[int, int]) -> People:
    """Photos of one person each; declared: height, width in the JSON."""
    (root / "annotations").mkdir(parents=True)
    (root / "train2017").mkdir()
    height, width = declared
    photos, annotations = [], []
    for number, (name, data) in enumerate(stored.items()):
        (root / "train2017" / name).write_bytes(data)
        photos.append({"id": number, "file_name": name, "height": height, "width": width})
        joints = [v for j in range(17) for v in (5 + 3 * j, 9 + 2 * j, 2)]
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "bbox": [4, 6, 60, 50], "area": 900,
             "keypoints": joints}
        )  # fmt: skip
    table = {"images": photos, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (root / "annotations" / "person_keypoints_train2017.json").write_text(json.dumps(table))
    return load("coco", root)


def picture(mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[:96, :128]
    return Image.fromarray(np.stack([2 * x, 2 * y, x + y], 2).astype(np.uint8)).convert(mode)


def saved(image: Image.Image, kind: str = "PNG", orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    return file.getvalue()


def crops(people: People, pipeline: str) -> np.ndarray:
    with make_loader(people, SIZE, 4, pipeline, train=False) as loader:
        return np.concatenate([batch.image.numpy() for batch in loader]).astype(int)


@pytest.mark.parametrize("pipeline", pipelines())
def test_a_photo_that_viewers_turn_is_turned_when_its_annotations_are(tmp_path: Path, pipeline: str) -> None:
    upright = picture()
    plain = write_set(tmp_path / "plain", {"a.png": saved(upright), "b.jpg": saved(upright, "JPEG")}, (96, 128))
    turned = upright.transpose(Image.Transpose.ROTATE_90)  # 6: to be turned clockwise by a viewer
    stored = {"a.png": saved(turned, orientation=6), "b.jpg": saved(turned, "JPEG", orientation=6)}
    people = write_set(tmp_path / "turned", stored, (96, 128))
    want, got = crops(plain, pipeline), crops(people, pipeline)
    assert np.abs(got[0] - want[0]).max() <= 1
    assert np.abs(got[1] - want[1]).mean() < 1  # JPEG's blocks lie otherwise
    assert check.photos(people) == []
    pack(people, tmp_path / "store", size=SIZE, margin=2, raw=True)
    kept = read_store(tmp_path / "store", "train")
    assert kept.source.photo.tolist() == [[96, 128]] * 2
    assert np.abs(crops(kept, pipeline) - got).max() <= 1
    for number, path in enumerate(people.files):
        photo = read_photo(Path(path), (96, 128)).astype(int)
        assert np.abs(photo - np.asarray(upright)).mean() < 2 * number + 0.01
    undeclared = write_set(tmp_path / "stored", {"a.png": saved(turned, orientation=6)}, (128, 96))
    as_stored = write_set(tmp_path / "as stored", {"a.png": saved(turned)}, (128, 96))
    assert (crops(undeclared, pipeline) == crops(as_stored, pipeline)).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_another_size_than_declared_is_one_line_with_both(tmp_path: Path, kind: str) -> None:
    name = f"a.{kind.lower()}"
    people = write_set(tmp_path / "set", {name: saved(picture(), kind)}, (192, 256))
    lines = []
    for pipeline in pipelines():
        with pytest.raises(UserError) as caught:
            crops(people, pipeline)
        lines.append(str(caught.value))
    with pytest.raises(UserError) as caught:
        pack(people, tmp_path / "store", size=SIZE)
    lines.append(str(caught.value))
    with pytest.raises(OtherSize) as other:
        read_photo(Path(people.files[0]), (192, 256))
    (problem,) = check.photos(people)
    for line in (*lines, str(other.value), str(problem)):
        assert f"{name}: is 128 x 96, its annotations say 256 x 192" in line
        assert "\n" not in line


def test_skip_replaces_photos_of_another_size(tmp_path: Path) -> None:
    small = picture().resize((64, 48))
    stored = {"a.jpg": saved(picture(), "JPEG"), "b.jpg": saved(small, "JPEG"), "c.jpg": saved(picture(), "JPEG")}
    people = write_set(tmp_path / "set", stored, (96, 128))
    for pipeline in pipelines():
        with make_loader(people, SIZE, 3, pipeline, train=False, on_bad_image="skip") as loader:
            rows = [batch.row.tolist() for batch in loader]
            assert rows == [[0, 2, 2]]
            assert [Path(name).name for name in loader.bad_images] == ["b.jpg"]


def test_a_store_does_not_read_photos_that_have_changed(tmp_path: Path) -> None:
    people = write_set(tmp_path / "set", {"a.jpg": saved(picture(), "JPEG")}, (96, 128))
    pack(people, tmp_path / "store", size=SIZE, margin=1)
    kept = read_store(tmp_path / "store", "train")
    wide = np.array([[2.6, 0, 0], [0, 1.4, 0]])  # the whole photo, of which the window is a part
    assert kept.fetch(0, wide, SIZE).name == people.files[0]
    Path(people.files[0]).write_bytes(saved(picture().transpose(Image.Transpose.FLIP_LEFT_RIGHT), "JPEG") + b"!")
    for pipeline in pipelines():
        words = r"a\.jpg: has \d+ bytes, but \d+ when the store was packed"
        options = {"aug": GlobalAug(scale=0.9), "seed": 1}
        with make_loader(kept, SIZE, 1, pipeline, **options) as loader, pytest.raises(UserError, match=words):
            [list(loader) for _ in range(20)]


@pytest.mark.skipif("dali" not in pipelines(), reason="DALI is an extra")
def test_a_dali_loader_in_a_forked_child() -> None:
    """None hangs or dies by a signal, in any child or, afterwards, in the parent."""
    import subprocess

    script = """
import gc, os, sys
from asda_fast import make_loader
from asda_fast.data import load
people = load("demo", split="val")
def make(): return make_loader(people, (64, 48), 8, "dali", train=False)
loader = make()
batches = iter(loader)
kept = next(batches)
def child(what):
    global loader, batches, kept
    if what == "use":
        assert sum(len(batch) for batch in loader) == len(people)
        assert (next(iter(loader)).image == kept.image).all()
    elif what == "close":
        loader.close()
    elif what == "forget":
        del loader, batches, kept
        gc.collect()
    elif what == "old":
        try:
            next(batches)
        except RuntimeError as error:
            assert "this iteration is over" in str(error)
        else:
            sys.exit(3)
    elif what == "new":
        assert sum(len(batch) for batch in make()) == len(people)

for what in sys.argv[1:]:
    number = os.fork()
    if number == 0:
        child(what)
        sys.exit(0)
    print(what, os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)
assert sum(len(batch) for batch in loader) == len(people)
"""
    kinds = ["use", "close", "forget", "old", "new", "nothing"]
    done = subprocess.run([sys.executable, "-c", script, *kinds], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == [f"{what} 0" for what in kinds], done.stderr
    assert done.returncode == 0
