"""The DALI pipeline by itself: pixels against OpenCV, odd files, faults, leaving early, resuming, teardown."""

from __future__ import annotations

import io
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from asda_fast import make_loader
from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import COCO
from asda_fast.data import GlobalAug
from asda_fast.data.people import People
from asda_fast.pipelines.dali_source import plain_jpeg, ppm, rectangle

pytest.importorskip("nvidia.dali", reason="DALI is an extra")
SIZE = (64, 48)


def picture(seed: int, width: int = 120, height: int = 90) -> np.ndarray:
    """Smooth random colours: what JPEG keeps well."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def encode(image: np.ndarray, kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, kind, **options)
    return out.getvalue()


def crowd(files: list[str], each: int = 1) -> People:
    """`each` people per photo, one after the other, round the middle of 120 x 90 photos."""
    count = len(files) * each
    rng = np.random.default_rng(0)
    box = np.stack([rng.uniform(20, 40, count), rng.uniform(10, 20, count), np.full(count, 40), np.full(count, 55)], 1)
    centre = box[:, :2] + box[:, 2:] / 2
    joints = centre[:, None] + rng.uniform(-15, 15, (count, 17, 2))
    return People(
        skeleton=COCO, files=files, file=np.repeat(np.arange(len(files), dtype=np.int32), each),
        box=box.astype(np.float32), centre=centre.astype(np.float32), scale=np.full(count, 0.35, np.float32),
        joints=joints.astype(np.float32), visible=np.full((count, 17), 2, np.uint8),
        head=np.full(count, np.nan, np.float32), id=np.arange(count), image_id=np.arange(count),
        image_size=np.zeros((len(files), 2), np.int32), name="test",
    )  # fmt: skip


@pytest.fixture
def people(tmp_path: Path) -> People:
    files = []
    for i in range(7):
        files.append(str(tmp_path / f"{i}.jpg"))
        Path(files[-1]).write_bytes(encode(picture(i), quality=95))
    return crowd(files, each=3)


def images(loader) -> torch.Tensor:
    return torch.cat([batch.image.clone() for batch in loader])


def expected(people: People, row: int, matrix: np.ndarray) -> np.ndarray:
    """The same crop by OpenCV, whose matrices have pixel centres at whole numbers."""
    data = np.fromfile(people.files[people.file[row]], np.uint8)
    photo = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)[..., ::-1]
    m = matrix.astype(np.float64)
    m[:, 2] += m[:, :2] @ [0.5, 0.5] - 0.5
    return cv2.warpAffine(np.ascontiguousarray(photo), m, SIZE[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


@pytest.mark.parametrize("whole", [False, True])
def test_crops_are_those_of_opencv(people: People, whole: bool) -> None:
    with make_loader(people, SIZE, 4, "dali", aug=GlobalAug(), drop_last=False, whole=whole) as loader:
        rows = []
        for batch in loader:
            for image, row, matrix in zip(batch.image, batch.row, batch.matrix):
                want = expected(people, int(row), matrix.numpy())
                assert np.abs(image.numpy().astype(int) - want).mean() < 0.2
                rows.append(int(row))
    assert sorted(rows) == list(range(len(people)))  # the last, smaller batch included


def test_a_crop_beside_the_photo_is_black_and_at_its_edge_right(people: People) -> None:
    centre = people.centre.copy()
    centre[0] = (-400, -400)
    centre[1] = (0, 45)
    centre[2] = (120, 90)
    moved = People(**{**people.__dict__, "centre": centre})
    with make_loader(moved, SIZE, 4, "dali", train=False) as loader:
        batch = next(iter(loader))
        assert batch.image[0].max() == 0
        for i in (1, 2):
            want = expected(moved, i, batch.matrix[i].numpy())
            assert np.abs(batch.image[i].numpy().astype(int) - want).mean() < 0.2
            assert want.max() > 0


def test_odd_files_are_decoded_as_native_decodes_them(tmp_path: Path) -> None:
    image = picture(1)
    exif = Image.Exif()
    exif[0x112] = 6  # rotated a quarter turn: to be ignored
    deep = cv2.imencode(".png", image[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    kinds = {
        "plain.jpg": encode(image, quality=95),
        "grey.jpg": encode(image[..., 0], quality=95),
        "progressive.jpg": encode(image, quality=95, progressive=True),
        "rotated.jpg": encode(image, quality=95, exif=exif),
        "tail.jpg": encode(image, quality=95) + b"\0\0\0",
        "appendix.jpg": encode(image, quality=95) + b"something else",
        "cmyk.jpg": cmyk(image),
        "png.png": encode(image, "PNG"),
        "alpha.png": encode(np.dstack([image, image[..., :1]]), "PNG"),
        "deep.png": deep,
        "one.png": encode(image[:1, :1], "PNG"),
        "one.jpg": encode(image[:1, :1]),
        "large.jpg": encode(cv2.resize(image, (5400, 3700)), quality=70),  # 20 megapixels
    }
    for name, data in kinds.items():
        (tmp_path / name).write_bytes(data)
    people = crowd([str(tmp_path / name) for name in kinds])
    scale = people.scale.copy()
    scale[-1] = 14.0  # a person so large that the photo is decoded smaller
    declared = people.image_size.copy()
    declared[[list(kinds).index(name) for name in ("one.png", "one.jpg")]] = 1  # else refused: nobody is in them
    people = People(**{**people.__dict__, "scale": scale, "image_size": declared})
    crops = {}
    for pipeline in ("dali", "native"):
        with make_loader(people, SIZE, 4, pipeline, train=False) as loader:
            crops[pipeline] = images(loader).int()
    difference = (crops["dali"] - crops["native"]).abs().float().mean((1, 2, 3))
    assert dict(zip(kinds, difference.tolist())) == {name: pytest.approx(0, abs=0.5) for name in kinds}


def cmyk(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).convert("CMYK").save(out, "JPEG", quality=95)
    return out.getvalue()


BAD = {
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "text": lambda data: b"hello",
    "missing": None,
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_photo_is_named_in_its_turn_and_the_loader_lives_on(people: People, fault: str) -> None:
    victim = Path(people.files[3])  # rows 9, 10, 11: steps 2 and 3 of four
    good = victim.read_bytes()
    if BAD[fault] is None:
        victim.unlink()
    else:
        victim.write_bytes(BAD[fault](good))
    messages = {}
    for pipeline in ("dali", "native"):
        with make_loader(people, SIZE, 4, pipeline, train=False) as loader:
            batches = iter(loader)
            next(batches), next(batches)  # the good steps before it
            with pytest.raises(UserError) as error:
                next(batches)
            messages[pipeline] = str(error.value)
            victim.write_bytes(good)
            assert len(images(loader)) == len(people)
            if BAD[fault] is None:
                victim.unlink()
            else:
                victim.write_bytes(BAD[fault](good))
    assert messages["dali"] == messages["native"]
    assert str(victim) in messages["dali"]


def test_skip_replaces_as_native_does(people: People) -> None:
    Path(people.files[3]).write_bytes(b"hello")
    Path(people.files[4]).write_bytes(b"")
    rows, counts = {}, {}
    for pipeline in ("dali", "native"):
        with make_loader(people, SIZE, 4, pipeline, aug=GlobalAug(), on_bad_image="skip", drop_last=False) as loader:
            batches = [(b.row.tolist(), b.joints.clone(), b.image.clone()) for b in loader]
            rows[pipeline], counts[pipeline] = batches, (loader.skipped, sorted(loader.bad_images))
    assert counts["dali"] == counts["native"] == (6, [people.files[3], people.files[4]])
    for (row, joints, image), (row_n, joints_n, image_n) in zip(rows["dali"], rows["native"]):
        assert row == row_n
        assert torch.equal(joints, joints_n)
        assert (image.int() - image_n.int()).abs().float().mean() < 1
        assert not set(row) & set(range(9, 15))


def test_what_only_dali_refuses_is_decoded_by_native(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    from asda_fast.pipelines import dali_source

    cut = Path(people.files[2])
    # A header that promises what the body does not hold passes our check, and DALI fails in the middle of a batch.
    monkeypatch.setattr(dali_source, "plain_jpeg", lambda data: (90, 120))
    cut.write_bytes(encode(picture(2, width=64, height=48), "JPEG", quality=95))
    with make_loader(people, SIZE, 4, "native", train=False) as loader:
        want = images(loader).int()
    with make_loader(people, SIZE, 4, "dali", train=False) as loader, pytest.warns(RuntimeWarning, match="DALI failed"):
        got = images(loader).int()
    assert (got - want).abs().float().mean() < 0.5
    Path(people.files[0]).write_bytes(b"\xff\xd8\xff\xd9")  # what begins anew is not counted anew
    with make_loader(people, SIZE, 4, "dali", train=False, on_bad_image="skip") as loader:
        with pytest.warns(RuntimeWarning, match="DALI failed"):
            got = images(loader)
        assert len(got) == len(people)
        assert loader.skipped == 3


def test_leaving_early_resuming_and_batches_that_are_kept(people: People) -> None:
    with make_loader(people, SIZE, 4, "dali", aug=GlobalAug(), drop_last=False, seed=3) as loader:
        kept = list(loader)  # all alive at once: none may be overwritten
        first = torch.cat([b.image for b in kept])
        loader.set_epoch(0)
        assert torch.equal(next(iter(loader)).image, first[:4])
        loader.set_epoch(0)
        assert torch.equal(images(loader), first)
        second = images(loader)
        assert not torch.equal(first, second)
    with make_loader(people, SIZE, 4, "dali", aug=GlobalAug(), drop_last=False, seed=3) as loader:
        loader.load_state({"epoch": 0, "step": 3})
        assert torch.equal(images(loader), first[12:])
        assert torch.equal(images(loader), second)


def test_an_unknown_dali_is_one_line(monkeypatch: pytest.MonkeyPatch, people: People) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    with pytest.raises(UserError, match="cannot import DALI"):
        make_loader(people, SIZE, 4, "dali")


def test_a_program_that_never_closes_ends_cleanly(people: People, tmp_path: Path) -> None:
    script = tmp_path / "leave.py"
    script.write_text(
        "import sys, pickle\n"
        "from asda_fast import make_loader\n"
        "if __name__ == '__main__':\n"
        "    people = pickle.load(open(sys.argv[1], 'rb'))\n"
        "    loader = make_loader(people, (64, 48), 4, 'dali')\n"
        "    next(iter(loader))\n"
        "    print('had one')\n"
    )
    (tmp_path / "people.pickle").write_bytes(pickle.dumps(people))
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "people.pickle")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "had one" in done.stdout
    assert "Traceback" not in done.stderr


def test_rectangle_holds_all_that_the_crop_touches() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(1, 200, 2)
        matrix = np.concatenate([rng.normal(0, 1, (2, 2)), rng.uniform(-100, 250, (2, 1))], axis=1)
        y, x, h, w = rectangle(matrix, SIZE, int(height), int(width))
        assert 0 <= y < y + h <= height
        assert 0 <= x < x + w <= width
        corners = np.array([[0, 0], [SIZE[1], 0], [0, SIZE[0]], [SIZE[1], SIZE[0]]]) @ matrix[:, :2].T + matrix[:, 2]
        low, high = corners.min(0) - 1, corners.max(0) + 1
        touched = (np.clip(low, 0, (width, height)), np.clip(high, 0, (width, height)))
        if (touched[1] > touched[0]).all():
            assert x <= touched[0][0]
            assert y <= touched[0][1]
            assert x + w >= touched[1][0]
            assert y + h >= touched[1][1]


def test_headers_and_ppm() -> None:
    image = picture(0)
    jpeg = encode(image)
    assert plain_jpeg(jpeg) == (90, 120)
    assert plain_jpeg(jpeg + b"\0\n") == (90, 120)
    for other in (jpeg[:-20], b"", b"\xff\xd9", encode(image, "PNG"), cmyk(image), jpeg + b"rest"):
        assert plain_jpeg(other) is None
    back = cv2.imdecode(ppm(image[3:50, 7:60]), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.array_equal(back, image[3:50, 7:60])


def test_mutated_photos_are_decoded_or_reported(tmp_path: Path) -> None:
    """Both refuse the same files. Neither crashes or hangs."""
    rng, files = np.random.default_rng(0), []
    for i in range(120):
        data = bytearray(encode(picture(i % 5), quality=90))
        if i % 4 == 3:
            data = data[: rng.integers(0, len(data))]
        for _ in range(0 if i % 4 == 3 else rng.integers(1, 20)):  # header or body
            data[rng.integers(0, 620 if i % 4 == 0 else len(data))] = rng.integers(0, 256)
        files.append(str(tmp_path / f"{i}.jpg"))
        Path(files[-1]).write_bytes(bytes(data))
    people = crowd(files)
    bad, rows = {}, {}
    for pipeline in ("dali", "native"):
        with make_loader(people, SIZE, 16, pipeline, train=False, on_bad_image="skip") as loader:
            rows[pipeline] = torch.cat([batch.row.clone() for batch in loader]).tolist()
            bad[pipeline] = set(loader.bad_images)
    assert len(rows["dali"]) == len(rows["native"]) == 120
    assert len(bad["dali"]) >= 30
    assert bad["dali"] == bad["native"]
    for pipeline, used in rows.items():
        assert not {files[row] for row in used} & bad[pipeline]


def test_ctrl_c_ends_within_two_seconds(people: People, tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(
        "import pickle, signal, sys\n"
        "from asda_fast import make_loader\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it\n"
        "loader = make_loader(pickle.load(open(sys.argv[1], 'rb')), (64, 48), 4, 'dali')\n"
        "while True:\n"
        "    for batch in loader:\n"
        "        print('batch', flush=True)\n"
    )
    (tmp_path / "people.pickle").write_bytes(pickle.dumps(people))
    command = [sys.executable, str(script), str(tmp_path / "people.pickle")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        reader = threading.Thread(target=process.stdout.read)  # a full pipe would hold it
        reader.start()
        try:
            assert process.wait(timeout=10) != 0
        finally:
            process.kill()
            reader.join()


def test_memory_is_flat(people: People) -> None:
    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

    with make_loader(people, SIZE, 4, "dali", aug=GlobalAug(), drop_last=False) as loader:
        for _ in range(10):
            images(loader)
        before = resident()
        for _ in range(40):
            images(loader)
        assert resident() - before < 20
