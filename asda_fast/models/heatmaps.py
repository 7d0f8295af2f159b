"""Joints <-> heatmaps, batched on the device.

Convention: joints are continuous crop pixels (pixel i covers [i, i + 1)). Two ways lead to heatmap pixels:

- `hrnet` (the published one): a crop's pixel *index* xi = x - 0.5 meets heatmap index xi / stride, rounded. Pixel 0 of
  the heatmap so stands for pixel 0 of the crop, not for the middle of its first four: the known half-pixel bias.
  Networks from the HRNet and SimpleBaseline zoos learnt this; decode them with `quarter` or `dark`.
- `udp` (Huang et al., CVPR 2020; ViTPose): lengths are counted between pixels, so that the first and the last pixel of
  the crop meet those of the heatmap: index xi * (w - 1) / (W - 1), not rounded. Decode with `udp`. UDP's affine of the
  crop is that idea for the photo; ours (data/crop.py) is continuous and as unbiased, 1 / W wider.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

KINDS = ("hrnet", "udp")
DECODERS = ("quarter", "dark", "udp")
LONGEST = 2.0  # heatmap cells; the Gaussian's own peak is less than one away from the highest cell


def heatmaps(
    joints: Tensor, visible: Tensor, size: tuple[int, int], stride: int = 4, sigma: float = 2.0, kind: str = "hrnet"
) -> tuple[Tensor, Tensor]:
    """Gaussian targets, peak 1, cut off beyond 3 sigma (13 x 13 at sigma 2, 19 x 19 at 3), as HRNet makes them.

    Args:
        joints: [B, J, 2] crop pixels.
        visible: [B, J], 0 where a joint is not labelled. An occluded joint (1) is a full positive (paper, 3.2).
        size: (H, W) of the crop.
        stride: crop pixels per heatmap pixel.
        sigma: in heatmap pixels.
        kind: "hrnet" or "udp", see the module.

    Returns:
        target [B, J, H/stride, W/stride] float32 and weight [B, J] float32, 0 where a joint is unlabelled or its
        Gaussian lies wholly outside.
    """
    if not sigma > 0:
        raise ValueError(f"sigma: expected a positive number, got {sigma}")
    check_joints(joints, visible)
    height, width = size[0] // stride, size[1] // stride
    if kind not in KINDS:
        raise ValueError(f"kind: expected 'hrnet' or 'udp', got {kind!r}")
    steps = [cell_size(n, stride, kind) for n in (width, height)]
    # Compared one by one: a tensor of limits would be a copy that the host waits for.
    x, y = ((joints[..., i].float() - 0.5) / step for i, step in enumerate(steps))
    near_x, near_y = (torch.trunc(v + 0.5) for v in (x, y))  # int() of the references rounds toward zero
    radius = 3 * sigma
    inside = (near_x - radius < width) & (near_y - radius < height)  # [B, J]
    inside = inside & (near_x + radius + 1 >= 0) & (near_y + radius + 1 >= 0)
    weight = ((visible > 0) & inside).float()
    near_x, near_y, x, y = (torch.where(weight > 0, v, 0.0) for v in (near_x, near_y, x, y))  # unlabelled: also NaN
    if kind == "hrnet":
        x, y = near_x, near_y
    gx = gaussian(x, near_x, width, sigma, radius)  # [B, J, w]
    gy = gaussian(y, near_y, height, sigma, radius) * weight[..., None]  # [B, J, h]
    return gy[..., :, None] * gx[..., None, :], weight


def cell_size(cells: int, stride: int, kind: str = "hrnet") -> float:
    """Crop pixels from a heatmap pixel to the next, of a side of so many."""
    return (cells * stride - 1) / (cells - 1) if kind == "udp" and cells > 1 else stride


def gaussian(centre: Tensor, near: Tensor, length: int, sigma: float, radius: float) -> Tensor:
    """[B, J] centres -> [B, J, length], cut off beyond `radius` of the pixel `near` it; the 2-D Gaussian is the product
    of two of these."""
    index = torch.arange(length, device=centre.device, dtype=centre.dtype)
    d = index - centre[..., None]
    return torch.exp(-(d * d) / (2 * sigma * sigma)) * ((index - near[..., None]).abs() <= radius)


def decode(heatmap: Tensor, kind: str = "quarter", stride: int = 4, sigma: float = 2.0) -> tuple[Tensor, Tensor]:
    """The joints that heatmaps [B, J, h, w] show: xy [B, J, 2] in crop pixels, score [B, J] (the peak's height).

    kind: "quarter" = argmax and a quarter pixel toward the higher neighbour (HRNet, Hourglass); "dark" = Newton step on
    the logarithm of the smoothed map (Zhang et al., CVPR 2020) in HRNet's coordinates; "udp" = the same for networks
    trained on `udp` targets. A map without a positive value gives its pixel (0, 0), as in HRNet.
    """
    if kind not in DECODERS:
        raise ValueError(f"kind: expected one of {', '.join(DECODERS)}, got {kind!r}")
    if not isinstance(heatmap, Tensor):
        raise TypeError(
            f"heatmap: expected a Tensor, got {type(heatmap).__name__} (an hourglass gives a list while training)"
        )
    if heatmap.ndim != 4 or min(heatmap.shape[2:]) < 5:
        raise ValueError(f"heatmap: expected [B, J, h, w] with sides of at least 5, got {list(heatmap.shape)}")
    heatmap = heatmap.float()
    w = heatmap.shape[-1]
    score, index = heatmap.flatten(2).max(-1)
    cell = torch.stack((index % w, index // w), -1) * (score > 0)[..., None]  # [B, J, 2] x, y
    step = quarter(heatmap, cell) if kind == "quarter" else newton(heatmap, cell, sigma)
    x, y = (cell + step).unbind(-1)
    h = heatmap.shape[2]
    return torch.stack((x * cell_size(w, stride, kind), y * cell_size(h, stride, kind)), -1) + 0.5, score


def quarter(heatmap: Tensor, cell: Tensor) -> Tensor:
    """A quarter pixel toward the higher neighbour; none in the outer two columns and rows (HRNet's condition)."""
    h, w = heatmap.shape[2:]
    x, y = cell.unbind(-1)
    inner = (x > 1) & (x < w - 1) & (y > 1) & (y < h - 1)
    x, y = x.clamp(1, w - 2), y.clamp(1, h - 2)
    flat = heatmap.flatten(2)

    def at(dx: int, dy: int) -> Tensor:
        return flat.gather(2, ((y + dy) * w + x + dx)[..., None])[..., 0]

    step = torch.stack((at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)), -1).sign() * 0.25
    return step * inner[..., None]


def newton(heatmap: Tensor, cell: Tensor, sigma: float) -> Tensor:
    """One Newton step to the maximum of log(smoothed heatmap) from `cell`, at most `LONGEST` cells either way; none
    near the border, or where the map does not bend down all round (the published code steps even there)."""
    h, w = heatmap.shape[2:]
    logs = smooth(heatmap, sigma).clamp_min(1e-10).log().flatten(2)
    x, y = cell.unbind(-1)
    inner = (x > 1) & (x < w - 2) & (y > 1) & (y < h - 2)
    x, y = x.clamp(2, w - 3), y.clamp(2, h - 3)

    def at(dx: int, dy: int) -> Tensor:
        return logs.gather(2, ((y + dy) * w + x + dx)[..., None])[..., 0]

    gx, gy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
    hxx = 0.25 * (at(2, 0) - 2 * at(0, 0) + at(-2, 0))
    hyy = 0.25 * (at(0, 2) - 2 * at(0, 0) + at(0, -2))
    hxy = 0.25 * (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1))
    det = hxx * hyy - hxy * hxy
    usable = inner & (det > 0) & (hxx < 0)
    det = torch.where(usable, det, torch.ones_like(det))
    step = torch.stack(((hxy * gy - hyy * gx) / det, (hxy * gx - hxx * gy) / det), -1)
    return step.clamp(-LONGEST, LONGEST) * usable[..., None]


def smooth(heatmap: Tensor, sigma: float) -> Tensor:
    """Gaussian blur (11 taps at sigma 2, as published for DARK), rescaled to each map's own maximum."""
    radius = round(2.5 * sigma)
    s = 0.3 * ((2 * radius + 1 - 1) * 0.5 - 1) + 0.8  # OpenCV's sigma for a kernel of this size
    tap = torch.arange(-radius, radius + 1, device=heatmap.device, dtype=heatmap.dtype)
    kernel = torch.exp(-(tap * tap) / (2 * s * s))
    kernel = kernel / kernel.sum()
    b, j, h, w = heatmap.shape
    x = heatmap.reshape(b * j, 1, h, w)
    x = F.conv2d(x, kernel.view(1, 1, 1, -1), padding=(0, radius))
    x = F.conv2d(x, kernel.view(1, 1, -1, 1), padding=(radius, 0)).view(b, j, h, w)
    top = heatmap.amax((2, 3), keepdim=True)
    return x * top / x.amax((2, 3), keepdim=True).clamp_min(1e-10)


def to_photo(xy: Tensor, matrix: Tensor) -> Tensor:
    """Crop pixels [B, J, 2] through `matrix` [B, 2, 3] (crop -> photo) to photo pixels [B, J, 2]."""
    matrix = matrix.to(xy.dtype)
    return xy @ matrix[:, :, :2].mT + matrix[:, None, :, 2]


def swapped(answer: Tensor, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    """[B, J, ..] with the joints of each pair in each other's place. ValueError where a pair is none of two joints of
    its own."""
    joints = answer.shape[1]
    order = list(range(joints))
    paired = [joint for pair in pairs for joint in pair]
    if len(set(paired)) < len(paired) or not all(0 <= joint < joints for joint in paired):
        raise ValueError(f"pairs: expected each of {joints} joints in one pair at most, got {tuple(pairs)}")
    for a, b in pairs:
        order[a], order[b] = b, a
    if not pairs:
        return answer
    # Not indexed by a list, which is a copy from the host's memory.
    return torch.stack([answer[:, j] for j in order], 1)


def check_joints(joints: Tensor, visible: Tensor) -> None:
    """ValueError where [B, J] or [B, J, 2] are other shapes, which would be broadcast."""
    if joints.dim() != 3 or joints.shape[2] != 2 or visible.shape != joints.shape[:2]:
        came = f"{list(joints.shape)}, {list(visible.shape)}"
        raise ValueError(f"joints, visible: expected [B, J, 2] and [B, J], got {came}")


def flip_heatmaps(heatmap: Tensor, pairs: tuple[tuple[int, int], ...], shift: bool = True) -> Tensor:
    """Heatmaps [B, J, h, w] of the mirrored crop, brought back: mirrored, left and right joints swapped.

    shift: one pixel to the right, which `hrnet` targets need: index 0 stands for the crop's first pixel, and after the
    mirror for its last.
    """
    flipped = swapped(heatmap, pairs).flip(-1)
    if shift:
        flipped = torch.cat((flipped[..., :1], flipped[..., :-1]), -1)
    return flipped
