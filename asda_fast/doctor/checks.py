"""From the facts of a machine to a line each: what works, what is missing and how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from asda_fast.doctor.machine import GIB, Machine, Space
from asda_fast.doctor.requirements import Requirement, needed, of_extra
from asda_fast.pipelines.dali_version import BROKEN_FROM, breaks_regions

Status = Literal["ok", "absent", "caution", "broken"]
PYTHONS = ((3, 10), (3, 14))  # from, below
DRIVERS = {13: "580", 12: "525"}  # the least driver of a CUDA major version
MADE_FOR = (8, 0)  # compute capability that the kernels are compiled and counted for; older ones may run them
DISK, CACHE, MEMORY, SHARED = 2 * GIB, GIB // 10, 2 * GIB, GIB  # below these a line says so


@dataclass(frozen=True)
class Check:
    """ok; absent: not there, and nothing here needs it; caution: works, not as well as it could; broken: asda_fast, or
    its training on the GPU that is there, does not work."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def check(machine: Machine) -> list[Check]:
    """All lines, in the order in which a repair would go."""
    return [
        _python(machine), _compiler(machine), _extension(machine), *_packages(machine), _torch(machine),
        _gpu(machine), _cupy(machine), _nvrtc(machine), _dali(machine), _codec(machine), _cores(machine),
        _memory(machine), _shared(machine), _disk("disk", machine.disk, DISK), _disk("cache", machine.cache, CACHE),
    ]  # fmt: skip


def works(checks: list[Check]) -> bool:
    return all(check.status != "broken" for check in checks)


def on_gpu(machine: Machine) -> bool:
    """Whether torch will find a GPU here."""
    return bool(machine.gpus) and machine.torch_cuda is not None and not _driver_too_old(machine)


def cuda_major(machine: Machine) -> str:
    """Which builds of DALI and CuPy go here: as torch is built; without CUDA there, as the driver runs; else 13."""
    for version in (machine.torch_cuda, machine.driver_cuda and str(machine.driver_cuda[0])):
        if version and version.split(".")[0] in ("12", "13"):
            return version.split(".")[0]
    return "13"


def _driver_too_old(machine: Machine) -> bool:
    # Within a major version an older driver runs what a newer CUDA built.
    return bool(
        machine.torch_cuda and machine.driver_cuda and machine.driver_cuda[0] < int(machine.torch_cuda.split(".")[0])
    )


def _pip(found: list[Requirement], fallback: str) -> str:
    return "pip install " + (" ".join(map(str, found)) or fallback)


def _python(machine: Machine) -> Check:
    version = ".".join(map(str, machine.python))
    if PYTHONS[0] <= machine.python[:2] < PYTHONS[1]:
        return Check("python", "ok", f"{version}, {machine.system}")
    return Check("python", "broken", version, "Python 3.10 to 3.13, in an environment of its own")


def _compiler(machine: Machine) -> Check:
    if machine.compiler:
        return Check("compiler", "ok", machine.compiler)
    status: Status = "absent" if machine.extension and not machine.extension_error else "broken"
    return Check("compiler", status, "none; only building from source needs one", "apt-get install g++")


def _extension(machine: Machine) -> Check:
    build = "make env, or pip install . in the source folder"
    if machine.extension is None:
        return Check("C++ module", "broken", "not built for this Python", build)
    if machine.extension_error:
        return Check("C++ module", "broken", f"does not load: {machine.extension_error}", build)
    if "x86_64" in machine.system and not machine.avx2:
        return Check("C++ module", "caution", "loads; no AVX2: portable code, slower", "a processor with AVX2")
    return Check("C++ module", "ok", f"loads{', AVX2' if machine.avx2 else ''}")


def _packages(machine: Machine) -> Iterator[Check]:
    """A line for those that are there, and one for each that is not."""
    required = [one for one in needed(machine.requires) if one.name != "torch"]  # which has a line of its own
    if not required:
        yield Check("packages", "caution", "asda_fast is not installed: what it requires is not known", "make env")
        return
    good = 0
    for one in required:
        version = machine.packages.get(one.name)
        if version is None:
            yield Check(one.name, "broken", "not installed", _pip([one], one.name))
        elif not one.met(version):
            yield Check(one.name, "broken", f"{version}, not what asda_fast asks for", _pip([one], one.name))
        else:
            good += 1
    if good == len(required):
        yield Check("packages", "ok", f"all {good} that asda_fast requires beside torch")


def _torch(machine: Machine) -> Check:
    version, cuda = machine.packages.get("torch"), machine.torch_cuda
    builds = "the pip line of pytorch.org/get-started"
    if version is None:
        return Check("torch", "broken", "not installed", builds)
    asked = next((one for one in needed(machine.requires) if one.name == "torch"), None)
    if asked and not asked.met(version):
        return Check("torch", "broken", f"{version}, not what asda_fast asks for: {asked}", builds)
    if cuda is None and machine.gpus:
        newest = ".".join(map(str, machine.driver_cuda or ()))
        return Check("torch", "caution", f"{version}, built without CUDA: the GPU is not used",
                     f"{builds}, for CUDA up to {newest}")  # fmt: skip
    if cuda is None:
        return Check("torch", "ok", f"{version}, built without CUDA")
    if _driver_too_old(machine):
        return Check("torch", "caution", f"{version}, built for CUDA {cuda}: newer than the driver, so no GPU is seen",
                     f"a driver from {DRIVERS.get(int(cuda.split('.')[0]), 'NVIDIA')} on, or {builds} "
                     f"for CUDA {(machine.driver_cuda or (12,))[0]}")  # fmt: skip
    return Check("torch", "ok", f"{version}, built for CUDA {cuda}")


def _gpu(machine: Machine) -> Check:
    if machine.driver_cuda is None:
        if machine.driver_error:
            return Check("GPU", "caution", f"the driver: {machine.driver_error}", "restart, or another driver")
        if machine.driver is not None:
            return Check("GPU", "caution", "NVIDIA's driver without its library libcuda.so.1",
                         "in a container: --gpus all, with the NVIDIA container toolkit")  # fmt: skip
        return Check("GPU", "absent", "no NVIDIA driver: the CPU does everything")
    driver = f"driver {machine.driver or 'of unknown version'} (CUDA {'.'.join(map(str, machine.driver_cuda))})"
    if machine.driver_error or not machine.gpus:
        return Check("GPU", "caution", f"{driver} gives no GPU: {machine.driver_error or 'none there'}",
                     "nvidia-smi; CUDA_VISIBLE_DEVICES; in a container: --gpus all")  # fmt: skip
    each = [f"{g.name} (sm_{g.capability[0]}{g.capability[1]}, {g.memory / GIB:.0f} GiB)" for g in machine.gpus]
    names = ", ".join(f"{each.count(one)} x {one}" for one in dict.fromkeys(each))
    if any(gpu.capability < MADE_FOR for gpu in machine.gpus):
        return Check("GPU", "caution", f"{names}, {driver}; older than what the kernels are made for (sm_80)",
                     "make gpu-check says whether they run")  # fmt: skip
    return Check("GPU", "ok", f"{names}, {driver}")


def _cupy(machine: Machine) -> Check:
    major, wanted = cuda_major(machine), on_gpu(machine)
    there = [name for name in machine.packages if name.startswith("cupy")]
    asked = [one for one in of_extra(machine.requires, f"cuda{major}") if one.name.startswith("cupy")]
    get = _pip(asked, f"cupy-cuda{major}x")
    if not there:
        return Check("CuPy", "broken" if wanted else "absent", "not installed; paste on a GPU needs it", get)
    versions = ", ".join(f"{name} {machine.packages[name]}" for name in there)
    if len(there) > 1:
        return Check("CuPy", "broken" if wanted else "caution", f"{versions}: they overwrite each other",
                     f"pip uninstall {' '.join(there)}, then {get}")  # fmt: skip
    if wanted and there[0] not in ("cupy", f"cupy-cuda{major}x"):
        return Check("CuPy", "broken", f"{versions}, beside a torch for CUDA {machine.torch_cuda}",
                     f"pip uninstall {there[0]}, then {get}")  # fmt: skip
    if asked and there[0] == asked[0].name and not asked[0].met(machine.packages[there[0]]):
        return Check("CuPy", "broken" if wanted else "caution", f"{versions}, not what asda_fast asks for", get)
    return Check("CuPy", "ok", versions)


def _nvrtc(machine: Machine) -> Check:
    major, wanted = cuda_major(machine), on_gpu(machine)
    name = "nvidia-cuda-nvrtc" if major == "13" else "nvidia-cuda-nvrtc-cu12"
    asked = [one for one in of_extra(machine.requires, f"cuda{major}") if one.name == name]
    if name in machine.packages:
        return Check("NVRTC", "ok", f"{name} {machine.packages[name]}")
    if machine.nvrtc:
        return Check("NVRTC", "ok", machine.nvrtc)
    status: Status = "broken" if wanted else "absent"
    return Check("NVRTC", status, "not installed; it compiles the kernels on a GPU", _pip(asked, name))


def _dali(machine: Machine) -> Check:
    major = cuda_major(machine)
    there = [name for name in machine.packages if name.startswith("nvidia-dali")]
    get = _pip(of_extra(machine.requires, f"dali-cuda{major}"), f"'nvidia-dali-cuda{major}0<2.3'")
    if not there:
        return Check("DALI", "caution", "not installed: --pipeline native loads without it", get)
    versions = ", ".join(f"{name} {machine.packages[name]}" for name in there)
    if len(there) > 1:
        return Check("DALI", "caution", f"{versions}: they overwrite each other",
                     f"pip uninstall {' '.join(there)}, then {get}")  # fmt: skip
    if on_gpu(machine) and there[0] != f"nvidia-dali-cuda{major}0":
        return Check("DALI", "caution", f"{versions}, beside a torch for CUDA {machine.torch_cuda}",
                     f"pip uninstall {there[0]}, then {get}")  # fmt: skip
    return Check("DALI", "ok", versions)


def _codec(machine: Machine) -> Check:
    dali = next((v for name, v in machine.packages.items() if name.startswith("nvidia-dali")), None)
    names = [name for name in machine.packages if name.startswith("nvidia-nvimgcodec")]
    codec = machine.packages[names[0]] if names else None
    if dali is None:
        return Check("nvImageCodec", "absent", "comes with DALI")
    said = f"{names[0]} {codec}" if names else "none beside DALI"
    if not breaks_regions(dali, codec):
        return Check("nvImageCodec", "ok", said)
    major = cuda_major(machine)
    get = _pip(of_extra(machine.requires, f"dali-cuda{major}"), f"'nvidia-dali-cuda{major}0<2.3'")
    crash = (
        f"{said}: from {'.'.join(map(str, BROKEN_FROM))} on regions of JPEGs crash a GPU, which decodes whole photos"
    )
    return Check("nvImageCodec", "caution" if on_gpu(machine) else "ok", crash, get if on_gpu(machine) else "")


def _cores(machine: Machine) -> Check:
    if machine.quota is not None and machine.quota < machine.cores - 0.5:
        granted = max(1, round(machine.quota))
        return Check("cores", "caution", f"{machine.cores} seen, {machine.quota:g} granted by the container",
                     f"--threads {granted} and OMP_NUM_THREADS={granted}")  # fmt: skip
    return Check("cores", "ok", f"{machine.cores} that this process may use")


def _memory(machine: Machine) -> Check:
    said = f"{machine.memory / GIB:.1f} GiB free"
    if 0 < machine.memory < MEMORY:
        return Check("memory", "caution", said, "a smaller --batch-size, fewer --threads")
    return Check("memory", "ok", said if machine.memory else "not told by this system")


def _shared(machine: Machine) -> Check:
    if machine.shared is None:
        return Check("shared memory", "absent", "no /dev/shm; only several GPUs need it")
    said = f"{machine.shared.free / GIB:.1f} GiB free in {machine.shared.where}"
    if machine.shared.free < SHARED or not machine.shared.writable:
        status: Status = "caution" if len(machine.gpus) > 1 else "absent"
        return Check("shared memory", status, f"{said}; several GPUs need more", "docker run --shm-size 8g")
    return Check("shared memory", "ok", said)


def _disk(name: str, space: Space, least: int) -> Check:
    said = f"{space.free / GIB:.1f} GiB free for {space.where}"
    other = "--out on another disk" if name == "disk" else "ASDA_FAST_CACHE=FOLDER on another disk"
    if not space.writable:
        return Check(name, "caution", f"{space.where} cannot be written", other)
    return Check(name, "caution", said, other) if space.free < least else Check(name, "ok", said)
