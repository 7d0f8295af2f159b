"""A network over a dataset: crops, flip test, scale pyramid, given detections, the dataset's protocol."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from asda_fast import data, models
from asda_fast.core.errors import UserError
from asda_fast.core.files import read_json
from asda_fast.core.skeletons import Skeleton
from asda_fast.data.crop import fit_aspect, region
from asda_fast.data.people import People
from asda_fast.evaluate.coco_results import from_detections, results
from asda_fast.evaluate.inference import PYRAMID, Predictions, predict
from asda_fast.evaluate.score import score_people
from asda_fast.metrics import protocols
from asda_fast.metrics.coco import coco
from asda_fast.metrics.protocols import Result
from asda_fast.models.heatmaps import DECODERS
from asda_fast.pipelines.loader import make_loader
from asda_fast.train.config import Flag, OptionalNumber, OptionalText, parse_size

INPUT = {"demo": (128, 128), "lsp": (256, 256), "mpii": (256, 256), "coco": (256, 192)}


@dataclass(frozen=True)
class NetworkOptions:
    """Which network, on what, and how it is tested."""

    dataset: OptionalText = None
    """demo | lsp | mpii | coco | crowdpose [the checkpoint's]"""
    annotations: OptionalText = None
    """with --predictions: gt_valid.mat (mpii; valid.h5 has rounded joints and scores a little otherwise), joints.mat
    (lsp), a COCO JSON (coco, crowdpose); with --checkpoint: coco's JSON where --root has none, as a store"""
    bootstrap: int = 0
    """samples of people for a 95 % confidence interval, e.g. 1000"""

    checkpoint: OptionalText = None
    """network to run: a file of ours, or a published one with a heatmap head"""
    root: OptionalText = None
    """folder of the dataset"""
    split: str = "val"
    """val | train"""
    input: OptionalText = None
    """crop as HxW [the checkpoint's, else 256x192 for coco and 256x256 for lsp and mpii]"""
    flip_test: bool = True
    """average with the mirrored crop"""
    pyramid: Flag = False
    """average over the scales 0.8, 0.9, .. 1.3 (the paper's test on MPII and LSP)"""
    decode: OptionalText = None
    """quarter | dark | udp [udp for networks trained on such targets, else quarter]"""
    detections: OptionalText = None
    """coco: score on these person boxes instead of the annotated ones"""
    save_predictions: OptionalText = None
    """write the predictions here: .npy [P, J, 3] (x, y, score; the first pixel is 0), for coco a results .json"""
    batch_size: int = 32
    """people per step"""
    pipeline: str = "native"
    """native | dali"""
    device: str = "auto"
    """auto | cpu | cuda"""
    threads: OptionalNumber = None
    """decoding threads [all cores]"""
    on_bad_image: str = "error"
    """error (stop, naming the file) | skip (leave its people out, say how many)"""
    limit: OptionalNumber = None
    """use only the first so many people"""


def score_network(config: NetworkOptions) -> tuple[Result, Skeleton]:
    """Run a network over a dataset."""
    from rich.progress import Progress

    if config.checkpoint is None:
        raise ValueError("config.checkpoint: expected a file")
    model = models.load(config.checkpoint)
    card = cast(dict[str, Any], model.config)
    dataset = config.dataset or card.get("dataset") or "demo"
    if dataset not in INPUT:
        raise UserError(f"--dataset: expected one of {', '.join(INPUT)} with --checkpoint, got {dataset!r}")
    wanted = "cuda" if config.device == "auto" and torch.cuda.is_available() else config.device
    device = torch.device("cpu" if wanted == "auto" else wanted)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("--device: cuda was asked for, but torch sees no GPU")
    people = data.load(dataset, config.root, split=config.split)
    joints = len(people.skeleton.joints)
    if card["joints"] != joints:
        raise UserError(f"{config.checkpoint}: predicts {card['joints']} joints, but {dataset} has {joints}")
    text = config.input or card.get("input")
    size = parse_size(text) if isinstance(text, str) else tuple(text) if text else INPUT[dataset]
    decode = config.decode or ("udp" if card.get("target") == "udp" else "quarter")
    if decode not in DECODERS:
        raise UserError(f"--decode: expected one of {', '.join(DECODERS)}, got {decode!r}")
    if config.batch_size < 1:
        raise UserError(f"--batch-size: expected at least 1, got {config.batch_size}")
    annotations = _coco_annotations(dataset, config)
    box_score: np.ndarray | None = None
    boxes = people
    if config.detections is not None:
        if annotations is None:
            raise UserError(f"--detections: expected --dataset coco, got {dataset}")
        boxes, box_score = from_detections(config.detections, people, annotations)
    if config.limit is not None:
        boxes = boxes.select(np.arange(min(config.limit, len(boxes))))
        people = boxes if box_score is None else people
        box_score = None if box_score is None else box_score[: config.limit]
    loaders = [
        make_loader(
            replace(boxes, scale=boxes.scale / np.float32(scale)), size=size, batch_size=config.batch_size,
            pipeline=config.pipeline, train=False, drop_last=False, device=device, threads=config.threads,
            on_bad_image=config.on_bad_image,
        )
        for scale in sorted(PYRAMID if config.pyramid else (1.0,), key=lambda s: s != 1.0)
    ]  # fmt: skip
    with Progress(transient=True) as bar:
        task = bar.add_task("people", total=len(boxes))
        found = predict(
            model.to(device), loaders, len(boxes), people.skeleton.pairs, flip_test=config.flip_test, decode=decode,
            progress=lambda n: bar.advance(task, n),
        )  # fmt: skip
    for loader in loaders:
        loader.close()
    if not np.isfinite(found.score).all():
        raise UserError(f"{config.checkpoint}: the network answers with values that are not finite")
    result = score_people(found, people, config.bootstrap) if box_score is None else None
    if annotations is not None:
        result = _score_coco(found, boxes, box_score, annotations, result, config, size)
    elif config.save_predictions:
        _save_array(config.save_predictions, found)
    assert result is not None
    result.numbers |= {"checkpoint": config.checkpoint, "input": list(size), "flip_test": config.flip_test}
    result.numbers |= {"decode": decode, "scales": list(PYRAMID) if config.pyramid else [1.0]}
    return result, people.skeleton


def _coco_annotations(dataset: str, config: NetworkOptions) -> Path | None:
    """The annotation file that pycocotools would be given."""
    if config.annotations is not None:
        return Path(config.annotations)
    if dataset == "coco":
        return Path(config.root or ".") / "annotations" / f"person_keypoints_{config.split}2017.json"
    if dataset == "demo":
        root = data.demo_root() if config.root is None else Path(config.root)
        return root / "annotations" / f"person_keypoints_{config.split}.json"
    return None


def _score_coco(
    found: Predictions, boxes: People, box_score: np.ndarray | None, annotations: Path, pck_result: Result | None,
    config: NetworkOptions, size: tuple[int, int],
) -> Result:  # fmt: skip
    width = fit_aspect(region(boxes, np.arange(len(boxes))), size)
    records = results(found, boxes, box_score, width * width * size[0] / size[1])
    if config.save_predictions:
        Path(config.save_predictions).parent.mkdir(parents=True, exist_ok=True)
        Path(config.save_predictions).write_text(json.dumps(records), encoding="utf-8")
    if not records:
        raise UserError(f"{annotations}: nobody was predicted")
    unread = set(boxes.image_id[~np.isfinite(found.xy).all((1, 2))].tolist())
    truth = read_json(annotations)
    for kind, key in (("images", "id"), ("annotations", "image_id")) if unread else ():
        truth[kind] = [record for record in truth[kind] if record[key] not in unread]
    result = coco(truth if unread else annotations, records, protocols.Options(bootstrap=config.bootstrap))
    if unread:
        result.notes.append(f"{len(unread)} images left out: they could not be read")
    if box_score is None:
        known = set(boxes.id.tolist())
        missed = sum(
            a.get("num_keypoints", 1) > 0 and not a.get("iscrowd") and a.get("id") not in known
            for a in truth["annotations"]
        )
        if missed:
            result.notes.append(f"{missed} annotated people were not looked at: they count as missed")
    folder = Path(boxes.files[0]).parent
    result.photos = [str(folder / name) for name in result.photos or []]
    if pck_result is not None:
        result.numbers |= {"pck": pck_result.numbers["pck"], "pck_per_joint": pck_result.numbers["per_joint"]}
        result.notes += [f"{pck_result.title}: {pck_result.numbers['pck']:.2f}", *pck_result.notes]
    return result


def _save_array(path: str, found: Predictions) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    table = np.concatenate([found.xy - 0.5, found.score[..., None]], -1)
    with open(path, "wb") as file:
        np.save(file, table)
