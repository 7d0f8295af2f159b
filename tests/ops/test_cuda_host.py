"""The shipped CUDA kernels, executed on the CPU under the shim of tests/cuda_host: `paste_cuda` runs as it is, only
its launch goes to a library compiled from the same .cu files. A GPU is needed for nothing here."""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import asda_fast
from asda_fast.ops import nvrtc
from asda_fast.ops import paste_cpu as cpu
from asda_fast.ops import paste_cuda as cuda
from asda_fast.ops import paste_reference as reference
from asda_fast.ops.paste_arguments import PasteSpec

ROOT = Path(__file__).resolve().parents[2]
HOST = ROOT / "tests" / "cuda_host"
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.uint8]  # as numbered in host.cpp
BUILDS = {
    "plain": ("-O0", "-fPIC", "-shared"),
    "address": ("-Og", "-g1", "-DSANITIZED", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "thread": ("-O1", "-g1", "-DSANITIZED", "-fsanitize=thread"),
}
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
F64, F32, BF16, F16, U8 = DTYPES
SPEC = PasteSpec(MEAN, STD, F32, False, True)


@pytest.fixture(scope="session")
def build(request, tmp_path_factory):
    """build(kind) -> path of the compiled host. What the chosen tests need is compiled side by side, once for a state
    of the sources: the plain one, and the sanitized ones where a test asks for this fixture itself."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or "c++"
    digest = hashlib.sha256(compiler.encode())
    for path in sorted([*HOST.glob("*"), *nvrtc.folder().glob("*")]):
        digest.update(path.read_bytes())
    cache = getattr(request.config, "cache", None)
    folder = cache.mkdir("cuda_host") if cache else tmp_path_factory.mktemp("cuda_host")
    partial = f".{os.getpid()}.partial"  # of this run: another one may compile the same
    running = {}
    sanitized = any("build" in inspect.signature(item.function).parameters for item in request.session.items)
    for kind, flags in BUILDS.items():
        if kind != "plain" and not sanitized:
            continue
        path = folder / f"{kind}-{hashlib.sha256(digest.digest() + ' '.join(flags).encode()).hexdigest()[:16]}"
        if not path.is_file():
            command = [compiler, "-std=c++20", *flags, "-Wno-unknown-pragmas", "-ffp-contract=off", "-pthread",
                       f"-I{nvrtc.folder()}", str(HOST / "host.cpp"), "-o", f"{path}{partial}"]  # fmt: skip
            running[kind] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        running[kind] = (running.get(kind), path)

    def get(kind: str) -> Path:
        process, path = running[kind]
        if process is not None and not path.is_file():
            output = process.communicate()[0]
            assert process.returncode == 0, output
            for old in folder.glob(f"{kind}-*"):
                if old.suffix != ".partial":
                    old.unlink(missing_ok=True)
            Path(f"{path}{partial}").replace(path)
        return path

    yield get
    for process, _ in running.values():
        if process is not None and process.poll() is None:
            process.kill()


class Host:
    """What stands in for the GPU: runs every launch in the library, and keeps the launches for a replay."""

    def __init__(self, library: Path) -> None:
        self.library = ctypes.CDLL(str(library))
        self.library.asda_params_size.restype = ctypes.c_int64
        self.report = np.zeros(3, np.int64)
        self.done: dict[int, torch.Tensor] = {}
        self.processors = 2  # blocks at once
        self.recorded: list[bytes] | None = None
        self.outputs: list[bytes] = []

    def counters(self, index: int, batch: int) -> torch.Tensor:
        return self.done.setdefault(batch, torch.zeros(batch, dtype=torch.int32))

    def run(self, launch: cuda.Prepared, given: tuple[torch.Tensor | None, ...]) -> None:
        variant, report = launch.variant, torch.from_numpy(self.report)
        if report[2]:
            cuda._raise_reported(self.report.data)
        if launch.blocks == 0:
            return
        tensors = (*given, report)
        addresses = [0 if tensor is None else tensor.data_ptr() for tensor in tensors]
        params = np.frombuffer(np.array(addresses, np.uint64).tobytes() + launch.rest, np.uint8)
        assert self.library.asda_params_size(int(variant.out == F64)) == params.nbytes
        code = DTYPES.index(variant.image) * 1000 + variant.image_nhwc * 100
        code += DTYPES.index(variant.out) * 10 + variant.out_nhwc
        numbers = (code, variant.direction == "backward", variant.wide, variant.need_image, launch.blocks)
        processors = self.processors if variant.direction == "backward" else 1  # only these blocks meet
        head = np.array([*numbers, processors, -1], np.int64)
        if self.recorded is not None:
            packed = [head.tobytes(), np.int64(params.nbytes).tobytes(), params.tobytes()]
            for tensor in tensors:
                content = b"" if tensor is None else _bytes(tensor)
                packed += [np.int64(len(content)).tobytes(), content]
            self.recorded.append(b"".join(packed))
        assert self.library.asda_run(ctypes.c_void_p(head.ctypes.data), ctypes.c_void_p(params.ctypes.data)) == 0, (
            f"host.cpp has no {variant}"
        )
        if self.recorded is not None:
            self.outputs.append(b"".join(_bytes(tensor) for tensor in tensors if tensor is not None))


def _bytes(tensor: torch.Tensor) -> bytes:
    """The storage of a dense tensor, in memory order."""
    return ctypes.string_at(tensor.data_ptr(), tensor.numel() * tensor.element_size())


@pytest.fixture
def host(build, monkeypatch):
    stand_in = Host(build("plain"))
    monkeypatch.setattr(cuda, "_run", stand_in.run)
    monkeypatch.setattr(nvrtc, "compile", lambda *what: None)
    monkeypatch.setattr(nvrtc, "counters", stand_in.counters)
    yield stand_in
    cuda._prepare.cache_clear()
    cuda._kernel.cache_clear()
    for held in stand_in.done.values():
        assert not held.any(), "a launch must leave its counters at zero"


def forward(ops, image, texels, table, part, matrix, mean, std, out_dtype, channels_last, mips):
    """That of a module of kernels."""
    return ops.forward(image, texels, table, part, matrix, PasteSpec(mean, std, out_dtype, channels_last, mips))


def backward(ops, v_out, image, texels, table, part, matrix, mean, std, mips, need_image):
    spec = PasteSpec(mean, std, v_out.dtype, False, mips)
    return ops.backward(v_out, image, texels, table, part, matrix, spec, need_image)


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    patches = [rng.integers(0, 256, (h, w, 4)).astype(np.uint8) for h, w in ((9, 13), (20, 7), (33, 31))]
    patches[1][..., 3] = 255  # an opaque one: nothing below it gets a gradient
    return asda_fast.PartPool.from_patches(patches)


def placements(batch, slots, height, width, seed=0, scale=(0.5, 1.5)):
    """part, matrix: turned and scaled parts somewhere on the image."""
    g = torch.Generator().manual_seed(seed)
    angle = torch.rand(batch, slots, generator=g, dtype=F64) * 6.28
    size = torch.rand(batch, slots, generator=g, dtype=F64) * (scale[1] - scale[0]) + scale[0]
    turn = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()], -1).view(batch, slots, 2, 2)
    centre = torch.rand(batch, slots, 2, 1, generator=g, dtype=F64) * torch.tensor([[width], [height]])
    turn = turn * size[..., None, None]
    part = torch.randint(-1, 3, (batch, slots), generator=g)
    return part, torch.cat([turn, 8 - turn @ centre], -1).to(torch.float32)


def picture(batch, height, width, dtype, channels_last, seed=1):
    g = torch.Generator().manual_seed(seed)
    if dtype == U8:
        image = torch.randint(0, 256, (batch, height, width, 3), generator=g, dtype=U8)
        return image if channels_last else image.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    image = torch.randn(batch, 3, height, width, generator=g, dtype=F64).to(dtype)
    return image.contiguous(memory_format=torch.channels_last) if channels_last else image


# image, is it NHWC, out, is it NHWC: as compiled in host.cpp
PAIRS = [
    (F32, False, F32, False), (F32, False, F32, True), (U8, True, F16, True), (F32, True, F32, False),
    (F32, True, F32, True), (F64, False, F64, False), (F16, False, F16, False), (BF16, True, BF16, True),
    (U8, True, F32, False), (U8, True, F32, True), (U8, True, BF16, False), (U8, False, F32, False),
    (U8, True, F64, True),
]  # fmt: skip


def _name(value: object) -> str:
    parts = value if isinstance(value, tuple) else (value,)
    return "-".join({True: "nhwc", False: "planar"}.get(v, str(v).removeprefix("torch.")) for v in parts)


TOLERANCE = {F64: 1e-11, F32: 2e-5, BF16: 2e-2, F16: 2e-3}


@pytest.mark.parametrize(
    ("pair", "size"),
    [*((pair, size) for pair in PAIRS for size in ((24, 64), (19, 45))), (PAIRS[0], (5, 3)), (PAIRS[1], (12, 36))],
    ids=_name,
)
def test_forward_and_backward(host, pool, pair, size):
    """Against the reference, and forward bit for bit against the CPU kernels."""
    dtype, image_nhwc, out_dtype, out_nhwc = pair
    batch, slots = 2, 3
    image = picture(batch, *size, dtype, image_nhwc)
    part, matrix = placements(batch, slots, *size)
    matrix = matrix.to(F64 if out_dtype == F64 else F32)
    common = (pool.texels, pool.table, part, matrix, MEAN, STD)
    out = forward(cuda, image, *common, out_dtype, out_nhwc, False)
    assert torch.equal(out, forward(cpu, image, *common, out_dtype, out_nhwc, False))
    assert out.is_contiguous(memory_format=torch.channels_last if out_nhwc else torch.contiguous_format)

    patches, _ = reference.stack(pool, F64)
    start = reference.normalise(image, MEAN, STD, F64) if dtype == U8 else image.to(F64)
    start, where = start.clone().requires_grad_(), matrix.to(F64).requires_grad_()
    expected = reference.paste(start, patches, part, where, MEAN, STD)
    tolerance = TOLERANCE[out_dtype]
    assert (out.to(F64) - expected).abs().max() <= tolerance * expected.abs().max()

    v_out = picture(batch, *size, out_dtype, out_nhwc, seed=2)
    v_start, v_where = torch.autograd.grad(expected, (start, where), v_out.to(F64))
    need_image = dtype != U8
    v_matrix, v_image = backward(cuda, v_out, image, *common, False, need_image)
    assert v_matrix.dtype == matrix.dtype
    assert (v_matrix - v_where).abs().max() <= max(tolerance, 1e-11) * v_where.abs().max()
    if need_image:
        assert v_image.stride() == image.stride()
        assert (v_image.to(F64) - v_start).abs().max() <= tolerance * v_start.abs().max()
        assert torch.equal(backward(cuda, v_out, image, *common, False, False)[0], v_matrix)


@pytest.mark.parametrize(
    ("corners", "scale"), [([(190, 3)], 1), ([(3, 25), (120, 10)], 1), ([(-90, 5), (500, 9)], 1), ([(40, -400)], 0.01)]
)
def test_the_way_back_walks_over_the_parts_only(host, pool, corners, scale):
    """One part in a corner, two apart, none in sight, one over everything: the CPU's gradients, and the bits of a walk
    over the whole image. What the image and v_out hold elsewhere does not matter, be it NaN."""
    size = (36, 230)
    part = torch.zeros((1, len(corners)), dtype=torch.int64)
    matrix = torch.tensor([[[[scale, 0, -scale * x], [0, scale, -scale * y]] for x, y in corners]], dtype=F32)
    image, v_out = picture(1, *size, F32, False), picture(1, *size, F32, False, seed=2)
    common = (pool.texels, pool.table, part, matrix, MEAN, STD)
    expected, _ = backward(cpu, v_out, image, *common, True, False)
    whole, _ = backward(cuda, v_out, image, *common, True, True)
    torch.testing.assert_close(whole, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    near = torch.zeros(size, dtype=torch.bool)
    for x, y in corners:
        near[max(y - 8, 0) : max(y + 24 / scale, 0).__ceil__(), max(x - 40, 0) : max(x + 60 / scale, 0).__ceil__()] = (
            True
        )
    for tensor in (image, v_out):
        tensor[..., ~near] = torch.nan
    found, nothing = backward(cuda, v_out, image, *common, True, False)
    assert torch.equal(found, whole)
    assert nothing is None
    assert found.any() == near.any()


@pytest.mark.parametrize("need_image", [True, False])
def test_warps_that_take_many_tiles_miss_none(host, pool, monkeypatch, need_image):
    """As in a large batch, whose images get one block each: here its eight warps come round, row after row."""
    monkeypatch.setattr(cuda, "MAX_STRIPS", 1)
    size, part = (36, 230), torch.zeros((1, 1), dtype=torch.int64)
    matrix = torch.tensor([[[[0.1, 0, 0], [0, 0.1, 0]]]], dtype=F32)  # over everything
    image, v_out = picture(1, *size, F32, False), picture(1, *size, F32, False, seed=2)
    common = (pool.texels, pool.table, part, matrix, MEAN, STD)
    expected, v_image = backward(cpu, v_out, image, *common, False, need_image)
    found, v_found = backward(cuda, v_out, image, *common, False, need_image)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    if need_image:
        torch.testing.assert_close(v_found, v_image)


@pytest.mark.parametrize("nhwc", [True, False], ids=["nhwc", "planar"])
@pytest.mark.parametrize("size", [(24, 64), (19, 45)], ids=_name)
def test_bytes_to_bytes(host, pool, nhwc, size):
    image, (part, matrix) = picture(2, *size, U8, nhwc), placements(2, 3, *size)
    common = (pool.texels, pool.table, part, matrix, (0.0,) * 3, (1.0,) * 3, U8, nhwc, True)
    out = forward(cuda, image, *common)
    assert torch.equal(out, forward(cpu, image, *common))
    assert not torch.equal(out.permute(0, 2, 3, 1), image)


def test_gradcheck(host, pool):
    part, matrix = placements(1, 2, 8, 12, seed=3)
    image = picture(1, 8, 12, F64, False)

    class Op(torch.autograd.Function):
        @staticmethod
        def forward(ctx, matrix):
            ctx.save_for_backward(matrix)
            return forward(cuda, image, pool.texels, pool.table, part.clamp(min=0), matrix, MEAN, STD, F64, False, True)

        @staticmethod
        def backward(ctx, v_out):
            rest = (pool.texels, pool.table, part.clamp(min=0), ctx.saved_tensors[0], MEAN, STD, True, False)
            return backward(cuda, v_out, image, *rest)[0]

    torch.autograd.gradcheck(Op.apply, (matrix.to(F64).requires_grad_(),), eps=1e-7, atol=1e-4, fast_mode=True)


@pytest.mark.parametrize(("slots", "dtype"), [(0, F32), (40, F32), (40, F16)], ids=str)
def test_any_number_of_slots(host, pool, slots, dtype):
    """More than one launch takes are laid in several, and the gradient finds its way back through all of them."""
    image = picture(2, 6, 24, dtype, False)
    part, matrix = placements(2, slots, 6, 24)
    common = (pool.texels, pool.table, part, matrix, MEAN, STD)
    out = forward(cuda, image, *common, dtype, dtype == F16, True)
    assert torch.equal(out, forward(cpu, image, *common, dtype, dtype == F16, True))
    v_out = picture(2, 6, 24, dtype, dtype == F16, seed=2)
    for found, expected in zip(
        backward(cuda, v_out, image, *common, True, True), backward(cpu, v_out, image, *common, True, True)
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_mips_and_extreme_scales(host, pool):
    """Minified parts read their mip levels, huge and tiny ones neither crash nor differ from the CPU."""
    image = picture(4, 16, 32, F32, False)
    part, matrix = placements(4, 3, 16, 32, scale=(2, 6))
    matrix[1] *= 1e-2
    matrix[2] *= 1e2
    matrix[3, 0] *= 1e30  # overflows on the way
    common = (pool.texels, pool.table, part.clamp(min=0), matrix, MEAN, STD)
    out = forward(cuda, image, *common, F32, False, True)
    assert torch.equal(out, forward(cpu, image, *common, F32, False, True))
    assert not torch.equal(out, forward(cuda, image, *common, F32, False, False))
    v_out = picture(4, 16, 32, F32, False, seed=2)
    for found, expected in zip(
        backward(cuda, v_out, image, *common, True, True), backward(cpu, v_out, image, *common, True, True)
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_strides(host, pool):
    """Any strides come in; the image's gradient has the strides that torch gives an image like it."""
    part, matrix = placements(2, 2, 12, 20)
    common = (pool.texels, pool.table, part.t().contiguous().t(), matrix, MEAN, STD)
    big = picture(2, 24, 40, F32, False)
    for image in (
        big[:, :, ::2, ::2],
        big[..., :12, :20],
        big.transpose(2, 3)[..., :12, :20],
        big[:1, :, :12, :20].expand(2, -1, -1, -1),
    ):
        out = forward(cuda, image, *common, F32, False, True)
        assert torch.equal(out, forward(cpu, image, *common, F32, False, True))
        v_matrix, v_image = backward(cuda, torch.ones(()).expand(2, 3, 12, 20), image, *common, True, True)
        assert v_image.stride() == torch.empty_like(image).stride()
        expected = backward(cpu, torch.ones(2, 3, 12, 20), image, *common, True, True)
        torch.testing.assert_close(v_matrix, expected[0], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(v_image, expected[1])


def test_refused_slots(host, pool):
    """A NaN or inf matrix and an index that the pool has not leave the slot empty; the next call raises for it."""
    image = picture(3, 8, 64, F32, False)
    part, matrix = placements(3, 2, 8, 64)
    part = part.clamp(min=0)
    matrix[0, 0, 0, 0], matrix[2, 1, 1, 2] = torch.nan, torch.inf
    part[1, 0], part[2, 0], part[0, 1] = len(pool), 10**12, -2
    common = (pool.texels, pool.table, part, matrix, MEAN, STD, F32, False, True)
    out = forward(cuda, image, *common)
    empty = torch.tensor([[-1, -1], [-1, part[1, 1]], [-1, -1]])
    assert torch.equal(out, forward(cpu, image, pool.texels, pool.table, empty, matrix, *common[4:]))
    assert host.report.tolist() == [2, 3, (2 << 32) + 1]
    with pytest.raises(ValueError, match=r"^part: expected -1 .*at \[2, 0\] "):
        forward(cuda, image, *common)
    host.report[2] = 0
    v_matrix, _ = backward(cuda, out, image, *common[:6], True, False)
    assert host.report.tolist() == [2, 3, 0], "the way back counts nothing twice"
    assert not v_matrix[0, 0].any()
    assert not v_matrix[1, 0].any()
    assert not v_matrix[2].any()
    assert not v_matrix[0, 1].any()
    assert v_matrix[1, 1].any()


@pytest.mark.parametrize("shape", [(0, 2, 8, 8), (2, 2, 0, 8), (2, 0, 8, 8)], ids=str)
def test_nothing_to_do(host, pool, shape):
    batch, slots, height, width = shape
    image = picture(batch, height, width, F32, False)
    common = (pool.texels, pool.table, *placements(batch, slots, height, width), MEAN, STD)
    assert torch.equal(forward(cuda, image, *common, F32, False, True), image)
    v_matrix, v_image = backward(cuda, image, image, *common, True, True)
    assert torch.equal(v_image, image)
    assert not v_matrix.any()


def test_same_bits_in_any_order(host, pool):
    """The order in which blocks run and finish does not show in the sums."""
    image, v_out = picture(2, 40, 70, F32, False), picture(2, 40, 70, F32, False, seed=2)
    part, matrix = placements(2, 3, 40, 70)
    found = []
    for host.processors in (1, 2, 3, 3, 3):
        rest = (pool.texels, pool.table, part.clamp(min=0), matrix, MEAN, STD, True, True)
        found.append(backward(cuda, v_out, image, *rest))
    for v_matrix, v_image in found[1:]:
        assert torch.equal(v_matrix, found[0][0])
        assert torch.equal(v_image, found[0][1])


def test_launch_config_does_not_overflow():
    """B * N = 4096 * 8 and the largest images: what the kernels keep in 32 bits fits."""
    forward = cuda.Variant("forward", U8, True, F32, False, True)
    backward = cuda.Variant("backward", F32, False, F32, False, True, True)
    for batch, side in ((4096, 256), (65536, 512), (64, 32768)):
        for variant in (forward, backward):
            launch = cuda.launch_config(variant, batch, 8, side, side, 10, SPEC)
            assert 0 < launch.blocks < 2**31
            assert int(launch.params["tiles"]) * cuda.WARPS < 2**31
    assert cuda.launch_config(backward, 4096, 8, 256, 256, 10, SPEC).params["strips"] == 1
    assert cuda.launch_config(backward, 32, 8, 256, 256, 10, SPEC).params["strips"] * 32 * 8 * 6 * 4 <= 2**20
    with pytest.raises(ValueError, match=r"^image: "):
        cuda.launch_config(forward, 4096, 8, 32768, 32768, 10, SPEC)


def test_kernels_are_found_in_both_kinds_of_install(tmp_path, monkeypatch):
    """By path: beside the package in a checkout, inside it in a wheel (where it wins)."""
    assert nvrtc.folder() == ROOT / "kernels"
    package = tmp_path / "site-packages" / "asda_fast"
    monkeypatch.setattr(nvrtc, "__file__", str(package / "ops" / "nvrtc.py"))
    with pytest.raises(FileNotFoundError, match="kernels"):
        nvrtc.folder()
    for folder in (package.parent / "kernels", package / "kernels"):
        shutil.copytree(ROOT / "kernels", folder)
        assert nvrtc.folder() == folder


def test_an_edited_header_is_another_kernel(tmp_path):
    """CuPy keys its cache by the source and the options, not by what is included: the options have a hash of it."""
    folder = tmp_path / "kernels"
    shutil.copytree(ROOT / "kernels", folder)
    before = nvrtc.fingerprint(folder)
    assert before == nvrtc.fingerprint(ROOT / "kernels")
    nvrtc.fingerprint.cache_clear()
    with (folder / "paste_math.h").open("a") as header:
        header.write("// edited\n")
    assert nvrtc.fingerprint(folder) != before


# --- under the sanitizers ---------------------------------------------------------------------------------------------


def _record(host: Host, pool, pair, size=(12, 64), need_image=True) -> tuple[bytes, bytes]:
    """The launches of a forward and a backward pass, and what they leave in memory."""
    dtype, image_nhwc, out_dtype, out_nhwc = pair
    host.recorded, host.outputs = [], []
    image, v_out = picture(2, *size, dtype, image_nhwc), picture(2, *size, out_dtype, out_nhwc, seed=2)
    part, matrix = placements(2, 2, *size)
    common = (pool.texels, pool.table, part.clamp(min=0), matrix, MEAN, STD)
    forward(cuda, image, *common, out_dtype, out_nhwc, True)
    backward(cuda, v_out, image, *common, True, need_image and dtype != U8)
    return b"".join(host.recorded), b"".join(host.outputs)


def _replay(program: Path, launches: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1", "ASAN_OPTIONS": "detect_leaks=1"}
    command = [str(program), *arguments]
    fixed = [
        "setarch",
        "-R",
    ]  # ThreadSanitizer of older compilers needs a fixed memory layout; a container may forbid it
    if shutil.which(fixed[0]) and subprocess.run([*fixed, "true"], capture_output=True).returncode == 0:
        command = [*fixed, *command]
    return subprocess.run(command, input=launches, capture_output=True, env=env, timeout=120)


@pytest.mark.parametrize(("pair", "size"), [*((pair, (12, 64)) for pair in PAIRS[:3]), (PAIRS[0], (7, 37))], ids=_name)
@pytest.mark.parametrize("kind", ["address", "thread"])
def test_sanitizer_is_silent(host, build, pool, kind, pair, size):
    launches, expected = _record(host, pool, pair, size)
    result = _replay(build(kind), launches)
    assert result.returncode == 0, result.stderr.decode()[-3000:]
    assert result.stdout == expected


@pytest.mark.parametrize(
    ("name", "access"), [("image", "READ"), ("out", "WRITE"), ("v_out", "READ"), ("v_matrix", "WRITE")]
)
def test_planted_overrun_is_caught(host, build, pool, name, access):
    """A buffer one access short of what the kernels were promised: the sanitizer must see it."""
    launches, _ = _record(host, pool, PAIRS[0])
    result = _replay(build("address"), launches, str(cuda.POINTERS.index(name)))
    assert result.returncode != 0
    assert b"heap-buffer-overflow" in result.stderr
    assert f"{access} of size".encode() in result.stderr


@pytest.mark.parametrize(
    ("direction", "barrier"), [("forward", 0), *(("backward", k) for k in range(4)), *(("matrix", k) for k in range(5))]
)
def test_planted_race_is_caught(host, build, pool, direction, barrier):
    """Leave out one __syncthreads, each in turn: the sanitizer must see a race. So each of them is needed. "matrix" is
    the way back without the image's gradient, which has one more."""
    _record(host, pool, PAIRS[0], (24, 64), direction != "matrix")
    launch = bytearray(host.recorded[direction != "forward"])
    launch[48:56] = np.int64(barrier).tobytes()  # Launch::skip
    result = _replay(build("thread"), bytes(launch))
    assert result.returncode != 0
    assert b"data race" in result.stderr, result.stderr.decode()[-2000:]
