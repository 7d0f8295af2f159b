"""Scores as the literature computes them: `lsp`, `mpii`, `coco` and `keypoints` of files, with their tables; `pck`
(PCK, PCKh) and `oks` (AP, AR) of numbers; predictions as people publish them in `prediction_files`."""

from asda_fast.metrics import oks, pck, prediction_files
from asda_fast.metrics.coco import check, coco
from asda_fast.metrics.keypoints import keypoints
from asda_fast.metrics.lsp import lsp
from asda_fast.metrics.mpii import mpii
from asda_fast.metrics.result import Options, Result

__all__ = ["Options", "Result", "check", "coco", "keypoints", "lsp", "mpii", "oks", "pck", "prediction_files"]
