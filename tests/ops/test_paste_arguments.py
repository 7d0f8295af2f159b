"""What paste refuses, by the argument's name, before a kernel runs."""

from __future__ import annotations

import pytest
import torch

from asda_fast import paste


def swap(name, make):
    return lambda s: {name: make(s)}


BAD = [
    ("image", TypeError, swap("image", lambda s: s.image.numpy())),
    ("image", TypeError, swap("image", lambda s: s.image.int())),
    ("image", TypeError, swap("image", lambda s: s.image.to(torch.complex64))),
    ("image", ValueError, swap("image", lambda s: s.image[0])),
    ("image", ValueError, swap("image", lambda s: s.image.permute(0, 2, 3, 1))),
    ("image", ValueError, swap("image", lambda s: torch.zeros(2, 3, 8, 8, dtype=torch.uint8))),
    ("image", ValueError, swap("image", lambda s: torch.zeros(2, 3, 40000, 1))),
    ("pool", TypeError, swap("pool", lambda s: None)),
    ("pool", TypeError, swap("pool", lambda s: s.pool.texels)),
    ("pool", ValueError, swap("pool", lambda s: s.pool.to("meta"))),
    ("part", TypeError, swap("part", lambda s: s.part.int())),
    ("part", TypeError, swap("part", lambda s: s.part.tolist())),
    ("part", ValueError, swap("part", lambda s: s.part[0])),
    ("part", ValueError, swap("part", lambda s: s.part[:1])),
    ("part", ValueError, swap("part", lambda s: s.part + 1000)),
    ("part", ValueError, swap("part", lambda s: s.part.to("meta"))),
    ("matrix", TypeError, swap("matrix", lambda s: s.matrix.long())),
    ("matrix", ValueError, swap("matrix", lambda s: s.matrix[:, :1])),
    ("matrix", ValueError, swap("matrix", lambda s: s.matrix.transpose(-1, -2))),
    ("matrix", ValueError, swap("matrix", lambda s: s.matrix.to("meta"))),
    ("image", TypeError, swap("image", lambda s: s.image.to_sparse())),
    ("mean", ValueError, swap("mean", lambda s: (0.5,))),
    ("mean", TypeError, swap("mean", lambda s: 0.5)),
    ("mean", ValueError, swap("mean", lambda s: (0.0, float("nan"), 0.0))),
    ("mean", ValueError, swap("mean", lambda s: (0.0, float("inf"), 0.0))),
    ("mean", ValueError, swap("mean", lambda s: (0.0, 0.0, -float("inf")))),
    ("std", TypeError, swap("std", lambda s: ("a", 1, 1))),
    ("mips", TypeError, swap("mips", lambda s: "no")),
    ("std", ValueError, swap("std", lambda s: (1.0, 0.0, 1.0))),
    ("std", ValueError, swap("std", lambda s: (1.0, float("nan"), 1.0))),
    ("out_dtype", TypeError, swap("out_dtype", lambda s: torch.float16)),
    ("out_dtype", TypeError, lambda s: {"image": torch.zeros(2, 8, 8, 3, dtype=torch.uint8), "out_dtype": torch.int8}),
    (
        "mean",
        ValueError,
        lambda s: {
            "image": torch.zeros(2, 8, 8, 3, dtype=torch.uint8),
            "part": s.part,
            "out_dtype": torch.uint8,
            "mean": (0.5, 0.5, 0.5),
        },
    ),
    (
        "std",
        ValueError,
        lambda s: {
            "image": torch.zeros(2, 8, 8, 3, dtype=torch.uint8),
            "out_dtype": torch.uint8,
            "std": (0.5, 0.5, 0.5),
        },
    ),
    ("memory_format", ValueError, swap("memory_format", lambda s: torch.channels_last_3d)),
]


@pytest.mark.parametrize(("name", "kind", "change"), BAD, ids=[f"{i}-{case[0]}" for i, case in enumerate(BAD)])
def test_refused_by_name(scene, name, kind, change):
    s = scene(2, 3, 10, 12, torch.float32)
    arguments = {"image": s.image, "pool": s.pool, "part": s.part, "matrix": s.matrix, **change(s)}
    with pytest.raises(kind, match=f"^{name}: expected") as raised:
        paste(**arguments)
    assert "\n" not in str(raised.value)


def test_what_is_so_anyhow_may_be_said(scene):
    s = scene(2, 3, 10, 12, torch.float32)
    said = paste(s.image, s.pool, s.part, s.matrix, out_dtype=torch.float32, memory_format=torch.contiguous_format)
    assert torch.equal(said, paste(s.image, s.pool, s.part, s.matrix))
    image = torch.zeros(2, 10, 12, 3, dtype=torch.uint8)
    plain = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    said = paste(image, s.pool, s.part, s.matrix, out_dtype=torch.uint8, **plain)
    assert torch.equal(said, paste(image, s.pool, s.part, s.matrix, out_dtype=torch.uint8))


@pytest.mark.parametrize("value", [-2, -(2**40)])
def test_an_index_below_minus_one_is_a_mistake(scene, value):
    s = scene(2, 2, 8, 8, torch.float32)
    s.part[1, 0] = value
    with pytest.raises(ValueError, match=rf"^part: expected -1 \(empty\) or .* got {value} at \[1, 0\]"):
        paste(s.image, s.pool, s.part, s.matrix)


def test_index_past_the_pool_says_where(scene):
    s = scene(2, 3, 10, 12, torch.float32)
    part = s.part.clone()
    part[1, 2] = len(s.pool)
    with pytest.raises(ValueError, match=rf"below {len(s.pool)}, got {len(s.pool)} at \[1, 2\]"):
        paste(s.image, s.pool, part, s.matrix)
