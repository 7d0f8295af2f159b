"""Scores as the literature computes them: `pck` (PCK, PCKh), `oks` (AP, AR), `protocols` and `protocols_coco` (both of
files and arrays, with their tables), `files` (predictions as people publish them)."""

from asda_fast.metrics import files, oks, pck, protocols, protocols_coco

__all__ = ["files", "oks", "pck", "protocols", "protocols_coco"]
