"""Building: pairs, problems in one line each, resume, workers, exclusion; fuzzed maps and photos never crash it."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from asda_fast.cli.parts import main
from asda_fast.core.errors import UserError
from asda_fast.core.shard import Shard, Unfinished
from asda_fast.parts import build as build_module
from asda_fast.parts import chunks
from asda_fast.parts.build import build_pool
from asda_fast.parts.cut import OUTCOMES, Filters
from asda_fast.parts.exclude import read_names
from asda_fast.parts.pool import PartPool
from asda_fast.parts.pool_file import merge_pools, open_pool, save_pool
from asda_fast.parts.types import TYPES

PHOTO = (120, 90)


def make_photo(path: Path, seed: int, size=PHOTO) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), noise)


def make_label(size=PHOTO) -> np.ndarray:
    label = np.zeros(size, np.uint8)
    label[10:50, 20:60] = 13  # face
    label[50:100, 20:60] = 9  # pants
    return label


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten good photos with maps, in two sub-folders."""
    for i in range(10):
        sub = f"s{i % 2}"
        make_photo(tmp_path / "images" / sub / f"p{i}.png", i)
        (tmp_path / "labels" / sub).mkdir(parents=True, exist_ok=True)
        Image.fromarray(make_label()).save(tmp_path / "labels" / sub / f"p{i}.png")
    return tmp_path


def run(folder: Path, **options):
    options = {"scheme": "lip", "out": folder / "pool.safetensors", "progress": False, **options}
    return build_pool(folder / "images", folder / "labels", **options)


def test_pool_and_report(folder):
    report = run(folder)
    assert (report.photos, report.problems) == (10, [])
    assert report.counts["Face"]["kept"] == report.counts["Pants"]["kept"] == 10
    assert all(set(row) == set(OUTCOMES) for row in report.counts.values())
    pool = PartPool.load(folder / "pool.safetensors")
    assert pool.types == TYPES
    counts = Counter(TYPES[i] for i in pool.type.tolist())
    assert counts == {name: row["kept"] for name, row in report.counts.items() if row["kept"]}
    assert set(pool.source) == {f"s{i % 2}/p{i}" for i in range(10)}
    assert pool.person.tolist() == [[40.0, 90.0]] * len(pool)
    assert sorted({int((pool.patch(i)[..., 3] >= 128).sum()) for i in range(len(pool))}) == [1600, 2000]
    assert json.loads(open_pool(folder / "pool.safetensors").extra["report"])["counts"] == report.counts
    assert not (folder / "pool.safetensors.partial.d").exists()
    assert report.to_dict()["photos"] == 10


def test_an_interrupted_build_goes_on_where_it_stopped(folder, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 3)
    run(folder, out=folder / "whole.safetensors")
    done = []
    cut_chunk = chunks.cut_chunk

    def stop_in_the_third(job):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job)
        return cut_chunk(job)

    monkeypatch.setattr(chunks, "cut_chunk", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(folder)
    assert not (folder / "pool.safetensors").exists()
    again = []
    monkeypatch.setattr(chunks, "cut_chunk", lambda job: again.append(job) or cut_chunk(job))
    report = run(folder)
    assert len(again) == 2  # of four chunks
    assert report.photos == 10
    assert (folder / "pool.safetensors").read_bytes() == (folder / "whole.safetensors").read_bytes()


def test_a_changed_map_or_option_is_cut_again(folder, monkeypatch):
    monkeypatch.setattr(build_module.shutil, "rmtree", lambda *a, **k: None)  # as if the last step were interrupted
    run(folder)
    again = []
    cut_chunk = chunks.cut_chunk
    monkeypatch.setattr(chunks, "cut_chunk", lambda job: again.append(job) or cut_chunk(job))
    run(folder)
    assert len(again) == 0
    label = make_label()
    label[50:100] = label[49:50]  # no pants, a longer face
    Image.fromarray(label).save(folder / "labels" / "s0" / "p0.png")
    assert run(folder).counts["Face"]["kept"] == 10
    assert len(again) == 1
    assert run(folder, filters=Filters(min_area=1900)).counts["Face"]["kept"] == 1
    assert len(again) == 2


def test_workers_do_not_change_a_byte(folder, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 3)
    if multiprocessing.get_start_method(allow_none=True) is None:
        multiprocessing.set_start_method("spawn")
    run(folder)
    run(folder, out=folder / "two.safetensors", workers=2)
    assert (folder / "pool.safetensors").read_bytes() == (folder / "two.safetensors").read_bytes()


def spoil(folder: Path) -> dict[str, str]:
    """Every mistake that we know of; photo -> words of its line."""
    images, labels = folder / "images", folder / "labels"
    wanted = {}

    def bad(name: str, words: str, label=None, photo=True) -> None:
        wanted[name] = words
        if photo:
            make_photo(images / f"{name}.png", 5)
        if label is not None:
            Image.fromarray(label).save(labels / f"{name}.png")

    bad("size", "is 80 x 100, its photo 90 x 120", make_label((100, 80)))
    bad("unknown", "has id 77, which the scheme lip does not know", np.full(PHOTO, 77, np.uint8))
    bad("empty", "shows nobody", np.zeros(PHOTO, np.uint8))
    bad("colour", "is in colour", np.dstack([make_label(), make_label() + 1, make_label()]))
    bad("wide", "ids up to 300", np.full(PHOTO, 300, np.uint16))
    bad("huge", "more than 100000000")
    Image.new("1", (20000, 6000)).save(labels / "huge.png")
    bad("cut", "damaged")
    (labels / "cut.png").write_bytes((labels / "size.png").read_bytes()[:60])
    bad("text", "damaged")
    (labels / "text.png").write_text("hello")
    bad("nolabel", "no label map nolabel.png")
    bad("nophoto", "no photo nophoto.jpg", make_label(), photo=False)
    bad("badphoto", "damaged", make_label())
    (images / "badphoto.png").write_bytes(b"\xff\xd8\xff\xe0 not really")
    bad("zero", "damaged", make_label())
    (images / "zero.png").write_bytes(b"")
    return wanted


def test_every_mistake_is_one_line_and_the_rest_is_built(folder):
    wanted = spoil(folder)
    report = run(folder)
    assert report.photos == 10
    assert len(report.problems) == len(wanted)
    for name, words in wanted.items():
        (line,) = [line for line in report.problems if f"/{name}." in line.split(":")[0]]
        assert words in line
        assert "\n" not in line


def test_strict_fails_with_the_first_line(folder):
    spoil(folder)
    with pytest.raises(UserError, match=r"nolabel|nophoto"):
        run(folder, strict=True)
    for name in ("nolabel", "nophoto"):
        for sub in ("images", "labels"):
            (folder / sub / f"{name}.png").unlink(missing_ok=True)
    with pytest.raises(UserError, match="damaged"):
        run(folder, strict=True)


def test_wrong_arguments(tmp_path, folder):
    with pytest.raises(UserError, match=r"^images"):
        build_pool(tmp_path / "none", folder / "labels", "lip", tmp_path / "x")
    (tmp_path / "void").mkdir()
    with pytest.raises(UserError, match="no label map has a photo"):
        build_pool(tmp_path / "void", folder / "labels", "lip", tmp_path / "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        run(folder, out=tmp_path / "file" / "pool.safetensors")


def test_palette_maps_give_their_indices(folder):
    """OpenCV would expand them to colours; the ids are the indices."""
    for path in (folder / "labels").rglob("*.png"):
        picture = Image.fromarray(make_label())
        picture.putpalette([v for i in range(256) for v in (i * 7 % 256, i * 13 % 256, i * 29 % 256)])
        picture.save(path)
    assert run(folder).counts["Face"]["kept"] == 10


def test_instances_and_people_files(folder):
    for path in sorted((folder / "labels").rglob("*.png")):
        label = make_label()
        label[10:50, 61:85] = 13
        label[50:100, 61:85] = 9  # a second person, 24 wide
        Image.fromarray(label).save(path)
        instance = np.zeros(PHOTO, np.uint8)
        instance[:, :60], instance[:, 61:] = 1, 2
        place = folder / "instances" / path.relative_to(folder / "labels")
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(instance).save(place)
    filters = Filters(min_area=500, border=9)
    by_map = run(folder, filters=filters, instances=folder / "instances")
    assert by_map.counts["Face"]["kept"] == 20
    assert sorted({tuple(p) for p in PartPool.load(folder / "pool.safetensors").person.tolist()}) == [
        (24, 90),
        (40, 90),
    ]

    images = [{"id": i, "file_name": f"s{i % 2}/p{i}.png"} for i in range(10)]
    boxes = [{"image_id": i, "bbox": box} for i in range(10) for box in ([0, 0, 60, 120], [61, 0, 29, 120])]
    boxes += [{"image_id": 0, "bbox": [0, 0, 90, 120], "iscrowd": 1}]
    (folder / "people.json").write_text(json.dumps({"images": images, "annotations": boxes}))
    by_box = run(folder, filters=filters, people=folder / "people.json")
    assert by_box.counts == by_map.counts
    assert sorted({tuple(p) for p in PartPool.load(folder / "pool.safetensors").person.tolist()}) == [
        (29, 120),
        (60, 120),
    ]
    outline = [
        {"image_id": i, "bbox": [0, 0, 90, 120], "segmentation": [[0, 0, 60, 0, 60, 120, 0, 120]]} for i in range(10)
    ]
    (folder / "people.json").write_text(json.dumps({"images": images, "annotations": outline}))
    assert run(folder, filters=filters, people=folder / "people.json").counts["Face"]["kept"] == 10

    (folder / "people.json").write_text("{}")
    with pytest.raises(UserError, match=r"people.json: expected COCO annotations"):
        run(folder, people=folder / "people.json")
    next((folder / "instances").rglob("*.png")).unlink()
    assert len(run(folder, filters=filters, instances=folder / "instances").problems) == 1


def test_several_people_taken_for_one_are_noted(folder):
    label = make_label()
    label[10:48, 66:90] = 13  # a second face, smaller
    Image.fromarray(label).save(folder / "labels" / "s0" / "p2.png")
    label[10:48, 66:90] = np.where(np.arange(38)[:, None] < 9, 13, 0)  # a scrap of one
    Image.fromarray(label).save(folder / "labels" / "s0" / "p4.png")
    ((kind, counted),) = run(folder).notes.kinds.items()
    assert kind.startswith("maps with several faces, cut as one person")
    assert counted == (1, "s0/p2")
    assert run(folder, apart=True).notes.kinds == {}


def test_excluded_photos_are_never_cut_nor_kept(folder):
    names = folder / "val.txt"
    names.write_text("p3.png\ns0/p4.png\np5\n")
    assert read_names(names) == {"p3", "s0/p4", "p5"}
    run(folder, exclude=read_names(names))
    left = set(PartPool.load(folder / "pool.safetensors").source)
    assert left == {f"s{i % 2}/p{i}" for i in range(10) if i not in (3, 4, 5)}

    run(folder)
    dropped = merge_pools([folder / "pool.safetensors"], folder / "rest.safetensors", exclude=read_names(names))
    rest = PartPool.load(folder / "rest.safetensors")
    assert set(rest.source) == left
    assert dropped == 10 * len(rest) // 7 - len(rest)

    coco = folder / "val.json"
    coco.write_text(json.dumps({"images": [{"file_name": "val2017/p3.jpg"}, {"file_name": "p4.jpg"}]}))
    assert read_names(coco) == {"val2017/p3", "p4"}
    assert read_names(folder / "images") == {f"s{i % 2}/p{i}" for i in range(10)}
    with pytest.raises(UserError, match=r"^exclude"):
        read_names(folder / "absent.txt")


def test_merge_matches_types_by_name(folder, tmp_path):
    patches = [np.full((3, 4, 4), 200, np.uint8), np.full((2, 2, 4), 255, np.uint8)]
    PartPool.from_patches(patches, type=[1, 0], types=["Face", "Tail"], source=["a", "b"]).save(tmp_path / "own")
    run(folder)
    merge_pools([folder / "pool.safetensors", tmp_path / "own"], tmp_path / "both")
    first, both = PartPool.load(folder / "pool.safetensors"), PartPool.load(tmp_path / "both")
    assert both.types == (*TYPES, "Tail")
    assert len(both) == len(first) + 2
    assert [both.types[i] for i in both.type.tolist()[-2:]] == ["Tail", "Face"]
    assert (both.patch(len(first)) == patches[0]).all()
    assert (both.patch(0) == first.patch(0)).all()
    with pytest.raises(UserError, match=r"^out"):
        merge_pools([tmp_path / "both"], tmp_path / "both")


@pytest.mark.parametrize("spot", ["header", "length", "format", "fields", "offset", "end"])
def test_a_damaged_pool_is_refused_by_name(folder, spot):
    run(folder)
    path = folder / "pool.safetensors"
    data = bytearray(path.read_bytes())
    if spot == "header":
        data[20] = 0
    elif spot == "length":
        data[:8] = (2**40).to_bytes(8, "little")
    elif spot == "format":
        data = data.replace(b"asda_fast.parts", b"asda_fast.other")
    elif spot == "fields":
        data = data.replace(b'"person"', b'"pers0n"')
    elif spot == "offset":
        start = 8 + int.from_bytes(data[:8], "little")
        data[start : start + 8] = (2**50).to_bytes(8, "little")
    else:
        data = data[:-10]
    path.write_bytes(data)
    with pytest.raises(UserError, match="not a usable part pool"):
        open_pool(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_fuzzed_maps_and_photos(tmp_path_factory, data):
    """Whatever the files hold, a build ends with a pool and a line per skipped photo, and the outcomes add up."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    make_photo(folder / "images" / "good.png", 0)
    Image.fromarray(make_label()).save(folder / "labels" / "good.png")
    size = data.draw(st.tuples(st.integers(1, 70), st.integers(1, 70)))
    make_photo(folder / "images" / "odd.png", 1, size)
    kind = data.draw(st.sampled_from(["noise", "blocks", "bytes", "truncated"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    path = folder / "labels" / "odd.png"
    if kind == "bytes":
        path.write_bytes(data.draw(st.binary(max_size=200)))
    else:
        top = data.draw(st.sampled_from([1, 19, 20, 255]))
        label = rng.integers(0, top + 1, size).astype(np.uint8)
        if kind == "blocks":
            label = np.kron(label[::16, ::16], np.ones((16, 16), np.uint8))[: size[0], : size[1]]
        Image.fromarray(np.ascontiguousarray(label)).save(path)
        if kind == "truncated":
            content = path.read_bytes()
            path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    filters = Filters(
        min_area=data.draw(st.sampled_from([0, 50, 1225])),
        whole=0,
        person_height=data.draw(st.sampled_from([0, 1, 40])),
    )
    report = run(folder, filters=filters, apart=data.draw(st.booleans()))
    assert report.photos + len(report.problems) == 2
    assert all("\n" not in line for line in report.problems)
    assert len(PartPool.load(folder / "pool.safetensors")) == report.kept


def test_command_line(folder, capsys):
    out = str(folder / "pool.safetensors")
    common = [
        "--images",
        str(folder / "images"),
        "--labels",
        str(folder / "labels"),
        "--scheme",
        "lip",
        "--workers",
        "1",
    ]
    main(["build", *common, "--out", out, "--report", str(folder / "report.json"), "--dropped", str(folder / "d")])
    text = capsys.readouterr().out
    assert "10 photos" in text
    assert "Face" in text
    assert json.loads((folder / "report.json").read_text())["photos"] == 10
    main(["info", out, "--json"])
    info = json.loads(capsys.readouterr().out)
    assert info["types"]["Face"] == 10
    assert set(info["types"]) == set(TYPES)
    main(["info", out])
    assert "Pants" in capsys.readouterr().out
    main(["show", out, "--out", str(folder / "sheet.png")])
    sheet = cv2.imread(str(folder / "sheet.png"))
    assert sheet.shape[1] > 1000
    assert sheet.shape[0] == 112 * sum(1 for n in info["types"].values() if n)
    main(
        [
            "merge",
            out,
            out,
            "--out",
            str(folder / "twice.safetensors"),
            "--exclude-images",
            str(folder / "images" / "s0"),
        ]
    )
    assert f"{out} is given twice" in capsys.readouterr().out
    assert len(PartPool.load(folder / "twice.safetensors")) == sum(info["types"].values())


def test_command_line_mistakes_exit_with_2(tmp_path):
    from asda_fast.cli.entry import run as run_cli

    with pytest.raises(SystemExit) as caught:
        run_cli(lambda: main(["info", str(tmp_path / "absent")]))
    assert caught.value.code == 2


def test_merging_holds_a_few_megabytes(tmp_path):
    """A pool may be larger than memory: only its small columns are held."""
    patches = [np.full((512, 512, 4), i, np.uint8) for i in range(64)]  # 64 MiB
    save_pool(tmp_path / "a", patches, [0] * 64, [[1, 1]] * 64, [str(i) for i in range(64)], ["x"])
    del patches
    tracemalloc.start()
    merge_pools([tmp_path / "a", tmp_path / "a"], tmp_path / "b", exclude={"3"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20
    assert (tmp_path / "b").stat().st_size > 126 * 2**20
    pool = open_pool(tmp_path / "b")
    assert [int(pool.patch(i)[0, 0, 0]) for i in (0, 3, 62, 63, 125)] == [0, 4, 63, 0, 63]


def test_shards_make_the_pool_of_one_process_whoever_is_last(folder, monkeypatch):
    """As a SLURM array of three, in another order; one is killed half way and comes again."""
    monkeypatch.setattr(chunks, "CHUNK", 2)
    run(folder, out=folder / "one.safetensors")
    out = folder / "three.safetensors"
    cut, calls = chunks.cut_chunk, []

    def killed(chunk):
        calls.append(chunk)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return cut(chunk)

    monkeypatch.setattr(chunks, "cut_chunk", killed)
    with pytest.raises(KeyboardInterrupt):
        run(folder, out=out, shard=Shard(0, 3))
    monkeypatch.setattr(chunks, "cut_chunk", cut)
    for index in (2, 1):
        with pytest.raises(Unfinished):
            run(folder, out=out, shard=Shard(index, 3))
        assert not out.exists()
    report = run(folder, out=out, shard=Shard(0, 3))
    assert report.photos == 10
    assert out.read_bytes() == (folder / "one.safetensors").read_bytes()
    assert not chunks.folder(out).exists()


def test_shards_of_other_options_are_said(folder: Path, monkeypatch) -> None:
    """Else each waits for the others, and none writes the pool."""
    monkeypatch.setattr(chunks, "CHUNK", 5)
    with pytest.raises(Unfinished, match=r"^1 of 2 pieces are to come, the last to finish writes"):
        run(folder, shard=Shard(0, 2))
    with pytest.raises(Unfinished, match=r"^1 of 2 pieces are to come \(1 that lie there are of other options"):
        run(folder, shard=Shard(1, 2), filters=Filters(border=0.5))


@pytest.mark.parametrize("name", ["pool.safetensors", "images"])
def test_what_was_dropped_does_not_take_the_place_of_the_pool(folder: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"^dropped .*: expected a file of its own"):
        run(folder, dropped=folder / "images" / ".." / name)


def test_a_shard_started_twice_ends_in_peace_when_the_pool_is_written(folder: Path, monkeypatch) -> None:
    cut, out = chunks.cut_chunk, folder / "pool.safetensors"

    def meanwhile(chunk):
        monkeypatch.setattr(chunks, "cut_chunk", cut)
        run(folder, out=out, shard=Shard(0, 1))
        return cut(chunk)

    monkeypatch.setattr(chunks, "cut_chunk", meanwhile)
    with pytest.raises(Unfinished):
        run(folder, out=out, shard=Shard(0, 2))
    assert out.exists() and not chunks.folder(out).exists()


@pytest.mark.parametrize("environment", [
    {"RANK": "{}", "WORLD_SIZE": "2"},
    {"SLURM_ARRAY_TASK_ID": "{}", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "0"},
])  # fmt: skip
def test_processes_find_their_share_in_the_environment(folder, environment):
    """At once, as torchrun starts them: the same bytes as of one process."""
    run(folder, out=folder / "one.safetensors")
    command = [sys.executable, "-m", "asda_fast.parts", "build", "--images", str(folder / "images"), "--labels"]
    command += [str(folder / "labels"), "--scheme", "lip", "--workers", "1", "--out", str(folder / "two.safetensors")]
    ranks = [
        subprocess.Popen(command, env={**os.environ, **{k: v.format(i) for k, v in environment.items()}},
                         stdout=subprocess.PIPE, text=True)
        for i in range(2)
    ]  # fmt: skip
    said = [rank.communicate()[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0]
    assert sum("is done; " in text for text in said) == 1
    assert (folder / "two.safetensors").read_bytes() == (folder / "one.safetensors").read_bytes()
