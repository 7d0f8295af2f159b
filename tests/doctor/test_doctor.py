"""The doctor: on made-up machines with each thing missing; on this one; and with broken libraries about."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asda_fast.cli import doctor as command
from asda_fast.doctor import trials
from asda_fast.doctor.checks import Check, check, works
from asda_fast.doctor.machine import GIB, Gpu, Machine, Space, ask_driver, look, torch_cuda
from asda_fast.doctor.requirements import Requirement

H100 = Gpu("NVIDIA H100", (9, 0), 80 * GIB)
WHOLE = Machine(
    python=(3, 12, 4),
    system="Linux x86_64",
    requires=(
        "torch>=2.9.1", "numpy>=1.26",
        'nvidia-dali-cuda130<2.3,>=2.0; extra == "dali-cuda13"',
        'nvidia-dali-cuda120<2.3,>=2.0; extra == "dali-cuda12"',
        'cupy-cuda13x>=14.0; extra == "cuda13"', 'nvidia-cuda-nvrtc<14,>=13; extra == "cuda13"',
        'cupy-cuda12x>=13.6; extra == "cuda12"', 'nvidia-cuda-nvrtc-cu12>=12.4; extra == "cuda12"',
    ),
    packages={
        "torch": "2.13.0+cu130", "numpy": "2.4.6", "cupy-cuda13x": "14.2.0", "nvidia-cuda-nvrtc": "13.0.88",
        "nvidia-dali-cuda130": "2.2.0", "nvidia-nvimgcodec-cu13": "0.8.0.22",
    },
    torch_cuda="13.0",
    extension="_C.so",
    compiler="g++ 12.2",
    driver="580.65.06",
    driver_cuda=(13, 0),
    gpus=(H100, H100),
    cores=16,
    memory=64 * GIB,
    shared=Space("/dev/shm", 8 * GIB),
    disk=Space("/runs", 100 * GIB),
    cache=Space("/cache", 100 * GIB),
)  # fmt: skip
BARE = replace(WHOLE, gpus=(), driver=None, driver_cuda=None, torch_cuda=None)


def packages(*gone: str, of: Machine = WHOLE, **more: str) -> dict[str, Any]:
    kept = {name: version for name, version in of.packages.items() if name not in gone}
    return {"packages": kept | {name.replace("_", "-"): version for name, version in more.items()}}


def find(checks: list[Check], name: str) -> Check:
    return next(one for one in checks if one.name == name)


def test_where_all_is_there_all_is_well() -> None:
    assert [one.name for one in check(WHOLE) if one.status != "ok"] == []
    assert "2 x NVIDIA H100 (sm_90, 80 GiB), driver 580.65.06 (CUDA 13.0)" in find(check(WHOLE), "GPU").found


CASES: list[tuple[str, str, str, str, dict[str, Any]]] = [
    # of WHOLE what is changed -> which line, its status, what it says, how to get it
    ("python", "broken", "3.9.1", "3.10 to 3.13", {"python": (3, 9, 1)}),
    ("python", "broken", "3.14.0", "3.10 to 3.13", {"python": (3, 14, 0)}),
    ("compiler", "absent", "none", "apt-get install g++", {"compiler": None}),
    ("compiler", "broken", "none", "g++", {"compiler": None, "extension": None}),
    ("C++ module", "broken", "not built", "make env", {"extension": None}),
    ("C++ module", "broken", "died of SIGILL", "make env", {"extension_error": "died of SIGILL"}),
    ("C++ module", "caution", "no AVX2", "AVX2", {"avx2": False}),
    ("torch", "broken", "not installed", "pytorch.org", packages("torch")),
    ("torch", "broken", "2.8.0, not what", "pytorch.org", packages(torch="2.8.0")),
    ("numpy", "broken", "not installed", "pip install 'numpy>=1.26'", packages("numpy")),
    ("packages", "caution", "not installed", "make env", {"requires": ()}),
    ("torch", "caution", "the GPU is not used", "up to 13.0", {"torch_cuda": None}),
    ("torch", "caution", "newer than the driver", "driver from 580", {"driver_cuda": (12, 4)}),
    ("GPU", "absent", "no NVIDIA driver", "", {"driver": None, "driver_cuda": None, "gpus": ()}),
    ("GPU", "caution", "without its library", "--gpus all", {"driver_cuda": None, "gpus": ()}),
    ("GPU", "caution", "no GPU: CUDA error 803", "nvidia-smi", {"driver_error": "CUDA error 803", "gpus": ()}),
    ("GPU", "caution", "no answer", "restart", {"driver_cuda": None, "driver_error": "no answer in 15 s", "gpus": ()}),
    ("GPU", "caution", "none there", "CUDA_VISIBLE_DEVICES", {"gpus": ()}),
    ("GPU", "caution", "sm_70", "gpu-check", {"gpus": (Gpu("V100", (7, 0), 16 * GIB),)}),
    ("CuPy", "broken", "not installed", "pip install 'cupy-cuda13x>=14.0'", packages("cupy-cuda13x")),
    ("CuPy", "broken", "overwrite each other", "uninstall cupy-cuda13x cupy-cuda12x,", packages(cupy_cuda12x="13.6")),
    ("CuPy", "broken", "torch for CUDA 13.0", "uninstall cupy-cuda12x", packages("cupy-cuda13x", cupy_cuda12x="13.6")),
    ("CuPy", "broken", "13.2.0, not what", "'cupy-cuda13x>=14.0'", packages(cupy_cuda13x="13.2.0")),
    ("CuPy", "broken", "not installed", "'cupy-cuda12x>=13.6'", {"torch_cuda": "12.6", **packages("cupy-cuda13x")}),
    ("NVRTC", "broken", "not installed", "pip install 'nvidia-cuda-nvrtc>=13,<14'", packages("nvidia-cuda-nvrtc")),
    ("NVRTC", "ok", "libnvrtc.so.13", "", {"nvrtc": "/usr/local/cuda/lib64/libnvrtc.so.13",
                                           **packages("nvidia-cuda-nvrtc")}),
    ("DALI", "caution", "--pipeline native", "'nvidia-dali-cuda130>=2.0,<2.3'", packages("nvidia-dali-cuda130")),
    ("DALI", "caution", "overwrite each other", "uninstall", packages(nvidia_dali_cuda120="2.2.0")),
    ("DALI", "caution", "torch for CUDA 12.6", "cuda120>=2.0,<2.3'",
     {"torch_cuda": "12.6", **packages("cupy-cuda13x", cupy_cuda12x="13.6", nvidia_cuda_nvrtc_cu12="12.6")}),
    ("nvImageCodec", "absent", "comes with DALI", "", packages("nvidia-dali-cuda130", "nvidia-nvimgcodec-cu13")),
    ("nvImageCodec", "caution", "crash a GPU", "<2.3'", packages(nvidia_nvimgcodec_cu13="0.9.0.20")),
    ("nvImageCodec", "caution", "crash a GPU", "<2.3'", packages("nvidia-nvimgcodec-cu13", nvidia_dali_cuda130="2.4")),
    ("cores", "caution", "16 seen, 2 granted", "--threads 2", {"quota": 2.0}),
    ("memory", "caution", "1.0 GiB", "--batch-size", {"memory": GIB}),
    ("shared memory", "caution", "0.1 GiB", "--shm-size", {"shared": Space("/dev/shm", 64 << 20)}),
    ("shared memory", "absent", "0.1 GiB", "--shm-size", {"gpus": (H100,), "shared": Space("/dev/shm", 64 << 20)}),
    ("shared memory", "absent", "no /dev/shm", "", {"shared": None}),
    ("disk", "caution", "0.5 GiB", "--out", {"disk": Space("/runs", GIB // 2)}),
    ("disk", "caution", "cannot be written", "--out", {"disk": Space("/runs", 9 * GIB, False)}),
    ("cache", "caution", "cannot be written", "ASDA_FAST_CACHE", {"cache": Space("/c", 9 * GIB, False)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "says", "get", "changed"), CASES)
def test_each_thing_missing(name: str, status: str, says: str, get: str, changed: dict[str, Any]) -> None:
    checks = check(replace(WHOLE, **changed))
    one = find(checks, name)
    assert (one.status, says in one.found, get in one.remedy) == (status, True, True), one
    assert bool(one.remedy) == bool(get)
    assert works(checks) is (status != "broken")
    assert all("\n" not in c.found + c.remedy for c in checks)


@pytest.mark.parametrize("name", ["cupy-cuda13x", "nvidia-cuda-nvrtc", "nvidia-dali-cuda130"])
def test_a_machine_without_a_gpu_lacks_nothing_of_one(name: str) -> None:
    assert works(check(replace(BARE, **packages(name, torch="2.13.0+cpu"))))


@pytest.mark.parametrize(
    ("line", "version", "met"),
    [
        ("torch>=2.9.1", "2.9.1+cu130", True),
        ("torch>=2.9.1", "2.10.0", True),
        ("torch>=2.9.1", "2.9", False),
        ('nvidia-cuda-nvrtc<14,>=13; extra == "cuda13"', "13.0.88", True),
        ('nvidia-cuda-nvrtc<14,>=13; extra == "cuda13"', "14.0", False),
        ("ninja", "1", True),
    ],
)
def test_versions_and_bounds(line: str, version: str, met: bool) -> None:
    assert Requirement.parse(line).met(version) is met


@pytest.mark.parametrize(
    ("line", "cuda"), [("cuda: Optional[str] = '13.0'", "13.0"), ("cuda = None", None), ('cuda = "12.6"', "12.6")]
)
def test_torch_tells_its_cuda_without_being_imported(tmp_path: Path, line: str, cuda: str | None) -> None:
    (tmp_path / "version.py").write_text(f"debug = False\n{line}\nhip: Optional[str] = '6.0'\n")
    assert torch_cuda(tmp_path / "version.py") == cuda


def test_this_machine() -> None:
    machine = look()
    assert machine.extension is not None
    assert machine.extension_error is None
    assert machine.packages["torch"] and machine.packages["numpy"]
    assert machine.cores >= 1 and machine.memory > 0 and machine.disk.free > 0


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("", "ok", "works"),
        ("import os; os.abort()", "broken", "died of SIGABRT"),
        ("raise ImportError('libcufft.so.11: no such file')", "broken", "ImportError: libcufft.so.11: no such file"),
        ("import time; time.sleep(60)", "broken", "no end in 1 s"),
    ],
)
def test_what_is_tried_takes_nothing_down(code: str, status: str, says: str) -> None:
    one = trials.attempt("try x", code, limit=1.0 if "sleep" in code else 60.0)
    assert (one.status, says in one.found) == (status, True), one


def test_what_is_tried_depends_on_the_machine() -> None:
    assert {"try paste, cuda", "try dali, cuda", "try native, cpu"} <= set(trials.trials(WHOLE))
    assert not [name for name in trials.trials(BARE) if "cuda" in name]
    for code in trials.trials(WHOLE).values():
        compile(code, "trial", "exec")


def test_json_and_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "look", lambda: replace(WHOLE, extension=None))
    with pytest.raises(SystemExit) as ended:
        command.doctor(command.DoctorOptions(json=True))
    assert ended.value.code == 1
    said = json.loads(capsys.readouterr().out)
    assert said["works"] is False
    assert {"name": "C++ module", "status": "broken"}.items() <= said["checks"][2].items()
    assert said["machine"]["gpus"][0]["name"] == "NVIDIA H100"
    monkeypatch.setattr(command, "look", lambda: WHOLE)
    command.doctor(command.DoctorOptions())
    assert capsys.readouterr().out.splitlines()[-1] == "asda_fast works here"


def test_it_answers_where_nothing_can_be_imported() -> None:
    code = (
        "import sys\nsys.modules.update(dict.fromkeys(('torch', 'numpy', 'cupy', 'nvidia', 'tyro', 'rich', 'cv2')))\n"
        "sys.argv = ['asda-fast', 'doctor', '--json']\nfrom asda_fast.cli.main import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert [one["name"] for one in json.loads(done.stdout)["checks"]][:3] == ["python", "compiler", "C++ module"]


DRIVER = """
#include <stdlib.h>
#include <string.h>
static int code() { const char *c = getenv("MADE_UP"); return c ? atoi(c) : 0; }
int cuDriverGetVersion(int *v) { *v = 12040; return 0; }
int cuInit(unsigned f) { if (code() == -1) abort(); return code(); }
int cuDeviceGetCount(int *n) { *n = 2; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDeviceGetName(char *s, int n, int d) { strncpy(s, d ? "B" : "A", n); return 0; }
int cuDeviceTotalMem_v2(size_t *m, int d) { *m = (size_t)5 << 33; return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 9 : 1 + d; return 0; }
"""


def test_a_driver_is_asked_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    (tmp_path / "driver.c").write_text(DRIVER)
    command = ["cc", "-shared", "-fPIC", "-w", "-o", tmp_path / "libcuda.so.1", tmp_path / "driver.c"]
    subprocess.run(command, check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    found = ask_driver()
    assert found["cuda"] == [12, 4]
    assert found["gpus"][1] == {"name": "B", "capability": [9, 2], "memory": 5 << 33}
    monkeypatch.setenv("MADE_UP", "803")
    assert "CUDA error 803: driver and library of different versions" in ask_driver()["error"]
    monkeypatch.setenv("MADE_UP", "-1")
    assert ask_driver() == {"error": "died of SIGABRT"}
