"""ONNX export of a pose network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from asda_fast.core.errors import UserError
from asda_fast.core.files import check_target
from asda_fast.models.coding import coding_of


def export_onnx(path: str | Path, model: nn.Module, size: tuple[int, int]) -> Path:
    """Write `model` for crops of `size` (height, width): input "image" [B, 3, H, W] normalised float32, output
    "heatmaps" [B, J, H/4, W/4] (of SimCC its bins [B, J, X + Y]), any B. The model is switched to evaluation and back.
    UserError for a size or weights that do not go. Needs the package onnxscript."""
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise UserError("ONNX export needs the package onnxscript (pip install onnxscript)") from None
    path = Path(path)
    check_target("path", path)  # before the minute that it takes
    if other := {weight.dtype for weight in model.parameters()} - {torch.float32}:
        raise UserError(f"model: expected float32 weights, got {', '.join(map(str, other))} (model.float())")
    coding_of(model, size)  # whether it takes such crops at all
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
