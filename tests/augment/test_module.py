"""SemanticPaste in other people's pipelines: kinds of images, boxes, DataLoader workers, repeatability."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset, default_collate

import asda_fast
from asda_fast.augment import base
from asda_fast.augment.module import SemanticPaste
from asda_fast.augment.sampling import Ranges
from asda_fast.parts.pool import PartPool
from asda_fast.parts.types import TYPES

STILL = Ranges(s=(1, 1), r=(0, 0), tx=(0, 0), ty=(0, 0))


@pytest.fixture(scope="module")
def pool() -> PartPool:
    red = np.zeros((20, 10, 4), np.uint8)
    red[...] = (255, 0, 0, 255)
    return PartPool.from_patches([red, red[:8]], type=[0, 13], types=TYPES, person=[[30.0, 40.0]] * 2)


def pictures(count=4) -> torch.Tensor:
    return torch.randint(0, 200, (count, 3, 60, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_keeps_shape_type_and_what_it_is_given(pool):
    paste = SemanticPaste(pool, parts=2)
    assert asda_fast.SemanticPaste is SemanticPaste
    batch = pictures()
    for image in (
        batch,
        batch[0],
        batch.float() / 255,
        batch.double() / 255,
        batch.to(torch.bfloat16) / 255,
        batch[:0],
    ):
        out = paste(image)
        assert out.shape == image.shape
        assert out.dtype == image.dtype
    target = {"keypoints": torch.rand(4, 17, 3)}
    image, same = paste(batch, target)
    assert same is target
    assert not torch.equal(image, batch)
    assert "parts=2" in repr(paste)
    assert not list(paste.parameters())
    assert not paste.state_dict()


def test_uint8_and_float_agree(pool):
    paste = SemanticPaste(pool)
    batch = pictures()
    torch.manual_seed(1)
    whole = paste(batch)
    torch.manual_seed(1)
    assert torch.equal((paste(batch.float() / 255) * 255).round().to(torch.uint8), whole)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    m, s = (torch.tensor(v)[:, None, None] for v in (mean, std))
    torch.manual_seed(1)
    out = SemanticPaste(pool, mean=mean, std=std)((batch.float() / 255 - m) / s) * s + m
    assert torch.allclose(out * 255, whole.float(), atol=0.51)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_layout_stays(pool, dtype):
    """A decoder's [H, W, 3], seen as [3, H, W], comes back so laid out, with the values of a planar image."""
    paste = SemanticPaste(pool, jitter=0.2)
    planar = pictures().to(dtype) / (1 if dtype == torch.uint8 else 255)
    planar = planar.to(dtype)
    torch.manual_seed(1)
    expected = paste(planar)
    assert expected.is_contiguous()
    nhwc = planar.contiguous(memory_format=torch.channels_last)
    torch.manual_seed(1)
    out = paste(nhwc)
    assert torch.equal(out, expected)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.manual_seed(1)
    single = paste(nhwc[0])
    assert single.permute(1, 2, 0).is_contiguous()
    torch.manual_seed(1)
    assert torch.equal(single, paste(planar[0]))


def test_bytes_never_become_floats(pool, monkeypatch):
    """No float copy of the image: the op writes bytes itself."""
    seen = []
    op = base.paste
    monkeypatch.setattr(base, "paste", lambda *a, **k: seen.append((a[0].dtype, op(*a, **k))) or seen[-1][1])
    out = SemanticPaste(pool)(pictures())
    assert [(dtype, pasted.dtype) for dtype, pasted in seen] == [(torch.uint8, torch.uint8)]
    assert out.data_ptr() == seen[0][1].data_ptr()


def red_height(image: torch.Tensor) -> int:
    return int(((image[0] > 250) & (image[1] < 5)).any(1).sum())


def test_boxes_scale_the_parts(pool):
    paste = SemanticPaste(pool, ranges=STILL, types=["Left-arm"])
    black = torch.zeros((2, 3, 100, 100), dtype=torch.uint8)
    boxes = torch.tensor([[10.0, 10, 40, 50], [0, 0, 60, 80]])  # as large as the source person, and twice
    for out in (paste(black, boxes=boxes), paste(black, {"boxes": boxes})[0]):
        assert red_height(out[0]) == 20
        assert red_height(out[1]) == 38  # 40, of which the first and last row are soft
    assert red_height(paste(black)[0]) == pytest.approx(20 * np.hypot(80, 80) / 50, abs=2)  # person = crop / 1.25
    assert red_height(paste(black, [{"boxes": b[None]} for b in boxes])[0][1]) == 38
    assert red_height(paste(black, {"boxes": boxes.tolist()})[0][1]) == 38
    assert red_height(paste(black[0], {"boxes": torch.rand(5, 4)})[0]) == red_height(paste(black[0]))  # of a detector
    for one, other in ((2, 0), (0, 2), (1, 0)):
        with pytest.raises(ValueError, match="boxes: expected one box"):
            paste(black, [{"boxes": boxes[:1].repeat(one, 1)}, {"boxes": boxes[:1].repeat(other, 1)}])
    with pytest.raises(TypeError, match="boxes: expected numbers"):
        paste(black, {"boxes": "abc"})
    for wrong in (
        torch.rand(5, 4),
        boxes * torch.inf,
        torch.rand(2, 8),
        torch.rand(2, 8),
        boxes.flip(-1),
        boxes * torch.nan,
    ):  # not to be ignored in silence
        with pytest.raises(ValueError, match="boxes"):
            paste(black, {"boxes": wrong})
        with pytest.raises(ValueError, match="boxes"):
            paste(black, boxes=wrong)


def test_probability(pool):
    batch = pictures(400)
    torch.manual_seed(0)
    changed = (SemanticPaste(pool, p=0.3)(batch) != batch).flatten(1).any(1).float().mean()
    assert 0.15 < changed < 0.4
    assert torch.equal(SemanticPaste(pool, p=0.0)(batch), batch)


def test_torch_seed_makes_it_repeatable(pool):
    paste, batch = SemanticPaste(pool), pictures()
    torch.manual_seed(5)
    first = paste(batch)
    second = paste(batch)
    torch.manual_seed(5)
    assert torch.equal(paste(batch), first)
    assert not torch.equal(first, second)


class Collate:
    """At module level, so that worker processes can import it."""

    def __init__(self, paste):
        self.paste = paste

    def __call__(self, samples):
        image, label = default_collate(samples)
        return self.paste(image, label)


@pytest.mark.parametrize("workers", [0, 1])
def test_in_a_collate_function(pool, workers):
    data = TensorDataset(pictures(8), torch.arange(8))
    loader = DataLoader(data, 4, collate_fn=Collate(SemanticPaste(pool)), num_workers=workers)
    torch.manual_seed(0)
    images, labels = zip(*loader)
    assert torch.equal(torch.cat(labels), torch.arange(8))
    changed = (torch.cat(images) != pictures(8)).flatten(1).any(1)
    assert changed.float().mean() > 0.5


def test_gradient_reaches_a_float_image(pool):
    image = (pictures().float() / 255).requires_grad_()
    SemanticPaste(pool)(image).sum().backward()
    assert 0 < image.grad.mean() < 1  # covered pixels get none


def test_subclasses_of_tensor_stay(pool):
    class Picture(torch.Tensor):
        pass

    out = SemanticPaste(pool)(pictures().as_subclass(Picture))
    assert type(out) is Picture


@pytest.mark.parametrize(
    "image", [None, torch.zeros(4, 4), torch.zeros(1, 4, 4), torch.zeros(3, 4, 4, dtype=torch.int32)]
)
def test_wrong_images_are_named(pool, image):
    with pytest.raises(TypeError, match="image"):
        SemanticPaste(pool)(image)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"bbox": torch.rand(4, 4)}, "target: expected its boxes as 'boxes' .*got 'bbox'"),
        ([{"bboxes": torch.rand(4)}] * 4, "got 'bboxes'"),
        ({"boxes": torch.tensor([[100.0, 300, 200, 500]] * 4)}, r"boxes: .* images of 40 x 60, got \[100.0, 300.0,"),
        ({"boxes": torch.tensor([[10.0, 30, 5, 20]] * 4)}, "expected x0 < x1"),
        ({"boxes": torch.tensor([[0.1, 0.2, 0.5, 0.9]] * 4)}, "normalised"),
    ],
)
def test_boxes_by_another_name_or_in_another_unit_are_named(pool, target, words):
    with pytest.raises(ValueError, match=words):
        SemanticPaste(pool)(pictures(), target)


def test_a_wrong_unit_is_said_until_it_is_right(pool):
    """Not once: a cell of a notebook is run again. Boxes that come later are looked at as well."""
    paste, image = SemanticPaste(pool), pictures().float() / 255
    for _ in range(2):
        with pytest.raises(ValueError, match=r"image: expected 0..1"):
            paste(image * 255)
    paste(image)
    for _ in range(2):
        with pytest.raises(ValueError, match="normalised"):
            paste(image, boxes=torch.tensor([[0.1, 0.2, 0.5, 0.9]] * 4))
    with pytest.raises(ValueError, match=r"target: expected 'boxes' in each .* got none in target 1"):
        paste(image, [{"boxes": torch.tensor([5.0, 5, 30, 50])}, {}, {}, {}])


def test_where_people_are_gets_no_gradient(pool):
    """Of a size that nobody knows (nan) it would be nan, and reach a head that found the box."""
    patch = np.full((8, 8, 4), 255, np.uint8)
    boxes = torch.tensor([[5.0, 5, 30, 50]] * 4, requires_grad=True)
    for parts in (pool, PartPool.from_patches([patch])):
        assert not SemanticPaste(parts)(pictures().float() / 255, boxes=boxes).requires_grad


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mean": 0.5}, r"^mean: expected 3 numbers, one per channel, got 0.5"),
        ({"mean": (0.5, 0.5)}, r"^mean: expected 3 numbers, one per channel, got 2"),
        ({"std": (1, 0, 1)}, "^std: expected 3 positive numbers"),
        ({"std": (1, float("nan"), 1)}, "^std: expected finite numbers"),
        ({"p": None}, "^p: expected a number, got None"),
        ({"jitter": "a"}, "^jitter: expected a number, got 'a'"),
        ({"parts": np.array([2, 1])}, "^parts: expected N >= 0"),
        ({"parts": 1.5}, "^parts: expected N >= 0"),
        ({"pool": None}, "^pool: expected a PartPool or the path of a pool file, got NoneType"),
    ],
)
def test_a_wrong_option_is_named(pool, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        SemanticPaste(**{"pool": pool, **options})


@pytest.mark.parametrize("parts", [np.array([1, 2]), (np.int64(1), np.int64(2)), [1, 2]])
def test_numpys_range_of_parts(pool, parts):
    assert SemanticPaste(pool, parts=parts).paste.parts == (1, 2)


def test_the_pool_is_what_is_pasted(pool):
    paste = SemanticPaste(pool)
    with pytest.raises(AttributeError):
        paste.pool = pool
    assert paste.pool is paste.paste.pool


@pytest.mark.parametrize("parts", [0, (0, 0)])
def test_nothing_to_paste_is_said(pool, parts):
    with pytest.raises(ValueError, match="parts: expected at least 1"):
        SemanticPaste(pool, parts=parts)


def test_on_a_gpu(pool, cuda):
    batch = pictures()
    paste = SemanticPaste(pool)
    torch.manual_seed(0)
    here = paste(batch)
    torch.manual_seed(0)
    there = paste(batch.to(cuda))
    assert there.is_cuda
    assert (here.int() - there.cpu().int()).abs().max() <= 2
