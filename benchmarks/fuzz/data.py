"""The readers of data/: COCO, MPII and LSP annotations, a store's index."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from asda_fast.core.images import BadImage
from asda_fast.core.skeletons import COCO
from asda_fast.data import GlobalAug, People, draw, load
from asda_fast.data.coco_terms import read_terms
from asda_fast.data.detections import from_detections
from asda_fast.data.plan import clamp
from asda_fast.data.store_pack import pack
from benchmarks.fuzz.harness import Reader

SIZE = (64, 64)


def checked(people: People) -> None:
    """What the loader relies on: a plan of finite numbers, and an index into the photos."""
    assert len(people) > 0
    assert people.file.min() >= 0
    assert people.file.max() < len(people.files)
    aug = GlobalAug(half_body=0.5)
    plan = draw(people, SIZE, epoch=0, seed=0, train=True, aug=aug, batch_size=4, drop_last=False)
    for name in ("matrix", "joints", "box"):
        assert np.isfinite(getattr(plan, name)).all(), name
    assert (np.abs(np.linalg.det(plan.matrix[:, :, :2].astype(np.float64))) > 0).all()
    assert all(isinstance(note, str) and "\n" not in note for note in people.notes)


def _coco() -> Any:
    rng = np.random.default_rng(0)
    records = []
    for number in range(6):
        box = [*rng.integers(100, 300, 2).tolist(), *rng.integers(60, 120, 2).tolist()]
        xy = np.array(box[:2]) + rng.uniform(0.1, 0.9, (17, 2)) * box[2:]
        keypoints = np.concatenate([xy.round(1), np.full((17, 1), 2)], 1).ravel().tolist()
        records.append(
            {"id": number + 1, "image_id": number // 2, "category_id": 1, "iscrowd": 0, "area": 99.5, "bbox": box,
             "num_keypoints": 17, "keypoints": keypoints}
        )  # fmt: skip
    crowd = {"counts": [20, 300, 480 * 640 - 320], "size": [480, 640]}
    records.append({**records[0], "id": 90, "iscrowd": 1, "keypoints": [0] * 51, "segmentation": crowd})
    records.append({"id": 91, "image_id": 2, "category_id": 2, "bbox": [1, 2, 3, 4], "iscrowd": 0})
    images = [{"id": n, "file_name": f"{n}.jpg", "height": 480, "width": 640} for n in range(3)]
    person = {"id": 1, "name": "person", "keypoints": list(COCO.joints), "skeleton": [[1, 2], [2, 3]]}
    return {"images": images, "annotations": records, "categories": [person, {"id": 2, "name": "dog"}]}


def _photos(folder: Path) -> None:
    (folder / "images").mkdir(exist_ok=True)
    for name in ("0", "1", "2", *(f"im{n:05}" for n in range(1, 9))):
        (folder / "images" / f"{name}.jpg").touch()


coco = Reader(
    _coco,
    lambda tree: {"annotations/person_keypoints_train2017.json": json.dumps(tree).encode()},
    lambda folder: checked(load("coco", folder)),
    _photos,
)


def _read_scored(folder: Path) -> None:
    people = load("coco", folder)
    terms = read_terms(folder / "annotations" / "person_keypoints_train2017.json", people.skeleton)
    for image, person in zip(people.image_id.tolist(), people.id.tolist()):
        assert len(terms.result(image, person, list(range(51)), 1.0)["keypoints"]) == 51


terms = Reader(coco.content, coco.dump, _read_scored, _photos)


def _detections() -> Any:
    return [{"image_id": n, "category_id": 1, "bbox": [10.5, 20, 100, 200.25], "score": 0.5} for n in (0, 1, 2, 2)]


def _annotated(folder: Path) -> None:
    _photos(folder)
    for name, data in coco.dump(coco.content()).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)


def _read_detections(folder: Path) -> None:
    annotations = folder / "annotations" / "person_keypoints_train2017.json"
    checked(from_detections(folder / "found.json", load("coco", folder), annotations)[0])


detections = Reader(_detections, lambda tree: {"found.json": json.dumps(tree).encode()}, _read_detections, _annotated)


def _mpii() -> Any:
    rng = np.random.default_rng(0)
    return [
        {
            "image": f"{n}.jpg", "joints": rng.uniform(60, 300, (16, 2)).round(1).tolist(),
            "joints_vis": [1] * 16, "center": [180.0, 180.0], "scale": 1.5,
        }
        for n in (0, 1, 2, 0)
    ]  # fmt: skip


mpii = Reader(
    _mpii,
    lambda tree: {"annot/train.json": json.dumps(tree).encode()},
    lambda folder: checked(load("mpii", folder)),
    _photos,
)


def _lsp() -> Any:
    rng = np.random.default_rng(0)
    joints = np.concatenate([rng.uniform(2, 150, (14, 2, 8)), np.ones((14, 1, 8))], 1)
    joints[3, :, 2] = 0
    return {"joints": {"joints": joints}, "files": [f"im{n:05}.jpg" for n in range(1, 9)], "val": ["im00003.jpg"]}


def _dump_lsp(tree: Any) -> dict[str, bytes]:
    from scipy.io import savemat

    out = io.BytesIO()
    savemat(out, tree["joints"])
    lists = {f"{name}.txt": "\n".join(tree[name]).encode() for name in ("files", "val") if name in tree}
    return {"joints.mat": out.getvalue(), **lists}


lsp = Reader(_lsp, _dump_lsp, lambda folder: checked(load("lsp", folder)), _photos)


def _store() -> Any:
    """store.json and index.npz of a store of six people."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, data in coco.dump(_coco()).items():
            (root / name).parent.mkdir(parents=True)
            (root / name).write_bytes(data)
        (root / "images").mkdir()
        for number in range(3):
            pixels = np.full((480, 640, 3), 40 * number, np.uint8)
            (root / "images" / f"{number}.jpg").write_bytes(simplejpeg.encode_jpeg(pixels, 80))
        pack(load("coco", root), root / "store", size=SIZE, raw=True)
        with np.load(root / "store" / "index.npz") as index:
            return {"about": json.loads((root / "store" / "store.json").read_text()), "index": dict(index)}


def _dump_store(tree: Any) -> dict[str, bytes]:
    out = io.BytesIO()
    np.savez(out, **tree["index"])
    return {"train/store.json": json.dumps(tree["about"]).encode(), "train/index.npz": out.getvalue()}


def _read_store(folder: Path) -> None:
    people = load("store", folder)
    checked(people)
    plan = draw(people, SIZE, epoch=0, seed=0, train=True, aug=GlobalAug(), batch_size=4, drop_last=False)
    plan, _ = clamp(people, plan, SIZE)
    assert np.isfinite(plan.matrix).all()
    with contextlib.suppress(BadImage):
        people.fetch(int(plan.row[0]), plan.matrix[0], SIZE)


def _shards(folder: Path) -> None:
    (folder / "train").mkdir()
    for name in _content()["about"]["shards"]:
        (folder / "train" / name).write_bytes(bytes(1 << 20))


_content = functools.cache(_store)
store = Reader(_content, _dump_store, _read_store, _shards)
