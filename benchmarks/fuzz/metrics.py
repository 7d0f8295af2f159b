"""The readers of metrics/: predictions in every format, COCO annotations and results."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.core.skeletons import COCO
from asda_fast.metrics import coco, prediction_files
from benchmarks.fuzz.harness import Reader

PEOPLE, JOINTS = 6, 14
XY = np.random.default_rng(0).uniform(2, 200, (PEOPLE, JOINTS, 2)).round(1)


def _arrays() -> Any:
    return {"preds": XY.copy(), "scores": np.ones((PEOPLE, JOINTS)), "gt": XY[:, :, ::-1].copy()}


def _npy(tree: Any) -> dict[str, bytes]:
    out = io.BytesIO()
    np.save(out, next(iter(tree.values())))
    return {"p.npy": out.getvalue()}


def _npz(tree: Any) -> dict[str, bytes]:
    out = io.BytesIO()
    np.savez(out, **tree)
    return {"p.npz": out.getvalue()}


def _mat(tree: Any) -> dict[str, bytes]:
    from scipy.io import savemat

    out = io.BytesIO()
    savemat(out, tree)
    return {"p.mat": out.getvalue()}


def _h5(tree: Any) -> dict[str, bytes]:
    import h5py

    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, value in tree.items():
            file[name] = value
        cells = [file[name].ref for name in file if isinstance(file[name], h5py.Dataset)]
        file["cells"] = np.array([cells], h5py.ref_dtype)
    return {"p.h5": out.getvalue()}


def _cells() -> Any:
    """A cell of matrices and a struct of arrays, as MATLAB code saves people."""
    cells = np.empty((1, PEOPLE), dtype=object)
    cells[0, :] = list(XY)
    return {"people": {"joints": cells}, "preds": XY.copy()}


def _predictions(content: Callable[[], Any], dump: Callable[[Any], dict[str, bytes]]) -> Reader:
    def read(folder: Path) -> None:
        (path,) = folder.iterdir()
        found = prediction_files.joints(path, [PEOPLE], [JOINTS])
        assert found.xy.shape == (PEOPLE, JOINTS, 2)
        assert found.xy.dtype == np.float64

    return Reader(content, dump, read)


npy = _predictions(_arrays, _npy)
npz = _predictions(_arrays, _npz)
mat = _predictions(_arrays, _mat)
cells = _predictions(_cells, _mat)
h5 = _predictions(_arrays, _h5)
records = _predictions(
    lambda: [{"bbox_id": i, "keypoints": person.tolist()} for i, person in enumerate(XY)],
    lambda tree: {"p.json": json.dumps(tree).encode()},
)


def _coco() -> Any:
    rng = np.random.default_rng(0)
    annotations, results = [], []
    for number in range(4):
        points = (
            np.concatenate([rng.uniform(0, 100, (17, 2)).round(1), rng.integers(0, 3, (17, 1))], 1).ravel().tolist()
        )
        common = {"image_id": number // 2, "category_id": 1, "keypoints": points, "bbox": [0.0, 0.0, 100.0, 100.0]}
        annotations.append({**common, "id": number + 1, "area": 5000.0, "iscrowd": 0, "num_keypoints": 12})
        results.append({**common, "score": 0.5})
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 200, "height": 200} for n in range(2)]
    person = {"id": 1, "name": "person", "keypoints": list(COCO.joints), "skeleton": [[1, 2]]}
    table = {"images": images, "annotations": annotations, "categories": [person, {"id": 2, "name": "dog"}]}
    return {"truth": table, "results": results}


def _dump_coco(tree: Any) -> dict[str, bytes]:
    return {f"{name}.json": json.dumps(tree[name]).encode() for name in ("truth", "results")}


def _score(folder: Path) -> None:
    with np.errstate(all="ignore"):
        result = coco(folder / "truth.json", folder / "results.json")
    assert all(-1 <= number <= 1 for number in result.numbers["stats"])
    assert all("\n" not in note for note in result.notes)


scores = Reader(_coco, _dump_coco, _score)
