"""make_loader: epochs, shards, exact resume (also after kill -9), options and their mistakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from asda_fast import make_loader
from asda_fast.core.batch import Batch
from asda_fast.core.errors import UserError
from asda_fast.data import GlobalAug, People, load
from asda_fast.pipelines.loader import Loader

SIZE = (48, 32)


def loader_of(people: People, **options: object) -> Loader:
    return make_loader(people, SIZE, **{"batch_size": 4, "aug": GlobalAug(), **options})


def place(loader: Loader) -> tuple[int, int]:
    state = loader.state()
    return state["epoch"], state["step"]


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in vars(a))


def test_a_batch(photos: Path) -> None:
    people = load("coco", photos)
    with loader_of(people) as loader:
        batch = next(iter(loader))
    shapes = {name: (tuple(value.shape), value.dtype) for name, value in vars(batch).items()}
    assert shapes == {
        "image": ((4, *SIZE, 3), torch.uint8),
        "joints": ((4, 17, 2), torch.float32),
        "visible": ((4, 17), torch.uint8),
        "row": ((4,), torch.int64),
        "matrix": ((4, 2, 3), torch.float32),
        "box": ((4, 4), torch.float32),
        "flip": ((4,), torch.bool),
        "half": ((4,), torch.bool),
    }


def test_epochs_differ_and_the_last_batch_is_kept_or_dropped(photos: Path) -> None:
    people = load("coco", photos)  # 26
    with loader_of(people) as loader:
        assert len(loader) == 6
        first, second = ([row for batch in loader for row in batch.row.tolist()] for _ in range(2))
        assert len(set(first)) == len(set(second)) == 24
        assert first != second
    with loader_of(people, drop_last=False) as loader:
        sizes = [len(batch) for batch in loader]
        assert sizes == [4] * 6 + [2]
    with loader_of(people, train=False) as loader:
        assert [row for batch in loader for row in batch.row.tolist()] == list(range(26))
        assert [row for batch in loader for row in batch.row.tolist()] == list(range(26))
    with loader_of(people, batch_size=40) as loader:  # the only batch is never dropped
        assert [len(batch) for batch in loader] == [26]


def test_two_ranks_see_every_row_once(photos: Path) -> None:
    people = load("coco", photos)
    rows = []
    for rank in range(2):
        with loader_of(people, rank=rank, world=2, drop_last=False) as loader:
            rows += [row for batch in loader for row in batch.row.tolist()]
    assert sorted(rows) == list(range(26))


def test_resume_anywhere(photos: Path) -> None:
    people = load("coco", photos)
    with loader_of(people) as loader:
        whole, states = [], []
        for _ in range(3):
            for batch in loader:
                whole.append(batch)
                states.append(loader.state())
    for at in (0, 3, 5, 6, 11, 16):
        with loader_of(people, threads=1, prefetch=1) as loader:
            loader.load_state(states[at])
            rest = []
            while len(rest) < len(whole) - at - 1:
                rest += list(loader)
            assert all(same(a, b) for a, b in zip(whole[at + 1 :], rest))


def test_set_epoch_and_leaving_early(photos: Path) -> None:
    people = load("coco", photos)
    with loader_of(people) as loader:
        first = [batch.row.tolist() for batch in loader]
        loader.set_epoch(0)
        next(iter(loader))
        assert place(loader) == (0, 1)
        assert [batch.row.tolist() for batch in loader] == first  # an epoch left early begins anew
        loader.load_state({"epoch": 0, "step": 4})
        loader.set_epoch(0)  # as a training loop calls it: keeps the place
        assert [batch.row.tolist() for batch in loader] == first[4:]
        with pytest.raises(ValueError, match="step 99"):
            loader.load_state({"epoch": 0, "step": 99})
        within = {**loader.state(), "epoch": 0, "step": 2}
        for other, words in (({"batch_size": 2}, "batch_size 4, not 2"), ({"seed": 9}, "seed 0, not 9")):
            with loader_of(people, **other) as stranger:
                with pytest.raises(ValueError, match=f"^state: of a loader with {words}"):
                    stranger.load_state(within)
                stranger.load_state({**within, "step": 0})  # an epoch may begin in another way


def test_mistakes_are_one_line(photos: Path) -> None:
    people = load("coco", photos)
    for options, words in (
        ({"pipeline": "ffcv"}, "pipeline"),
        ({"on_bad_image": "ignore"}, "on_bad_image"),
        ({"threads": 0}, "threads"),
    ):
        with pytest.raises(UserError, match=words):
            loader_of(people, **options)
    with pytest.raises(UserError, match="nobody"):
        loader_of(people.select([]))
    with pytest.raises(UserError, match="size"):
        make_loader(people, (0, 10))
    with pytest.raises(UserError, match="device: expected one of torch's, such as cuda:0, got 'gpu'"):
        loader_of(people, device="gpu")
    with pytest.raises(UserError, match="foo: neither make_loader nor pipeline native takes such an option"):
        loader_of(people, foo=1)
    for name in ("train", "drop_last"):
        with pytest.raises(TypeError, match=f"{name}: expected True or False, got 'val'"):
            loader_of(people, **{name: "val"})
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no GPU"):
            loader_of(people, device="cuda")


# Forks of one process that has imported everything: a trial is a fresh child without the seconds of an import. Each
# logs the hash of every batch, then its state, until it is killed; the next child goes on from the last state.
KILLED = """
import hashlib, json, os, random, signal, sys, time
from pathlib import Path
from asda_fast import make_loader
from asda_fast.data import GlobalAug, load

people, folder, trials, epochs = load("coco", sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), 4
pace = random.Random(0)

def train(folder, slow):
    loader = make_loader(people, (48, 32), 4, aug=GlobalAug(half_body=0.3), seed=3, threads=2)
    if (folder / "state").exists():
        loader.load_state(json.loads((folder / "state").read_text()))
    with open(folder / "log", "a") as log:
        while loader.state()["epoch"] < epochs:
            epoch = loader.state()["epoch"]
            for batch in loader:
                columns = [value.numpy().tobytes() for value in vars(batch).values()]
                step = loader.state()["step"]
                log.write(f"{epoch} {step} {hashlib.sha1(b''.join(columns)).hexdigest()}\\n")
                log.flush()
                (folder / "new").write_text(json.dumps(loader.state()))
                os.replace(folder / "new", folder / "state")
                time.sleep(slow)

def child(folder, slow):
    pid = os.fork()
    if pid == 0:
        train(folder, slow)
        os._exit(0)
    return pid

whole = folder / "whole"
whole.mkdir()
assert os.waitpid(child(whole, 0), 0)[1] == 0
expected = (whole / "log").read_text().split("\\n")[:-1]
assert len(expected) == epochs * 6
good = killed = 0
for trial in range(trials):
    here = folder / str(trial)
    here.mkdir()
    for _ in range(2):
        pid = child(here, 0.004)
        time.sleep(pace.uniform(0.01, 0.09))
        os.kill(pid, signal.SIGKILL)
        killed += os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert os.waitpid(child(here, 0), 0)[1] == 0
    # A step may be logged twice (killed between log and state), then both lines must agree.
    good += list(dict.fromkeys((here / "log").read_text().split("\\n")[:-1])) == expected
print(good, killed)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_9_and_resume_gives_the_same_batches(photos: Path, tmp_path: Path) -> None:
    trials = 20
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(photos), str(tmp_path), str(trials)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    good, killed = map(int, run.stdout.split())
    assert good == trials
    assert killed >= trials  # else nothing was tested


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_memory_is_flat_over_50_epochs(photos: Path) -> None:
    people = load("coco", photos)
    with loader_of(people, on_bad_image="skip") as loader:
        after = []
        for epoch in range(50):
            for _ in loader:
                pass
            if epoch in (14, 49):
                after.append(resident())
    assert after[1] - after[0] < 3 << 20


def test_a_refused_state_changes_nothing(photos: Path) -> None:
    loader = loader_of(load("coco", photos))
    for wrong in ({"epoch": 7, "step": 99}, {"epoch": -1, "step": 0}, {"epoch": 1}, {"epoch": 0.7, "step": 1}, None):
        with pytest.raises(ValueError, match="state: "):
            loader.load_state(wrong)
        assert place(loader) == (0, 0)


def test_nobody_gets_an_empty_share(photos: Path) -> None:
    people = load("coco", photos)
    with pytest.raises(UserError, match=r"people are not one person for each of 1000 processes"):
        loader_of(people, rank=999, world=1000)
    with pytest.raises(UserError, match="are not one full batch of 5000 for each of 1"):
        loader_of(people, batch_size=5000, drop_last=True)


@pytest.mark.parametrize("pipeline", ["native", "dali"])
def test_numbers_may_be_numpys(photos: Path, pipeline: str) -> None:
    if pipeline == "dali":
        pytest.importorskip("nvidia.dali", reason="DALI is an extra")
    people = load("coco", photos)
    plain = {"batch_size": 4, "seed": 1, "rank": 1, "world": 2, "threads": 2, "prefetch": 2}
    taken = {name: kind(number) for (name, number), kind in zip(plain.items(), (np.int32, np.int64, np.uint8) * 2)}
    with (
        make_loader(people, SIZE, pipeline=pipeline, aug=GlobalAug(), **plain) as one,
        make_loader(people, list(SIZE), pipeline=pipeline, aug=GlobalAug(), **taken) as other,
        make_loader(people, tuple(np.array(SIZE)), pipeline=pipeline, aug=GlobalAug(), **taken) as third,
    ):
        third.set_epoch(np.int64(1))
        third.load_state({"epoch": np.int64(0), "step": np.int32(0)})
        assert json.loads(json.dumps(third.state())) == third.state() and place(third) == (0, 0)
        for a, b, c in zip(one, other, third):
            assert same(a, b)
            assert same(a, c)
    assert json.dumps(other.state())


def test_numbers_that_are_none_are_one_line(photos: Path) -> None:
    people = load("coco", photos)
    for name, value in (("seed", 1.5), ("seed", "1"), ("batch_size", np.float64(4)), ("rank", 2), ("rank", -1)):
        with pytest.raises(UserError, match=f"^{name}: expected"):
            loader_of(people, **{"world": 2, name: value})
