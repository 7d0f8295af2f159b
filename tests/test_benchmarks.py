"""The benchmarks' one JSON form, what they measure with, and the tables made of it."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import common, report

    return common, report


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_committed_results_have_the_form(benchmarks, path):
    common, report = benchmarks
    data = json.loads(path.read_text())
    common.validate(data)
    assert "/" not in data["commit"]
    assert not [word for word in ("/home", "/root", "/tmp", "C:\\\\") if word in path.read_text()]
    assert report.table(data, []).count("|") > 10


@pytest.mark.parametrize("page", ["README.md", "docs/adversary.md", "docs/numbers.md", "docs/performance.md"])
def test_tables_are_current(benchmarks, page):
    _, report = benchmarks
    text = (ROOT / page).read_text()
    assert report.rewrite(text) == text, f"run python -m benchmarks.report --into {page}"


@pytest.mark.parametrize(
    "damage",
    [lambda d: d.pop("commit"), lambda d: d["results"].clear(), lambda d: d["results"][0].pop("iqr"),
     lambda d: d["results"][0].update(median="1"), lambda d: d["results"][0]["params"].update(size=[1, 2])],
)  # fmt: skip
def test_other_forms_are_refused(benchmarks, damage):
    common, _ = benchmarks
    report = common.Report(threads=1)
    report.add("asda_fast", {"batch": 1}, "ms", [1.0, 2.0, 3.0])
    data = report.as_dict()
    common.validate(data)
    damage(data)
    with pytest.raises(ValueError, match=r"expected|wrong"):
        common.validate(data)


def test_rounds_are_interleaved(benchmarks):
    common, _ = benchmarks
    calls: list[str] = []
    contestants = {"quick": lambda: calls.append("quick"), "slow": lambda: (calls.append("slow"), time.sleep(0.05))}
    timings = common.interleave(contestants, seconds=0.02, rounds=8, least=3, warmup=1)
    assert len(timings["slow"].samples) == 3
    assert len(timings["quick"].samples) == 8
    assert calls[2:8] in (["quick", "slow", "slow", "quick", "quick", "slow"],)


def test_timing_is_median_and_quartile_distance(benchmarks):
    common, _ = benchmarks
    timing = common.Timing((1.0, 2.0, 3.0, 4.0, 100.0))
    assert (timing.median, timing.iqr) == (3.0, 2.0)
    assert common.Timing((1.0,)).iqr == 0


def test_peak_memory_sees_an_allocation(benchmarks):
    common, _ = benchmarks
    import numpy as np

    assert 60 < common.peak_memory(lambda: np.ones(8 << 20)) < 80


def test_table_and_blocks(benchmarks, tmp_path, monkeypatch):
    common, report = benchmarks
    made = common.Report(threads=2)
    for parts, ours, peer in ((1, 2.0, 40.0), (3, 4.0, 3.0)):
        made.add("asda_fast", {"batch": 32, "parts": parts, "mode": "both"}, "ms", [ours])
        made.add("peer", {"batch": 32, "parts": parts, "mode": "both"}, "ms", [peer])
    made.add("asda_fast", {"batch": 32, "parts": 1, "mode": "other"}, "ms", [9.0])
    made.save(tmp_path / "some.json")
    monkeypatch.setattr(report, "ROOT", tmp_path)
    before = "a\n<!-- results: some.json mode=both -->\nold\n<!-- end -->\nb\n"
    after = report.rewrite(before)
    assert "| 1 | 2 | 40 (20x) |" in after
    assert "| 3 | 4 | 3 (0.75x) |" in after
    assert "batch 32" in after
    assert "old" not in after
    assert report.rewrite(after) == after
    report.plot(report.read(tmp_path / "some.json"), ["mode=both"], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_the_live_games_table(benchmarks, tmp_path, monkeypatch):
    """Made of what the game and the benchmark of costs write; an arm stands there as the options that ask for it."""
    common, report = benchmarks
    from benchmarks import game

    def run(arm, seed, s):
        found = {"arm": arm, "seed": seed, "s": s, "s_se": 0.03, "s_centre": 0.1, "pck": 40.0}
        return {**found, "people": 500, "draws": 32, "clean": 0.006, "random": 0.0065, "best_of_32": 0.0072}

    options = argparse.Namespace(model="hrnet_tiny", size=96, batch=32, steps=1000, candidates=256)
    arm = "critic, verify 4, 5 of 16"
    played = [run("random", 0, 0.02), run(arm, 0, 0.57), run(arm, 1, 0.43)]
    game.summary(played, options).save(tmp_path / "game.json")
    options.steps = 2000
    game.summary([run("critic, pairs", 0, 0.3)], options).save(tmp_path / "longer.json")
    costs = common.Report(threads=1)
    costs.add(arm, {"model": "hrnet_w32"}, "of a plain step", 1.38)
    costs.add(arm, {"model": "hrnet_w32"}, "ms", 9000.0)
    costs.save(tmp_path / "costs.json")
    monkeypatch.setattr(report, "ROOT", tmp_path)
    before = "<!-- game: game.json longer.json costs.json -->\n<!-- end -->\n"
    lines = report.rewrite(before).splitlines()
    assert lines[1] == "| adversary | seeds | s | the centre's s | own gap, 1e-3 | PCK | of a plain step |"
    assert lines[3] == "| random places | 1 | 0.02 ± 0.03 (0.02) | 0.10 | 0.70 | 40.0 |  |"
    called = "`critic --verify 4 --verify-share 0.3125 --candidates 256`"
    assert lines[4] == f"| {called} | 2 | 0.50 ± 0.02 (0.57, 0.43) | 0.10 | 0.70 | 40.0 | 1.38 |"
    assert lines[5].startswith("| `critic --pairs --candidates 256`, 2,000 steps | 1 |")
    assert report.rewrite("\n".join(lines)) == "\n".join(lines)


def test_an_ablations_table(benchmarks, tmp_path, monkeypatch):
    _, report = benchmarks

    def measure(mean, spread, more):
        return {"mean": mean, "spread": spread, "seeds": [], "more": more}

    same = {"baseline": "none", "seeds": [0, 1], "steps": 80, "pck_train": 70.0, "gap": 0.001}
    none = {"arm": "none", "hardness": None, "clean": measure(20.0, 0.5, {"mean": 0, "low": 0, "high": 0})}
    critic = {"arm": "critic", "hardness": 0.5, "clean": measure(21.0, None, {"mean": 1, "low": -0.25, "high": 2})}
    recipe = {"model": "hrnet_tiny", "input": "96x96", "dataset": "lsp", "train_people": 300, "batch_size": 16}
    recipe |= {"rotation": 0, "scale": 0, "flip": 0.5}
    (tmp_path / "some.json").write_text(
        json.dumps({"recipe": recipe, "people": 500, "arms": [same | none, same | critic]})
    )
    monkeypatch.setattr(report, "ROOT", tmp_path)
    text = report.rewrite("<!-- ablation: some.json -->\n<!-- end -->\n")
    assert "300 people of lsp, 80 steps of 16, rotation 0, scale 0, flip 0.5; 2 seeds, 500 validation people." in text
    assert "| `none` | 20.00 ± 0.50 |  | 70.0 |  | 1.00 |" in text
    assert "| `critic` | 21.00 | +1.00 [-0.25, +2.00] | 70.0 | 0.50 | 1.00 |" in text
    longer = {"recipe": recipe, "people": 500, "arms": [same | none, same | critic | {"steps": 160}]}
    (tmp_path / "longer.json").write_text(json.dumps(longer))
    assert ", 80 to 160 steps of 16," in report.rewrite("<!-- ablation: longer.json -->\n<!-- end -->\n")
    fewer = {"recipe": recipe, "people": 500, "arms": [same | none, same | critic | {"seeds": [0]}]}
    (tmp_path / "fewer.json").write_text(json.dumps(fewer))
    text = report.rewrite("<!-- ablation: fewer.json -->\n<!-- end -->\n")
    assert "1 to 2 seeds" in text and "| `none` (2 seeds) |" in text and "| `critic` (1 seed) |" in text
    named = {"recipe": recipe, "given": {"patches": 1293}, "people": 500, "arms": [same | none]}
    (tmp_path / "named.json").write_text(json.dumps(named))
    assert "flip 0.5, a pool of 1,293 patches; 2" in report.rewrite("<!-- ablation: named.json -->\n<!-- end -->\n")
    short = report.rewrite("<!-- ablation: some.json short -->\n<!-- end -->\n")
    assert "| `critic` | 21.00 | +1.00 [-0.25, +2.00] |\n" in short and report.rewrite(short) == short
