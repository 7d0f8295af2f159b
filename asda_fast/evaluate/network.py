"""A network over a dataset: crops, flip test, scale pyramid, given detections, the dataset's protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from asda_fast import data, models
from asda_fast.core import cuda_graph
from asda_fast.core.coco_json import annotation_numbers
from asda_fast.core.errors import UserError, short
from asda_fast.core.files import replacing, write_json
from asda_fast.core.hardware import choose_device
from asda_fast.core.options import Size, parse_size, size_text
from asda_fast.core.skeleton import check_joints
from asda_fast.core.skeletons import Skeleton
from asda_fast.data.coco_terms import CocoTerms, check_photos, read_terms
from asda_fast.data.crop import fit_aspect, region
from asda_fast.data.custom import Files
from asda_fast.data.dataset import DATASETS
from asda_fast.data.dataset import dataset as find_dataset
from asda_fast.data.detections import from_detections, photo_folder
from asda_fast.data.people import People
from asda_fast.data.store_index import is_store
from asda_fast.evaluate.coco_results import results
from asda_fast.evaluate.inference import PYRAMID, Predictions, predict
from asda_fast.evaluate.options import NetworkOptions, TruthOptions
from asda_fast.evaluate.score import other_reading, score_people
from asda_fast.metrics.coco import check, coco
from asda_fast.metrics.result import Options, Result
from asda_fast.models.coding import decoders_of
from asda_fast.pipelines.loader import make_loader


def score_network(truth: TruthOptions, config: NetworkOptions, files: Files | None = None) -> Result:
    """Run a network over a dataset."""
    if config.checkpoint is None:
        raise UserError("checkpoint: expected a file")
    model = models.load(config.checkpoint, config.within)
    card = cast(dict[str, Any], model.config)
    files = files or Files()
    dataset = files.dataset(truth.dataset or card.get("dataset") or "demo")
    DATASETS.check(dataset, "dataset")
    device = choose_device(config.device)
    people = data.load(dataset, config.root, config.split, files, learnt_skeleton(config.checkpoint, card))
    joints = len(people.skeleton.joints)
    if card["joints"] != joints:
        raise UserError(f"{config.checkpoint}: predicts {card['joints']} joints, but {dataset} has {joints}")
    check_joints(config.checkpoint, card.get("joint_names"), people.skeleton)
    beside = cast(tuple[str, ...], model.beside)
    notes = [f"{config.checkpoint}: not taken: {', '.join(beside)} (`within`)"] if beside else []
    size = config.input or card_size(card)
    if size is None:
        size = find_dataset(dataset).preset.size
        notes.append(f"{config.checkpoint} does not say its input: {size_text(size)} is what {dataset} is trained at")
    decode = _decoder(model, config)
    annotations, table = _coco_annotations(dataset, truth, config, files, people)
    terms = None if annotations is None else read_terms(annotations, people.skeleton, table, files.category)
    rules = Options(
        bootstrap=truth.bootstrap, sigmas=truth.sigmas, skeleton=people.skeleton, category=files.category,
        where=str(annotations),
    )  # fmt: skip
    sigmas = None
    if annotations is not None and terms is not None:
        check_photos(annotations, terms, people)
        sigmas = check(terms.table, rules).sigmas  # what cannot be scored is said before the network runs
    box_score: np.ndarray | None = None
    boxes = people
    if config.detections is not None:
        if annotations is None:
            raise UserError(f"detections: expected dataset coco, got {dataset}")
        boxes, box_score = from_detections(config.detections, people, annotations, table, files.category)
    if config.limit is not None:
        boxes = boxes.first(config.limit)
        people = boxes if box_score is None else people
        box_score = None if box_score is None else box_score[: config.limit]
    found, said = _answers(model, boxes, config, size, decode, device)
    result = None
    if box_score is None:
        result = score_people(found, people, truth.bootstrap, truth.normalise, truth.threshold)
    if terms is not None:
        result = _score_coco(found, boxes, box_score, terms, result, rules, sigmas, config, size)
    elif config.save_predictions:
        _save_array(config.save_predictions, found)
    assert result is not None
    if box_score is None and (other := other_reading(found.xy, people)):
        result.notes.append(f"{config.checkpoint}: {other}")
    result.notes = [*dict.fromkeys((*people.notes, *boxes.notes)), *notes, *said, *result.notes]
    result.numbers |= {"checkpoint": config.checkpoint, "input": list(size), "flip_test": config.flip_test}
    result.numbers |= {"decode": decode, "scales": list(PYRAMID) if config.pyramid else [1.0]}
    result.skeleton = people.skeleton
    return result


def _decoder(model: torch.nn.Module, config: NetworkOptions) -> str:
    """How the network's answers are read: as asked, else as they are made."""
    made = decoders_of(model)
    decode = config.decode or made[0]
    if "simcc" in made:
        if decode != "simcc":
            raise UserError(f"decode: {config.checkpoint} answers by SimCC, not with heatmaps for {decode}")
        if config.pyramid:
            raise UserError(f"pyramid: {config.checkpoint} answers by SimCC, not with heatmaps that can be averaged")
    return decode


def _answers(
    model: torch.nn.Module, boxes: People, config: NetworkOptions, size: Size, decode: str, device: torch.device
) -> tuple[Predictions, list[str]]:
    """What the network says of every box, and lines about how that was found."""
    from rich.progress import Progress

    loaders = [
        make_loader(
            replace(boxes, scale=boxes.scale / np.float32(scale)), size=size, batch_size=config.batch_size,
            pipeline=config.pipeline, train=False, drop_last=False, device=device, threads=config.threads,
            on_bad_image=config.on_bad_image,
        )
        for scale in sorted(PYRAMID if config.pyramid else (1.0,), key=lambda s: s != 1.0)
    ]  # fmt: skip
    model, amp = model.to(device), torch.bfloat16 if config.amp and device.type == "cuda" else None
    record, said = None, list[str]()
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # every crop has one size: the fastest convolutions, found once
        record = cuda_graph.record if config.cuda_graph == "auto" else None
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with Progress(transient=True) as bar:
        task = bar.add_task("people", total=len(boxes))
        found = predict(
            model, loaders, len(boxes), boxes.skeleton.pairs, flip_test=config.flip_test, decode=decode,
            progress=lambda n: bar.advance(task, n), amp=amp, record=record, say=said.append,
        )  # fmt: skip
    for loader in loaders:
        loader.close()
    if not np.isfinite(found.score).all():
        raise UserError(f"{config.checkpoint}: the network answers with values that are not finite")
    return found, said


def card_size(card: dict[str, Any]) -> Size | None:
    """The crop that a checkpoint says it was trained at."""
    text = card.get("input")
    return parse_size(text) if isinstance(text, str) else tuple(text) if text else None


def learnt_skeleton(path: str, card: dict[str, Any]) -> Skeleton | None:
    """What a checkpoint says of its joints; None of a published one. UserError where that is damaged."""
    if not card.get("skeleton"):
        return None
    try:
        return Skeleton.from_dict(card["skeleton"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"{path}: its skeleton is damaged: {short(str(error))}") from None


def _coco_annotations(
    dataset: str, truth: TruthOptions, config: NetworkOptions, files: Files, people: People
) -> tuple[Path | None, dict[str, Any] | None]:
    """The annotation file that pycocotools would be given, and its content where that is read already."""
    if truth.annotations is not None:
        return Path(truth.annotations), None
    if files.given:
        table = files.coco_form(people, config.split)
        return (None if table is None else files.annotations(config.split)), table
    record = find_dataset(dataset)
    root = config.root or record.home
    if record.annotations is None or root is None:
        return None, None
    path = record.annotations(Path(root), config.split)
    if is_store(Path(root), config.split) and not path.is_file():
        raise UserError(f"root: {root} is a store, which keeps no annotations: name COCO's file with `annotations`")
    return path, None


def _score_coco(
    found: Predictions, boxes: People, box_score: np.ndarray | None, terms: CocoTerms, pck_result: Result | None,
    rules: Options, sigmas: np.ndarray | None, config: NetworkOptions, size: tuple[int, int],
) -> Result:  # fmt: skip
    width = fit_aspect(region(boxes, np.arange(len(boxes))), size)
    records = results(found, boxes, box_score, width * width * size[0] / size[1], terms=terms, sigmas=sigmas)
    if config.save_predictions and config.save_predictions.endswith(".npy"):
        _save_array(config.save_predictions, found)
    elif config.save_predictions:
        write_json(Path(config.save_predictions), records)
    if not records:
        raise UserError(f"{rules.where}: nobody was predicted")
    unread = {terms.images[i] for i in boxes.image_id[~np.isfinite(found.xy).all((1, 2))].tolist()}
    content = dict(terms.table)
    for kind, key in (("images", "id"), ("annotations", "image_id")) if unread else ():
        content[kind] = [record for record in content[kind] if record[key] not in unread]
    if left := _not_looked_at(boxes, box_score is None, terms) if config.limit is not None else set():
        ids, _ = annotation_numbers(terms.table)
        kept = {id(record) for number, record in zip(ids, terms.table["annotations"]) if number not in left}
        content["annotations"] = [record for record in content["annotations"] if id(record) in kept]
    result = coco(content, records, rules)
    if left:
        result.notes.append(f"limit: {len(left)} annotated people were not looked at and are not scored")
    if unread:
        result.notes.append(f"{len(unread)} images left out: they could not be read")
    if box_score is None:
        known = set(boxes.id.tolist())
        missed = sum(
            number not in known and number not in left and image not in unread for number, image in terms.people.items()
        )
        if missed:
            result.notes.append(f"{missed} annotated people were not looked at: they count as missed")
    folder = photo_folder(boxes, (image["file_name"] for image in terms.table["images"]))
    result.photos = [str(folder / name) for name in result.photos or []]
    if pck_result is not None:
        given = pck_result.numbers
        result.numbers |= {"pck": given["pck"], "pck_per_joint": given["per_joint"]}
        result.numbers |= {name: given[name] for name in ("auc", "epe") if name in given}
        more = f", AUC@30px {given['auc']:.2f}, EPE {given['epe']:.2f} px" if "epe" in given else ""
        result.notes += [f"{pck_result.title}: {given['pck']:.2f}{more}", *pck_result.notes]
    return result


def _not_looked_at(boxes: People, own: bool, terms: CocoTerms) -> set[int]:
    """The annotated people whom `limit` left out; own: boxes are theirs, else detections in any photo."""
    people, photos = set(boxes.id.tolist()), {terms.images[i] for i in boxes.image_id.tolist()}
    return {n for n, image in terms.people.items() if (n not in people if own else image not in photos)}


def _save_array(path: str, found: Predictions) -> None:
    with replacing(Path(path)) as file:
        np.save(file, np.concatenate([found.xy - 0.5, found.score[..., None]], -1))
