"""Killed at a random moment and started again, a loader gives the batches that an uninterrupted one would have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TRIALS = {"native": 20, "dali": 10}  # a DALI pipeline takes a second to start

SCRIPT = """
import hashlib, json, os, random, signal, sys, time
from pathlib import Path
import torch
from asda_fast import make_loader
from asda_fast.data import GlobalAug, load

data, pipeline, folder, trials = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
people = load("coco", data, "val")

if pipeline == "dali":
    from asda_fast.pipelines.dali import import_dali

    import_dali()  # once, here: it starts no thread

def work(log, state, pause):
    loader = make_loader(people, (96, 72), 8, pipeline, seed=5, aug=GlobalAug(), threads=2)
    if state.exists():
        loader.load_state(json.loads(state.read_text()))
    with open(log, "a") as out:
        while True:
            for batch in loader:
                place = loader.state()
                if place["epoch"] >= 2:
                    return
                digest = hashlib.sha1(batch.image.numpy().tobytes() + batch.joints.numpy().tobytes()).hexdigest()
                out.write(json.dumps([place, batch.row.tolist(), digest]) + "\\n")
                out.flush()
                part = state.with_suffix(".part")
                part.write_text(json.dumps(place))
                part.replace(state)
                time.sleep(pause)

def child(*args):
    pid = os.fork()  # before any thread: the parent has none
    if pid == 0:
        try:
            work(*args)
        finally:
            os._exit(0)
    return pid

def entries(log):
    found = {}
    for line in log.read_text().splitlines():
        place, rows, digest = json.loads(line)
        key = (place["epoch"], place["step"])
        assert found.setdefault(key, (rows, digest)) == (rows, digest), f"{key} came twice, and differently"
    return found

os.waitpid(child(folder / "whole.log", folder / "whole.json", 0), 0)
want, random_ = entries(folder / "whole.log"), random.Random(0)
assert len(want) >= 10, len(want)
for trial in range(trials):
    log, state = folder / f"{trial}.log", folder / f"{trial}.json"
    log.touch()
    pid, stop = child(log, state, 0.01), random_.randrange(1, len(want) - 1)
    while log.read_text().count("\\n") < stop:
        time.sleep(0.002)
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    killed = len(entries(log))
    os.waitpid(child(log, state, 0), 0)
    assert entries(log) == want, trial
    assert killed < len(want)
print("equal", trials)
"""


@pytest.mark.parametrize("pipeline", ["native", "dali"])
def test_kill_and_resume(shared_data: Path, tmp_path: Path, pipeline: str) -> None:
    if pipeline == "dali":
        pytest.importorskip("nvidia.dali", reason="DALI is an extra")
    (tmp_path / "run.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "run.py"), str(shared_data / "coco_mini"), pipeline, str(tmp_path)]
    done = subprocess.run([*command, str(TRIALS[pipeline])], capture_output=True, text=True, timeout=300)
    assert f"equal {TRIALS[pipeline]}" in done.stdout, done.stderr[-2000:]
