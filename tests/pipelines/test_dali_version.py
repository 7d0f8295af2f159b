"""Regions on a GPU only with versions that are good at it; pyproject.toml asks for those."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from asda_fast.pipelines import dali_version

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


@pytest.mark.parametrize(
    ("dali", "codec", "broken"),
    [
        ("2.2.0", "0.8.0.22", False),
        ("2.4.0", "0.9.0.20", True),
        ("2.2.0", "0.9.0.1859", True),  # what decodes is the codec
        ("2.4.0", "0.10.0", True),  # not 0.1
        ("2.4.0", "0.8.0.22", False),
        ("2.2.0", None, False),
        ("2.3.0", None, True),
        ("2.10.0.dev20261101", None, True),
        ("1.51.2", None, False),
    ],
)
def test_versions_known_to_crash(dali: str, codec: str | None, broken: bool) -> None:
    assert dali_version.breaks_regions(dali, codec) is broken


@pytest.mark.parametrize("asked", [None, False, True])
@pytest.mark.parametrize(("device", "codec"), [("cpu", "0.9.0.20"), ("cuda", "0.8.0.22")])
def test_nothing_is_said_or_changed_where_regions_are_good(
    monkeypatch: pytest.MonkeyPatch, asked: bool | None, device: str, codec: str
) -> None:
    monkeypatch.setattr(dali_version, "codec", lambda: codec)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dali_version.whole(asked, device, "2.2.0") is bool(asked)


@pytest.mark.parametrize(
    ("asked", "decoded", "said"), [(None, True, "whole photos are decoded: "), (False, False, "whole=False: ")]
)
def test_a_crashing_version_decodes_whole_photos_unless_asked(
    monkeypatch: pytest.MonkeyPatch, asked: bool | None, decoded: bool, said: str
) -> None:
    monkeypatch.setattr(dali_version, "codec", lambda: "0.9.0.20")
    with pytest.warns(UserWarning, match=f"{said}.* crash a GPU in DALI 2.4.0 with nvImageCodec 0.9.0.20") as caught:
        assert dali_version.whole(asked, "cuda", "2.4.0") is decoded
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dali_version.whole(True, "cuda", "2.4.0") is True


def test_pyproject_asks_for_versions_that_are_good() -> None:
    bounds = re.findall(r'"nvidia-dali-cuda1[23]0>=[\d.]+,<([\d.]+)"', PYPROJECT.read_text(encoding="utf-8"))
    assert [dali_version.numbers(bound) for bound in bounds] == [dali_version.DALI_WITH_IT] * 2
