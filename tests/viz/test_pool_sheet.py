"""Looking at pools: the contact sheet's cells, the counts; and any damaged file is refused, never a crash."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asda_fast.core.errors import UserError
from asda_fast.parts.pool_file import open_pool, pool_info, save_pool
from asda_fast.viz.draw import save
from asda_fast.viz.pool_sheet import contact_sheet


@pytest.fixture
def pool(tmp_path):
    red = np.zeros((10, 20, 4), np.uint8)
    red[...] = (255, 0, 0, 255)
    blue = red[:, :10, [2, 1, 0, 3]]
    save_pool(tmp_path / "pool", [red, blue, blue], [0, 2, 2], [[1, 2]] * 3, ["a", "b", "b"], ["Face", "Hat", "Hair"])
    return tmp_path / "pool"


def test_sheet_has_a_row_per_type_and_a_cell_per_patch(pool):
    sheet = contact_sheet(pool, per_type=3, cell=64)
    assert sheet.shape == (2 * 64, 150 + 3 * 64, 3)  # no row for Hat, which has no patch
    middle = [sheet[32 + 64 * r, 150 + 32 + 64 * c].tolist() for r in range(2) for c in range(3)]
    assert middle[0] == [255, 0, 0]
    assert middle[3] == middle[4] == [0, 0, 255]
    assert middle[1] == middle[2] == middle[5] == [255, 255, 255]
    assert sheet[3, 153].max() - sheet[3, 153].min() == 0  # grey checkerboard about it


def test_zoom_is_exact(pool):
    sheet = contact_sheet(pool, per_type=1, cell=100, zoom=4.0)
    red = (sheet[:100, 150:] == (255, 0, 0)).all(2)
    assert red.sum(1).max() in range(74, 82)  # 20 pixels at 4x, soft at both ends
    assert red.sum(0).max() in range(34, 42)


@pytest.mark.parametrize(("per_type", "cell"), [(100_000, 16), (60, 1024 * 8)])
def test_a_sheet_too_large_to_look_at_is_refused_at_once(pool, per_type, cell):
    with pytest.raises(UserError, match=rf"^per_type {per_type}: with cells of {cell} pixels a picture of \d+ x \d+"):
        contact_sheet(pool, per_type, cell)


def test_info(pool, tmp_path):
    info = pool_info(pool)
    assert info["types"] == {"Face": 1, "Hat": 0, "Hair": 2}
    assert info["sizes"] == {"Face": [10, 20], "Hair": [10, 10]}
    assert (info["patches"], info["photos"]) == (3, 2)
    save_pool(tmp_path / "none", [], [], [], [], ["Face"])
    assert pool_info(tmp_path / "none")["types"] == {"Face": 0}
    with pytest.raises(UserError, match="no patches"):
        contact_sheet(tmp_path / "none")
    with pytest.raises(UserError, match="cannot write"):
        save(tmp_path / "none" / "x.png", np.zeros((2, 2, 3), np.uint8))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_refused(pool, data):
    content = bytearray(pool.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        spot = data.draw(st.integers(0, len(content) - 1))
        content[spot] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]
    path = pool.with_name("damaged")
    path.write_bytes(content)
    said = ""
    try:
        opened = open_pool(path)
        for i in range(len(opened)):  # not refused: a changed colour, say
            assert opened.patch(i).shape[2] == 4
    except UserError as error:
        said = str(error)
    assert not said or (str(path) in said and "\n" not in said)
