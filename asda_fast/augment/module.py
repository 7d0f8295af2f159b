"""SemanticPaste: the augmentation as a module for other people's training code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from asda_fast.augment.base import Augmented
from asda_fast.augment.sampling import Ranges, Rules, Slots
from asda_fast.augment.sda import Semantic
from asda_fast.core.batch import Batch
from asda_fast.core.options import check_number
from asda_fast.parts.pool import PartPool


class SemanticPaste(nn.Module):
    """Paste body parts of other people at random (SDA of the ASDA paper), in the manner of a torchvision v2 transform.

    Takes one image [3, H, W] or a batch [B, 3, H, W], uint8 or float, on any device, and gives back the same shape,
    type, device and memory layout (planar, or channels last as decoders leave it); bytes stay bytes all the way. A
    target, of whatever kind, goes through unchanged: a paste changes neither joints nor visibility. Use it in a
    Dataset, in a DataLoader's collate function, or on the GPU after the batch has arrived (fastest). Like every
    transform it acts in eval() as in train(): keep it out of the network, and out of what torch.export is given.

    pool         what to paste: a PartPool, or the path of a pool file
    parts        parts per image, or an inclusive range
    p            probability of an image to get any
    ranges       of size, rotation (radians) and shift (half images): sampling.Ranges
    types        part types to draw from; None: all that the pool has
    patch_flip   probability to mirror a patch (left and right types are swapped accordingly)
    jitter       0 .. 1, colour jitter of the patches
    mean, std    how float images were normalised, in units of 0..1 (a float image of 0..255 has std 1 / 255); uint8
                 images are not normalised
    mode         placement: "paper" or "reference" (placement.py)

    Random numbers come from torch's global generator on the CPU, as in torchvision: torch.manual_seed makes a run
    repeatable, and DataLoader workers draw differently.
    """

    def __init__(
        self,
        pool: PartPool | str,
        parts: int | tuple[int, int] = 1,
        *,
        p: float = 1.0,
        ranges: Ranges = Ranges(),  # noqa: B008 - frozen
        types: Sequence[str] | None = None,
        patch_flip: float = 0.0,
        jitter: float = 0.0,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        mode: str = "paper",
    ) -> None:
        super().__init__()
        if isinstance(pool, (str, os.PathLike)):
            pool = PartPool.load(pool)
        if not isinstance(pool, PartPool):
            raise TypeError(f"pool: expected a PartPool or the path of a pool file, got {type(pool).__name__}")
        for name, number in (("p", p), ("patch_flip", patch_flip), ("jitter", jitter)):
            check_number(name, float, number)
        if not 0 <= p <= 1:
            raise ValueError(f"p: expected a probability, got {p}")
        if isinstance(types, str):
            raise ValueError(f"types: expected names of part types, got the string {types!r}")
        rules = Rules(probability=p, types=None if types is None else tuple(types), patch_flip=patch_flip)
        self._looked: set[str] = set()
        self.paste = Semantic(
            pool, parts=parts, ranges=ranges, rules=rules, jitter=jitter, mode=mode, mean=mean, std=std
        )
        if self.paste.most == 0:
            raise ValueError("parts: expected at least 1, got 0 (to paste nothing, leave the module out)")

    @property
    def pool(self) -> PartPool:
        """What is pasted."""
        assert self.paste.pool is not None
        return self.paste.pool

    def forward(self, image: Tensor, target: Any = None, boxes: Any = None) -> Any:
        """image [..., 3, H, W] -> the same, pasted; with a target: (image, target), as a transform of pairs.

        boxes [B, 4] (or [4] for one image): x0, y0, x1, y1 of the person in each image, whom the parts are scaled to;
        without it the target's "boxes": of a dict, or of a list of dicts, with one box per image (of one image whose
        target has another number of boxes, as in detection, none is taken). Without any the person is taken to fill
        the image but for a margin, as in a top-down crop (1 / 1.25 of its height).
        """
        if not isinstance(image, Tensor) or image.dim() not in (3, 4) or image.shape[-3] != 3:
            came = list(image.shape) if isinstance(image, Tensor) else type(image).__name__
            raise TypeError(f"image: expected a tensor [3, H, W] or [B, 3, H, W], got {came}")
        images = image.as_subclass(Tensor).reshape(-1, *image.shape[-3:])
        if boxes is None:
            boxes = _boxes_of(target, len(images), alone=image.dim() == 3)
        batch, result = self.batch(images, boxes), images
        if len(images):
            seed, epoch = torch.randint(0, 2**31 - 1, (2,)).tolist()
            slots = self.paste.draw_from(batch, seed, epoch)
            result = self.render(batch, images, slots, slots.theta, epoch).image
        result = result.reshape(image.shape)
        if type(image) is not Tensor:  # torchvision's Image and its like stay what they were
            result = result.as_subclass(type(image))
        return result if target is None else (result, target)

    def batch(self, image: Tensor, boxes: Any = None) -> Batch:
        """image [B, 3, H, W] and boxes as in `forward` -> the Batch that the augmentations know, without joints."""
        check_image(image)
        if len(image):
            self._look(image, boxes)
        count, device = len(image), image.device
        no = torch.zeros(count, dtype=torch.bool, device=device)
        joints = torch.zeros((count, 0, 2), device=device)
        shape = image.permute(0, 2, 3, 1)  # [B, H, W, 3], what a Batch holds
        row, box = torch.arange(count, device=device), self._boxes(image, boxes)
        return Batch(shape, joints, joints[..., 0].to(torch.uint8), row, joints.new_zeros((count, 2, 3)), box, no, no)

    def _look(self, image: Tensor, boxes: Any) -> None:
        """Whether image and boxes are in the units said; until they were once, for reading back is a wait on a GPU."""
        if "image" not in self._looked and image.dtype != torch.uint8:
            low, high = image.detach().float().aminmax(dim=0)
            mean, std = (torch.tensor(v, device=image.device).view(3, 1, 1) for v in (self.paste.mean, self.paste.std))
            least, most = float((low * std + mean).min()), float((high * std + mean).max())
            if least < -1 or most > 2:
                raise ValueError(
                    f"image: expected 0..1 after undoing mean {self.paste.mean} and std {self.paste.std}, got "
                    f"{least:.3g}..{most:.3g} (float images of 0..255 have std 1 / 255; give mean and std as they were)"
                )
            self._looked.add("image")
        if "boxes" not in self._looked and boxes is not None and image.shape[-1] > 8:
            corners = _numbers(boxes).float().reshape(-1, 4)
            most = float(corners.abs().max())
            if most <= 2:
                raise ValueError(f"boxes: expected pixels of the image, got values up to {most:.3g} (normalised?)")
            height, width = image.shape[-2:]
            outside = ((corners[:, :2] >= corners.new_tensor([width, height])) | (corners[:, 2:] <= 0)).any(1)
            if 2 * int(outside.sum()) > len(corners):  # one may lie outside, by a crop of chance
                raise ValueError(
                    f"boxes: expected x0, y0, x1, y1 in images of {width} x {height}, got "
                    f"{corners[outside.int().argmax()].tolist()} (of the photo before it was cropped or resized?)"
                )
            self._looked.add("boxes")

    def render(self, batch: Batch, image: Tensor, slots: Slots, theta: Tensor, epoch: int) -> Augmented:
        """Paste `slots` at theta [B, N, 4] on `image`, whose type and layout stay; batch is `batch(image, ..)`."""
        nhwc = image.is_contiguous(memory_format=torch.channels_last) and not image.is_contiguous()
        form = replace(
            self.paste.paste_format,
            channels_last=nhwc,
            out_dtype=torch.uint8 if image.dtype == torch.uint8 else None,
        )
        if image.dtype != torch.uint8:
            return self.paste.render(batch, slots, theta, epoch, image=image, paste_format=form)
        return self.paste.render(batch, slots, theta, epoch, paste_format=form)

    @staticmethod
    def _boxes(image: Tensor, boxes: Any) -> Tensor:
        """x0, y0, x1, y1 -> Batch.box: centre x, centre y, width, height; [B, 4] float32."""
        count, (height, width) = len(image), image.shape[-2:]
        if boxes is None:
            box = torch.empty((count, 4), device=image.device)  # filled there: a copy is what a host waits for
            for column, value in enumerate((width / 2, height / 2, width / 1.25, height / 1.25)):
                box[:, column] = value
            return box
        boxes = _numbers(boxes)
        if tuple(boxes.shape) not in ((count, 4), *([(4,)] if count == 1 else [])):
            raise ValueError(f"boxes: expected one box x0, y0, x1, y1 per image, [{count}, 4], got {list(boxes.shape)}")
        low, high = boxes.to(image.device, torch.float32).reshape(count, 2, 2).unbind(1)
        if boxes.device.type == "cpu" and not (low < high).logical_and(high - low < torch.inf).all():
            raise ValueError("boxes: expected x0 < x1 and y0 < y1 in every box")  # on a GPU that would be a wait
        return torch.cat(((low + high) / 2, high - low), 1)

    def extra_repr(self) -> str:
        return f"{self.paste.pool!r}, parts={self.paste.parts}, p={self.paste.rules.probability}"


NEAR_BOXES = ("box", "bbox", "bboxes", "bounding_box", "bounding_boxes", "gt_boxes", "gt_bboxes", "xyxy")


def check_image(image: Any) -> None:
    """TypeError for what is no batch of images [B, 3, H, W], uint8 or float."""
    if not isinstance(image, Tensor) or image.dim() != 4 or image.shape[1] != 3:
        came = list(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise TypeError(f"image: expected a tensor [B, 3, H, W], got {came}")
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise TypeError(f"image: expected uint8 or float, got {image.dtype}")


def _boxes_of(target: Any, count: int, alone: bool) -> Any:
    """The boxes that a target has, None if it has none. ValueError where a batch's are not one per image."""
    if isinstance(target, dict) and target.get("boxes") is not None:
        boxes = _numbers(target["boxes"])
        return None if alone and boxes.numel() != 4 else boxes
    if isinstance(target, (list, tuple)) and target and any(isinstance(t, dict) and "boxes" in t for t in target):
        for number, one in enumerate(target):
            if not (isinstance(one, dict) and "boxes" in one):
                raise ValueError(f"target: expected 'boxes' in each where some have them, got none in target {number}")
        each = [_numbers(t["boxes"]) for t in target]
        if len(each) != count or any(boxes.numel() != 4 for boxes in each):
            came = [list(boxes.shape) for boxes in each]
            raise ValueError(
                f"boxes: expected one box x0, y0, x1, y1 in the target of each of {count} images, got {came}"
            )
        return torch.cat([boxes.reshape(1, 4) for boxes in each])
    for one in target if isinstance(target, (list, tuple)) else [target]:
        near = [key for key in one if str(key).lower() in NEAR_BOXES] if isinstance(one, dict) else []
        if near:
            raise ValueError(
                f"target: expected its boxes as 'boxes' (x0, y0, x1, y1), got {near[0]!r}; or give `boxes`"
            )
    return None


def _numbers(boxes: Any) -> Tensor:
    named = getattr(boxes, "format", "XYXY") if isinstance(boxes, Tensor) else "XYXY"  # torchvision's BoundingBoxes
    kind = str(named).rsplit(".", 1)[-1]
    if kind != "XYXY":
        raise ValueError(f"boxes: expected x0, y0, x1, y1 (format XYXY), got format {kind}")
    try:
        return torch.as_tensor(boxes).detach().as_subclass(Tensor)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"boxes: expected numbers x0, y0, x1, y1 per image, got {type(boxes).__name__}") from None
