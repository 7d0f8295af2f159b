"""ONNX export of a pose network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from asda_fast.core.errors import UserError


def export_onnx(path: str | Path, model: nn.Module, size: tuple[int, int]) -> Path:
    """Write `model` for crops of `size` (height, width): input "image" [B, 3, H, W] normalised float32, output
    "heatmaps" [B, J, H/4, W/4], any B. The model is switched to evaluation and back. Needs the package onnxscript."""
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise UserError("ONNX export needs the package onnxscript (pip install onnxscript)") from None
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = model.training
    try:
        program = torch.onnx.export(
            model.eval(),
            (torch.zeros(2, 3, *size, device=next(model.parameters()).device),),
            input_names=["image"],
            output_names=["heatmaps"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(str(path))
    finally:
        model.train(mode)
    return path
