"""Where a part is pasted: theta = (s, r, tx, ty) -> target-to-source matrices. The one place with this convention."""

from __future__ import annotations

import torch
from torch import Tensor

MODES = ("paper", "reference")
SMALLEST = 1e-3  # of a patch: a person's box without area would divide by zero, and the gradient be NaN


def matrices(
    theta: Tensor,
    patch_size: Tensor,
    patch_person: Tensor,
    box: Tensor,
    size: tuple[int, int],
    mode: str = "paper",
    share: Tensor | None = None,
    mirror: Tensor | None = None,
) -> Tensor:
    """Matrices [B, N, 2, 3] (crop pixel -> patch pixel) that `ops.paste` takes; differentiable in r, tx and ty.

    theta         [B, N, 4] s (size factor, 1 = life size), r (radians), tx, ty (in half crop widths and heights)
    patch_size    [B, N, 2] height, width of each patch in pixels
    patch_person  [B, N, 2] width, height of the source person's box, in the patch's pixels (nan: not known)
    box           [B, 4] centre x, centre y, width, height of the target person's own box, in crop pixels (Batch.box)
    size          (H, W) of the crop
    share         [B, N] patch diagonal / body diagonal of the type (labels.SHARE): sizes the patches whose person is
                  not known, and every patch in mode "reference"
    mirror        [B, N] bool: the patch is turned left-right about its own centre

    Convention: H = [[cos r, sin r, tx], [-sin r, cos r, ty]] maps target to source as in the paper (section 3.2), so
    +tx moves the patch LEFT, +ty moves it UP, and +r turns it clockwise as seen on the screen, the way of its shift
    with it (at a quarter turn +tx moves it up). (1, 0, 0, 0) puts the patch upright in the crop's centre, scaled from
    its own person to the target person. A larger s is a larger patch;
    the shift does not depend on s (as in the released code, s resizes the patch before it is placed).

    paper       the rotation is isotropic in pixels, the patch turns about its true centre, pixel centres are at i + .5;
                the scale is the ratio of the diagonals of the two persons' boxes.
    reference   the released code (REFERENCE.md 2.2 - 2.6): the size comes from `share` and the body diagonal (box
                widened to the crop's aspect); H acts on normalised coordinates with align_corners=True, so on a crop
                that is not square a rotation shears; the patch's centre is taken at (h/2, w/2) with x and y exchanged.
    """
    if mode not in MODES:
        raise ValueError(f"mode: expected one of {MODES}, got {mode!r}")
    if theta.dim() != 3 or theta.shape[-1] != 4:
        raise ValueError(f"theta: expected [B, N, 4], got {list(theta.shape)}")
    if mode == "reference" and share is None:
        raise ValueError("share: mode 'reference' takes each patch's size from it, got None")
    dtype = theta.dtype
    s, r, tx, ty = theta.unbind(-1)  # each [B, N]
    patch_h, patch_w = patch_size.to(dtype).unbind(-1)  # [B, N]
    diagonal = torch.hypot(patch_h, patch_w).clamp(min=1.0)
    if mode == "paper":
        body = torch.hypot(box[:, 2], box[:, 3]).to(dtype)[:, None]  # [B, 1]
        life = body / torch.hypot(patch_person[..., 0], patch_person[..., 1]).to(dtype)
        if share is not None:
            life = torch.where(torch.isfinite(life), life, share.to(dtype) * body / diagonal)
        return _paper((s * life).clamp(min=SMALLEST), r, tx, ty, patch_h, patch_w, size, mirror)
    body = body_diagonal(box, size).to(dtype)[:, None]
    assert share is not None
    scale = (s * share.to(dtype) * body / diagonal).clamp(min=SMALLEST)
    return _reference(scale, r, tx, ty, patch_h, patch_w, size, mirror)


def body_diagonal(box: Tensor, size: tuple[int, int]) -> Tensor:
    """The released code's body diagonal [B] in crop pixels: of the person's box widened to the crop's aspect, which is
    the crop's diagonal / 1.25 / the random scale of the global augmentation."""
    height, width = size
    w = torch.maximum(box[:, 2], box[:, 3] * (width / height))
    return torch.hypot(w, w * (height / width))


def _assemble(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor) -> Tensor:
    """[[a, b, c], [d, e, f]] of [B, N] tensors -> [B, N, 2, 3]."""
    return torch.stack((torch.stack((a, b, c), -1), torch.stack((d, e, f), -1)), -2)


def _paper(
    scale: Tensor, r: Tensor, tx: Tensor, ty: Tensor, h: Tensor, w: Tensor, size: tuple[int, int], mirror: Tensor | None
) -> Tensor:
    """q = c_patch + M (R (p - c_crop) + t) / scale, with t in pixels and M the mirror."""
    height, width = size
    cx, cy = width / 2, height / 2
    cos, sin = torch.cos(r) / scale, torch.sin(r) / scale
    m = 1.0 if mirror is None else torch.where(mirror, -1.0, 1.0).to(r.dtype)
    x0 = -(cos * cx + sin * cy) + tx * cx / scale
    y0 = sin * cx - cos * cy + ty * cy / scale
    return _assemble(m * cos, m * sin, w / 2 + m * x0, -sin, cos, h / 2 + y0)


def _reference(
    scale: Tensor, r: Tensor, tx: Tensor, ty: Tensor, h: Tensor, w: Tensor, size: tuple[int, int], mirror: Tensor | None
) -> Tensor:
    """Normalised coordinates n = 2 i / (size - 1) - 1 of integer pixels i = p - .5; then back to the resized patch,
    whose (h/2, w/2) lies, x and y exchanged, on the crop's centre; then to the patch as stored."""
    height, width = size
    ax, ay = (width - 1) / 2, (height - 1) / 2  # pixels per normalised unit
    cos, sin = torch.cos(r), torch.sin(r)
    # j = a (H n + 1) with n = (p - .5) / a - 1: the canvas pixel index; canvas point = j + .5
    xx, xy = cos, sin * (ax / ay)
    yx, yy = -sin * (ay / ax), cos
    x0 = ax * (1 + tx - cos - sin) - 0.5 * (xx + xy) + 0.5
    y0 = ay * (1 + ty + sin - cos) - 0.5 * (yx + yy) + 0.5
    # canvas -> patch: the patch's own pixel (h/2, w/2) sits on (W/2, H/2)
    x0 = (x0 - width / 2) / scale + h / 2
    y0 = (y0 - height / 2) / scale + w / 2
    a, b, c = xx / scale, xy / scale, x0
    if mirror is not None:  # about the patch's vertical middle: q -> w - q
        a, b, c = (torch.where(mirror, -a, a), torch.where(mirror, -b, b), torch.where(mirror, w - c, c))
    return _assemble(a, b, c, yx / scale, yy / scale, y0)
