"""Which pool is pasted from: the demo set's own is kept where something can be kept, and cut anew where not."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from asda_fast.augment import pools
from asda_fast.parts.pool import PartPool


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Cutting takes seconds: a pool of nothing stands for it."""
    made: list[Path] = []

    def cut(out: Path) -> None:
        made.append(out)
        PartPool.from_patches([]).save(out)

    monkeypatch.setattr(pools, "cut", cut)
    return made


def test_kept_for_the_next_time(cuts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASDA_FAST_CACHE", str(tmp_path / "deep" / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            assert len(pools.demo_pool()) == 0
    assert len(cuts) == 1
    assert [path.suffix for path in (tmp_path / "deep" / "cache").iterdir()] == [".safetensors"]


def test_cut_anew_where_nothing_can_be_kept(cuts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ASDA_FAST_CACHE", ""), ("XDG_CACHE_HOME", ""), ("HOME", "/proc/no")):
        monkeypatch.setenv(name, value)
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"^/proc/no/.cache/asda_fast: .*ASDA_FAST_CACHE=FOLDER") as caught:
            assert len(pools.demo_pool()) == 0
        assert len(caught) == 1
    assert len(cuts) == 2
    assert not [path for path in cuts if path.exists()]


def test_an_unknown_user_without_home(cuts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """As `docker run -u 12345`: no entry in passwd, so no home to find."""
    for name in ("ASDA_FAST_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what it returns then
    assert pools.path().name.startswith("demo-pool-")
