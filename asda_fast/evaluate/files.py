"""Files of predictions, scored as the literature does; and the numbers as JSON."""

from __future__ import annotations

from pathlib import Path

from asda_fast.core.errors import UserError
from asda_fast.evaluate.options import FileOptions, TruthOptions
from asda_fast.metrics import Options, Result, coco, keypoints, lsp, mpii

DATASETS = ("demo", "lsp", "mpii", "coco", "crowdpose")


def score_file(
    truth: TruthOptions, file: FileOptions, images: tuple[str, ...] = (), category: str | None = None
) -> Result:
    """The table of a file of predictions. images: the folder of the photos, for pictures of people; category: of the
    annotations' people, where they have several."""
    if truth.annotations is None or file.predictions is None:
        missing = "annotations" if truth.annotations is None else "predictions"
        raise UserError(f"{missing}: needed to score a file (`checkpoint` runs a network instead)")
    one_based = True if file.one_based else False if file.zero_based else None
    options = Options(
        file.key, one_based, truth.bootstrap, file.visibility, truth.sigmas,
        normalise=truth.normalise, threshold=truth.threshold, category=category,
    )  # fmt: skip
    dataset, listed = truth.dataset or "coco", Path(file.predictions).suffix.lower() == ".json"
    if truth.dataset is None and Path(truth.annotations).suffix.lower() != ".json":
        raise UserError(f"dataset: expected one of {', '.join(DATASETS)} for {truth.annotations}")
    if (dataset in ("lsp", "mpii") or listed) and (truth.normalise or truth.threshold):
        what = f"{dataset} has its own" if dataset in ("lsp", "mpii") else "a results JSON is scored by OKS"
        raise UserError(f"`normalise` and `threshold`: of a network, or of an array and a COCO file ({what})")
    if category is not None and dataset in ("lsp", "mpii"):
        raise UserError(f"category: {dataset}'s people have none")
    if dataset == "lsp":
        result = lsp(truth.annotations, file.predictions, options)
    elif dataset == "mpii":
        result = mpii(truth.annotations, file.predictions, options)
    elif dataset not in DATASETS:
        raise UserError(f"dataset: expected one of {', '.join(DATASETS)}, got {dataset!r}")
    elif not listed:
        result = keypoints(truth.annotations, file.predictions, options)
    elif file.key is not None:
        raise UserError("key: a COCO results file is a list of records, it has no named arrays")
    else:
        result = coco(truth.annotations, file.predictions, options)
    folder = Path(images[0]) if images else None
    if folder is not None and not folder.is_dir():
        raise UserError(f"images {folder}: no such folder")
    result.photos = [str(folder / name) for name in result.photos or []] if folder else None
    return result
