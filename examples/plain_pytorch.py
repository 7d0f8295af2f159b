"""Paste parts in your own PyTorch training loop: one line after the batch has arrived on its device.

    python examples/plain_pytorch.py --pool pool.safetensors --images PHOTOS --annotations COCO_KEYPOINTS.json

Everything but the marked lines is an ordinary, minimal keypoint training: a Dataset of person crops, a DataLoader, a
small network that predicts heatmaps.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from asda_fast import SemanticPaste  # <- 1

HEIGHT, WIDTH, STRIDE = 128, 96, 4


class People(Dataset):
    """Person crops of a COCO keypoint file, as uint8: the paste is cheapest before normalisation."""

    def __init__(self, images: Path, annotations: Path) -> None:
        data = json.loads(annotations.read_text())
        self.files = {image["id"]: images / image["file_name"] for image in data["images"]}
        self.people = [p for p in data["annotations"] if p.get("num_keypoints", 0) and not p.get("iscrowd", 0)]

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        person = self.people[index]
        photo = cv2.imread(str(self.files[person["image_id"]]))[..., ::-1]
        x, y, w, h = person["bbox"]
        scale = min(WIDTH / w, HEIGHT / h) / 1.25
        matrix = np.array([[scale, 0, WIDTH / 2 - scale * (x + w / 2)], [0, scale, HEIGHT / 2 - scale * (y + h / 2)]])
        crop = cv2.warpAffine(np.ascontiguousarray(photo), matrix, (WIDTH, HEIGHT))
        joints = np.array(person["keypoints"], np.float32).reshape(-1, 3)
        joints[:, :2] = joints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return torch.from_numpy(crop).permute(2, 0, 1), torch.from_numpy(joints)


def heatmaps(joints: Tensor) -> Tensor:
    """[B, J, 3] x, y, visibility -> [B, J, HEIGHT / 4, WIDTH / 4]."""
    x = torch.arange(WIDTH // STRIDE, device=joints.device) * STRIDE
    y = torch.arange(HEIGHT // STRIDE, device=joints.device) * STRIDE
    dx, dy = x - joints[..., 0, None], y - joints[..., 1, None]
    peak = torch.exp(-(dy[..., :, None] ** 2 + dx[..., None, :] ** 2) / (2 * (2 * STRIDE) ** 2))
    return peak * (joints[..., 2] > 0)[..., None, None]


def network(joints: int) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after, stride in ((3, 16, 2), (16, 32, 2), (32, 32, 1), (32, 32, 1)):
        layers += [nn.Conv2d(before, after, 5, stride, 2), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(32, joints, 1))


def arguments(text: str | None) -> argparse.Namespace:
    options = argparse.ArgumentParser(description=text)
    options.add_argument("--pool", required=True)
    options.add_argument("--images", type=Path, required=True)
    options.add_argument("--annotations", type=Path, required=True)
    options.add_argument("--steps", type=int, default=20)
    options.add_argument("--batch-size", type=int, default=16)
    options.add_argument("--workers", type=int, default=0)
    return options.parse_args()


def main() -> None:
    args = arguments(__doc__)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = People(args.images, args.annotations)
    loader = DataLoader(data, args.batch_size, shuffle=True, num_workers=args.workers)
    model = network(joints=17).to(device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    paste = SemanticPaste(args.pool, parts=1)  # <- 2

    step, epoch = 0, 0
    while step < args.steps:
        for image, joints in loader:
            image, joints = image.to(device), joints.to(device)
            image = paste(image)  # <- 3: uint8 in, uint8 out; the joints stay what they are
            loss = nn.functional.mse_loss(model(image.float() / 255), heatmaps(joints))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 5 == 0 or step == args.steps:
                print(f"step {step}: loss {loss.item():.5f}")
            if step == args.steps:
                break
        epoch += 1


if __name__ == "__main__":
    main()
