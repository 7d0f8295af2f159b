"""Cutting: alpha is the label map, every component is accounted for, left and right hold, no rim shows."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from asda_fast import _C
from asda_fast.ops.paste import paste
from asda_fast.parts import types
from asda_fast.parts.cut import OUTCOMES, Filters, Patch, cut, cut_patch
from asda_fast.parts.pool import PartPool
from asda_fast.parts.read import read_map, read_photo
from asda_fast.parts.scheme import Scheme, load_scheme
from asda_fast.parts.types import mirrored

ALL = Filters(min_area=0, whole=0, border=1e9, thickness=0, share=0, contrast=0, person_height=0)
EIGHT = np.ones((3, 3), int)


def real_pairs(data: Path) -> list[tuple[str, Path, Path]]:
    pairs = [("cihp", p, data / "cihp" / "labels" / f"{p.stem}.png") for p in sorted(data.glob("cihp/images/*.jpg"))]
    pairs += [
        ("cihp", p, data / "viton_hd" / "image-parse" / f"{p.stem}.png")
        for p in sorted(data.glob("viton_hd/image/*.jpg"))
    ]
    for scheme in ("lip", "atr", "pascal"):
        pairs.append((scheme, data / "schp_demo" / "demo.jpg", data / "schp_demo" / f"demo_{scheme}.png"))
    ccp = sorted(data.glob("ccp/photos/*.jpg"))[::75]
    return pairs + [("ccp", p, data / "ccp" / "labels" / f"{p.stem}.png") for p in ccp]


def type_mask(label: np.ndarray, scheme: Scheme, type_: str) -> np.ndarray:
    rule = next(rule for rule in scheme.rules if rule.type == type_)
    mask = np.isin(label, rule.ids)
    if any(not np.isin(label, group).any() for group in rule.need):
        return np.zeros_like(mask)
    return mask


def box_of(scheme: Scheme, label: np.ndarray) -> tuple[int, int]:
    ys, xs = np.nonzero(~np.isin(label, scheme.background))
    return int(xs.max() - xs.min() + 1), int(ys.max() - ys.min() + 1)


def test_every_component_of_the_real_maps_is_counted_once_and_alpha_is_the_map(shared_data):
    """Against scipy's labelling. With the filters open every component becomes a patch, and alpha cut at one half is
    the label map, pixel by pixel."""
    for name, photo_path, label_path in real_pairs(shared_data):
        scheme, photo, label = load_scheme(name), read_photo(photo_path), read_map(label_path)
        patches, outcomes = cut(photo, label, scheme, ALL)
        assert {outcome for _, outcome in outcomes} <= {"kept", "scattered"}
        patches, outcomes = cut(photo, label, scheme)
        found: Counter[str] = Counter()
        for (type_, outcome), count in outcomes.items():
            assert outcome in OUTCOMES
            found[type_] += count
        pieces = {}
        for rule in scheme.rules:
            pieces[rule.type], count = ndimage.label(type_mask(label, scheme, rule.type), EIGHT)
            assert found[rule.type] == count, (label_path, rule.type)
        assert outcomes.total() == sum(found.values())
        kept = Counter(scheme.types[p.type] for p in patches)
        assert kept == Counter({t: n for (t, f), n in outcomes.items() if f == "kept" for _ in [0]})

        patches, _ = cut(photo, label, scheme, Filters(person_height=0))
        for patch in patches:
            numbers = pieces[scheme.types[patch.type]]
            (x, y), (h, w) = patch.corner, patch.rgba.shape[:2]
            mine = patch.rgba[..., 3] >= 128
            number = numbers[y : y + h, x : x + w][mine][0]
            assert (mine == (numbers[y : y + h, x : x + w] == number)).all()
            assert mine.sum() == (numbers == number).sum()
            assert (mine[[0, -1]].any(1)).all()  # tight
            assert (mine[:, [0, -1]].any(0)).all()
            assert (patch.rgba[mine, :3] == photo[y : y + h, x : x + w][mine]).all()  # the photo's own colours
            assert patch.person == box_of(scheme, label)


def flipped_key(patch: Patch, scheme: Scheme, mirror: bool) -> tuple[str, bytes]:
    rgba = patch.rgba[:, ::-1] if mirror else patch.rgba
    name = scheme.types[patch.type]
    return mirrored(name) if mirror else name, np.ascontiguousarray(rgba).tobytes()


def test_left_right_oracle(shared_data):
    """cihp/labels_rev is each map mirrored, sides swapped, by the data's authors: cut from the mirrored photo it gives
    the same patches mirrored, types swapped, bit for bit."""
    scheme, total, swap = load_scheme("cihp"), 0, np.arange(256)
    number = {name: i for i, name in scheme.labels.items()}
    for pair in json.loads((Path(types.__file__).parent / "schemes" / "cihp.json").read_text())["pairs"]:
        left, right = (number[name] for name in pair)
        swap[[left, right]] = right, left
    more = Filters(min_area=150, border=1e9, thickness=0, share=0, contrast=0, person_height=0)
    for path in sorted((shared_data / "cihp" / "images").glob("*.jpg")):
        photo = read_photo(path)
        label = read_map(shared_data / "cihp" / "labels" / f"{path.stem}.png")
        reverse = read_map(shared_data / "cihp" / "labels_rev" / f"{path.stem}.png")
        assert (swap[label[:, ::-1]] == reverse).all()
        for filters in (Filters(person_height=0), more):
            mine, outcomes = cut(photo, label, scheme, filters, apart=True)
            theirs, outcomes_rev = cut(np.ascontiguousarray(photo[:, ::-1]), reverse, scheme, filters, apart=True)
            total += len(mine)
            keys = sorted(flipped_key(p, scheme, True) for p in mine)
            assert keys == sorted(flipped_key(p, scheme, False) for p in theirs)
            assert Counter({(mirrored(t), f): n for (t, f), n in outcomes.items()}) == outcomes_rev
    assert total > 30


def paste_back(photo: np.ndarray, patch: Patch) -> np.ndarray:
    """The photo with the patch laid back where it came from, in grey levels."""
    pool = PartPool.from_patches([patch.rgba], mips=False)
    x, y = patch.corner
    matrix = torch.tensor([[[[1.0, 0.0, -x], [0.0, 1.0, -y]]]])
    out = paste(torch.from_numpy(photo)[None], pool, torch.zeros((1, 1), dtype=torch.int64), matrix)
    return out[0].permute(1, 2, 0).numpy() * 255


def test_rim_at_identity(shared_data):
    """A part laid back where it was cut from: the photo within 1 grey level inside the mask, 3 at its edge."""
    for name, photo_path, label_path in real_pairs(shared_data)[::3]:
        scheme, photo, label = load_scheme(name), read_photo(photo_path), read_map(label_path)
        patches, _ = cut(photo, label, scheme, Filters(person_height=0))
        for patch in patches[:6]:
            (x, y), (h, w) = patch.corner, patch.rgba.shape[:2]
            x0, y0 = max(x - 3, 0), max(y - 3, 0)
            around = np.ascontiguousarray(photo[y0 : y + h + 3, x0 : x + w + 3])
            patch.corner = (x - x0, y - y0)
            difference = np.abs(paste_back(around, patch) - around).max(2)
            mask = np.zeros(around.shape[:2], bool)
            mask[y - y0 : y - y0 + h, x - x0 : x - x0 + w] = patch.rgba[..., 3] >= 128
            inside = ndimage.binary_erosion(mask, EIGHT)
            edge = ndimage.binary_dilation(mask, EIGHT) & ~inside
            assert difference[inside].max(initial=0) <= 1
            assert difference[edge].max(initial=0) <= 3
            assert difference[~mask].max(initial=0) < 1e-3  # not a pixel beside it changes


@pytest.mark.parametrize("zoom", [0.5, 1.0, 2.0])
def test_no_fringe_on_white_or_black(shared_data, zoom):
    """Pasted onto white and onto black, the two results give back alpha and the straight colour that shows. At every
    half-covered pixel that colour must lie within the range of the mask's own colours near it: no dark rim (from
    interpolating towards transparent black), no background."""
    worst = 0.0
    for name, photo_path, label_path in real_pairs(shared_data)[1::3]:
        scheme, photo, label = load_scheme(name), read_photo(photo_path), read_map(label_path)
        for patch in cut(photo, label, scheme, Filters(person_height=300))[0][:5]:
            pool = PartPool.from_patches([patch.rgba])
            h, w = patch.rgba.shape[:2]
            size = (int(h * zoom) + 9, int(w * zoom) + 9)
            matrix = torch.tensor([[[[1 / zoom, 0.0, -4.3 / zoom], [0.0, 1 / zoom, -4.6 / zoom]]]]).expand(2, 1, 2, 3)
            grounds = torch.stack([torch.full((*size, 3), v, dtype=torch.uint8) for v in (255, 0)])
            part = torch.zeros((2, 1), dtype=torch.int64)
            white, black = paste(grounds, pool, part, matrix).permute(0, 2, 3, 1).numpy() * 255
            alpha = 1 - (white - black).mean(2) / 255
            shows = (alpha > 0.1) & (alpha < 0.99)
            colour = black[shows] / alpha[shows, None]
            ys, xs = np.nonzero(shows)
            reach = 3 if zoom >= 1 else 4
            py = np.clip(((ys + 0.5 - 4.6) / zoom).astype(int), 0, h - 1)
            px = np.clip(((xs + 0.5 - 4.3) / zoom).astype(int), 0, w - 1)
            mine = patch.rgba[..., 3] > 0
            window = 2 * reach + 1
            low = ndimage.minimum_filter(np.where(mine[..., None], patch.rgba[..., :3], 255), (window, window, 1))
            high = ndimage.maximum_filter(np.where(mine[..., None], patch.rgba[..., :3], 0), (window, window, 1))
            below = low[py, px].astype(float) - colour
            above = colour - high[py, px]
            # premultiplied bytes are exact to half a level, so the colour they show to half a level / alpha
            slack = 1.0 / alpha[shows, None]
            worst = max(worst, float((np.maximum(below, above) - slack).max(initial=0)))
    assert worst <= 1.0


def test_alpha_edge_by_hand():
    """A half plane: 3/4 on the edge, a one-pixel line one half, a lone pixel one half, nothing outside."""
    photo = np.full((5, 6, 3), 100, np.uint8)
    plane = np.zeros((5, 6), np.uint8)
    plane[:, 2:] = 1
    assert cut_patch(photo, plane)[2, :, 3].tolist() == [0, 0, 191, 255, 255, 191]
    line = np.zeros((5, 6), np.uint8)
    line[2] = 1
    assert cut_patch(photo, line)[:, 3, 3].tolist() == [0, 0, 128, 0, 0]


def test_colour_bleeds_under_the_edge():
    photo = np.zeros((3, 5, 3), np.uint8)
    photo[...] = (0, 255, 0)  # the background that must not show
    photo[:, 3] = (200, 10, 50)
    photo[:, 4] = (100, 30, 50)
    mask = np.zeros((3, 5), np.uint8)
    mask[:, 3:] = 1
    patch = cut_patch(photo, mask)
    assert patch[1, 2].tolist() == [200, 10, 50, 0]
    assert patch[1, 0].tolist() == [0, 0, 0, 0]
    assert (patch[:, 3:, :3] == photo[:, 3:]).all()


def twin(photo: np.ndarray, mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Premultiplied RGBA in float, by OpenCV's blur and area average."""
    soft = cv2.GaussianBlur(mask.astype(np.float64), (3, 3), 0, borderType=cv2.BORDER_CONSTANT)
    alpha = np.maximum(np.floor(255 * soft + 0.5), 128) * mask
    flat = np.dstack((photo * (alpha[..., None] / 255), alpha)).astype(np.float32)
    return cv2.resize(flat, shape[::-1], interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("size", [(40, 30), (37, 64), (5, 1), (1, 1)])
@pytest.mark.parametrize("factor", [1.0, 0.93, 0.5, 0.31, 0.01])
def test_patch_equals_its_twin(size, factor):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    mask = np.zeros(size, np.uint8)
    cv2.circle(mask, (size[1] // 2, size[0] // 2), max(1, min(size) // 2 - 1), 1, -1)
    mask &= rng.random(size) > 0.1
    patch = cut_patch(photo, mask, factor).astype(np.float64)
    expected = twin(photo, mask, patch.shape[:2])
    got = np.dstack((patch[..., :3] * (patch[..., 3:] / 255), patch[..., 3]))
    assert np.abs(got - expected).max() <= 1.0


def test_squares_spans_and_contrast_by_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(20):
        h, w = rng.integers(1, 12, 2)
        mask = (rng.random((h, w)) < 0.8).astype(np.uint8)
        fits = [0]
        for side in range(1, min(h, w) + 1):
            windows = np.lib.stride_tricks.sliding_window_view(mask, (side, side))
            fits += [side] if windows.all((2, 3)).any() else []
        for side in range(13):
            assert _C.parts_has_square(mask.ctypes.data, w, h, w, side) == (side <= max(fits))

        photo = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        grey = (photo @ np.array([77, 150, 29]) + 128) >> 8
        expected = grey[mask > 0].std() if mask.any() else 0
        assert _C.parts_contrast(photo.ctypes.data, 3 * w, mask.ctypes.data, w, h, w) == pytest.approx(expected)

        label = rng.integers(0, 4, (h, w)).astype(np.uint8)
        table = np.empty((256, 4), np.int64)
        _C.parts_spans(label.ctypes.data, w, h, w, table.ctypes.data)
        for number in range(256):
            ys, xs = np.nonzero(label == number)
            if len(ys):
                assert table[number].tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            else:
                assert table[number, 2] == 0


def test_wrong_arrays_are_named():
    photo, label = drawing()
    for wrong in ((photo[..., 0], label, None), (photo, label[:5], None), (photo, label.astype(int), None)):
        with pytest.raises(ValueError, match=r"photo|label"):
            cut(wrong[0], wrong[1], load_scheme("lip"))
    with pytest.raises(ValueError, match="instances"):
        cut(photo, label, load_scheme("lip"), instances=label[1:])


def drawing() -> tuple[np.ndarray, np.ndarray]:
    """A photo with texture, and an empty map."""
    photo = np.random.default_rng(0).integers(0, 256, (400, 300, 3), dtype=np.uint8)
    return photo, np.zeros((400, 300), np.uint8)


def outcome_of(label, photo, type_, filters=Filters(person_height=0), **options):  # noqa: B008 - frozen
    _, outcomes = cut(photo, label, load_scheme("lip"), filters, **options)
    return {outcome: n for (name, outcome), n in outcomes.items() if name == type_}


def test_outcomes():
    photo, label = drawing()
    label[50:100, 50:100] = 13  # a face
    assert outcome_of(label, photo, "Face") == {"kept": 1}
    label[200:210, 50:60] = 13
    assert outcome_of(label, photo, "Face") == {"kept": 1, "small": 1}
    label[200:240, 50:90] = 13  # now the largest holds 61 % of the type
    assert outcome_of(label, photo, "Face") == {"scattered": 2}
    assert outcome_of(label, photo, "Face", Filters(whole=0.5)) == {"kept": 1, "scattered": 1}

    photo, label = drawing()
    label[300:400, 100:200] = 16  # a leg that the photo's edge cuts off
    assert outcome_of(label, photo, "Left-leg") == {"border": 1}
    label[390:] = 0
    assert outcome_of(label, photo, "Left-leg") == {"kept": 1}

    photo, label = drawing()
    label[20:380, 100:106] = 14  # 6 x 360
    assert outcome_of(label, photo, "Left-arm") == {"sliver": 1}

    photo, label = drawing()
    label[0:380, 10:250] = 5
    label[10:46, 100:136] = 17  # a leg of a tenth of the body: a hole in the clothes
    assert outcome_of(label, photo, "Right-leg") == {"fragment": 1}

    photo, label = drawing()
    label[50:150, 50:100] = 9
    photo[:] = 77
    assert outcome_of(label, photo, "Pants") == {"flat": 1}
    patches, _ = cut(photo, label, load_scheme("lip"), dropped=True)
    assert {p.outcome for p in patches} == {"flat"}


def test_erode_takes_the_rim_off():
    photo, label = drawing()
    label[50:100, 60:110] = 13
    (patch,), _ = cut(photo, label, load_scheme("lip"), Filters(erode=3, person_height=0))
    assert patch.corner == (63, 53)
    assert patch.rgba.shape == (44, 44, 4)
    assert (patch.rgba[1:-1, 1:-1, 3] == 255).all()
    label[200:380, 50:62] = 14
    assert outcome_of(label, photo, "Left-arm", Filters(erode=7)) == {"sliver": 1}


def test_socks_come_in_several_pieces():
    photo, label = drawing()
    label[300:340, 50:90] = 8
    label[300:340, 150:190] = 8
    assert outcome_of(label, photo, "Socks") == {"kept": 2}


def test_merged_types_need_their_parts():
    photo, label = drawing()
    label[200:300, 100:150] = 16
    assert outcome_of(label, photo, "Left-leg-with-shoe") == {}
    label[300:330, 100:150] = 18
    assert outcome_of(label, photo, "Left-leg-with-shoe") == {"kept": 1}
    assert outcome_of(label, photo, "Right-leg-with-shoe") == {}
    label[300:340, 100:150] = 8  # a sock between them
    label[340:360, 100:150] = 18
    assert outcome_of(label, photo, "Left-leg-with-shoe") == {"scattered": 1, "small": 1}


def test_a_map_of_a_hundred_thousand_specks():
    photo, label = np.zeros((800, 800, 3), np.uint8), np.zeros((800, 800), np.uint8)
    label[::2, ::2] = 8
    label[:99, :99] = 8
    assert outcome_of(label, photo, "Socks") == {"small": 160_000 - 50 * 50, "border": 1}


def test_people_are_separate_sources_and_large_ones_are_reduced():
    photo, label = drawing()
    instances = np.zeros_like(label)
    label[100:300, 50:100] = 9
    label[100:300, 100:150] = 9  # touches: only the instance map knows two people
    instances[100:300, 50:100] = 1
    instances[100:300, 100:150] = 7
    one, _ = cut(photo, label, load_scheme("lip"), Filters(person_height=100))
    assert [p.person for p in one] == [(50.0, 100.0)]
    assert one[0].rgba.shape == (100, 50, 4)
    two, _ = cut(photo, label, load_scheme("lip"), Filters(person_height=100), instances)
    assert [p.person for p in two] == [(25.0, 100.0)] * 2
    assert [p.corner for p in two] == [(50, 100), (100, 100)]
    boxes = {1: (0.0, 0.0, 80.0, 400.0)}
    boxed, _ = cut(photo, label, load_scheme("lip"), Filters(person_height=0), instances, boxes)
    assert [p.person for p in boxed] == [(80.0, 400.0), (50.0, 200.0)]
