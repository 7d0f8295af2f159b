"""Keypoints of one's own, from files to a score: check, train two epochs, resume, evaluate, predict, preview."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from asda_fast.augment.options import PasteOptions
from asda_fast.cli import data as command
from asda_fast.core.errors import UserError
from asda_fast.core.wholebody import FIELDS
from asda_fast.data.custom import Files
from asda_fast.evaluate.network import score_network
from asda_fast.evaluate.options import NetworkOptions, PredictOptions, TruthOptions
from asda_fast.train import checkpoint
from asda_fast.train.recipe import Recipe, RunOptions
from asda_fast.train.run import train
from asda_fast.viz.options import PreviewOptions
from asda_fast.viz.predicted import predict
from asda_fast.viz.views import preview

FINGERS = [f"{finger}{joint}" for finger in ("Thumb", "Index", "Middle", "Ring", "Little") for joint in "ABCD"]
HAND = ["Palm", *FINGERS]  # nobody's names, no sides, no edges
ANIMAL = [f"k{number:02d}" for number in range(26)]
FLIPS = [25, 1, 2, 4, 3, 5, 9, 7, 8, 6, *range(10, 20), 24, 21, 22, 23, 20, 0]
EVERY = os.environ.get("ASDA_FAST_TEST_EVERY") == "1"  # all published samples: as much again for each
TINY: dict[str, Any] = {"model": "hrnet_tiny", "input": (64, 64), "batch_size": 4}

Source = tuple[Files, dict[str, Any], int, tuple[str, ...]]  # files, recipe, joints, what is said of them


def made(root: Path, names: list[str], category: str) -> Files:
    """Twelve photos with somebody on each, in COCO's form; the last four to validate on."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4)):
        images, annotations = [], []
        (root / split).mkdir(parents=True)
        for number in range(1, count + 1):
            Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(root / split / f"{number}.jpg")
            points = rng.uniform(20, 76, (len(names), 2)).round(1)
            keypoints = [value for x, y in points.tolist() for value in (x, y, 2)]
            images.append({"id": number, "file_name": f"{number}.jpg", "height": 96, "width": 96})
            annotations.append(
                {"id": number, "image_id": number, "category_id": 3, "bbox": [16, 16, 64, 64], "keypoints": keypoints}
            )
        categories = [{"id": 3, "name": category, "keypoints": names, "skeleton": []}]
        table = {"images": images, "annotations": annotations, "categories": categories}
        (root / split / "a.json").write_text(json.dumps(table))
    return Files(train_annotations=str(root / "train" / "a.json"), val_annotations=str(root / "val" / "a.json"))


def hands(root: Path, shared: Callable[[], Path]) -> Source:
    says = ("no limb edges: adversary cover looks at joints alone", "no half bodies", "no left-right pairs")
    return made(root, HAND, "hand"), {"augment": "asda", "adversary": "cover"}, 21, says


def animals(root: Path, shared: Callable[[], Path]) -> Source:
    (root / "flips.yaml").write_text(f"kpt_shape: [26, 3]\nflip_idx: {FLIPS}\n")
    files = replace(made(root / "set", ANIMAL, "newt"), skeleton=str(root / "flips.yaml"))
    return files, {"augment": "asda"}, 26, ("4 left-right pairs: k00 - k25, k03 - k04, k06 - k09, k20 - k24",)


def published(place: str, joints: int, augment: str = "none", **options: Any) -> Any:
    def files(root: Path, shared: Callable[[], Path]) -> Source:
        file = str(shared() / place)
        images = tuple(str(shared() / folder) for folder in options.pop("images", ()))
        return Files(file, file, images=images, **options), {"augment": augment}, joints, ()

    return pytest.param(files, id=place.rsplit("/", 1)[-1].split(".")[0] + str(joints))


SETS = [
    pytest.param(hands, id="hands"),
    pytest.param(animals, id="animals"),
    published("mmpose_posetrack18/annotations/test_posetrack18_val.json", 17, "sda"),
    published("mmpose_coco/test_coco_wholebody.json", 133, skeleton="wholebody"),
]
if EVERY:
    SETS += [
        published("mmpose_crowdpose/test_crowdpose.json", 14),
        published("mmpose_jhmdb/test_jhmdb_sub1.json", 15),
        published("mmpose_mpii/test_mpii.json", 16),
        published("mmpose_coco/test_coco.json", 17),
        published("mmpose_ap10k/test_ap10k.json", 17),
        published("mmpose_aic/test_aic.json", 14),
        published("mmpose_ochuman/test_ochuman.json", 17),
        published("mmpose_halpe/test_halpe.json", 136, skeleton="halpe136", images=("mmpose_coco",)),
        published("mmpose_onehand10k/test_onehand10k.json", 21),
    ]


@pytest.mark.parametrize("source", SETS)
def test_from_files_to_a_score(
    source: Any, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    files, how, joints, says = source(tmp_path, lambda: request.getfixturevalue("shared_data"))
    command.Check(files=files, split="val", out=tmp_path / "names.jpg").run()
    assert f"{joints} joints (" in capsys.readouterr().out

    out = str(tmp_path / "run")
    options: dict[str, Any] = {"files": files, "device": "cpu", "pipeline": "native", "out": out, "hardness_people": 0}
    pool = None if how["augment"] == "none" else str(demo_parts())
    train(Recipe.from_dict({**TINY, **how, "epochs": 1}), RunOptions(**options, pool=pool))
    train(Recipe.from_dict({**TINY, **how, "epochs": 2}), RunOptions(**options, pool=pool, resume=True))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]

    said = " ".join(capsys.readouterr().out.split())
    for words in says:
        assert words in said
    if files.skeleton is not None and Path(files.skeleton).is_file():
        saved = checkpoint.load(tmp_path / "run" / "last.pt")["skeleton"]
        assert [sorted(pair) for pair in saved["pairs"]] == [[0, 25], [3, 4], [6, 9], [20, 24]]
        other = replace(files, skeleton=None)
        with pytest.raises(UserError, match=r"resume: the run in .* has another skeleton: pairs \[\["):
            train(
                Recipe.from_dict({**TINY, **how, "epochs": 3}),
                RunOptions(**{**options, "files": other}, pool=pool, resume=True),
            )

    again = Files(val_annotations=files.val_annotations, images=files.images)  # the network's file knows its joints
    for name in ("best.safetensors", "last.pt"):
        network = NetworkOptions(checkpoint=f"{out}/{name}", device="cpu", threads=1, limit=4)
        numbers = score_network(TruthOptions(), network, again).numbers
        assert 0 <= numbers["pck"] <= 100
        assert joints == 16 or 0 <= numbers["AP"] <= 1  # MPII's form has no OKS
    sheet, last = str(tmp_path / "sheet.png"), f"{out}/last.pt"
    found(files, last, joints, tmp_path / "found")
    plain = PasteOptions(augment="none")
    preview(PreviewOptions(dataset="custom", files=again, checkpoint=last, people=2, out=sheet, paste=plain))
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def found(files: Files, checkpoint: str, joints: int, out: Path) -> None:
    """A photo's people, where the annotations say they are, predicted and drawn."""
    photo = Path(files.people("val").files[0])
    boxes = files.val_annotations if joints != 16 else None  # MPII's form has centres; the photo is one person
    options = PredictOptions(checkpoint, str(photo), str(out), boxes=boxes, device="cpu", threads=1)
    report = predict(options)
    assert report.pictures == 1 and not report.skipped
    for record in json.loads((out / "results.json").read_text()):
        numbers = [value for name, values in record.items() if name in (*FIELDS, "keypoints") for value in values]
        assert record["file_name"] == photo.name and len(numbers) == 3 * joints
        assert np.isfinite(numbers).all() and record["score"] >= 0
    assert report.records and (out / "drawn" / photo.name).stat().st_size > 1000


def demo_parts() -> Path:
    from asda_fast.augment import pools

    pools.demo_pool()
    return pools.path()
