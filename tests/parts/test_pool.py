"""PartPool: packing, the file, and what the loader refuses, fuzzed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from asda_fast import PartPool
from asda_fast.core.errors import UserError

SIZES = [(1, 1), (5, 7), (40, 33), (2, 90)]


def patches(sizes=SIZES, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (h, w, 4), dtype=np.uint8) for h, w in sizes]


def make(**options) -> PartPool:
    person = [[10.0, 20.0], [np.nan, np.nan], [3.5, 4.0], [1.0, 1.0]]
    return PartPool.from_patches(
        patches(), type=[0, 1, 1, 0], types=["Hat", "Face"], person=person, source=["a", "b", "", "d"], **options
    )


def test_texels_are_premultiplied_inside_a_transparent_border():
    pool = make(mips=False)
    assert pool.table[:, 3].tolist() == [1] * 4
    assert pool.size.tolist() == [list(s) for s in SIZES]
    for i, straight in enumerate(patches()):
        first, h, w, _ = pool.table[i].tolist()
        block = pool.texels[first : first + (h + 2) * (w + 2)].view(h + 2, w + 2, 4).numpy()
        alpha = straight[..., 3:].astype(float)
        assert (block[1:-1, 1:-1, :3] == np.floor(straight[..., :3] * alpha / 255 + 0.5)).all()
        assert (block[1:-1, 1:-1, 3] == straight[..., 3]).all()
        block = block.copy()
        block[1:-1, 1:-1] = 0
        assert not block.any()
    assert pool.texels.shape[0] == sum((h + 2) * (w + 2) for h, w in SIZES)


def test_every_level_halves_and_averages():
    pool = make()
    first, h, w, levels = pool.table[2].tolist()
    assert levels == 7  # 40x33, 20x17, 10x9, 5x5, 3x3, 2x2, 1x1
    means = []
    for _ in range(levels):
        block = pool.texels[first : first + (h + 2) * (w + 2)].view(h + 2, w + 2, 4).double()
        assert not block[0].any()
        assert not block[:, -1].any()
        means.append(block[1:-1, 1:-1].mean((0, 1)))
        first += (h + 2) * (w + 2)
        h, w = (h + 1) // 2, (w + 1) // 2
    assert first == pool.table[3, 0]
    for level, mean in enumerate(means):
        assert torch.allclose(mean, means[0], atol=0.5 * level + 1e-9), level


def test_level_is_an_area_average():
    """4 x 3 -> 2 x 2: columns of 1.5 source pixels."""
    straight = patches([(4, 3)])[0]
    straight[..., 3] = 255
    pool = PartPool.from_patches([straight])
    first = int(pool.table[0, 0]) + 6 * 5
    level = pool.texels[first : first + 16].view(4, 4, 4)[1:-1, 1:-1].numpy()
    rows = straight.astype(float).reshape(2, 2, 3, 4).mean(1)
    expected = np.stack([(rows[:, 0] + rows[:, 1] / 2) / 1.5, (rows[:, 1] / 2 + rows[:, 2]) / 1.5], 1)
    assert np.abs(level - expected).max() <= 0.501


def test_patch_gives_straight_colours_back():
    pool = make()
    for i, straight in enumerate(patches()):
        back = pool.patch(i)
        assert (back[..., 3] == straight[..., 3]).all()
        solid = straight[..., 3] == 255
        assert (back[solid] == straight[solid]).all()
    with pytest.raises(IndexError, match="4 patches"):
        pool.patch(4)


@pytest.mark.parametrize("mips", [True, False])
def test_save_and_load(tmp_path, mips):
    pool = make(mips=mips)
    pool.save(tmp_path / "pool.safetensors")
    back = PartPool.load(tmp_path / "pool.safetensors", mips=mips)
    for name in ("texels", "table", "type"):
        assert torch.equal(getattr(back, name), getattr(pool, name)), name
    assert torch.equal(back.person.nan_to_num(-1), pool.person.nan_to_num(-1))
    assert (back.types, back.source) == (pool.types, pool.source)
    assert [p.name for p in tmp_path.iterdir()] == ["pool.safetensors"]


def test_empty_pool(tmp_path):
    PartPool.from_patches([]).save(tmp_path / "empty.safetensors")
    assert len(PartPool.load(tmp_path / "empty.safetensors")) == 0


def test_to_moves_all_tensors():
    moved = make().to("meta")
    assert {getattr(moved, n).device.type for n in ("texels", "table", "type", "person")} == {"meta"}
    assert moved.source == make().source


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line() -> None:
    with pytest.raises(UserError, match="device: cuda was asked for, but torch sees no GPU"):
        PartPool.from_patches([np.zeros((2, 2, 4), np.uint8)]).to("cuda")


def test_save_into_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot write"):
        make().save(tmp_path / "nowhere" / "pool.safetensors")


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"patches": [np.zeros((3, 3, 3), np.uint8)]}, ValueError, r"patches\[0\]: expected shape \[h, w, 4\]"),
        ({"patches": [np.zeros((3, 3, 4), np.float32)]}, TypeError, r"patches\[0\]: expected dtype uint8"),
        ({"patches": [np.zeros((0, 3, 4), np.uint8)]}, ValueError, r"patches\[0\]: expected shape"),
        ({"patches": ["x"]}, TypeError, r"patches\[0\]: expected a uint8 array"),
        ({"type": [0, 1, 2, 0], "types": ["a", "b"]}, ValueError, r"type: expected indices 0..1"),
        ({"type": [0, 1], "types": ["a", "b"]}, ValueError, r"type: expected shape \[4\]"),
        ({"type": [0.5] * 4, "types": ["a"]}, TypeError, r"type: expected integers"),
        ({"type": [0] * 4}, ValueError, r"types: expected the names"),
        ({"person": [[1, 2]]}, ValueError, r"person: expected shape \[4, 2\]"),
        ({"source": ["a"]}, ValueError, r"source: expected 4 ids"),
    ],
)
def test_from_patches_refuses_by_name(arguments, kind, message):
    with pytest.raises(kind, match=message):
        PartPool.from_patches(**{"patches": patches(), **arguments})


# ---- the file -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("pool") / "pool.safetensors"
    make().save(path)
    return path.read_bytes()


def parts_of(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    length = int.from_bytes(data[:8], "little")
    return load(data), json.loads(data[8 : 8 + length])["__metadata__"]


def changed(data: bytes, **changes) -> bytes:
    arrays, text = parts_of(data)
    for name, value in changes.items():
        target = text if name in text else arrays
        if value is None:
            del target[name]
        else:
            target[name] = value
    return save(arrays, text)


REFUSED = [
    ("format 'asda_fast.parts'", {"format": "other"}),
    ("expected version '1', got '2'", {"version": "2"}),
    ("'rgba' is missing", {"rgba": None}),
    ("'size' is missing", {"size": None}),
    ("types: expected a list", {"types": "{}"}),
    ("types: expected a list", {"types": "[1]"}),
    ("source: expected 4 entries, got 1", {"source": '["a"]'}),
    ("not a usable part pool", {"source": "["}),
    ("type: expected indices 0..1", {"type": np.array([0, 1, 2, 0])}),
    ("type: expected indices 0..1", {"type": np.array([0, -1, 1, 0])}),
    ("type: expected int64", {"type": np.zeros(4, np.float32)}),
    (r"type: expected int64 \[4\]", {"type": np.zeros(3, np.int64)}),
    ("offset: a patch lies outside", {"offset": np.array([0, 1, 36, 1_000_000])}),
    ("offset: a patch lies outside", {"offset": np.array([0, 1, 36, -5])}),
    ("offset: a patch lies outside", {"offset": np.array([0, 1, 36, 2**63 - 1])}),
    ("offset: a patch lies outside", {"rgba": np.zeros((1000, 4), np.uint8)}),
    ("patches overlap", {"offset": np.zeros(4, np.int64), "size": np.full((4, 2), 30)}),
    ("size: expected sides 1..16384", {"size": np.array([[0, 1]] * 4)}),
    ("size: expected sides 1..16384", {"size": np.array([[2**62, 2**62]] * 4)}),
    (r"rgba: expected uint8", {"rgba": np.zeros((5000, 3), np.uint8)}),
    (r"person: expected float32", {"person": np.zeros((4, 2))}),
    ("person: .* patch 2 has", {"person": np.array([[1, 2], [np.nan, 3], [0, 1], [1, 1]], np.float32)}),
    ("person: .* patch 0 has", {"person": np.full((4, 2), np.inf, np.float32)}),
    ("types: expected different names", {"types": '["Hat", "Hat"]'}),
]


@pytest.mark.parametrize(("message", "change"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_loader_refuses_by_file_name(stored, tmp_path, message, change):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(changed(stored, **change))
    with pytest.raises(UserError, match=message) as raised:
        PartPool.load(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_loader_refuses_missing_truncated_and_foreign_files(stored, tmp_path):
    path = tmp_path / "bad.safetensors"
    with pytest.raises(UserError, match="found none"):
        PartPool.load(path)
    with pytest.raises(UserError, match="found none"):
        PartPool.load(tmp_path)
    for data in (b"", b"hello", stored[:7], stored[:100], stored[:-1], stored + b"\0"):
        path.write_bytes(data)
        with pytest.raises(UserError, match=str(path)):
            PartPool.load(path)


def loads_or_is_refused(path: Path) -> PartPool | None:
    """The pool, or None where the loader raised a UserError that names the file; anything else escapes."""
    try:
        return PartPool.load(path, mips=False)
    except UserError as refusal:
        if str(path) not in str(refusal):
            raise AssertionError("the message does not name the file") from refusal
        return None


CASES_PER_EXAMPLE = 8


@settings(
    max_examples=10_000 // CASES_PER_EXAMPLE, deadline=None, database=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    cut=st.one_of(st.just(0), st.integers(0, 4000)),
    edits=st.lists(
        st.tuples(st.one_of(st.integers(0, 900), st.integers(0, 30000)), st.integers(0, 255)),
        min_size=CASES_PER_EXAMPLE, max_size=CASES_PER_EXAMPLE,
    ),
)  # fmt: skip
def test_fuzzed_files_load_or_are_refused(stored, fuzz_file, cut, edits):
    """10,000 damaged files, each with one more byte changed than the one before: a consistent pool or a UserError."""
    data = bytearray(stored[: len(stored) - cut])
    with fuzz_file.open("r+b", buffering=0) as file:  # in place: opening anew for each case takes most of the time
        file.truncate(len(data))
        for at, value in edits:
            data[at % len(data)] = value
            file.seek(0)
            file.write(data)
            pool = loads_or_is_refused(fuzz_file)
            if pool is not None and len(pool):
                assert int((pool.table[:, 0] + (pool.size + 2).prod(1)).max()) <= len(pool.texels)


@pytest.fixture(scope="module")
def fuzz_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "fuzz.safetensors"
    path.touch()
    return path


def test_fuzzed_fields_load_or_are_refused(stored, tmp_path):
    """Damage that the container cannot notice: random values in the numbers that say where the pixels are."""
    rng = np.random.default_rng(0)
    arrays, text = parts_of(stored)
    path = tmp_path / "fields.safetensors"
    values = [0, -1, 1, 2, 30, 1000, 16384, 16385, 2**31, 2**32, 2**62, -(2**63), 2**63 - 1]
    for _ in range(500):
        damaged = {name: array.copy() for name, array in arrays.items()}
        for _ in range(rng.integers(1, 4)):
            field = damaged[rng.choice(["offset", "size", "type"])]
            field.reshape(-1)[rng.integers(field.size)] = rng.choice(values)
        path.write_bytes(save(damaged, text))
        loads_or_is_refused(path)
