"""A human-parsing network that the user brings, as ONNX: what it takes and gives is read from the file and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.errors import UserError, first_line
from asda_fast.parts.scheme import Scheme

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class ParsingNetwork:
    """Photos -> label maps of a scheme.

    Its one input is [batch, 3, height, width]; a fixed batch or size in the file goes before the scheme's. Of its
    outputs the last of shape [batch, classes of the scheme, h, w] is the scores (SCHP: after fusion), else the last of
    whole numbers [batch, h, w] or [batch, 1, h, w] the labels. Raises UserError for a file that is none, or another.
    """

    def __init__(self, model: str | Path, scheme: Scheme) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise UserError("parts label: needs the package onnxruntime (pip install onnxruntime)") from None
        if scheme.network is None:
            raise UserError(
                f"scheme {scheme.name}: does not say what a network expects; expected `network` in it, as in "
                "parts/schemes/lip.json"
            )
        if not Path(model).is_file():
            raise UserError(f"model {model}: no such file")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        try:
            self.session = onnxruntime.InferenceSession(str(model), options, providers=providers)
        except Exception as error:  # of many kinds, all onnxruntime's own
            raise UserError(f"model {model}: not a network that onnxruntime can run ({first_line(error)})") from None
        self.model, self.scheme, self.recipe = Path(model), scheme, scheme.network
        self.classes = max(scheme.labels) + 1
        inputs = self.session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3) or inputs[0].type not in _TYPES:
            given = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            raise UserError(f"model {model}: expected one input of floats [batch, 3, height, width], it has {given}")
        self.input, self.kind = inputs[0].name, _TYPES[inputs[0].type]
        self.batch = shape[0] if isinstance(shape[0], int) else None
        fixed = shape[2:]
        self.size = (fixed[0], fixed[1]) if all(isinstance(side, int) for side in fixed) else self.recipe.size

    def __call__(self, photos: list[np.ndarray]) -> list[np.ndarray]:
        """[H, W, 3] uint8 RGB each -> [H, W] uint8 each."""
        batch = np.stack([self.recipe.prepare(photo, self.size) for photo in photos]).astype(self.kind)
        short = (self.batch or len(photos)) - len(photos)
        if short:
            batch = np.concatenate([batch, np.zeros((short, *batch.shape[1:]), batch.dtype)])
        try:
            answers = self.session.run(None, {self.input: batch})
        except Exception as error:
            raise UserError(f"model {self.model}: fails on a batch {batch.shape} ({first_line(error)})") from None
        answer = self._chosen(answers, len(batch))
        return [
            self.recipe.labels(one, (photo.shape[0], photo.shape[1]), self.size) for one, photo in zip(answer, photos)
        ]

    def _chosen(self, answers: list[Any], batch: int) -> np.ndarray:
        arrays = [a for a in answers if isinstance(a, np.ndarray) and a.ndim in (3, 4) and len(a) == batch]
        scores = [a for a in arrays if a.ndim == 4 and a.shape[1] == self.classes and a.dtype.kind == "f"]
        if scores:
            return scores[-1]
        whole = [a for a in arrays if a.dtype.kind in "iu" and (a.ndim == 3 or a.shape[1] == 1)]
        if whole:
            labels = whole[-1] if whole[-1].ndim == 3 else whole[-1][:, 0]
            if labels.min() < 0 or labels.max() >= self.classes:
                least, most = labels.min(), labels.max()
                name = self.scheme.name
                raise UserError(f"model {self.model}: gives labels {least} to {most}; {name} has 0..{self.classes - 1}")
            return labels.astype(np.uint8)
        given = ", ".join(str(list(a.shape)) for a in answers if isinstance(a, np.ndarray))
        raise UserError(
            f"model {self.model}: expected scores [batch, {self.classes}, h, w] for the scheme {self.scheme.name}, "
            f"it gives {given}"
        )
