"""Every CUDA kernel compiles with NVRTC, without a GPU and without CuPy, for the architectures we name: the options are
those that `asda_fast.ops.paste_cuda` gives to CuPy, and what ptxas says of registers and spills is asserted."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from asda_fast.ops.paste_cuda import Variant

F64, F32, BF16, F16, U8 = torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.uint8

# Variant, registers at most. 64 and 80 are what four and three blocks of 256 threads on an SM leave to a thread.
KERNELS = {
    "forward float32": (Variant("forward", F32, False, F32, False, True), 64),
    "forward float32, odd width": (Variant("forward", F32, False, F32, False, False), 64),
    "forward uint8 -> float32": (Variant("forward", U8, True, F32, False, True), 64),
    "forward uint8 -> bfloat16 channels_last": (Variant("forward", U8, True, BF16, True, True), 64),
    "forward float16": (Variant("forward", F16, False, F16, False, True), 64),
    "forward uint8 -> uint8, odd width": (Variant("forward", U8, True, U8, True, False), 64),
    "forward float64": (Variant("forward", F64, False, F64, False, True), 128),
    "backward float32": (Variant("backward", F32, False, F32, False, True), 80),
    "backward uint8 -> bfloat16 channels_last": (Variant("backward", U8, True, BF16, True, True), 80),
    "backward float32 with image": (Variant("backward", F32, False, F32, False, True, True), 128),
    "backward bfloat16 channels_last with image, odd width": (
        Variant("backward", BF16, True, BF16, True, False, True),
        128,
    ),
    "backward float64 with image": (Variant("backward", F64, False, F64, False, True, True), 255),
}
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
JOBS = [(k, a) for k in KERNELS for a in ARCHITECTURES if a == "sm_90" or not ("odd" in k or "float64" in k)]
JOBS += [(k, "sm_75") for k in KERNELS if "bfloat16" in k and "odd" not in k]  # Turing rounds to bfloat16 by hand


@pytest.fixture(scope="module")
def offline():
    """benchmarks.compile_kernels: the compiler's C interface."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parents[2]))
        from benchmarks import compile_kernels

        yield compile_kernels


@pytest.fixture(scope="module")
def nvrtc(offline):
    return offline.Nvrtc()


@pytest.fixture(scope="module")
def compiled(offline, nvrtc):
    """(kernel, architecture) -> result, log, PTX, cubin; all at once, on all cores."""

    def one(job: tuple[str, str]) -> tuple[int, str, str, bytes]:
        variant = KERNELS[job[0]][0]
        return nvrtc.compile(variant.source(), offline.options(variant, job[1]))

    with ThreadPoolExecutor() as pool:
        return dict(zip(JOBS, pool.map(one, JOBS)))


@pytest.mark.parametrize(("kernel", "architecture"), JOBS)
def test_compiles_without_spills(offline, compiled, kernel, architecture, record_property):
    result, log, ptx, cubin = compiled[kernel, architecture]
    assert result == 0, log
    assert cubin.startswith(b"\x7fELF")
    assert "warning" not in log
    usage = offline.usage(log)
    print(f"{kernel}, {architecture}: {usage['registers']} registers")  # pytest -s, or -rP, shows the table
    record_property("registers", usage["registers"])
    assert usage["registers"] <= KERNELS[kernel][1]
    assert usage["stack"] == usage["stores"] == usage["loads"] == 0
    # Contracted multiply-adds would change the bits, and the tile masks are only exact without them.
    assert re.search(r"\bmul(\.ftz)?\.f(32|64)|\bmul\.rn(\.ftz)?\.f(32|64)", ptx)
    assert "fma." not in ptx


@pytest.mark.parametrize("kernel", ["forward float32", "backward float32"])
def test_wide_access(compiled, kernel):
    """Pixels move in 16-byte words, and sums are made without float atomics."""
    ptx = compiled[kernel, "sm_90"][2]
    assert len(re.findall(r"ld\.global\.v4", ptx)) >= 3
    if kernel.startswith("forward"):
        assert len(re.findall(r"st\.global\.cg\.v4", ptx)) == 3
        first_wait = ptx.index("bar.sync")
        assert len(re.findall(r"ld\.global\.v4", ptx[:first_wait])) == 3, "pixels are asked for before the slots"
        assert not re.search(r"st\.global\.(u8|u16|u32|u64|v2)", ptx)
    assert not re.search(r"\b(atom|red)\.[a-z.]*f(16|32|64)", ptx)


def test_spills_would_be_seen(offline, nvrtc):
    """The check can fail: with half of the registers the same kernel spills, and the log says so."""
    variant, most = KERNELS["backward float32"]
    source = variant.source().replace("asda::THREADS, BACKWARD_RESIDENT", "asda::THREADS, 8")
    assert source != variant.source()
    result, log, _, _ = nvrtc.compile(source, offline.options(variant, "sm_90"))
    assert result == 0, log
    usage = offline.usage(log)
    assert usage["registers"] <= 32 < most
    assert usage["stores"] > 0
