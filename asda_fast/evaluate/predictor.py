"""A checkpoint as a function: pictures and boxes in, joints out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch

from asda_fast import models
from asda_fast.core import cuda_graph
from asda_fast.core.errors import UserError
from asda_fast.core.hardware import choose_device
from asda_fast.core.options import Size
from asda_fast.core.skeletons import COCO, CROWDPOSE, FAR, MPII, WHOLEBODY, Skeleton, from_names, order_of
from asda_fast.data.people import People
from asda_fast.data.pictures import Frames, people_of
from asda_fast.evaluate.inference import Predictions, predict
from asda_fast.evaluate.network import card_size, learnt_skeleton
from asda_fast.models.coding import check_size, decoders_of
from asda_fast.pipelines.loader import make_loader

UNNAMED = {len(s.joints): s for s in (COCO, MPII, CROWDPOSE, WHOLEBODY)}  # published files name no joints
NUMBERED = "joints by number"


class Predictor:
    """`Predictor(checkpoint)(image, boxes)`: joints of people in a picture, by a network of ours or a published one.

    Attributes: `skeleton` (whose joints), `size` (height, width of the crops), `notes` (what was taken for what).
    Options are those of `asda-fast predict`; UserError for what the checkpoint cannot do.
    """

    def __init__(
        self,
        checkpoint: str,
        *,
        within: str | None = None,
        input: Size | None = None,
        flip_test: bool = True,
        decode: str | None = None,
        batch_size: int = 32,
        device: str = "auto",
        threads: int | None = None,
        amp: bool = False,
    ) -> None:
        model = models.load(checkpoint, within)
        card = cast(dict[str, Any], model.config)
        self.skeleton, self.notes = skeleton_of(checkpoint, card)
        self.size = input or card_size(card) or ((256, 192) if self.skeleton is COCO else (256, 256))
        if input is None and card_size(card) is None:
            self.notes.append(f"crops of {self.size[0]}x{self.size[1]}: the checkpoint does not say (`input` does)")
        check_size(model, self.size)
        self.flip_test, known = flip_test, decoders_of(model)
        if flip_test and self.skeleton.name == NUMBERED:
            self.flip_test = False
            self.notes.append("no flip test: which joints are left and right is not known")
        self.decode = decode or known[0]
        known = known if "simcc" in known else ("quarter", "dark", "udp")  # a published file does not say which
        if self.decode not in known:
            raise UserError(f"decode: expected {' or '.join(known)} of {checkpoint}, got {decode}")
        self.checkpoint, self.batch_size, self.threads = checkpoint, batch_size, threads
        self.device = choose_device(device)
        self.amp, self.record = None, None
        self.model = model.to(self.device)
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            self.amp, self.record = torch.bfloat16 if amp else None, cuda_graph.record
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> Predictions:
        """Joints of the people in a picture [H, W, 3] uint8 RGB.

        boxes [P, 4]: x, y, width, height in pixels; None: the whole picture is one person. Gives `xy` [P, J, 2]
        continuous pixels (the centre of the first is 0.5, 0.5) and `score` [P, J].
        """
        if not isinstance(image, np.ndarray):
            raise UserError(f"image: expected an array [H, W, 3] of uint8, RGB, got {type(image).__name__}")
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise UserError(f"image: expected [H, W, 3] uint8, got {image.shape} {image.dtype}")
        height, width = image.shape[:2]
        box = _boxes([[0, 0, width, height]] if boxes is None else boxes)
        people = people_of(
            ["image"], np.array([[height, width]]), np.zeros(len(box), np.int32), box, self.skeleton,
            Frames(pictures={"image": image}), "image",
        )  # fmt: skip
        return self.run(people)[0]

    def run(self, people: People, progress: Callable[[int], None] | None = None) -> tuple[Predictions, dict[str, str]]:
        """Joints of a table of people, nan where the photo cannot be read; and which those are, with the reason."""
        joints = len(self.skeleton.joints)
        if len(people) == 0:
            return Predictions(np.zeros((0, joints, 2), np.float32), np.zeros((0, joints), np.float32)), {}
        loader = make_loader(
            people, size=self.size, batch_size=self.batch_size, train=False, drop_last=False, device=self.device,
            threads=self.threads, on_bad_image="skip",
        )  # fmt: skip
        with loader:
            found = predict(
                self.model, loader, len(people), self.skeleton.pairs, flip_test=self.flip_test, decode=self.decode,
                progress=progress, amp=self.amp, record=self.record, say=self.notes.append,
            )  # fmt: skip
        if not np.isfinite(found.score).all():
            raise UserError(f"{self.checkpoint}: the network answers with values that are not finite")
        return found, loader.bad_images


def _boxes(boxes: Any) -> np.ndarray:
    """[P, 4], or [4] of one person -> [P, 4] float64. UserError for what else there is (corners, a score beside)."""
    try:
        box = np.array(boxes, np.float64)
    except (TypeError, ValueError):
        raise UserError("boxes: expected numbers [P, 4]: x, y, width, height") from None
    box = box.reshape(-1, 4) if box.shape in ((4,), (0,)) else box
    if box.ndim != 2 or box.shape[1] != 4:
        raise UserError(f"boxes: expected [P, 4]: x, y, width, height, got {list(box.shape)}")
    if not (np.abs(box) <= FAR).all() or (box[:, 2:] <= 0).any():
        raise UserError("boxes: expected finite x, y, width, height, the sides above 0")
    return box


def skeleton_of(path: str, card: dict[str, Any]) -> tuple[Skeleton, list[str]]:
    """Whose joints a checkpoint predicts, and what is to be said of that."""
    learnt, count = learnt_skeleton(path, card), card["joints"]
    if learnt is not None:
        return learnt, []
    names = card.get("joint_names")
    known = UNNAMED.get(count)
    if names:
        for skeleton in (known, *UNNAMED.values()):
            if skeleton is not None and order_of(names, skeleton) == list(range(count)):
                return skeleton, []
        return from_names("checkpoint", names), []
    if known is not None:
        return known, [f"the checkpoint names no joints: its {count} are taken for {known.name.upper()}'s"]
    numbered = from_names(NUMBERED, [str(number) for number in range(count)])
    return numbered, [f"the checkpoint names no joints: its {count} are called by their numbers"]
