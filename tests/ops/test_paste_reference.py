"""The reference against the definition itself, pixel by pixel in plain Python: it must not be wrong in the same way."""

from __future__ import annotations

import math

import pytest
import torch

from asda_fast.ops import paste_reference as reference

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def texel(patch, x, y):
    """Premultiplied RGBA in 0..1; transparent outside."""
    if not (0 <= x < patch.shape[1] and 0 <= y < patch.shape[0]):
        return [0.0] * 4
    r, g, b, a = (int(v) for v in patch[y, x])
    return [math.floor(c * a / 255 + 0.5) / 255 for c in (r, g, b)] + [a / 255]


def by_definition(image, pool, part, matrix):
    out = image.clone()
    for b in range(image.shape[0]):
        for n in range(part.shape[1]):
            if part[b, n] < 0 or not matrix[b, n].isfinite().all():
                continue
            patch, m = pool.patch(int(part[b, n])), matrix[b, n].tolist()
            for y in range(image.shape[2]):
                for x in range(image.shape[3]):
                    u = m[0][0] * (x + 0.5) + m[0][1] * (y + 0.5) + m[0][2] - 0.5
                    v = m[1][0] * (x + 0.5) + m[1][1] * (y + 0.5) + m[1][2] - 0.5
                    left, top = math.floor(u), math.floor(v)
                    rgba = [0.0] * 4
                    for j in (0, 1):
                        for i in (0, 1):
                            weight = (1 - abs(u - left - i)) * (1 - abs(v - top - j))
                            rgba = [s + weight * t for s, t in zip(rgba, texel(patch, left + i, top + j))]
                    for c in range(3):
                        colour = (rgba[c] - rgba[3] * MEAN[c]) / STD[c]
                        out[b, c, y, x] = out[b, c, y, x] * (1 - rgba[3]) + colour
    return out


@pytest.mark.parametrize("scale", [(0.5, 2.0), (4.0, 6.0)])
def test_reference_is_the_definition(scene, scale):
    s = scene(2, 3, 14, 11, torch.float64, scale, high=12)
    s.matrix[0, 1, 0, 2] = float("nan")
    patches, size = reference.stack(s.pool, torch.float64)
    found = reference.paste(s.image, patches, s.part, s.matrix, MEAN, STD)
    assert torch.allclose(found, by_definition(s.image, s.pool, s.part, s.matrix), atol=1e-10)
    assert torch.equal(size, s.pool.size)


def test_normalise():
    image = torch.randint(0, 256, (2, 5, 4, 3), dtype=torch.uint8)
    out = reference.normalise(image, MEAN, STD, torch.float64)
    assert out.shape == (2, 3, 5, 4)
    expected = (image[1, 2, 3, 1].item() / 255 - MEAN[1]) / STD[1]
    assert out[1, 1, 2, 3].item() == pytest.approx(expected, abs=1e-7)


def test_reference_compiles_in_one_graph(scene):
    """The benchmark's compiled peer is the whole reference, not pieces between graph breaks."""
    s = scene(2, 2, 9, 10, torch.float32)
    patches, _ = reference.stack(s.pool)
    compiled = torch.compile(reference.paste, fullgraph=True, backend="aot_eager")
    arguments = (s.image, patches, s.part, s.matrix, MEAN, STD)
    assert torch.allclose(compiled(*arguments), reference.paste(*arguments), atol=1e-6)
