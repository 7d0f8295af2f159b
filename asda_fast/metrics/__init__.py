"""Scores as the literature computes them: `pck` (PCK, PCKh), `oks` (AP, AR), `protocols` and `protocols_coco` (both of
files and arrays, with their tables), `files` (predictions as people publish them)."""

from asda_fast.metrics import coco as protocols_coco
from asda_fast.metrics import oks, pck, protocols
from asda_fast.metrics import prediction_files as files

__all__ = ["files", "oks", "pck", "protocols", "protocols_coco"]
