"""What people run today, for benchmarks/loader.py: the same people, crops and targets by OpenCV, Albumentations and
torchvision in a DataLoader with as many worker processes as cores.

Each peer has its best settings: OpenCV's own threads off in the workers (they would fight), persistent workers, four
batches ahead per worker, pinned memory when the network is on a GPU.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from asda_fast.data import GlobalAug, People, Plan, draw
from asda_fast.data.crop import fit_aspect, region

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def gaussians(joints: np.ndarray, visible: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Heatmaps and weights of one person in numpy, joint by joint, as HRNet's dataset class makes them."""
    height, width, sigma = size[0] // 4, size[1] // 4, 2
    reach = sigma * 3
    target = np.zeros((len(joints), height, width), np.float32)
    weight = (visible > 0).astype(np.float32)
    axis = np.arange(0, 2 * reach + 1, dtype=np.float32)
    patch = np.exp(-((axis[None] - reach) ** 2 + (axis[:, None] - reach) ** 2) / (2 * sigma**2))
    for j in range(len(joints)):
        x, y = int(joints[j, 0] / 4 + 0.5), int(joints[j, 1] / 4 + 0.5)
        x0, y0, x1, y1 = x - reach, y - reach, x + reach + 1, y + reach + 1
        if x0 >= width or y0 >= height or x1 < 0 or y1 < 0:
            weight[j] = 0
        if weight[j] > 0:
            a, b, c, d = max(0, x0), max(0, y0), min(x1, width), min(y1, height)
            target[j, b:d, a:c] = patch[b - y0 : d - y0, a - x0 : c - x0]
    return target, weight


class Peer(Dataset):
    """One person at a time, drawn anew at each visit."""

    def __init__(self, people: People, size: tuple[int, int], aug: GlobalAug) -> None:
        self.people, self.size, self.aug = people, size, aug
        self.width = fit_aspect(region(people, np.arange(len(people))), size)
        self.mean = torch.tensor(MEAN)[:, None, None]
        self.std = torch.tensor(STD)[:, None, None]

    def __len__(self) -> int:
        return len(self.people)

    def path(self, row: int) -> str:
        return self.people.files[self.people.file[row]]


class OpenCV(Peer):
    """HRNet's way: imread, warpAffine, ToTensor, Normalize, targets in numpy."""

    def __getitem__(self, row: int) -> tuple[Any, ...]:
        image = cv2.imread(self.path(row), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        joints, visible = self.people.joints[row].copy(), self.people.visible[row].copy()
        centre, (height, width) = self.people.centre[row].copy(), self.size
        ratio = width / self.width[row] / random.uniform(1 - self.aug.scale, 1 + self.aug.scale)
        angle = random.uniform(-self.aug.rotation, self.aug.rotation)
        if random.random() < self.aug.flip:
            image = image[:, ::-1, :]
            joints[:, 0] = image.shape[1] - joints[:, 0]
            swap = list(self.people.skeleton.swap)
            joints, visible = joints[swap], visible[swap]
            centre[0] = image.shape[1] - centre[0]
        matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), angle, ratio)
        matrix[:, 2] += (width / 2 - centre[0], height / 2 - centre[1])
        image = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
        joints = joints @ matrix[:, :2].T + matrix[:, 2]
        tensor = torch.from_numpy(image.transpose(2, 0, 1).copy()).float().div(255)  # ToTensor
        tensor = tensor.sub_(self.mean).div_(self.std)  # Normalize
        target, weight = gaussians(joints, visible, self.size)
        return tensor, torch.from_numpy(target), torch.from_numpy(weight), joints.astype(np.float32)


class Albumentations(Peer):
    """The region cut out of the photo, then Affine, Resize and Normalize with the joints as keypoints."""

    def __init__(self, people: People, size: tuple[int, int], aug: GlobalAug) -> None:
        super().__init__(people, size, aug)
        import albumentations

        self.transform = albumentations.Compose(
            [
                albumentations.HorizontalFlip(p=aug.flip),
                albumentations.Affine(
                    scale=(1 - aug.scale, 1 + aug.scale), rotate=(-aug.rotation, aug.rotation), p=1.0
                ),
                albumentations.Resize(*size),
                albumentations.Normalize(MEAN, STD),
            ],
            keypoint_params=albumentations.KeypointParams("xy", remove_invisible=False),
        )

    def __getitem__(self, row: int) -> tuple[Any, ...]:
        image = cv2.imread(self.path(row), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        image, corner = cut(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), self.people.centre[row], self.width[row], self.size)
        done = self.transform(image=image, keypoints=self.people.joints[row] - corner)
        joints = np.asarray(done["keypoints"], np.float32)
        target, weight = gaussians(joints, self.people.visible[row], self.size)
        tensor = torch.from_numpy(done["image"].transpose(2, 0, 1).copy())
        return tensor, torch.from_numpy(target), torch.from_numpy(weight), joints


class Torchvision(Peer):
    """decode_image, the region cut out, then v2's affine, resize and normalize on tensors."""

    def __init__(self, people: People, size: tuple[int, int], aug: GlobalAug) -> None:
        super().__init__(people, size, aug)
        from torchvision.io import decode_image
        from torchvision.transforms import v2

        self.decode = decode_image
        self.transform = v2.Compose(
            [
                v2.RandomHorizontalFlip(aug.flip),
                v2.RandomAffine(aug.rotation, scale=(1 - aug.scale, 1 + aug.scale), interpolation=2),
                v2.Resize(size, antialias=False),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )

    def __getitem__(self, row: int) -> tuple[Any, ...]:
        image = self.decode(self.path(row), mode="RGB")
        part, corner = cut(image.permute(1, 2, 0).numpy(), self.people.centre[row], self.width[row], self.size)
        tensor = self.transform(torch.from_numpy(part).permute(2, 0, 1))
        joints = (self.people.joints[row] - corner) * (self.size[1] / part.shape[1])
        target, weight = gaussians(joints, self.people.visible[row], self.size)
        return tensor, torch.from_numpy(target), torch.from_numpy(weight), joints.astype(np.float32)


def cut(image: np.ndarray, centre: np.ndarray, width: float, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The unrotated region, as much of it as the photo has, and its corner."""
    half = np.array([width / 2, width * size[0] / size[1] / 2])
    edge = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(centre - half), 0, edge - 2).astype(int)
    high = np.clip(np.ceil(centre + half), low + 2, edge).astype(int)
    return np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]]), low


def _begin(_: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


class Loader:
    """A DataLoader over a peer; iterating gives one epoch. `pids` are its workers."""

    def __init__(self, peer: Peer, batch: int, workers: int, device: str) -> None:
        self.loader = DataLoader(
            peer, batch_size=batch, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=True,
            pin_memory=device != "cpu", worker_init_fn=_begin, prefetch_factor=4,
        )  # fmt: skip

    def __iter__(self) -> Iterator[Any]:
        return iter(self.loader)

    @property
    def pids(self) -> list[int]:
        iterator = self.loader._iterator
        return [w.pid for w in iterator._workers] if iterator is not None else []  # type: ignore[union-attr]


class TorchvisionCuda:
    """torchvision's JPEG decoder on the GPU, a batch at a time, then a grid_sample per photo with our plan's matrices.
    Iterating gives one epoch."""

    def __init__(self, people: People, size: tuple[int, int], aug: GlobalAug, batch: int, threads: int) -> None:
        from torchvision.io import ImageReadMode, decode_jpeg

        self.decode, self.mode = decode_jpeg, ImageReadMode.RGB
        self.people, self.size, self.aug, self.batch, self.epoch = people, size, aug, batch, 0
        self.pool = ThreadPoolExecutor(threads)

    def __iter__(self) -> Iterator[Any]:
        plan = draw(
            self.people, self.size, epoch=self.epoch, seed=0, train=True, aug=self.aug, batch_size=self.batch,
            drop_last=True,
        )  # fmt: skip
        self.epoch += 1
        reading = self._read(plan, 0)
        for step in range(len(plan)):
            data = [future.result() for future in reading]
            reading = self._read(plan, step + 1)
            photos = self.decode(data, self.mode, device="cuda")
            part = plan.step(step)
            crops = [self._crop(p, m) for p, m in zip(photos, plan.matrix[part])]
            joints = torch.from_numpy(plan.joints[part]).cuda(non_blocking=True)
            yield torch.cat(crops), joints, torch.from_numpy(plan.visible[part]).cuda(non_blocking=True)

    def _read(self, plan: Plan, step: int) -> list[Future[torch.Tensor]]:
        rows = plan.row[plan.step(step)] if step < len(plan) else []
        files = [self.people.files[self.people.file[row]] for row in rows]
        return [self.pool.submit(lambda f: torch.from_numpy(np.fromfile(f, np.uint8)), f) for f in files]

    def _crop(self, photo: torch.Tensor, matrix: np.ndarray) -> torch.Tensor:
        height, width = photo.shape[1:]
        scale = np.array([[self.size[1] / width], [self.size[0] / height]])
        theta = np.concatenate([matrix[:, :2] * scale, np.zeros((2, 1))], axis=1)
        theta[0, 1] *= self.size[0] / self.size[1]
        theta[1, 0] *= self.size[1] / self.size[0]
        middle = matrix[:, :2] @ (self.size[1] / 2, self.size[0] / 2) + matrix[:, 2]
        theta[:, 2] = middle / (width / 2, height / 2) - 1
        where = torch.from_numpy(theta[None].astype(np.float32)).to(photo.device, non_blocking=True)
        grid = torch.nn.functional.affine_grid(where, [1, 3, *self.size], align_corners=False)
        return torch.nn.functional.grid_sample(photo[None].float(), grid, align_corners=False)


def photo_bytes(people: People) -> list[bytes]:
    """The files of the people, one entry per person."""
    read: dict[int, bytes] = {}
    for file in people.file:
        if int(file) not in read:
            read[int(file)] = Path(people.files[file]).read_bytes()
    return [read[int(file)] for file in people.file]
