"""Annotation files of one's own, named one by one: annotators' COCO forms, a folder of them, YOLO pose, AI Challenger's
JSON, MPII's release. What is read must be the numbers in the file, looked up here in the plainest way."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from asda_fast.core.skeletons import AIC
from asda_fast.data import People, load
from asda_fast.data.custom import Files
from benchmarks.fuzz.data import checked
from benchmarks.fuzz.harness import Reader, matlab_struct
from benchmarks.fuzz.skeletons import NAMES, dump_yaml

WIDE, HIGH = 320, 240
CLOSE = 1e-3  # of a pixel: float32 of a coordinate within a photo; a far one is rounded more


def _photos(folder: Path) -> None:
    (folder / "images").mkdir(exist_ok=True)
    for number in range(3):
        Image.new("RGB", (WIDE, HIGH)).save(folder / "images" / f"{number}.png")


def _people(name: str, split: str = "train", **options: Any) -> People:
    people = load("custom", split=split, files=Files(train_annotations=name, **options))
    checked(people)
    return people


def _same(people: People, row: int, joints: Any, flags: Any, add: float = 0.5) -> None:
    """A person's labelled joints lie where the file says, an `add` of a pixel further."""
    known = np.asarray(flags) > 0
    assert (people.visible[row] > 0).tolist() == known.tolist()
    wanted = np.asarray(joints, np.float64)[known] + add
    np.testing.assert_allclose(people.joints[row][known], wanted, rtol=1e-6, atol=CLOSE)


def _boxes(count: int) -> list[list[float]]:
    rng = np.random.default_rng(0)
    return [
        [*rng.uniform(5, 100, 2).round(1).tolist(), *rng.uniform(60, 120, 2).round(1).tolist()] for _ in range(count)
    ]


def _joints(box: list[float], count: int, seed: int) -> np.ndarray:
    """[count, 2], well spread in the box."""
    share = np.random.default_rng(seed).uniform(0.05, 0.95, (count, 2))
    return (np.array(box[:2]) + share * box[2:]).round(2)


# ---- COCO's form, as CVAT, Label Studio and Roboflow write it; a folder of such files -------------------------------


def _table(first: int = 0) -> dict[str, Any]:
    annotations = []
    for number, box in enumerate(_boxes(5)):
        values = np.column_stack([_joints(box, len(NAMES), number), np.full(len(NAMES), 2)]).ravel().tolist()
        record = {"id": number + first, "image_id": number % 3 + first, "category_id": 1, "keypoints": values}
        annotations.append({**record, "bbox": box, "iscrowd": 0} if number % 2 else record)  # without box: Label Studio
    names = ("0.png", "images/1.png", "C:\\data\\2.png")
    images = [{"id": n + first, "file_name": name, "width": WIDE, "height": HIGH} for n, name in enumerate(names)]
    cat = {"id": 1, "name": "cat", "keypoints": list(NAMES), "skeleton": [[1, 2], [1, 3], [1, 6]]}
    return {"info": {}, "images": images, "annotations": annotations, "categories": [cat, {"id": 2, "name": "dog"}]}


def _found(tables: list[Any], people: People) -> None:
    """Every person is one of the records, by its id where ids are numbers that nobody shares."""
    records = [record for table in tables for record in table["annotations"]]
    ids = [record.get("id") for record in records]
    if any(type(number) is not int or abs(number) >= 2**63 for number in ids) or len(set(ids)) < len(ids):
        return
    for row, number in enumerate(people.id.tolist()):
        values = records[ids.index(number)]["keypoints"]
        values = np.array(values, np.float64).reshape(-1, 3)
        of_category = [cat for table in tables for cat in table.get("categories") or [] if cat.get("keypoints")]
        names = [cat["keypoints"] for cat in of_category if len(cat["keypoints"]) == len(values)]
        if names and sorted(names[0]) == sorted(people.skeleton.joints):
            order = [names[0].index(joint) for joint in people.skeleton.joints]
            _same(people, row, values[order, :2], values[order, 2])


def _read_own(folder: Path) -> None:
    people = _people(str(folder / "own.json"), images=(str(folder / "images"), str(folder)))
    _found([json.loads((folder / "own.json").read_text("utf-8-sig"))], people)


def _dump_folder(tree: Any) -> dict[str, bytes]:
    return {f"videos/{name}": json.dumps(tree[name]).encode() for name in ("a.json", "b.json")}


def _read_folder(folder: Path) -> None:
    people = _people(str(folder / "videos"), images=(str(folder / "images"), str(folder)))
    _found([json.loads(path.read_text("utf-8-sig")) for path in sorted((folder / "videos").iterdir())], people)


own = Reader(_table, lambda tree: {"own.json": json.dumps(tree).encode()}, _read_own, _photos)
folder = Reader(lambda: {"a.json": _table(), "b.json": _table(10)}, _dump_folder, _read_folder, _photos)


# ---- YOLO pose ------------------------------------------------------------------------------------------------------


def _yolo() -> Any:
    lines = []
    for number, box in enumerate(_boxes(5)):
        joints = _joints(box, len(NAMES), number) / (WIDE, HIGH)
        shares = [(box[0] + box[2] / 2) / WIDE, (box[1] + box[3] / 2) / HIGH, box[2] / WIDE, box[3] / HIGH]
        lines.append([number % 2, *shares, *np.column_stack([joints, np.full(len(NAMES), 2)]).ravel().tolist()])
    data = {"path": ".", "train": "images", "val": "val.txt", "names": {0: "cat", 1: "dog"}, "kpt_shape": [6, 3],
            "flip_idx": [0, 2, 1, 4, 3, 5], "kpt_names": {0: list(NAMES), 1: list(NAMES)}}  # fmt: skip
    listed = ["images/0.png", "./images/2.png"]
    return {"data": data, "labels": [lines[:2], lines[2:4], lines[4:]], "val": listed}


def _dump_yolo(tree: Any) -> dict[str, bytes]:
    places = repr([tree["data"].get(key) for key in ("path", "train", "val")])
    if "'/'" in places or "'../..'" in places:
        raise ValueError("the whole machine would be searched for photos")
    texts = ["\n".join(" ".join(map(str, line)) for line in lines) for lines in tree["labels"]]
    labels = {f"labels/{number}.txt": text.encode("utf-8", "replace") for number, text in enumerate(texts)}
    listed = "\n".join(map(str, tree["val"])).encode("utf-8", "replace")
    return {"data.yaml": dump_yaml(tree["data"]), "val.txt": listed, **labels}


def _read_yolo(folder: Path) -> None:
    _people(str(folder / "data.yaml"), "val")
    people = _people(str(folder / "data.yaml"))
    texts = {number: (folder / "labels" / f"{number}.txt").read_text("utf-8") for number in range(3)}
    lines = {number: [line.split() for line in text.splitlines() if line.split()] for number, text in texts.items()}
    flat = [(number, list(map(float, line))) for number in range(3) for line in lines[number]]
    ids = people.id.tolist()
    assert len(set(ids)) == len(ids)
    for row, number in enumerate(ids):
        photo, values = flat[number - 1]  # ids count the lines
        assert Path(people.files[people.file[row]]).stem == str(photo)
        width = (len(values) - 5) // len(people.skeleton.joints)
        points = np.array(values[5:]).reshape(-1, width)
        flags = points[:, 2] if width == 3 else (points > 0).any(1)
        if people.skeleton.joints == NAMES or people.skeleton.joints[0] == "joint_0":
            _same(people, row, points[:, :2] * (WIDE, HIGH), flags)


yolo = Reader(_yolo, _dump_yolo, _read_yolo, _photos)


# ---- AI Challenger --------------------------------------------------------------------------------------------------


def _aic() -> Any:
    records = []
    for number, box in enumerate(_boxes(3)):
        joints = np.column_stack([_joints(box, len(AIC.joints), number), [1, 2, 3, 1, 1, 2, 1, 1, 1, 1, 3, 1, 1, 1]])
        corners = [box[0], box[1], box[0] + box[2], box[1] + box[3]]
        person = {"human_annotations": {"human1": corners}, "keypoint_annotations": {"human1": joints.ravel().tolist()}}
        records.append({"image_id": f"{number}.png", "url": "x", **person})
    return records


def _read_aic(folder: Path) -> None:
    people = _people(str(folder / "aic.json"), images=(str(folder / "images"),))
    records = json.loads((folder / "aic.json").read_text("utf-8-sig"))
    kinds = ("keypoint_annotations", "human_annotations")  # of some there is a box alone
    flat = [(record, name) for record in records for name in dict.fromkeys([*record[kinds[0]], *record[kinds[1]]])]
    for row, number in enumerate(people.id.tolist()):
        record, name = flat[number - 1]  # ids count the people
        values = np.array(record["keypoint_annotations"][name], np.float64).reshape(-1, 3)
        assert Path(people.files[people.file[row]]).name in (record["image_id"], f"{record['image_id']}.jpg")
        _same(people, row, values[:, :2], values[:, 2] < 3)
        assert ((people.visible[row] == 2) == (values[:, 2] == 1)).all()


aic = Reader(_aic, lambda tree: {"aic.json": json.dumps(tree).encode()}, _read_aic, _photos)


# ---- MPII's release -------------------------------------------------------------------------------------------------


def _release() -> Any:
    photos: list[Any] = [{"name": f"{number}.png", "known": 1, "people": []} for number in range(3)]
    photos.append({"name": "unpublished.png", "known": 0, "people": [{"scale": 1.0}]})
    for number, box in enumerate(_boxes(4)):
        xy = _joints(box, 16, number).tolist()
        points = [{"x": x, "y": y, "id": joint, "is_visible": (1, 0, "1", "0")[joint % 4]}
                  for joint, (x, y) in enumerate(xy) if joint != number]  # fmt: skip
        place = {"x": box[0] + box[2] / 2, "y": box[1] + box[3] / 2}
        head = {"x1": box[0], "y1": box[1], "x2": box[0] + 20, "y2": box[1] + 20}
        photos[number % 3]["people"].append(
            {**head, "annopoints": {"point": points}, "scale": max(box[2:]) / 200, "objpos": place}
        )
    return photos


def _dump_release(tree: Any) -> dict[str, bytes]:
    from scipy.io import savemat

    photos = [{"image": {"name": photo["name"]}, "annorect": photo["people"]} for photo in tree]
    known = np.array([photo["known"] for photo in tree])
    out = io.BytesIO()
    savemat(out, {"RELEASE": matlab_struct([{"annolist": photos, "img_train": known, "version": "12"}])})
    return {"release.mat": out.getvalue()}


def _read_release(folder: Path) -> None:
    from scipy.io import loadmat

    people = _people(str(folder / "release.mat"), images=(str(folder / "images"),))
    content = loadmat(folder / "release.mat", simplify_cells=True)["RELEASE"]
    published: dict[str, set[tuple[float, float]]] = {}
    for photo, known in zip(_each(content["annolist"]), np.atleast_1d(content["img_train"]).ravel()):
        persons = [person for person in _each(photo["annorect"]) if known and isinstance(person, dict)]
        places = [point for person in persons for point in _points(person)]
        published.setdefault(str(photo["image"]["name"]), set()).update(places)
    for row in range(len(people)):
        name = Path(people.files[people.file[row]]).name
        for x, y in people.joints[row][people.visible[row] > 0].astype(np.float64) + 0.5:  # MATLAB counts from 1
            assert any(abs(x - a) + abs(y - b) < 1e-2 + 1e-6 * (abs(a) + abs(b)) for a, b in published[name])


def _each(value: Any) -> list[Any]:
    """What MATLAB had a struct array of: one of them is no list."""
    return list(value) if isinstance(value, (list, np.ndarray)) and getattr(value, "ndim", 1) else [value]


def _points(person: Any) -> list[tuple[float, float]]:
    inner = person.get("annopoints")
    points = _each(inner.get("point", ())) if isinstance(inner, dict) else ()
    values = [[np.ravel(point.get(axis, ())) for axis in "xy"] for point in points if isinstance(point, dict)]
    return [(float(x[0]), float(y[0])) for x, y in values if x.size and y.size]


release = Reader(_release, _dump_release, _read_release, _photos)
