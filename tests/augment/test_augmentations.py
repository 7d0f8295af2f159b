"""Every augmentation by name: shapes, repeatability, what each does to the pixels, gradients for the generator."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from asda_fast import augment
from asda_fast.augment.asda import generator_theta
from asda_fast.augment.jitter import jittered, lengths
from asda_fast.augment.sampling import Ranges, Rules
from asda_fast.core.batch import MEAN, STD, Batch
from asda_fast.core.errors import UserError
from asda_fast.ops import PasteFormat
from asda_fast.parts.pool import PartPool
from asda_fast.parts.types import TYPES

H, W = 64, 48


@pytest.fixture(scope="module")
def pool() -> PartPool:
    rng = np.random.default_rng(0)
    patches, types = [], []
    for i in range(12):
        patch = rng.integers(0, 256, (10 + i, 8 + 2 * (i % 3), 4), dtype=np.uint8)
        patch[..., 3] = 255
        patches.append(patch)
        types.append((3 * i) % 26)
    person = [[20.0, 60.0]] * 12
    return PartPool.from_patches(patches, type=types, types=TYPES, person=person)


@pytest.fixture(scope="module")
def batch() -> Batch:
    rng = np.random.default_rng(1)
    count = 6
    joints = torch.from_numpy(rng.uniform([14, 8], [34, 56], (count, 17, 2)).astype(np.float32))
    return Batch(
        image=torch.from_numpy(rng.integers(0, 256, (count, H, W, 3), dtype=np.uint8)),
        joints=joints,
        visible=torch.full((count, 17), 2, dtype=torch.uint8),
        row=torch.arange(100, 100 + count),
        matrix=torch.eye(3)[:2].expand(count, 2, 3).clone(),
        box=torch.tensor([[24.0, 32.0, 22.0, 50.0]]).expand(count, 4).clone(),
        flip=torch.zeros(count, dtype=torch.bool),
        half=torch.zeros(count, dtype=torch.bool),
    )


@pytest.fixture
def objects(tmp_path):
    for i in range(3):
        cutout = np.zeros((30, 40, 4), np.uint8)
        cv2.circle(cutout, (20, 15), 10 + i, (10 * i, 100, 200, 255), -1)
        cv2.imwrite(str(tmp_path / f"{i}.png"), cutout)
    cv2.imwrite(str(tmp_path / "no_alpha.png"), np.zeros((5, 5, 3), np.uint8))
    (tmp_path / "text.png").write_text("no picture")
    return tmp_path


def normalised(batch: Batch) -> torch.Tensor:
    image = batch.image.permute(0, 3, 1, 2).float() / 255
    return (image - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def make(name, pool, objects, **options):
    return augment.build(name, pool, objects=objects if name == "objects" else None, **options)


def test_names():
    assert augment.names() == ("asda", "cutout", "none", "objects", "ror", "sda")
    with pytest.raises(ValueError, match="sdaa"):
        augment.build("sdaa")
    with pytest.raises(TypeError):
        augment.build("none", colour="red")


@pytest.mark.parametrize("name", augment.names())
def test_same_seed_same_bits_and_a_row_does_not_know_its_batch(name, pool, batch, objects):
    aug = make(name, pool, objects, parts=2, seed=3)
    whole = aug(batch, 5)
    assert whole.image.shape == (6, 3, H, W)
    assert whole.image.isfinite().all()
    assert torch.equal(whole.image, make(name, pool, objects, parts=2, seed=3)(batch, 5).image)
    fields = {f: getattr(batch, f)[[4, 1]] for f in batch.__dataclass_fields__}
    assert torch.equal(aug(Batch(**fields), 5).image, whole.image[[4, 1]])
    if name not in ("none", "asda"):
        assert not torch.equal(whole.image, aug(batch, 6).image)
        assert not torch.equal(whole.image, make(name, pool, objects, parts=2, seed=4)(batch, 5).image)
    changed = (whole.image - normalised(batch)).abs().amax(1) > 0.02
    share = changed.float().mean((1, 2))
    assert (share == 0).all() if name == "none" else (share > 0.005).all()
    assert make(name, pool, objects, parts=(0, 0))(batch, 5).image.allclose(normalised(batch), atol=1e-5)


@pytest.mark.parametrize("name", augment.names())
def test_drawing_what_was_pasted(name, pool, batch, objects):
    out = make(name, pool, objects, parts=(1, 3))(batch)
    if name == "none":
        assert out.slots is None
        return
    assert out.slots.part.shape == out.slots.type.shape == (6, 3)
    assert out.theta.shape == (6, 3, 4)
    assert out.matrix.shape == (6, 3, 2, 3)
    assert out.slots.part.max() < len(out.pool)


def test_probability_and_half_bodies(pool, batch):
    half = replace(batch, half=torch.tensor([True, False] * 3))
    image = augment.build("sda", pool)(half).image
    assert torch.equal((image - normalised(batch)).abs().amax((1, 2, 3)) > 0.02, ~half.half)
    rules = Rules(probability=0.0)
    assert augment.build("sda", pool, rules=rules)(batch).image.allclose(normalised(batch), atol=1e-5)
    assert augment.build("cutout", probability=0.0)(batch).image.allclose(normalised(batch), atol=1e-5)
    assert augment.build("ror", probability=0.0)(batch).image.allclose(normalised(batch), atol=1e-5)


def test_sda_centre_paste_by_hand(batch):
    """theta (1, 0, 0, 0): a patch of a person half as large, in the middle, doubled."""
    red = np.zeros((10, 8, 4), np.uint8)
    red[...] = (255, 0, 0, 255)
    pool = PartPool.from_patches([red], type=[0], types=TYPES, person=[[11.0, 25.0]])
    still = Ranges(s=(1, 1), r=(0, 0), tx=(0, 0), ty=(0, 0))
    aug = augment.build("sda", pool, ranges=still, mean=(0, 0, 0), std=(1, 1, 1))
    image = aug(batch).image
    y, x = H // 2, W // 2
    assert image[:, :, y - 9 : y + 9, x - 7 : x + 7].permute(0, 2, 3, 1).reshape(-1, 3).unique(dim=0).tolist() == [
        [1, 0, 0]
    ]
    before = batch.image.permute(0, 3, 1, 2) / 255
    outside = torch.ones(H, W, dtype=torch.bool)
    outside[y - 11 : y + 11, x - 9 : x + 9] = False
    assert image[:, :, outside].allclose(before[:, :, outside], atol=1e-6)


def test_generator_places_by_type_and_gets_a_gradient(pool, batch):
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Parameter(torch.linspace(-0.4, 0.4, 26 * 3).view(1, 26, 3))

        def forward(self, image):
            assert image.allclose(normalised(batch), atol=1e-5)  # it sees the clean crop
            return self.out.expand(len(image), -1, -1)

    generator = Fixed()
    aug = augment.build("asda", pool, parts=2)
    assert aug.learned
    assert not augment.build("sda", pool).learned
    out = aug(batch, 0, generator)
    expected = generator.out[0][out.slots.type]
    assert torch.equal(out.theta[..., 1:], expected)
    assert torch.equal(out.theta[..., 0], out.slots.scale)
    assert 0.7 <= out.slots.scale.min() < out.slots.scale.max() < 1.3
    out.image.square().sum().backward()
    used = torch.zeros(26, dtype=torch.bool)
    used[out.slots.type.unique()] = True
    assert generator.out.grad[0][used].abs().sum() > 0
    assert (generator.out.grad[0][~used] == 0).all()
    untrained = aug(batch, 0)  # no generator: where an untrained one starts
    assert (untrained.theta[..., 1:] == 0).all()
    with pytest.raises(ValueError, match="output"):
        generator_theta(torch.zeros(2, 78), out.slots)


def test_cutout_holes(batch):
    aug = augment.build("cutout", parts=1, extent=(0.25, 0.5), mean=(0, 0, 0), std=(1, 1, 1))
    out = aug(batch).image
    grey = torch.tensor([124, 116, 104]) / 255
    hole = ((out - grey[:, None, None]).abs().amax(1) < 1e-3).float().mean((1, 2))
    assert (hole < 0.5 * 0.5).all()
    assert (hole > 0).all()
    neutral = augment.build("cutout", parts=1, extent=(0.25, 0.5))(batch).image
    assert ((neutral.abs().amax(1) < 0.02).float().mean((1, 2)) > 0).all()  # zero after normalisation


def test_ror_occludes_joints_and_repeats_them_elsewhere(batch):
    side = round(0.15 * 48)
    before = batch.image.permute(0, 3, 1, 2).float() / 255
    for occlude in (0.0, 1.0):
        aug = augment.build("ror", occlude=occlude, mean=(0, 0, 0), std=(1, 1, 1))
        out = aug(batch)
        image = out.image
        for i in range(len(batch)):
            corner = (-out.matrix[i, 0, :, 2]).round().int().tolist()
            x, y = corner
            patch = image[i, :, y : y + side, x : x + side]
            # the square is a copy of some square of the same crop, pixel by pixel
            windows = before[i].unfold(1, side, 1).unfold(2, side, 1)
            distance = (windows - patch[:, None, None]).abs().amax((0, 3, 4))
            assert distance.min() < 1e-5
            centre = torch.tensor([x + side / 2, y + side / 2])
            nearest = (batch.joints[i] - centre).norm(dim=1).min().item()
            if occlude:
                assert nearest <= math.sqrt(0.5) + 1e-3
            else:
                found = torch.nonzero(distance < 1e-5)[0].flip(0) + side / 2
                assert (batch.joints[i] - found).norm(dim=1).min() <= math.sqrt(0.5) + 1e-3
                assert nearest > 1
    nobody = replace(batch, visible=torch.zeros_like(batch.visible))
    assert augment.build("ror")(nobody).image.allclose(normalised(batch), atol=1e-5)


def test_objects_folder(pool, batch, objects, tmp_path_factory):
    aug = augment.build("objects", objects=objects)
    assert len(aug.pool) == 3  # what has no alpha is no cut-out
    assert aug.pool.size.tolist()[0] == [21, 21]  # trimmed to what is visible
    out = aug(batch)
    diagonal = math.hypot(22, 50)
    scale = 1 / out.matrix[..., :2].det().abs().sqrt()
    size = torch.hypot(*aug.pool.size[out.slots.part].float().unbind(-1)) * scale
    assert torch.allclose(size, out.slots.scale * diagonal, rtol=1e-4)
    for wrong in (tmp_path_factory.mktemp("void"), objects / "absent", None):
        with pytest.raises(UserError, match=r"^objects"):
            augment.build("objects", objects=wrong)


def test_jitter_recolours_within_its_strength(pool, batch):
    part = torch.tensor([[0, 5], [-1, 11], [0, 0]])
    own, moved = jittered(pool, part, torch.tensor([1, 2, 3]), 0.3, seed=0, epoch=0)
    assert (moved == -1).equal(part == -1)
    for row, slot in ((0, 0), (0, 1), (1, 1), (2, 0), (2, 1)):
        plain, other = (p.patch(int(i)) for p, i in ((pool, part[row, slot]), (own, moved[row, slot])))
        assert plain.shape == other.shape
        assert (plain[..., 3] == other[..., 3]).all()
        colour = plain[..., :3].astype(float)
        low, high = (np.minimum, 0.7), (np.maximum, 1.3)
        bounds = [
            f(((colour - 127.5) * k + 127.5) * g, 1e9 if f is np.minimum else -1e9)
            for f, g in (low, high)
            for k in (0.7, 1.3)
        ]
        assert (other[..., :3] >= np.clip(np.minimum.reduce(bounds), 0, 255) - 1).all()
        assert (other[..., :3] <= np.clip(np.maximum.reduce(bounds), 0, 255) + 1).all()
        assert not (plain == other).all()
    assert not (own.patch(int(moved[2, 0])) == own.patch(int(moved[2, 1]))).all()
    nothing, same = jittered(pool, part, torch.tensor([1, 2, 3]), 0.0, seed=0, epoch=0)
    assert (nothing.patch(int(same[0, 1])) == pool.patch(5)).all()
    image = augment.build("sda", pool, parts=2, jitter=0.5)(batch).image
    assert not image.equal(augment.build("sda", pool, parts=2)(batch).image)


def test_jitter_is_the_same_with_room_for_the_longest_patch_in_every_slot(pool):
    """What a GPU does, where counting the texels would be a wait."""
    part, row = torch.tensor([[0, 5], [-1, 11], [0, len(pool) - 1]]), torch.tensor([1, 2, 3])
    longest = int(lengths(pool).max())
    counted, moved = jittered(pool, part, row, 0.3, seed=0, epoch=4)
    roomy, same = jittered(pool, part, row, 0.3, seed=0, epoch=torch.tensor(4), longest=longest)
    assert len(roomy.texels) == 6 * longest > len(counted.texels)
    assert same.equal(moved) and roomy.table.equal(counted.table)
    assert roomy.texels[: len(counted.texels)].equal(counted.texels)


@pytest.mark.parametrize("name", ["none", "sda", "cutout", "ror"])
def test_bfloat16_has_the_bits_of_casting_after(name, pool, batch):
    """What a network under autocast takes, channels last, straight from the op."""
    form = PasteFormat(torch.bfloat16, channels_last=True)
    whole = augment.build(name, pool, parts=2)(batch).image
    out = augment.build(name, pool, parts=2, paste_format=form)(batch).image
    assert out.dtype == torch.bfloat16
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(out, whole.to(torch.bfloat16))


def test_a_dict_is_no_format(pool):
    with pytest.raises(TypeError, match=r"^paste_format: expected asda_fast\.ops\.PasteFormat, got dict$"):
        augment.build("sda", pool, paste_format={"out_dtype": torch.bfloat16})


def test_reference_mode_runs_without_mips(pool, batch):
    aug = augment.build("sda", pool, mode="reference")
    assert aug.paste_format.mips is False
    assert aug(batch).image.isfinite().all()
    with pytest.raises(ValueError, match="mode"):
        augment.build("sda", pool, mode="papre")
    with pytest.raises(ValueError, match="pool"):
        augment.build("asda")


@pytest.mark.parametrize("name", augment.names())
def test_same_on_both_devices(name, pool, batch, objects, cuda):
    here = make(name, pool, objects, parts=2)(batch, 1)
    there = make(name, pool, objects, parts=2)(batch.to(cuda), 1)
    assert there.image.is_cuda
    assert (here.image - there.image.cpu()).abs().max() < 2e-2
    if here.slots is not None:
        assert torch.equal(here.slots.part, there.slots.part.cpu())
