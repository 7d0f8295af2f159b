"""What reaches the driver: one launch a direction, prepared once, with the parameter that the kernels read."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
import torch

from asda_fast.ops import nvrtc, paste, paste_cuda
from asda_fast.ops.paste_arguments import PasteSpec

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture
def launches(monkeypatch):
    """paste of CPU tensors, up to the driver."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))
    from benchmarks.paste_launch import stubbed

    with stubbed() as seen:
        yield seen


def test_one_launch_a_direction_prepared_once(launches, scene):
    s = scene(3, 2, 20, 24)
    matrix = s.matrix.requires_grad_()
    for turn in range(3):
        out = paste(s.image, s.pool, s.part, matrix, MEAN, STD)
        assert len(launches) == 2 * turn + 1
        torch.autograd.grad(out.sum(), matrix)
        assert len(launches) == 2 * turn + 2
        assert paste_cuda._prepare.cache_info().misses == 2
    assert launches[:2] == launches[2:4] == launches[4:]
    paste(s.image[:1], s.pool, s.part[:1], matrix[:1], MEAN, STD)
    assert paste_cuda._prepare.cache_info().misses == 3, "another batch is another launch"


def test_nothing_is_launched_for_nothing(launches, scene):
    s = scene(2, 1, 8, 8)
    paste(s.image[:0], s.pool, s.part[:0], s.matrix[:0])
    assert launches == []


@pytest.mark.parametrize(("current", "moves"), [(1, [1]), (0, [1, 0])])
def test_the_parameter_and_the_device(monkeypatch, current, moves):
    """The driver gets the address of a list of one address, that of the parameter; the device is put back."""
    params, seen, devices = bytes(range(200)), [], []

    def launch(handle, *rest):
        held = ctypes.c_void_p.from_address(rest[8]).value
        seen.append((handle, rest[:8], ctypes.string_at(held, len(params)), rest[9]))
        if handle == 8:
            raise RuntimeError("out of resources")

    driver = nvrtc.Driver(launch, lambda device: 40 + device, lambda: current, devices.append)
    monkeypatch.setattr(nvrtc, "driver", lambda: driver)
    nvrtc.launch(7, 5, 256, params, 1)
    assert seen == [(7, (5, 1, 1, 256, 1, 1, 0, 41), params, 0)]
    assert devices == moves
    with pytest.raises(RuntimeError, match="resources"):
        nvrtc.launch(8, 5, 256, params, 1)
    assert devices == moves * 2


def test_the_packed_parameter(monkeypatch, scene):
    """Every pointer where struct Paste has it, and the rest as `launch_config` says."""
    s, seen = scene(2, 3, 16, 32), []
    report = np.zeros(3, np.int64)
    monkeypatch.setattr(nvrtc, "compile", lambda *what: 1)
    monkeypatch.setattr(nvrtc, "launch", lambda handle, blocks, threads, params, device: seen.append((blocks, params)))
    monkeypatch.setattr(paste_cuda, "_report", lambda device: (report.data, report.ctypes.data))
    spec = PasteSpec(MEAN, STD, torch.float32, True, True)
    out = paste_cuda.forward(s.image, s.pool.texels, s.pool.table, s.part, s.matrix, spec)
    paste_cuda._prepare.cache_clear()
    paste_cuda._kernel.cache_clear()
    variant = paste_cuda.Variant("forward", torch.float32, False, torch.float32, True, True)
    config = paste_cuda.launch_config(variant, 2, 3, 16, 32, len(s.pool), spec)
    ((blocks, params),) = seen
    found = np.frombuffer(params, config.params.dtype)[0]
    assert blocks == config.blocks
    where = {"image": s.image, "texels": s.pool.texels, "table": s.pool.table, "part": s.part, "matrix": s.matrix}
    for name in paste_cuda.POINTERS:
        expected = {**where, "out": out}.get(name)
        address = report.ctypes.data if name == "report" else 0 if expected is None else expected.data_ptr()
        assert found[name] == address, name
    for name in ("parts", "batch", "slots", "height", "width", "across", "tiles", "strips", "mips"):
        assert found[name] == config.params[name], name
    assert np.array_equal(found["offset"], np.float32(MEAN) / np.float32(STD))
