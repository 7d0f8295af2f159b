"""What runs leave: metrics.jsonl and last.pt as `report` reads them, an ablation's result.json as `ablate` does."""

from __future__ import annotations

import contextlib
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from asda_fast.cli.ablate import show
from asda_fast.report.options import ReportOptions
from asda_fast.report.page import write
from asda_fast.train import checkpoint
from asda_fast.train.ablation import AblateOptions, ablate
from asda_fast.train.arms import recipe_of
from asda_fast.train.recipe import Recipe, RunOptions
from benchmarks.fuzz.harness import Reader

PEOPLE = 6


def _history() -> list[dict[str, Any]]:
    return [
        {"epoch": n, "loss_d": 0.01 / n, "loss_g": None if n == 1 else -0.002, "pck_train": 20.0 + n, "lr": 1e-3,
         "images_per_second": 50.0, "seconds": 60.0, "pck": 10.0 * n, "pck_per_joint": {"hip": 9.0 * n, "knee": None},
         "protocol": "PCK", "hardness": 0.25, "hardness_se": 0.05}
        for n in range(1, 4)
    ]  # fmt: skip


def _lines(rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _report(folder: Path) -> None:
    page = write(ReportOptions(str(folder), people=0)).read_text(encoding="utf-8")
    text = (folder / "metrics.jsonl").read_text("utf-8")
    assert f"<b>{len(text.splitlines())}" in page, "as many epochs as lines"
    assert all(word not in page for word in ('="nan', '="inf'))


history = Reader(_history, lambda tree: {"metrics.jsonl": _lines(tree)}, _report)


def _run() -> Any:
    config = Recipe.from_dict({"dataset": "demo", "epochs": 3, "input": "64x64"}).to_dict()
    return {"config": config, "versions": {"torch": "2", "python": "3"}, "joints": 17, "history": _history()}


def _dump_run(tree: Any) -> dict[str, bytes]:
    import torch

    out = io.BytesIO()
    torch.save({"format": checkpoint.FORMAT, **tree}, out)
    return {"last.pt": out.getvalue()}


def _beside(folder: Path) -> None:
    (folder / "metrics.jsonl").write_bytes(_lines(_history()))


state = Reader(_run, _dump_run, _report, _beside)


# ---- ablations ------------------------------------------------------------------------------------------------------

ARMS = ("none", "critic")


@cache
def _recipe() -> Recipe:
    return Recipe.from_dict({"dataset": "demo", "epochs": 2, "input": "64x64", "batch_size": 6})


def _result(arm: str, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    people = {name: rng.integers(0, 18, PEOPLE).tolist() for name in ("clean", "hidden", "random", "worst")}
    counted = {"counted": [17] * PEOPLE, "hidden_counted": [17] * PEOPLE}
    return {
        "arm": arm, "seed": seed, "recipe": recipe_of(arm, seed, _recipe()).resolved().to_dict(), "steps": 20,
        "seconds": 1.5, "pck_train": 30.0, "looks": [1, 2], "pck_by_look": [10.0, 12.0],
        "pck_train_by_look": [10.0, 30.0],
        "hardness": 0.2 if arm == "critic" else None,
        "hardness_se": 0.1 if arm == "critic" else None,
        "losses": {"clean": 0.1, "random": 0.2, "best_of_32": 0.4}, "people": {**people, **counted},
    }  # fmt: skip


def _results() -> Any:
    return {f"{arm}-{seed}": _result(arm, seed) for arm in ARMS for seed in (0, 1)}


def _compare(folder: Path) -> None:
    options = AblateOptions(arms=ARMS, seeds=(0, 1), recipe=_recipe(), run=RunOptions(out=str(folder)))
    with contextlib.redirect_stdout(io.StringIO()):
        results = ablate(options, lambda text: None)
        show(results)
    for row in results["arms"]:
        read = [json.loads((folder / f"{row['arm']}-{seed}" / "result.json").read_text()) for seed in (0, 1)]
        for measure in ("clean", "random", "worst"):
            wanted = np.mean([100 * sum(one["people"][measure]) / sum(one["people"]["counted"]) for one in read])
            assert np.isclose(row[measure]["mean"], wanted)
    assert np.isfinite([row["gap"] for row in results["arms"]]).all()


results = Reader(
    _results, lambda tree: {f"{name}/result.json": json.dumps(tree[name]).encode() for name in _results()}, _compare
)
