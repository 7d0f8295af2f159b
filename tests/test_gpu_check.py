"""`make gpu-check`, tried without a GPU: every section is reached, and a broken one stops no other."""

from __future__ import annotations

import json
import shutil
import struct
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import gpu_check, gpu_site
from benchmarks.gpu_check import Section
from tools.gpu_pack import FATBIN, prune


def small(name: str, code: str, limit: float = 60, **more: object) -> Section:
    return replace(Section(name, limit, f'{{python}} -c "{code}"', ""), **more)


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "describe", lambda python: {"gpu": "NVIDIA H100 80GB HBM3"})
    monkeypatch.delenv("ASDA_FAST_REQUIRE_CUDA", raising=False)


def checked(sections: list[Section], out: Path, seconds: float = 600) -> dict[str, gpu_check.Outcome]:
    found = gpu_check.check(sections, out, "cpu", False, seconds, sys.executable)
    assert [outcome.name for outcome in found] == [section.name for section in sections]
    return {outcome.name: outcome for outcome in found}


def test_each_section_fails_alone(no_torch: None, tmp_path: Path) -> None:
    sections = [
        small("broken", "import sys; sys.exit('error: on purpose')"),
        small("segfault", "import os; os.kill(os.getpid(), 11)"),
        small("hangs", "import time; print('begun', flush=True); time.sleep(600)", limit=3),
        small("lacks_a_tool", "1", tool="no-such-program"),
        Section("no_such_command", 60, "./no-such-file", ""),
        small("beside", "print('3 passed in 0.1 s')", beside=True),
        small("good", "open(r'{out}/good-{gpu}.json', 'w').write('1')"),
    ]
    begun = time.monotonic()
    found = checked(sections, tmp_path)
    assert time.monotonic() - begun < 60
    statuses = {name: outcome.status for name, outcome in found.items()}
    assert statuses == {
        "broken": "failed", "segfault": "failed", "hangs": "timeout", "lacks_a_tool": "skipped",
        "no_such_command": "failed", "beside": "passed", "good": "passed",
    }  # fmt: skip
    assert found["broken"].said == "exit code 1; error: on purpose"
    assert found["hangs"].said == "ended after 3 s; begun"
    assert "no-such-program" in found["lacks_a_tool"].said
    assert (tmp_path / "good-nvidia-h100-80gb-hbm3.json").read_text() == "1"
    record = json.loads((tmp_path / "check-nvidia-h100-80gb-hbm3.json").read_text())
    assert [row["status"] for row in record["sections"]] == list(statuses.values())


def test_what_no_longer_fits_is_left_out_by_name(no_torch: None, tmp_path: Path) -> None:
    found = checked([small("first", "import time; time.sleep(3)"), small("second", "1")], tmp_path, seconds=32)
    assert found["first"].status == "passed"
    assert found["second"].status == "skipped"
    assert "left of --seconds" in found["second"].said


def test_a_timed_out_section_leaves_no_process(no_torch: None, tmp_path: Path) -> None:
    child = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    )
    checked([small("parent", child + "print(p.pid, flush=True); time.sleep(600)", limit=5)], tmp_path)
    pid = (tmp_path / "logs" / "parent.log").read_text().split()[0]
    for _ in range(100):
        status = Path(f"/proc/{pid}/status")
        if not status.is_file() or "State:\tZ" in status.read_text():
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} is still there")


def test_dry_run_reaches_every_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a GPU machine runs it, each section tiny; one of them is broken on purpose."""
    broken = [
        replace(s, dry="{python} -c 'raise SystemExit(3)'") if s.name == "racecheck" else s for s in gpu_check.SECTIONS
    ]
    monkeypatch.setattr(gpu_check, "SECTIONS", broken)
    monkeypatch.delenv("ASDA_FAST_REQUIRE_CUDA", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    code = gpu_check.main(["--dry-run", "--device", "cpu", "--out", str(tmp_path)])
    printed = capsys.readouterr()
    (record,) = tmp_path.glob("check-*.json")
    sections = {row["name"]: row for row in json.loads(record.read_text())["sections"]}
    assert list(sections) == [section.name for section in gpu_check.SECTIONS], printed
    bad = {name: row for name, row in sections.items() if row["status"] != "passed"}
    assert list(bad) == ["racecheck"], bad
    assert code == 1
    for name in ("paste", "step", "loader"):
        assert json.loads(next(tmp_path.glob(f"{name}-*.json")).read_text())["results"]


def test_a_missing_package_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(gpu_site.NEEDED, "no_such_module", "no-such-package")
    monkeypatch.setattr(gpu_site, "CARRY", tmp_path)
    assert gpu_check.main(["--ready"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("missing: no-such-package; ")
    assert "make gpu-pack" in line


def test_what_is_missing_even_so_stops_nothing_but_torch(
    no_torch: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gpu_site, "CARRY", tmp_path)
    monkeypatch.setattr(gpu_check, "SECTIONS", [replace(small("only", "1"), dry="{python} -c 1")])
    monkeypatch.setitem(gpu_site.NEEDED, "no_such_module", "no-such-package")
    arguments = ["--dry-run", "--device", "cpu", "--out", str(tmp_path)]
    assert gpu_check.main(arguments) == 0
    monkeypatch.setitem(gpu_site.NEEDED, "no_such_module", "torch")
    assert gpu_check.main(arguments) == 2


def test_without_a_gpu_only_a_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_check.main(["--device", "cpu"]) == 2
    assert "--dry-run" in capsys.readouterr().err


def test_carried_wheels_are_unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import zipfile

    carry = tmp_path / "carry"
    carry.mkdir()
    with zipfile.ZipFile(carry / "carried_thing-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carried_thing.py", "VALUE = 7\n")
        wheel.writestr(
            "carried_thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: carried-thing\nVersion: 1.0\n"
        )
        wheel.writestr(
            "carried_thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("carried_thing-1.0.dist-info/RECORD", "")
    monkeypatch.setattr(gpu_site, "CARRY", carry)
    monkeypatch.setattr(gpu_site, "SITE", tmp_path / "site")
    monkeypatch.setitem(gpu_site.NEEDED, "carried_thing", "carried-thing")
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    assert gpu_site.missing() == ["carried-thing"]
    assert gpu_site.unpack() == []
    assert (tmp_path / "site" / "carried_thing.py").is_file()


def test_dali_comes_in_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One a call, each in the place of the one before; what is cut short is said and not taken for whole."""
    carry, made = tmp_path / "carry", tmp_path / "made"
    (made / "nvidia" / "dali").mkdir(parents=True)
    (made / "nvidia" / "__init__.py").touch()
    (made / "nvidia" / "dali" / "__init__.py").write_text("VALUE = 7\n")
    with tarfile.open(tmp_path / "whole", "w:xz") as archive:
        archive.add(made, ".")
    data = (tmp_path / "whole").read_bytes()
    monkeypatch.setattr(gpu_site, "CARRY", carry)
    monkeypatch.setattr(gpu_site, "DALI", tmp_path / "gpu" / "dali")

    def bring(number: int, part: bytes) -> str | None:
        shutil.rmtree(carry, ignore_errors=True)
        carry.mkdir()
        (carry / "dali.parts").write_text("2\n")
        (carry / f"dali.tar.xz.{number}").write_bytes(part)
        return gpu_site.unpack_dali()

    assert gpu_site.unpack_dali() is None, "nothing was carried"
    assert bring(0, data[:100]) == "DALI: waits for dali.tar.xz.1"
    said = bring(1, data[100:150])
    assert said is not None and said.startswith("DALI: cannot be unpacked (") and not gpu_site.DALI.exists()
    assert bring(1, data[100:]) is None
    assert sorted(path.name for path in (gpu_site.DALI / "nvidia").iterdir()) == ["dali"]
    assert bring(1, b"") is None, "it is there"


def test_what_a_section_was_to_say_comes_home(no_torch: None, tmp_path: Path) -> None:
    """One that is out of time is asked to end before it is made to; all is kept as one file; what needs a module that
    is not there is skipped, which is no pass."""
    asked = "import signal, time, sys; print('begun', flush=True)\ntry: time.sleep(600)\nexcept KeyboardInterrupt: "
    asked += "print('=== 3 passed in 2 s ===')"
    script = tmp_path / "asked.py"
    script.write_text(asked)
    sections = [
        Section("hangs", 3, f"{{python}} {script}", ""),
        small("lacks_a_module", "1", needs="no_such.module"),
        small("env", "import os, sys; sys.exit(os.environ['KEPT'] != '1')", env=(("KEPT", "1"),)),
    ]
    (tmp_path / "out" / "run").mkdir(parents=True)
    (tmp_path / "out" / "run" / "last.json").touch()
    pack = tmp_path / "all.tar.gz"
    found = gpu_check.check(sections, tmp_path / "out", "cpu", False, 600, sys.executable, pack)
    assert [outcome.status for outcome in found] == ["timeout", "skipped", "passed"]
    assert "3 passed" in found[0].said and found[1].said == "no_such.module: not installed"
    with tarfile.open(pack) as archive:
        assert {"check-nvidia-h100-80gb-hbm3.json", "logs/hangs.log", "logs/env.log"} == set(archive.getnames())


@pytest.mark.parametrize(("have", "kept"), [([80, 90], [90]), ([80, 86], [80 * 0]), ([89, 90, 100], [90])])
def test_pruning_keeps_one_architecture(have: list[int], kept: list[int]) -> None:
    """A container by hand: header of 16 bytes, an entry of 64 bytes of header and 32 of code for each architecture, and
    PTX, which stays where no machine code fits."""
    entries = b""
    for kind, architecture in [(1, 52), *((2, a) for a in have)]:
        head = struct.pack("<HHIQ", kind, 0, 64, 32).ljust(28, b"\0") + struct.pack("<I", architecture)
        entries += head.ljust(64, b"\0") + bytes([architecture]) * 32
    data = bytearray(b"\x7f" * 32 + struct.pack("<IHHQ", FATBIN, 1, 16, len(entries)) + entries + b"\x7f" * 16)
    size = len(entries) + 16
    prune(data, f"  [ 1] .nv_fatbin PROGBITS 0000 {32:x} {size:x} 00", 90)
    left = {a for a in [52, *have] if bytes([a]) * 32 in data}
    assert left == ({52} if kept == [0] else set(kept))
    assert data[:32] == b"\x7f" * 32
    assert data[-16:] == b"\x7f" * 16
