"""Stores: what is packed comes back, the plan is that of the photos, and nothing turns silently black."""

from __future__ import annotations

import json
import pickle
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from asda_fast import make_loader
from asda_fast.core.errors import UserError
from asda_fast.core.shard import Shard, Unfinished
from asda_fast.core.skeletons import COCO
from asda_fast.data import GlobalAug, check, draw, load
from asda_fast.data.people import People
from asda_fast.data.plan import clamp
from asda_fast.data.store import Store, reach
from asda_fast.data.store_cut import windows
from asda_fast.data.store_index import read
from asda_fast.data.store_pack import pack

SIZE = (64, 48)
AUG = GlobalAug(rotation=40, scale=0.3)


def photo(seed: int, width: int = 200, height: int = 160) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.maximum(smooth, 40)  # so that black can only come from outside


@pytest.fixture
def people(tmp_path: Path) -> People:
    """Two people in each of nine photos, some close to the edge, one large."""
    rng = np.random.default_rng(5)
    files = [str(tmp_path / "photos" / f"{i}.jpg") for i in range(9)]
    (tmp_path / "photos").mkdir()
    for i, name in enumerate(files):
        cv2.imwrite(name, photo(i), [cv2.IMWRITE_JPEG_QUALITY, 95])
    count = 18
    centre = rng.uniform((40, 40), (160, 120), (count, 2))
    side = rng.uniform(20, 50, count)
    side[4] = 400.0
    box = np.stack([centre[:, 0] - side / 4, centre[:, 1] - side / 2, side / 2, side], 1)
    return People(
        skeleton=COCO, files=files, file=np.repeat(np.arange(9, dtype=np.int32), 2), box=box.astype(np.float32),
        centre=centre.astype(np.float32), scale=(side * 1.25 / 200).astype(np.float32),
        joints=(centre[:, None] + rng.uniform(-0.4, 0.4, (count, 17, 2)) * side[:, None, None]).astype(np.float32),
        visible=np.full((count, 17), 2, np.uint8), head=np.full(count, np.nan, np.float32), id=np.arange(count) + 7,
        image_id=np.repeat(np.arange(9), 2),
        image_size=np.zeros((9, 2), np.int32), name="made",
    )  # fmt: skip


def epoch(people: People, pipeline: str = "native", **options: object) -> tuple[torch.Tensor, ...]:
    with make_loader(people, SIZE, 4, pipeline, aug=AUG, drop_last=False, **options) as loader:
        batches = list(loader)
    return tuple(torch.cat([getattr(b, name) for b in batches]) for name in ("image", "joints", "matrix", "row", "box"))


def gone(people: People) -> None:
    for name in people.files:
        Path(name).unlink()


def test_the_table_survives(people: People, tmp_path: Path) -> None:
    counts = pack(people, tmp_path / "s" / "train", size=SIZE, shards=3)
    back = read(tmp_path / "s", "train")
    assert counts["people"] == len(back) == 18
    assert counts["shards"] == len(back.source.shards) == 3
    for name in ("file", "box", "centre", "scale", "joints", "visible", "head", "id", "image_id"):
        assert np.array_equal(getattr(back, name), getattr(people, name), equal_nan=name == "head"), name
    assert back.files == people.files
    assert back.skeleton == people.skeleton
    assert (back.name, back.fit) == (people.name, people.fit)
    few = back.select(np.array([5, 2]))
    assert isinstance(few.source, Store)
    assert few.source.crop.tolist() == [5, 2]


def test_shards_are_webdataset_tars_with_the_annotation_inside(people: People, tmp_path: Path) -> None:
    pack(people, tmp_path / "s", size=SIZE, shards=2)
    back = read(tmp_path / "s", "train")
    seen = set()
    for number, shard in enumerate(back.source.shards):
        with tarfile.open(tmp_path / "s" / shard) as tar:
            names = tar.getnames()
            assert [n.split(".")[0] for n in names[::2]] == [n.split(".")[0] for n in names[1::2]]
            for name in names[1::2]:
                about = json.load(tar.extractfile(name))
                row = about["row"]
                seen.add(row)
                image = tar.extractfile(name.replace(".json", ".jpg")).read()
                assert bytes(back.source.blob(row)) == image
                assert back.source.shard[row] == number
                assert np.allclose(about["joints"], people.joints[row])
                assert about["window"] == back.source.window[row].tolist()
                assert about["photo"] == Path(people.files[people.file[row]]).name
    assert seen == set(range(18))


@pytest.mark.parametrize("raw", [False, True], ids=["jpeg", "raw"])
@pytest.mark.parametrize("pipeline", ["native", "dali"])
def test_crops_are_those_of_the_photos(people: People, tmp_path: Path, raw: bool, pipeline: str) -> None:
    if pipeline == "dali":
        pytest.importorskip("nvidia.dali", reason="DALI is an extra")
    pack(people, tmp_path / "s", size=SIZE, raw=raw)
    back = read(tmp_path / "s", "train", photos=False)
    assert back.source.shrink.max() > 1  # the large person is kept smaller
    same = back.source.shrink[back.source.crop] == 1
    want, got = epoch(people), epoch(back, pipeline)
    for a, b in zip(want[1:], got[1:]):
        assert torch.equal(a, b)
    difference = (want[0].int() - got[0].int()).abs().float().mean((1, 2, 3))
    rows = want[3].numpy()
    assert difference[torch.from_numpy(same[rows])].max() < (0.1 if raw and pipeline == "native" else 1)
    assert difference.max() < 2.5  # one decoded at full size and one at a fraction differ a little more


@pytest.mark.filterwarnings("error:DALI failed")  # it is handed pixels or JPEGs, never both
@pytest.mark.parametrize("raw", [False, True], ids=["jpeg", "raw"])
@pytest.mark.parametrize("pipeline", ["native", "dali"])
def test_what_leaves_the_window_comes_from_the_photo(people: People, tmp_path: Path, raw: bool, pipeline: str) -> None:
    if pipeline == "dali":
        pytest.importorskip("nvidia.dali", reason="DALI is an extra")
    pack(people, tmp_path / "s", size=SIZE, margin=1.0, raw=raw, shrink=False)
    back = read(tmp_path / "s", "train")
    plan = draw(back, SIZE, epoch=0, seed=0, train=True, aug=AUG, batch_size=4, drop_last=False)
    clamped, counts = clamp(back, plan, SIZE)
    assert clamped is plan
    assert counts["from photo"] > 5
    assert counts["from photo"] == (~back.source.fits(plan.row, plan.matrix, SIZE).all(1)).sum()
    names = [back.fetch(int(r), m, SIZE).name for r, m in zip(plan.row, plan.matrix)]
    assert sum(name in people.files for name in names) == counts["from photo"]
    want, got = epoch(people), epoch(back, pipeline)
    assert (want[0].int() - got[0].int()).abs().float().mean() < (0.1 if raw else 1)


def test_without_the_photo_the_draw_is_narrowed_never_black(people: People, tmp_path: Path) -> None:
    pack(people, tmp_path / "s", size=SIZE, margin=1.0, raw=True, shrink=False)
    want_photo = {int(r): None for r in range(18)}
    photos = {name: cv2.imread(name)[..., ::-1] for name in people.files}
    gone(people)
    back = read(tmp_path / "s", "train")
    plan = draw(back, SIZE, epoch=0, seed=0, train=True, aug=AUG, batch_size=4, drop_last=False)
    clamped, counts = clamp(back, plan, SIZE)
    assert counts["narrowed"] > 5
    assert counts["from photo"] == 0
    assert back.source.fits(clamped.row, clamped.matrix, SIZE)[:, 0].all()
    moved = ~np.isclose(clamped.matrix, plan.matrix).all((1, 2))
    assert moved.sum() == counts["narrowed"] + counts["plain"]
    # joints and boxes went along
    joints = np.einsum("nij,nkj->nki", clamped.matrix[:, :, :2], clamped.joints) + clamped.matrix[:, None, :, 2]
    swapped = people.joints[clamped.row]
    swapped = np.where(clamped.flip[:, None, None], swapped[:, list(COCO.swap)], swapped)
    assert np.abs(joints - swapped).max() < 1e-2
    image, _, matrix, row, _ = epoch(back)
    assert len(want_photo) == len(row)
    for crop, m, r in zip(image.numpy(), matrix.numpy(), row.numpy()):
        m = m.astype(np.float64)
        m[:, 2] += m[:, :2] @ [0.5, 0.5] - 0.5
        source = np.ascontiguousarray(photos[people.files[people.file[r]]])
        want = cv2.warpAffine(source, m, SIZE[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        assert np.abs(crop.astype(int) - want).mean() < 0.5


def test_what_a_store_cannot_give_is_said_once(
    people: People, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pack(people, tmp_path / "s", size=SIZE, margin=1.0)
    with make_loader(read(tmp_path / "s", "train"), SIZE, 6, aug=AUG) as loader:
        assert len(list(loader)) == 3
    assert not caplog.messages, "the photos are there"
    gone(people)
    with make_loader(read(tmp_path / "s", "train"), SIZE, 6, aug=AUG) as loader:
        assert len(list(loader)) == len(list(loader)) == 3
    (said,) = caplog.messages
    assert said.startswith("made: of 18 crops ") and "show less round the person than was drawn" in said
    caplog.clear()
    with make_loader(read(tmp_path / "s", "train"), (512, 384), 6, train=False) as loader:
        assert len(loader) == 3
    assert caplog.messages == [
        "made: of 18 crops 1 are of fewer pixels than their photos: the store holds no more of them, and their photos "
        "are not there"
    ], "the large person is kept at a fraction"


def test_a_half_body_far_from_its_window_becomes_the_plain_crop(people: People, tmp_path: Path) -> None:
    pack(people, tmp_path / "s", size=SIZE, margin=1.0, raw=True, shrink=False)
    back = read(tmp_path / "s", "train", photos=False)
    plan = draw(back, SIZE, epoch=0, seed=0, train=True, aug=None, batch_size=18, drop_last=False)
    inside = np.flatnonzero((reach(plan.matrix, SIZE) > 0).all(1) & (people.scale[plan.row] < 0.2))[0]
    matrix = plan.matrix.copy()
    matrix[inside, :, 2] += 60
    clamped, counts = clamp(back, replace(plan, matrix=matrix), SIZE)
    assert counts["plain"] >= 1
    assert np.allclose(clamped.matrix[inside], plan.matrix[inside])
    assert np.allclose(clamped.joints[inside], plan.joints[inside])


def test_fetch_and_clamp_agree_on_what_fits(people: People, tmp_path: Path) -> None:
    pack(people, tmp_path / "s", size=SIZE, margin=1.3, raw=True)
    back = read(tmp_path / "s", "train")
    for number in range(5):
        plan = draw(back, SIZE, epoch=number, seed=1, train=True, aug=AUG, batch_size=4, drop_last=False)
        stored = [back.fetch(int(r), m, SIZE).pixels is not None for r, m in zip(plan.row, plan.matrix)]
        assert stored == back.source.fits(plan.row, plan.matrix, SIZE).all(1).tolist()


def test_ranks_own_disjoint_shards_and_see_every_row_once(people: People, tmp_path: Path) -> None:
    pack(people, tmp_path / "s", size=SIZE, shards=4)
    back = read(tmp_path / "s", "train")
    visit = np.random.default_rng(0).permutation(18)
    parts = [back.shard(visit, rank=r, world=2, batch_size=4, drop_last=False) for r in range(2)]
    assert sorted(np.concatenate(parts)) == list(range(18))
    shards = [set(back.source.shard[back.source.crop[p]].tolist()) for p in parts]
    assert not shards[0] & shards[1]
    full = [back.shard(visit, rank=r, world=2, batch_size=4, drop_last=True) for r in range(2)]
    assert len(full[0]) == len(full[1])
    assert len(full[0]) % 4 == 0
    with pytest.raises(UserError, match="4 shards cannot feed 5 ranks"):
        back.shard(visit, rank=0, world=5, batch_size=4, drop_last=False)


def test_the_loader_gives_ranks_their_shards(people: People, tmp_path: Path) -> None:
    pack(people, tmp_path / "s", size=SIZE, shards=4)
    back = read(tmp_path / "s", "train")
    rows = [epoch(back, rank=r, world=2)[3].tolist() for r in range(2)]
    assert sorted(rows[0] + rows[1]) == list(range(18))
    shards = [set(back.source.shard[r].tolist()) for r in rows]
    assert not shards[0] & shards[1]
    gone(people)
    for number in shards[1]:  # on another machine's disk
        (tmp_path / "s" / back.source.shards[number]).unlink()
    assert epoch(read(tmp_path / "s", "train"), rank=0, world=2)[3].tolist() == rows[0]


def test_a_share_without_a_batch_is_said_on_all_ranks(people: People, tmp_path: Path) -> None:
    """18 people are two batches of 9, but photos are dealt whole: some rank has 8, and an epoch would have no step."""
    pack(people, tmp_path / "s", size=SIZE, shards=2)
    back = read(tmp_path / "s", "train")
    few = back.select(back.source.shard == 0)
    for rank in range(2):
        with pytest.raises(UserError, match=r"^batch_size: 9 is more than the smallest of the 2 shares, 8$"):
            make_loader(back, SIZE, 9, rank=rank, world=2)
        with pytest.raises(UserError, match="its 10 people lie in too few shards for 2 processes"):
            make_loader(few, SIZE, 4, train=False, rank=rank, world=2)


@pytest.mark.parametrize("size", [(64, 48), (64, 64), (48, 64)])
def test_every_window_holds_the_plain_crop(people: People, size: tuple[int, int]) -> None:
    photo_size = np.tile([[160, 200]], (18, 1))
    for margin in (1.0, 1.7):
        window, shrink = windows(people, size, margin, photo_size, shrinking=True)
        plain = draw(people, size, epoch=0, seed=0, train=False, aug=None, batch_size=18, drop_last=False)
        need = np.clip(reach(plain.matrix, size), 0, [200, 160, 200, 160])
        assert (window[:, :2] <= need[:, :2]).all()
        assert (window[:, :2] + window[:, 2:] >= need[:, 2:]).all()
        assert (window[:, :2] % (16 * shrink[:, None]) == 0).all()


def test_packing_twice_makes_the_same_bytes(people: People, tmp_path: Path) -> None:
    for name in ("a", "b"):
        pack(people, tmp_path / name, size=SIZE, shards=2, threads=3)
    for path in sorted((tmp_path / "a").iterdir()):
        if path.suffix == ".tar":
            assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize("raw", [False, True])
def test_shards_make_the_store_of_one_process_whoever_is_last(raw: bool, people: People, tmp_path: Path) -> None:
    """Three processes, in another order; one stops within its first file and comes again."""

    class Stop(Exception):
        pass

    def stops(photos: np.ndarray) -> Iterator[int]:
        yield from photos[:1]
        raise Stop

    how: dict[str, Any] = {"size": SIZE, "shards": 5, "raw": raw, "threads": 1}
    pack(people, tmp_path / "one", **how)
    with pytest.raises(Stop):
        pack(people, tmp_path / "many", shard=Shard(1, 3), progress=stops, **how)
    for index in (2, 0):
        with pytest.raises(Unfinished):
            pack(people, tmp_path / "many", shard=Shard(index, 3), **how)
    with pytest.raises(UserError, match="another pack was begun here, of other people or options"):
        pack(people, tmp_path / "many", shard=Shard(1, 3), **{**how, "margin": 2.0})
    read_again: list[int] = []
    pack(
        people, tmp_path / "many", shard=Shard(1, 3), progress=lambda photos: read_again.extend(photos) or photos, **how
    )
    assert len(read_again) < len(people.files) / 2
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "many").iterdir())
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes(), name


def test_a_store_can_be_pickled_with_maps_open(people: People, tmp_path: Path) -> None:
    pack(people, tmp_path / "s", size=SIZE)
    back = read(tmp_path / "s", "train")
    blob = bytes(back.source.blob(3))
    assert bytes(pickle.loads(pickle.dumps(back)).source.blob(3)) == blob


def test_load_sees_that_a_root_is_a_store(people: People, tmp_path: Path) -> None:
    pack(replace(people, name="coco train"), tmp_path / "s" / "train", size=SIZE)
    for name in ("coco", "store"):
        assert isinstance(load(name, tmp_path / "s", "train").source, Store)
    with pytest.raises(UserError, match="a store of coco train, not of lsp"):
        load("lsp", tmp_path / "s", "train")
    with pytest.raises(UserError, match=r"no store here: expected val/store\.json"):
        load("store", tmp_path / "s", "val")


def test_mistakes_are_one_line(people: People, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no store here"):
        read(tmp_path, "train")
    pack(people, tmp_path / "s", size=SIZE, shards=1)
    with pytest.raises(UserError, match="finished store already"):
        pack(people, tmp_path / "s", size=SIZE)
    with pytest.raises(UserError, match="margin"):
        pack(people, tmp_path / "t", margin=0.5)
    shard = tmp_path / "s" / "shard-000000.tar"
    shard.write_bytes(shard.read_bytes()[:2000])
    with pytest.raises(UserError, match="ends at byte"):
        read(tmp_path / "s", "train").source.blob(17)
    shard.unlink()
    with pytest.raises(UserError, match="cannot map"):
        read(tmp_path / "s", "train").source.blob(0)
    (tmp_path / "s" / "store.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        read(tmp_path / "s", "train")
    (tmp_path / "s" / "store.json").write_text('{"format": "asda_fast store", "version": 99}')
    with pytest.raises(UserError, match="version 1"):
        read(tmp_path / "s", "train")


def test_bad_photos_stop_or_are_left_out(people: People, tmp_path: Path) -> None:
    Path(people.files[2]).write_bytes(Path(people.files[2]).read_bytes()[:900])  # the header is whole
    Path(people.files[6]).write_bytes(b"")
    with pytest.raises(UserError, match=r"6\.jpg"):
        pack(people, tmp_path / "s", size=SIZE)
    counts = pack(people, tmp_path / "s", size=SIZE, skip_bad=True)
    assert (counts["people"], counts["skipped"]) == (14, 4)
    back = read(tmp_path / "s", "train", photos=False)
    assert back.id.tolist() == [i + 7 for i in range(18) if i not in (4, 5, 12, 13)]
    assert len(epoch(back)[3]) == 14


def test_shards_of_an_interrupted_call_are_cleared(people: People, tmp_path: Path) -> None:
    out = tmp_path / "store"
    out.mkdir()
    for name in ("shard-000007.tar", "shard-000008.raw", "index.npz"):
        (out / name).write_bytes(b"stale")
    with pytest.raises(UserError, match=r"holds index\.npz, which is no store's"):  # whose is it, then?
        pack(people, out, shards=2)
    (out / "store.json.part").touch()
    pack(people, out, shards=2)
    assert not (out / "store.json.part").exists()
    assert sorted(p.name for p in out.glob("shard-*")) == ["shard-000000.tar", "shard-000001.tar"]


@pytest.mark.parametrize("change", [{"margin": float("nan")}, {"margin": 1e9}, {"quality": 0}, {"shards": -3}])
def test_nonsense_is_not_packed(people: People, tmp_path: Path, change: dict) -> None:
    with pytest.raises(UserError, match=f"{next(iter(change))}: expected"):
        pack(people, tmp_path / "store", **change)
    assert not (tmp_path / "store").exists()


def test_two_datasets_never_share_a_store(tmp_path: Path) -> None:
    from asda_fast.cli.data import Pack

    Pack(dataset="demo", out=tmp_path, split="train", input=(64, 64), shards=1).run()
    with pytest.raises(UserError, match="train: holds a store of other people or options already"):
        Pack(dataset="demo", out=tmp_path, input=(64, 64), raw=True, shards=1).run()
    Pack(dataset="demo", out=tmp_path, input=(64, 64), shards=1).run()  # goes on with val
    assert (tmp_path / "val" / "store.json").is_file()


def test_what_is_finished_already_is_what_would_be_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set of one's own, whose name is not what it is asked for by; its annotations change between two calls."""
    from asda_fast.cli.data import Pack

    (tmp_path / "few_people.py").write_text(
        "from asda_fast import data\nfrom asda_fast.data import Dataset\ncount = 4\n\n"
        "def read(root, split):\n    return data.load('demo', split=split).select(range(count))\n\n"
        "SET = Dataset('few', read, home=data.demo_root())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import few_people  # type: ignore[import-not-found]

    def run(out: str, **changed: Any) -> None:
        Pack(**{"dataset": "few_people:SET", "out": tmp_path / out, "input": (64, 64), "shards": 2, **changed}).run()

    for first, second in (("train", "val"), ("val", "train")):
        run(first, split=first)
        for other in ({"quality": 90}, {"shrink": False}, {"margin": 2.0}):
            with pytest.raises(UserError, match=rf"{first}: holds a store of other people or options already"):
                run(first, **other)
            assert not (tmp_path / first / second).exists()
        few_people.count = 5
        with pytest.raises(UserError, match=rf"{first}: holds a store of other people or options already"):
            run(first)
        few_people.count = 4
        run(first)
        assert (tmp_path / first / second / "store.json").is_file()
    with pytest.raises(UserError, match="train: holds a finished store already"):
        run("train")


def test_a_store_of_the_first_format_is_read(people: People, tmp_path: Path) -> None:
    """Its index has areas and no lengths of photos, its skeleton neither groups nor a torso."""
    pack(people, tmp_path / "s", size=SIZE, raw=True)
    want = read(tmp_path / "s", "train")
    with np.load(tmp_path / "s" / "index.npz") as index:
        columns = dict(index)
    assert want.notes == ()
    del columns["photo_bytes"], columns["crc"]
    np.savez(tmp_path / "s" / "index.npz", area=np.ones(18, np.float32), **columns)
    about = json.loads((tmp_path / "s" / "store.json").read_text())
    del about["skeleton"]["groups"], about["skeleton"]["torso"]
    (tmp_path / "s" / "store.json").write_text(json.dumps(about))
    back = read(tmp_path / "s", "train")
    assert back.skeleton is COCO
    assert all(np.array_equal(getattr(back, n), getattr(want, n)) for n in ("file", "box", "joints", "visible", "id"))
    assert torch.equal(epoch(back)[0], epoch(want)[0])
    assert check.photos(back) == []
    assert len(back.notes) == 1 and "packed before crops had checksums" in back.notes[0]


@pytest.mark.parametrize("raw", [True, False])
def test_damage_to_a_stored_crop_is_seen_by_its_checksum(raw: bool, people: People, tmp_path: Path) -> None:
    pack(people, tmp_path / "s", size=SIZE, raw=raw, shards=2)
    stored = read(tmp_path / "s", "train")
    assert check.photos(stored) == []
    place = stored.source
    path = tmp_path / "s" / place.shards[int(place.shard[6])]
    data = bytearray(path.read_bytes())
    data[int(place.offset[6]) + 20] ^= 1  # in a JPEG: part of its header
    path.write_bytes(data)
    (problem,) = check.photos(read(tmp_path / "s", "train"))
    assert str(problem) == f"{path} (crop 6): damaged since it was packed (its checksum is wrong)"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("joints", np.full((18, 17, 2), np.nan, np.float32), "column joints, row 0"),
        ("file_index", np.full(18, 9, np.int32), "column file_index, row 0: expected 0 to 8, got 9"),
        ("shard", np.full(18, 3, np.int32), "column shard"),
        ("shrink", np.full(18, 3, np.uint8), "row 0: a window of"),
        ("length", np.full(18, 5, np.int64), "row 0: a window of"),
        ("box", np.zeros((18, 3), np.float32), r"column box: expected numbers \(18, 4\)"),
        ("files", np.arange(9), "column files: expected words"),
        ("id", None, "column id: expected numbers"),
    ],
)
def test_a_broken_index_is_one_line(people: People, tmp_path: Path, name: str, value: np.ndarray, words: str) -> None:
    pack(people, tmp_path / "s", size=SIZE, raw=True, shards=3)
    with np.load(tmp_path / "s" / "index.npz") as index:
        columns = dict(index)
    columns |= {} if value is None else {name: value}
    if value is None:
        del columns[name]
    np.savez(tmp_path / "s" / "index.npz", **columns)
    with pytest.raises(UserError, match=words) as caught:
        read(tmp_path / "s", "train")
    assert "index.npz" in str(caught.value)


@pytest.mark.parametrize("dataset", ["demo", "store"])
def test_a_store_is_never_read_as_the_other_split(dataset: str, tmp_path: Path) -> None:
    few = load("demo", split="train").select(np.arange(4))
    pack(few, tmp_path / "train", size=SIZE)
    for root in (tmp_path, tmp_path / "train"):
        assert len(load(dataset, root, "train")) == 4
    with pytest.raises(UserError, match="train: a store of split train, asked for val"):
        load(dataset, tmp_path / "train", "val")
    with pytest.raises(UserError, match=r"expected val/store\.json, there is train/store\.json alone"):
        load(dataset, tmp_path, "val")
    pack(replace(few, name=dataset), tmp_path / "own" / "val", size=SIZE)  # named by its folder alone
    assert len(load(dataset, tmp_path / "own" / "val", "val")) == 4
    with pytest.raises(UserError, match="a store of split val, asked for train"):
        load(dataset, tmp_path / "own" / "val", "train")
