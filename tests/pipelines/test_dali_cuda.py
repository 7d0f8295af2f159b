"""DALI on a GPU: the same crops as on the CPU, handed over on torch's streams. Run by `make gpu-check`."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from asda_fast import make_loader
from asda_fast.core.errors import UserError
from asda_fast.core.skeletons import COCO
from asda_fast.data import GlobalAug
from asda_fast.data.people import People
from asda_fast.data.store_index import read
from asda_fast.data.store_pack import pack

if not os.environ.get("ASDA_FAST_REQUIRE_CUDA"):  # make gpu-check: what was not tested must not pass
    pytest.importorskip("nvidia.dali", reason="DALI is an extra")
pytestmark = pytest.mark.cuda
SIZE = (128, 96)


def photo(seed: int) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    out = io.BytesIO()
    smooth = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)
    Image.fromarray(smooth).save(out, "JPEG", quality=92, subsampling=2 if seed % 2 else 0)
    return out.getvalue()


@pytest.fixture
def people(tmp_path: Path) -> People:
    files = [str(tmp_path / f"{i}.jpg") for i in range(24)]
    for i, name in enumerate(files):
        Path(name).write_bytes(photo(i))
    rng, count = np.random.default_rng(1), 96
    centre = rng.uniform((60, 60), (580, 420), (count, 2))
    side = rng.uniform(80, 300, count)
    box = np.stack([centre[:, 0] - side / 4, centre[:, 1] - side / 2, side / 2, side], 1)
    return People(
        skeleton=COCO, files=files, file=np.repeat(np.arange(24, dtype=np.int32), 4), box=box.astype(np.float32),
        centre=centre.astype(np.float32), scale=(side * 1.25 / 200).astype(np.float32),
        joints=np.repeat(centre[:, None], 17, 1).astype(np.float32), visible=np.full((count, 17), 2, np.uint8),
        head=np.full(count, np.nan, np.float32), id=np.arange(count), image_id=np.arange(count),
        image_size=np.zeros((24, 2), np.int32), name="test",
    )  # fmt: skip


def crops(people: People, pipeline: str, device: object, **options: object) -> torch.Tensor:
    with make_loader(people, SIZE, 16, pipeline, aug=GlobalAug(), drop_last=False, device=device, **options) as loader:
        found = torch.cat([batch.image.cpu() for batch in loader]).int()
        if pipeline == "dali":
            assert not loader.pipeline.source.on_host, "DALI's own decoder failed"
        return found


@pytest.mark.parametrize("options", [{}, {"whole": True}, {"whole": True, "hw_decoder_load": 1.0}])
def test_crops_are_those_of_the_cpu(people: People, cuda: torch.device, options: dict) -> None:
    difference = (crops(people, "dali", cuda, **options) - crops(people, "native", "cpu")).abs()
    assert difference.float().mean((1, 2, 3)).max() < 1


@pytest.mark.parametrize("raw", [False, True], ids=["jpeg", "raw"])
def test_stores(people: People, cuda: torch.device, tmp_path: Path, raw: bool) -> None:
    pack(people, tmp_path / "s", size=SIZE, raw=raw)
    stored = read(tmp_path / "s", "train")
    difference = (crops(stored, "dali", cuda) - crops(stored, "native", "cpu")).abs()
    assert difference.float().mean((1, 2, 3)).max() < 1


def test_batches_arrive_on_the_callers_stream_and_stay(people: People, cuda: torch.device) -> None:
    want = crops(people, "dali", cuda)
    stream = torch.cuda.Stream(cuda)
    with make_loader(people, SIZE, 16, "dali", aug=GlobalAug(), drop_last=False, device=cuda) as loader:
        with torch.cuda.stream(stream):
            kept = [(batch, batch.image.int()) for batch in loader]  # used at once, on that stream, with no wait
        stream.synchronize()
    assert torch.equal(torch.cat([seen for _, seen in kept]).cpu(), want)
    assert torch.equal(torch.cat([batch.image for batch, _ in kept]).int().cpu(), want)  # none was overwritten
    for batch, _ in kept:
        assert {value.device.type for value in vars(batch).values()} == {"cuda"}


def test_a_batch_dropped_before_the_gpu_has_read_it(people: People, cuda: torch.device) -> None:
    """The host runs ahead and lets go of each batch while its sum still waits: its memory is not given to another."""

    def sums(cycles: int, keep: bool) -> torch.Tensor:
        out, held = [], []
        with make_loader(people, SIZE, 16, "dali", aug=GlobalAug(), drop_last=False, device=cuda, seed=1) as loader:
            for batch in loader:
                if cycles:
                    torch.cuda._sleep(cycles)
                out.append(batch.image.long().sum())
                held += [batch] * keep
                del batch
        return torch.stack(out).cpu()

    assert torch.equal(sums(30_000_000, keep=False), sums(0, keep=True))


def test_a_bad_photo_is_named(people: People, cuda: torch.device) -> None:
    Path(people.files[5]).write_bytes(photo(5)[:4000])
    with pytest.raises(UserError, match=r"5\.jpg"):
        crops(people, "dali", cuda)
    assert len(crops(people, "dali", cuda, on_bad_image="skip")) == len(people)
