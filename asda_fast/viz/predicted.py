"""Joints of people in photos or a video -> COCO results and drawn pictures: what `asda-fast predict` does."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from asda_fast.core import images
from asda_fast.core.errors import UserError
from asda_fast.core.files import PICTURES, files_below, write_json
from asda_fast.core.hardware import cores
from asda_fast.core.images import BadImage
from asda_fast.core.skeletons import WHOLEBODY, Skeleton
from asda_fast.core.wholebody import split_parts
from asda_fast.data.boxes import PERSON, Boxes, read_boxes
from asda_fast.data.pictures import Frames, Upright, people_of
from asda_fast.evaluate.coco_results import VISIBLE
from asda_fast.evaluate.inference import Predictions
from asda_fast.evaluate.options import PredictOptions
from asda_fast.evaluate.predictor import Predictor
from asda_fast.metrics import oks
from asda_fast.viz import draw
from asda_fast.viz.video import SUFFIXES as VIDEOS
from asda_fast.viz.video import Video, writer

RESULTS = "results.json"
DRAWN = "drawn"  # folder of the pictures
LISTED = 8  # skipped photos in a line
Item = TypeVar("Item")
Done = TypeVar("Done")


@dataclass
class Report:
    """What was written and what is to be said of it."""

    records: list[dict[str, Any]] = field(default_factory=list)  # of results.json
    notes: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # photo -> reason
    pictures: int = 0
    written: str = ""


def predict(options: PredictOptions, progress: Callable[[str, int, int], None] = lambda *_: None) -> Report:
    """Predict and write. progress: hears what is being done, how much of it is done, and how much there is."""
    source = Path(options.images)
    if not source.exists():
        raise UserError(f"images {source}: no such file or folder")
    video = source.suffix.lower() in VIDEOS and source.is_file()
    if not video and source.is_file() and source.suffix.lower() not in images.SUFFIXES:
        known = " ".join((*images.SUFFIXES, *VIDEOS))
        raise UserError(f"images {source}: expected a folder, or a file ending in one of {known}")
    out = Path(options.out)
    if out.exists() and (not out.is_dir() or out.resolve() == source.resolve()):
        raise UserError(f"out {out}: expected a folder of its own, which is made as needed")
    predictor = Predictor(
        options.checkpoint, within=options.within, input=options.input, flip_test=options.flip_test,
        decode=options.decode, batch_size=options.batch_size, device=options.device, threads=options.threads,
        amp=options.amp,
    )  # fmt: skip
    try:  # before hours of work, not after
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out {out}: cannot be made: {error.strerror or error}") from None
    report = Report()
    (_video if video else _photos)(source, out, predictor, options, report, progress)
    unsure = sum(max(record["keypoints"][2::3]) < options.threshold for record in report.records)
    if unsure:
        line = f"{unsure} people have no joint of score {options.threshold:g} or more: nothing of them is drawn"
        report.notes.append(f"{line} (`threshold`)")
    report.notes = [*dict.fromkeys((*predictor.notes, *report.notes))]
    report.written = str(out / RESULTS)
    return report


Progress = Callable[[str, int, int], None]


def _photos(
    source: Path, out: Path, predictor: Predictor, options: PredictOptions, report: Report, progress: Progress
) -> None:
    folder = source if source.is_dir() else source.parent
    paths = files_below(source) if source.is_dir() else [source]
    if out.resolve().is_relative_to(source.resolve()):  # what was drawn before lies among the photos
        paths = [path for path in paths if not path.resolve().is_relative_to(out.resolve())]
    photos = [path for path in paths if path.suffix.lower() in images.SUFFIXES]
    if not photos:
        raise UserError(f"images {source}: no photo in this folder ({' '.join(images.SUFFIXES)})")
    if len(photos) < len(paths):
        report.notes.append(f"{len(paths) - len(photos)} files in {source} are no photos")
    with ThreadPoolExecutor(options.threads or cores()) as pool:
        headers = list(_ahead(pool, _header, photos, lambda n: progress("photos", n, len(photos))))
        report.skipped |= {str(path): found for path, found in zip(photos, headers) if isinstance(found, str)}
        sound = [(path, *found) for path, found in zip(photos, headers) if not isinstance(found, str)]
        if not sound:
            raise UserError(f"images {source}: no photo could be read: {_listed(report.skipped)}")
        turned = frozenset(str(path) for path, _, turn in sound if turn)
        if turned:
            report.notes.append(f"{len(turned)} photos are turned as their EXIF says; results are of them so")
        names = [path.relative_to(folder).as_posix() for path, *_ in sound]
        sizes = np.array([size for _, size, _ in sound])
        boxes = _boxes(options, names, sizes, report)
        files = [str(path) for path, *_ in sound]
        people = people_of(
            files, sizes, boxes.picture, boxes.box, predictor.skeleton, Upright(turned=turned), str(source)
        )
        looked = 0

        def advance(more: int) -> None:
            nonlocal looked
            looked += more
            progress("people", looked, len(people))

        found, bad = predictor.run(people, advance)
        report.skipped |= bad
        report.records += _records(found, boxes, names, _ids(names, boxes.ids), predictor.skeleton)
        write_json(out / RESULTS, report.records)  # before the pictures: a run stopped there has lost none of them
        if not options.pictures:
            return
        rows = _rows_of(boxes.picture, found, len(files))

        def picture(place: int) -> str | None:
            path = Path(files[place])
            try:
                image = images.upright(images.read_bytes(path), str(path))
            except BadImage as error:
                return error.reason
            name = names[place] if path.suffix.lower() in PICTURES else f"{names[place]}.png"
            people_here = rows[place]
            drawn = drawing(image, found, people_here, boxes.box, predictor.skeleton, options.threshold)
            draw.save(out / DRAWN / name, drawn)
            return None

        for place, reason in enumerate(
            _ahead(pool, picture, range(len(files)), lambda n: progress("pictures", n, len(files)))
        ):
            if reason is not None:  # damage outside the crops is met here first
                report.skipped.setdefault(files[place], f"not drawn, its people are in the results: {reason}")
            else:
                report.pictures += 1


def _header(path: Path) -> tuple[images.Size, bool] | str:
    try:
        return images.upright_size(images.read_bytes(path), str(path))
    except BadImage as error:
        return error.reason


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Done], items: Iterable[Item], count: Callable[[int], None]
) -> Iterator[Done]:
    """The results in order, counted."""
    for number, result in enumerate(pool.map(work, items), 1):
        count(number)
        yield result


def _boxes(options: PredictOptions, names: list[str], sizes: np.ndarray, report: Report) -> Boxes:
    if options.boxes is not None:
        boxes = read_boxes(options.boxes, names, sizes, options.box_threshold)
        report.notes += boxes.notes
        return boxes
    report.notes.append("no boxes: each photo is taken for one person, from edge to edge (`boxes` names a file)")
    whole = np.concatenate([np.zeros_like(sizes), sizes[:, ::-1]], 1).astype(np.float64)
    return Boxes(np.arange(len(names)), whole, np.ones(len(names)), [PERSON] * len(names), {}, [])


def _ids(names: list[str], given: dict[int, Any]) -> list[Any]:
    """Of each picture: what its boxes' file calls it, else the number that is its name, else its place from 1."""
    if given:
        used, spare = set(given.values()), itertools.count(1)
        return [given[n] if n in given else next(i for i in spare if i not in used) for n in range(len(names))]
    stems = [Path(name).stem for name in names]
    if all(stem.isdecimal() and len(stem) < 16 for stem in stems) and len({int(stem) for stem in stems}) == len(stems):
        return [int(stem) for stem in stems]
    return list(range(1, len(names) + 1))


def _records(
    found: Predictions, boxes: Boxes, names: list[str], ids: list[Any], skeleton: Skeleton
) -> list[dict[str, Any]]:
    """COCO results, a person as HRNet scores it: the box's score times the mean of the joints' above 0.2."""
    scores = oks.rescore(boxes.score, found.score, VISIBLE)
    keypoints = np.concatenate([found.xy - 0.5, found.score[..., None]], -1).astype(np.float64)
    records = []
    for row, picture in enumerate(boxes.picture.tolist()):
        if not np.isfinite(found.xy[row]).all():
            continue
        record = {
            "image_id": ids[picture], "file_name": names[picture], "category_id": boxes.category[row],
            "bbox": [round(v, 2) for v in boxes.box[row].tolist()],
            "keypoints": [round(v, 3) for v in keypoints[row].ravel().tolist()], "score": round(float(scores[row]), 6),
        }  # fmt: skip
        records.append(split_parts(record) if skeleton.name == WHOLEBODY.name else record)
    return records


def _rows_of(picture: np.ndarray, found: Predictions, count: int) -> list[list[int]]:
    """Of each picture the rows of its people that were predicted."""
    rows: list[list[int]] = [[] for _ in range(count)]
    for row in np.flatnonzero(np.isfinite(found.xy).all((1, 2))).tolist():
        rows[picture[row]].append(row)
    return rows


def drawing(
    image: np.ndarray, found: Predictions, rows: list[int], box: np.ndarray, skeleton: Skeleton, threshold: float
) -> np.ndarray:
    """The picture with its people's joints that score at least `threshold`, lines as thin as a person is small."""
    for row in rows:
        thickness = float(np.clip(max(box[row, 2:]) / 60, 1.5, max(2.0, max(image.shape[:2]) / 120)))
        image = draw.skeleton(image, found.xy[row], found.score[row] >= threshold, skeleton, thickness=thickness)
    return image


def _video(
    source: Path, out: Path, predictor: Predictor, options: PredictOptions, report: Report, progress: Progress
) -> None:
    with Video(source) as video:
        names = [str(number) for number in range(video.frames)]
        sizes = np.tile([[video.height, video.width]], (video.frames, 1))
        boxes = _boxes(options, names, sizes, report)
        order = np.argsort(boxes.picture, kind="stable")
        target = out / f"{source.stem}.mp4" if options.pictures else None
        with writer(target, video) as write:
            seen = 0
            for first, frames in video.chunks(options.batch_size):
                last = first + len(frames)
                mine = order[slice(*np.searchsorted(boxes.picture[order], [first, last]))]
                part = boxes.select(mine, first)
                pictures = {str(n): frame for n, frame in enumerate(frames)}
                people = people_of(
                    list(pictures), sizes[: len(frames)], part.picture, part.box, predictor.skeleton,
                    Frames(pictures=pictures), str(source),
                )  # fmt: skip
                found, _ = predictor.run(people)
                labels = [source.name] * len(frames)
                report.records += _records(found, part, labels, list(range(first, last)), predictor.skeleton)
                if write is not None:
                    rows = _rows_of(part.picture, found, len(frames))
                    for frame, who in zip(frames, rows):
                        write(drawing(frame, found, who, part.box, predictor.skeleton, options.threshold))
                seen = last
                progress("frames", seen, video.frames)
    write_json(out / RESULTS, report.records)
    if seen < video.frames:
        report.skipped[str(source)] = f"{seen} of its {video.frames} frames could be read: damaged?"
    report.pictures = seen if options.pictures else 0


def _listed(skipped: dict[str, str]) -> str:
    more = f"; and {len(skipped) - LISTED} more" if len(skipped) > LISTED else ""
    return "; ".join(f"{name}: {why}" for name, why in itertools.islice(skipped.items(), LISTED)) + more
