"""How many instructions the kernels spend per pixel and slot, and that they are counted right."""

from __future__ import annotations

from pathlib import Path

import pytest

LISTING = """
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
.L_x_2:
        /*0020*/                   LDG.E.CONSTANT R4, desc[UR4][R2.64] ;
        /*0030*/              @!P0 LDG.E R5, desc[UR4][R2.64+0x4] ;
.L_x_3:
        /*0040*/                   LDG.E.U8.CONSTANT R6, desc[UR4][R2.64+0x3] ;
        /*0050*/               @P1 BRA `(.L_x_3) ;
        /*0060*/                   FADD.FTZ R4, R5, R6 ;
        /*0070*/              @!P2 BRA P3, `(.L_x_2) ;
        /*0080*/                   FMUL R7, R7, R7 ;
        /*0090*/               @P0 BRA `(.L_x_1) ;
.L_x_4:
        /*00a0*/                   LDG.E.STRONG.GPU R4, desc[UR4][R2.64] ;
        /*00b0*/                   FADD R4, R4, R4 ;
        /*00c0*/               @P0 BRA `(.L_x_4) ;
        /*00d0*/                   BRA `(.L_x_5) ;
.L_x_5:
        /*00e0*/                   EXIT ;
"""


@pytest.fixture(scope="module")
def counts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parents[2]))
        from benchmarks import kernel_counts

        yield kernel_counts


def test_counting_by_hand(counts):
    """Tiles (9 instructions) round slots (6) round the slots above (2); the sum of partial sums is no loop of ours."""
    code = counts.read(LISTING)
    assert len(code.instructions) == 15
    assert code.loops == [(1, 9), (2, 7), (4, 5), (10, 12)]
    assert [code.texels(loop) for loop in code.loops] == [3, 3, 1, 0]
    assert counts.count(code, 2) == {"per pixel and slot": 9 / 2, "alone": (9 - 2) / 2, "all": 15}
    forward = counts.read("".join(LISTING.splitlines(keepends=True)[4:7]) + "  /*0040*/  @P0 BRA `(.L_x_2) ;")
    assert counts.count(forward, 1) == {"per pixel and slot": 3, "alone": 3, "all": 3}


@pytest.mark.parametrize(
    ("kernel", "most"),
    [
        ("forward float32", 112),
        ("forward uint8 to bfloat16 channels_last", 112),
        ("backward float32", 250),
        ("backward uint8 to bfloat16 channels_last", 265),
    ],
)
def test_instructions_per_pixel_and_slot(counts, kernel, most):
    """On sm_90. A ratchet: what makes the kernels longer says so here."""
    numbers = counts.measure(counts.KERNELS[kernel], "sm_90", counts.Nvrtc())
    print(f"{kernel}: {numbers}")
    assert 50 < numbers["alone"] <= numbers["per pixel and slot"] <= most
