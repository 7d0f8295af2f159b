"""Scores as the literature computes them: `lsp`, `mpii` and `coco` of files and arrays, with their tables; `pck` (PCK,
PCKh) and `oks` (AP, AR) of numbers; predictions as people publish them in `prediction_files`."""

from asda_fast.metrics import oks, pck, prediction_files
from asda_fast.metrics.coco import check, coco
from asda_fast.metrics.lsp import lsp
from asda_fast.metrics.mpii import mpii
from asda_fast.metrics.result import Options, Result

__all__ = ["Options", "Result", "check", "coco", "lsp", "mpii", "oks", "pck", "prediction_files"]
