"""Paste parts in MMPose: a data preprocessor that does it on the GPU, after normalisation, while training.

In an MMPose config (any top-down model; nothing else changes):

    custom_imports = dict(imports=["mmpose_preprocessor"])
    model = dict(
        type="TopdownPoseEstimator",
        data_preprocessor=dict(
            type="PastingPreprocessor", pool="pool.safetensors", parts=1,
            mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
        ...)

MMPose's PoseDataPreprocessor is MMEngine's ImgDataPreprocessor with batch padding information added, so without MMPose
the class below derives from the latter. This project's tests run it wherever MMEngine is installed (done with 0.10.7).
MMPose 1.3 itself asks for mmdet, xtcocotools and mmcv's compiled operators on import, which have no wheels for current
PyTorch.
"""

from __future__ import annotations

from typing import Any

from asda_fast import SemanticPaste

try:
    from mmpose.models.data_preprocessors import PoseDataPreprocessor as Base
    from mmpose.registry import MODELS
except ImportError:
    from mmengine.model import ImgDataPreprocessor as Base
    from mmengine.registry import MODELS


@MODELS.register_module()
class PastingPreprocessor(Base):
    """MMPose's preprocessor, then SemanticPaste on the normalised batch. Heatmap targets stay as they are (paper)."""

    def __init__(self, pool: str, parts: int = 1, mean: Any = None, std: Any = None, **options: Any) -> None:
        super().__init__(mean=mean, std=std, **options)
        zero, one = (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)  # MMPose counts in 0..255, SemanticPaste in 0..1
        self.paste = SemanticPaste(pool, parts, mean=[m / 255 for m in mean or zero], std=[s / 255 for s in std or one])

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        data = super().forward(data, training)
        if training:
            data["inputs"] = self.paste(data["inputs"])
        return data
