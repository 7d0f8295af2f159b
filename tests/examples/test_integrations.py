"""The examples for other people's trainers, run with the real packages where they are installed.

A few steps on the demo set with a pool of one white patch: what the network is given differs from the photos, and where
it does it is white; the labels are the dataset's.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asda_fast.data import demo_root
from asda_fast.parts.build import build_pool
from asda_fast.parts.pool import PartPool
from asda_fast.parts.types import TYPES

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
STEPS, BATCH = 3, 2


@pytest.fixture
def pool(tmp_path: Path) -> str:
    patch = np.full((20, 10, 4), 255, np.uint8)
    PartPool.from_patches([patch], type=[0], types=TYPES, person=[[30.0, 60.0]]).save(tmp_path / "pool.safetensors")
    return str(tmp_path / "pool.safetensors")


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch, torchvision: Any) -> None:
    """They can be imported. All of these packages import torchvision."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    torch.manual_seed(0)


def people() -> torch.utils.data.Subset:
    plain = importlib.import_module("plain_pytorch")
    data = plain.People(demo_root() / "train", demo_root() / "annotations" / "person_keypoints_train.json")
    return torch.utils.data.Subset(data, range(STEPS * BATCH))


class Seen:
    """What a network is given in training."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.images: list[torch.Tensor] = []
        network.register_forward_pre_hook(self.note, with_kwargs=True)

    def note(self, module: torch.nn.Module, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        if module.training:
            self.images.append((args[0] if args else given["pixel_values"]).detach().clone())


def check_pasted(clean: torch.Tensor, given: torch.Tensor) -> None:
    """[N, 3, H, W] of 0..1: some pixels are other ones, these between the photo's and white; most of them white."""
    other = (given - clean).abs().amax(1) > 0.02
    assert 0.001 < other.float().mean() < 0.5
    assert (given >= clean - 0.02).all()
    white = (given > 0.98).all(1)
    assert white[other].float().mean() > 0.5


def test_lightning(pool: str, examples: None, tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")
    module = importlib.import_module("lightning_module")
    data, pose = people(), module.Pose(pool)
    seen = Seen(pose.network)
    trainer = lightning.Trainer(
        max_steps=STEPS, accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    before = [p.clone() for p in pose.network.parameters()]
    trainer.fit(pose, torch.utils.data.DataLoader(data, BATCH))
    check_pasted(torch.stack([image for image, _ in data]) / 255, torch.cat(seen.images))
    assert any((a != b).any() for a, b in zip(before, pose.network.parameters()))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = module.Pose.load_from_checkpoint(tmp_path / "last.ckpt", pool=pool)
    assert again.adversary.state_dict()["batches"] == STEPS
    print("lightning", lightning.__version__)


def test_hugging_face_vitpose(pool: str, examples: None, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate", reason="transformers' Trainer needs accelerate")
    module = importlib.import_module("huggingface_vitpose")
    data = people()
    network = module.model(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    seen = Seen(network)
    options = transformers.TrainingArguments(
        str(tmp_path), max_steps=STEPS, per_device_train_batch_size=BATCH, remove_unused_columns=False, report_to=[],
        use_cpu=True, save_strategy="no", train_sampling_strategy="sequential",
    )  # fmt: skip
    done = module.PastingTrainer(network, options, train_dataset=data, pool=pool).train()
    assert done.global_step == STEPS
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (module.MEAN, module.STD))
    check_pasted(torch.stack([image for image, _ in data]) / 255, torch.cat(seen.images) * std + mean)
    print("transformers", transformers.__version__)


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """Some photos of the demo set in YOLO's layout."""
    demo = json.loads((demo_root() / "annotations" / "person_keypoints_train.json").read_text())
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for image in demo["images"][: STEPS * BATCH]:
        name, size = image["file_name"], np.array([image["width"], image["height"]])
        (tmp_path / "images" / name).symlink_to(demo_root() / "train" / name)
        lines = []
        for person in (p for p in demo["annotations"] if p["image_id"] == image["id"]):
            x, y, w, h = person["bbox"]
            joints = np.array(person["keypoints"], float).reshape(-1, 3)
            joints[:, :2] /= size
            box = [(x + w / 2) / size[0], (y + h / 2) / size[1], w / size[0], h / size[1]]
            lines.append(" ".join(f"{v:.6f}" for v in (0, *np.clip(box, 0, 1), *np.clip(joints, 0, 2).ravel())))
        (tmp_path / "labels" / name).with_suffix(".txt").write_text("\n".join(lines))
    data = {"path": str(tmp_path), "train": "images", "val": "images", "kpt_shape": [17, 3], "names": {0: "person"}}
    (tmp_path / "data.yaml").write_text(json.dumps(data))  # JSON is YAML
    return tmp_path


def test_ultralytics_pose(pool: str, examples: None, yolo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(yolo))
    monkeypatch.setenv("YOLO_OFFLINE", "True")
    ultralytics = pytest.importorskip("ultralytics")
    module = importlib.import_module("ultralytics_pose")
    kept: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []

    class Watched(module.PastingTrainer):
        def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
            before = {key: value.clone() for key, value in batch.items() if isinstance(value, torch.Tensor)}
            after = super().preprocess_batch(batch)
            kept.append((before, {key: after[key].clone() for key in before}))
            return after

        def validate(self) -> tuple[dict[str, float], float]:
            return {}, 0.0  # Ultralytics' own matter, and it wants torchvision's compiled NMS

    Watched.pool = pool
    monkeypatch.chdir(yolo)
    ultralytics.YOLO("yolo11n-pose.yaml", verbose=False).train(
        trainer=Watched, data=str(yolo / "data.yaml"), epochs=1, imgsz=64, batch=BATCH, device="cpu", workers=0,
        val=False, plots=False, amp=False, save=False, verbose=False, project=str(yolo), mosaic=0.0,
    )  # fmt: skip
    assert len(kept) == STEPS
    for before, after in kept:
        assert before["keypoints"].numel() > 0
        for key in ("keypoints", "bboxes", "cls", "batch_idx"):
            assert torch.equal(before[key], after[key]), key
    check_pasted(torch.cat([b["img"] for b, _ in kept]) / 255, torch.cat([a["img"] for _, a in kept]))
    print("ultralytics", ultralytics.__version__)


def test_ray_makes_the_pool_of_one_process(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    for kind, suffix in (("photos", "train"), ("maps", "labels/train")):
        (tmp_path / kind).mkdir()
        for path in sorted((demo_root() / suffix).iterdir())[:70]:  # three chunks
            (tmp_path / kind / path.name).symlink_to(path)
    options = {"images": tmp_path / "photos", "labels": tmp_path / "maps", "scheme": "lip"}
    build_pool(**options, out=tmp_path / "one.safetensors", progress=False)
    given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, str(EXAMPLES / "ray_parts.py"), *given, "--out", str(tmp_path / "ray.safetensors")]
    done = subprocess.run(
        [*command, "--tasks", "3"], capture_output=True, text=True, check=False,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ray.safetensors").read_bytes() == (tmp_path / "one.safetensors").read_bytes()
    print("ray", ray.__version__)


def test_mmengine_s_runner_with_the_mmpose_preprocessor(pool: str, examples: None, tmp_path: Path) -> None:
    """MMPose itself has no wheels for current PyTorch (examples/mmpose_preprocessor.py says why): its Runner, its
    preprocessor's base, and a model in its manner."""
    mmengine = pytest.importorskip("mmengine")
    from mmengine.model import BaseModel
    from mmengine.runner import Runner

    preprocessor = importlib.import_module("mmpose_preprocessor")
    plain, data = importlib.import_module("plain_pytorch"), people()
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]

    class Model(BaseModel):
        def __init__(self) -> None:
            super().__init__(preprocessor.PastingPreprocessor(pool, mean=mean, std=std, bgr_to_rgb=True))
            self.network = plain.network(joints=17)
            self.joints: list[torch.Tensor] = []

        def forward(self, inputs: torch.Tensor, data_samples: torch.Tensor, mode: str = "") -> dict[str, torch.Tensor]:
            self.joints.append(data_samples)
            return {"loss": (self.network(inputs) - plain.heatmaps(data_samples)).square().mean()}

    def collate(people: list[tuple[torch.Tensor, torch.Tensor]]) -> dict[str, Any]:
        return {"inputs": [image.flip(0) for image, _ in people], "data_samples": torch.stack([j for _, j in people])}

    model = Model()
    seen = Seen(model.network)
    Runner(
        model, str(tmp_path), default_scope="mmengine", log_level="ERROR",
        train_dataloader=torch.utils.data.DataLoader(data, BATCH, collate_fn=collate),
        train_cfg={"by_epoch": False, "max_iters": STEPS}, optim_wrapper={"optimizer": {"type": "Adam", "lr": 1e-3}},
    ).train()  # fmt: skip
    m, s = (torch.tensor(v).view(3, 1, 1) for v in (mean, std))
    check_pasted(torch.stack([image for image, _ in data]) / 255, (torch.cat(seen.images) * s + m) / 255)
    assert torch.equal(torch.cat(model.joints), torch.stack([joints for _, joints in data]))
    print("mmengine", mmengine.__version__)
