"""Loading engines of others, for benchmarks/loader.py, as their users would write them: the same people, crops and
targets in threads of this process. Each is optional; what is not installed is named and left out.

    pip install spdl nvidia-nvimgcodec-cu13 torchdata grain

`region`: nvImageCodec decodes the photo's rectangle that the crop needs (libjpeg-turbo underneath) and OpenCV warps it
to uint8, the strongest that we know of on a CPU; in a pool of threads, and in SPDL. `whole`: HRNet's own dataset class,
which torchdata's nodes and Grain map over the people.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.loader_peers import OpenCV, Peer, gaussians

AHEAD = 4  # batches

Sample = tuple[Any, ...]


class Region(Peer):
    """uint8 crops of regions that nvImageCodec decodes; a decoder a thread."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        from nvidia import nvimgcodec

        if not hasattr(nvimgcodec, "NVIMGCODEC_DEVICE_CPU_ONLY"):
            raise ImportError(f"nvImageCodec decodes regions on a CPU from 0.9 on, here is {nvimgcodec.__version__}")
        self.codec, self.own = nvimgcodec, threading.local()

    def decode(self, path: str, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(the photo's pixels between two corners (x, y), as far as it has them, and the lower corner of those)"""
        codec = self.codec
        if not hasattr(self.own, "decoder"):
            cpu = [codec.Backend(codec.BackendKind.CPU_ONLY)]
            self.own.decoder = codec.Decoder(
                device_id=codec.NVIMGCODEC_DEVICE_CPU_ONLY, backends=cpu, max_num_cpu_threads=1
            )
            self.own.params = codec.DecodeParams(apply_exif_orientation=False)
        stream = codec.CodeStream(path)
        edge = np.array([stream.width, stream.height])
        low = np.clip(np.floor(low) - 1, 0, edge - 2).astype(int)
        high = np.clip(np.ceil(high) + 2, low + 2, edge).astype(int)
        part = stream.get_sub_code_stream(region=codec.Region(low[::-1].tolist(), high[::-1].tolist()))
        return np.asarray(self.own.decoder.decode(part, params=self.own.params)), low

    def __getitem__(self, row: int) -> Sample:
        people, (height, width) = self.people, self.size
        joints, visible = people.joints[row], people.visible[row]
        ratio = width / self.width[row] / random.uniform(1 - self.aug.scale, 1 + self.aug.scale)
        angle = np.deg2rad(random.uniform(-self.aug.rotation, self.aug.rotation))
        turn = ratio * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        if random.random() < self.aug.flip:
            turn[0] *= -1
            swap = list(people.skeleton.swap)
            joints, visible = joints[swap], visible[swap]
        matrix = np.concatenate([turn, ((width / 2, height / 2) - turn @ people.centre[row])[:, None]], 1)
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) - matrix[:, 2]
        corners = corners @ np.linalg.inv(turn).T
        image, low = self.decode(self.path(row), corners.min(0), corners.max(0))
        shifted = np.concatenate([turn, (matrix[:, 2] + turn @ low)[:, None]], 1)
        crop = cv2.warpAffine(image, shifted, (width, height), flags=cv2.INTER_LINEAR)
        joints = (joints @ turn.T + matrix[:, 2]).astype(np.float32)
        return crop, *gaussians(joints, visible, self.size), joints


def collate(samples: list[Sample]) -> list[torch.Tensor]:
    columns = (np.stack([np.asarray(value) for value in column]) for column in zip(*samples))
    return [torch.from_numpy(column) for column in columns]


Epoch = Callable[[], Iterator[list[torch.Tensor]]]


def orders(people: int) -> Iterator[list[int]]:
    """The rows of epoch after epoch."""
    draw = np.random.default_rng(0)
    while True:
        yield draw.permutation(people).tolist()


def thread_pool(peer: Peer, batch: int, threads: int) -> Epoch:
    pool, order = ThreadPoolExecutor(threads), orders(len(peer))

    def epoch() -> Iterator[list[torch.Tensor]]:
        rows = next(order)
        batches = [rows[at : at + batch] for at in range(0, len(rows) - batch + 1, batch)]

        def ask(at: int) -> list[Future[Sample]]:
            return [pool.submit(peer.__getitem__, row) for row in batches[at]] if at < len(batches) else []

        asked = [ask(at) for at in range(AHEAD)]
        for at in range(len(batches)):
            yield collate([future.result() for future in asked.pop(0)])
            asked.append(ask(at + AHEAD))

    return epoch


def spdl(peer: Peer, batch: int, threads: int) -> Epoch:
    from spdl.pipeline import PipelineBuilder

    order = orders(len(peer))

    def epoch() -> Iterator[list[torch.Tensor]]:
        builder = PipelineBuilder().add_source(next(order)).pipe(peer.__getitem__, concurrency=threads)
        builder = builder.aggregate(batch, drop_last=True).pipe(collate).add_sink(AHEAD)
        pipeline = builder.build(num_threads=threads)
        with pipeline.auto_stop():
            yield from pipeline

    return epoch


def torchdata(peer: Peer, batch: int, threads: int) -> Epoch:
    from torch.utils.data import RandomSampler
    from torchdata import nodes

    rows = nodes.SamplerWrapper(RandomSampler(peer))
    samples = nodes.ParallelMapper(rows, peer.__getitem__, num_workers=threads, method="thread", in_order=False)
    batches = nodes.Mapper(nodes.Batcher(samples, batch, drop_last=True), collate)
    loader = nodes.Loader(nodes.Prefetcher(batches, AHEAD))
    return lambda: iter(loader)


def grain(peer: Peer, batch: int, threads: int) -> Epoch:
    import grain as library

    seeds = iter(range(1 << 30))

    def epoch() -> Iterator[list[torch.Tensor]]:
        data = library.MapDataset.range(len(peer)).shuffle(seed=next(seeds)).map(peer.__getitem__)
        read = library.ReadOptions(num_threads=threads, prefetch_buffer_size=AHEAD * batch)
        return iter(data.to_iter_dataset(read).batch(batch, drop_remainder=True, batch_fn=collate))

    return epoch


ENGINES: dict[str, tuple[type[Peer], Callable[[Peer, int, int], Epoch]]] = {
    "threads, nvImageCodec regions": (Region, thread_pool),
    "SPDL, nvImageCodec regions": (Region, spdl),
    "torchdata nodes (OpenCV)": (OpenCV, torchdata),
    "Grain (OpenCV)": (OpenCV, grain),
}
