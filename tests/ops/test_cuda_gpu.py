"""paste on a real GPU. Skipped without one; `make gpu-check` makes a missing GPU a failure."""

from __future__ import annotations

import threading

import pytest
import torch

import asda_fast
from asda_fast.ops import Paste, skipped
from asda_fast.ops import paste_reference as reference
from asda_fast.ops.paste import paste_backward, paste_forward

pytestmark = pytest.mark.cuda
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
F64, F32, BF16, F16, U8 = torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.uint8
LAYOUTS = [torch.contiguous_format, torch.channels_last]
SIZES = [(64, 64), (33, 45), (40, 72), (5, 3), (256, 192)]


def _image(scene, dtype, layout=torch.contiguous_format):
    if dtype == U8:
        return (scene.image.permute(0, 2, 3, 1) * 60 + 128).clamp(0, 255).to(U8).contiguous()
    return scene.image.to(dtype).contiguous(memory_format=layout)


def _both(scene, image, v_out, out_dtype, layout, device, mips=True):
    """paste and its gradients on `device`, brought back to the CPU."""
    image, matrix = image.detach().to(device), scene.matrix.detach().to(device).requires_grad_()
    if image.dtype.is_floating_point:
        image.requires_grad_()
    out = asda_fast.paste(
        image, scene.pool.to(device), scene.part.to(device), matrix, MEAN, STD, out_dtype, layout, mips
    )
    assert out.is_contiguous(memory_format=layout)
    out.backward(v_out.to(device))
    found = [out, matrix.grad, image.grad]
    return [None if t is None else t.detach().cpu() for t in found]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=["planar", "channels_last"])
@pytest.mark.parametrize(
    ("dtype", "out_dtype"),
    [(F64, F64), (F32, F32), (BF16, BF16), (F16, F16), (U8, F32), (U8, BF16), (U8, F16), (U8, F64)],
    ids=str,
)
def test_same_as_cpu(cuda, scene, dtype, out_dtype, layout, size):
    """Forward has the CPU's bits (no contraction on either side; CuPy flushes denormals, which nothing here makes)."""
    case = scene(2, 3, *size)
    image = _image(case, dtype, layout)
    v_out = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=F64).to(out_dtype)
    v_out = v_out.contiguous(memory_format=layout)
    expected = _both(case, image, v_out, None if dtype != U8 else out_dtype, layout, "cpu")
    found = _both(case, image, v_out, None if dtype != U8 else out_dtype, layout, cuda)
    assert torch.equal(found[0], expected[0])
    scale = float(expected[1].abs().max())
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-5 * scale)  # another order of the sum
    if dtype != U8:
        tolerance = {F64: 1e-14, F32: 1e-6, BF16: 1e-2, F16: 2e-3}[dtype]
        torch.testing.assert_close(found[2], expected[2], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["planar", "channels_last"])
@pytest.mark.parametrize("planar", [True, False], ids=["from planar", "from nhwc"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_bytes_to_bytes(cuda, scene, size, planar, layout):
    """uint8 in, uint8 out, in any layout on either side: the CPU's bytes."""
    case = scene(2, 3, *size)
    image = _image(case, U8)
    if planar:
        image = image.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    given = {"out_dtype": U8, "memory_format": layout}
    expected = asda_fast.paste(image, case.pool, case.part, case.matrix, **given)
    pool, part, matrix = case.pool.to(cuda), case.part.to(cuda), case.matrix.to(cuda)
    found = asda_fast.paste(image.to(cuda), pool, part, matrix, **given)
    assert found.dtype == U8
    assert found.is_contiguous(memory_format=layout)
    assert torch.equal(found.cpu(), expected)


def test_from_a_new_thread(cuda, scene):
    """A thread that has not used the GPU yet, as autograd's may be, launches like any other."""
    case = scene(2, 2, 32, 64)
    pool, part, matrix = case.pool.to(cuda), case.part.to(cuda), case.matrix.to(cuda)
    image = case.image.to(cuda)
    expected = asda_fast.paste(image, pool, part, matrix)
    found: list[torch.Tensor] = []
    thread = threading.Thread(target=lambda: found.append(asda_fast.paste(image, pool, part, matrix)))
    thread.start()
    thread.join()
    assert torch.equal(found[0], expected)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_same_as_reference(cuda, scene, size):
    case = scene(4, 3, *size, dtype=F64)
    patches, _ = reference.stack(case.pool, F64)
    v_out = torch.randn(4, 3, *size, generator=torch.Generator().manual_seed(1), dtype=F64)
    image, matrix = case.image.clone().requires_grad_(), case.matrix.clone().requires_grad_()
    expected = reference.paste(image, patches, case.part, matrix, MEAN, STD)
    expected.backward(v_out)
    found = _both(case, case.image, v_out, None, torch.contiguous_format, cuda, mips=False)
    for got, want in zip(found, (expected.detach(), matrix.grad, image.grad)):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9 * float(want.abs().max()))


def test_gradcheck(cuda, scene):
    case = scene(2, 2, 9, 12, dtype=F64)
    image, matrix = case.image.to(cuda).requires_grad_(), case.matrix.to(cuda).requires_grad_()
    pool, part = case.pool.to(cuda), case.part.to(cuda)
    torch.autograd.gradcheck(
        lambda i, m: asda_fast.paste(i, pool, part, m, MEAN, STD), (image, matrix), eps=1e-7, atol=1e-4
    )


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("dtype", "out_dtype"), [(F32, F32), (U8, BF16)], ids=str)
def test_opcheck(cuda, scene, dtype, out_dtype, channels_last):
    case = scene()
    pool = case.pool.to(cuda)
    image, part, matrix = _image(case, dtype).to(cuda), case.part.to(cuda), case.matrix.to(cuda)
    common = (pool.texels, pool.table, part, matrix, list(MEAN), list(STD))
    torch.library.opcheck(paste_forward, (image, *common, out_dtype, channels_last, True))
    v_out = torch.randn(2, 3, 33, 45, device=cuda, dtype=out_dtype)
    torch.library.opcheck(paste_backward, (v_out, image, *common, True, dtype != U8))


def test_compiles_in_one_graph(cuda, scene):
    case = scene()
    pool, part, matrix = case.pool.to(cuda), case.part.to(cuda), case.matrix.to(cuda).requires_grad_()
    image = case.image.to(cuda)

    def step(image, matrix):
        return asda_fast.paste(image * 2, pool, part, matrix, MEAN, STD).square().mean()

    expected = torch.autograd.grad(step(image, matrix), matrix)[0]
    found = torch.autograd.grad(torch.compile(step, fullgraph=True)(image, matrix), matrix)[0]
    torch.testing.assert_close(found, expected)


def test_same_bits_every_run(cuda, scene):
    """100 runs, with other work between them to disturb the order of the blocks."""
    case = scene(32, 3, 256, 256, high=120)
    v_out = torch.randn(32, 3, 256, 256, device=cuda)
    image, matrix = case.image.to(cuda).requires_grad_(), case.matrix.to(cuda).requires_grad_()
    pool, part = case.pool.to(cuda), case.part.to(cuda)
    first = None
    for run in range(100):
        noise = torch.randn(run * 1000 + 1, device=cuda).sort()
        out = asda_fast.paste(image, pool, part, matrix, MEAN, STD)
        found = (out.detach(), *torch.autograd.grad(out, (matrix, image), v_out))
        first = first or found
        for got, want in zip(found, first):
            assert torch.equal(got, want), f"run {run}"
        del noise


def test_streams(cuda, scene):
    """Launches on several streams at once do not share their counters; the kernel runs on torch's current stream."""
    case = scene(16, 3, 128, 128)
    pool, part = case.pool.to(cuda), case.part.to(cuda)
    image, matrix = case.image.to(cuda), case.matrix.to(cuda).requires_grad_()
    expected = torch.autograd.grad(asda_fast.paste(image, pool, part, matrix).square().sum(), matrix)[0]
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in range(4)]
    found = []
    for _ in range(20):
        for stream in streams:
            with torch.cuda.stream(stream):
                found.append(torch.autograd.grad(asda_fast.paste(image, pool, part, matrix).square().sum(), matrix)[0])
    torch.cuda.synchronize()
    for got in found:
        assert torch.equal(got, expected)


def test_waits_for_its_stream(cuda, scene):
    """Work queued before paste on the same stream is done when the kernel reads the image."""
    case = scene(4, 2, 128, 128)
    pool, part, matrix = case.pool.to(cuda), case.part.to(cuda), case.matrix.to(cuda)
    image = case.image.to(cuda)
    expected = asda_fast.paste(image, pool, part, matrix)
    with torch.cuda.stream(torch.cuda.Stream()):
        late = torch.zeros_like(image)
        torch.cuda._sleep(50_000_000)
        late.copy_(image)
        assert torch.equal(asda_fast.paste(late, pool, part, matrix), expected)


def test_cuda_graph(cuda, scene):
    case = scene(4, 2, 64, 64)
    pool, part = case.pool.to(cuda), case.part.to(cuda)
    image, matrix = case.image.to(cuda), case.matrix.to(cuda)
    v_out = torch.randn(4, 3, 64, 64, device=cuda)
    common = (pool.texels, pool.table, part, matrix, list(MEAN), list(STD))

    def both():
        out = paste_forward(image, *common, F32, False, True)
        return out, *paste_backward(v_out, image, *common, True, True)

    expected = [t.clone() for t in both()]  # also compiles the kernels, which a capture cannot
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = both()
    for _ in range(3):
        for tensor in found:
            tensor.zero_()
        graph.replay()
        torch.cuda.synchronize()
        for got, want in zip(found, expected):
            assert torch.equal(got, want)


def test_other_device(cuda, scene):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    case = scene()
    found = []
    for index in range(2):
        device = torch.device("cuda", index)
        out, v_matrix, _ = _both(case, case.image, torch.ones(2, 3, 33, 45), None, torch.contiguous_format, device)
        found.append((out, v_matrix))
        assert torch.cuda.current_device() == 0
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_refused_slots(cuda, scene):
    """Bad slots stay empty and are counted; an index past the pool is an error at the next call, without a wait."""
    case = scene(3, 2, 32, 64)
    pool = case.pool.to(cuda)
    part, matrix = case.part.clamp(min=0), case.matrix.clone()
    part[1, 1], matrix[0, 0, 0, 0], matrix[2, 0, 1, 2] = len(pool), torch.nan, torch.inf
    skipped(cuda, reset=True)
    image = case.image.to(cuda)
    out = asda_fast.paste(image, pool, part.to(cuda), matrix.to(cuda))
    assert skipped(cuda) == {"matrix": 2, "index": 1}
    part[1, 1] = part[0, 0] = part[2, 0] = -1
    with pytest.raises(ValueError, match=r"^part: expected -1 .* at \[1, 1\] "):
        asda_fast.paste(image, pool, part.to(cuda), case.matrix.to(cuda))
    assert torch.equal(out, asda_fast.paste(image, pool, part.to(cuda), case.matrix.to(cuda)))
    assert skipped(cuda, reset=True) == {"matrix": 2, "index": 1}
    assert skipped(cuda) == {"matrix": 0, "index": 0}


@pytest.mark.parametrize("slots", [0, 1, 8, 40])
def test_slots(cuda, scene, slots):
    case = scene(2, slots, 24, 40) if slots else scene(2, 1, 24, 40)
    case.part, case.matrix = case.part[:, :slots], case.matrix[:, :slots]
    v_out = torch.ones(2, 3, 24, 40)
    expected = _both(case, case.image.to(F32), v_out, None, torch.contiguous_format, "cpu")
    found = _both(case, case.image.to(F32), v_out, None, torch.contiguous_format, cuda)
    assert torch.equal(found[0], expected[0])
    for got, want in zip(found[1:], expected[1:]):
        torch.testing.assert_close(
            got, want, rtol=1e-4, atol=1e-4 * max(1.0, float(want.abs().max() if want.numel() else 0))
        )


def test_many_images(cuda, scene):
    """B * N = 4096 * 8, and an output past 2**31 bytes."""
    case = scene(64, 8, 256, 192)
    pool, repeat = case.pool.to(cuda), 64
    image = torch.randint(0, 256, (64, 256, 192, 3), dtype=U8, device=cuda)
    part, matrix = case.part.to(cuda), case.matrix.to(cuda)
    once = asda_fast.paste(image, pool, part, matrix, MEAN, STD)
    many = asda_fast.paste(
        image.repeat(repeat, 1, 1, 1), pool, part.repeat(repeat, 1), matrix.repeat(repeat, 1, 1, 1), MEAN, STD
    )
    assert many.shape[0] * part.shape[1] == 4096 * 8
    assert torch.equal(many[:64], once)
    assert torch.equal(many[-64:], once)


def test_one_launch_and_no_wait(cuda, scene):
    """One kernel per direction, and nothing in the hot path synchronises."""
    case = scene(8, 3, 64, 64)
    pool, part, matrix = case.pool.to(cuda), case.part.to(cuda), case.matrix.to(cuda).requires_grad_()
    image, v_out = case.image.to(cuda), torch.ones(8, 3, 64, 64, device=cuda)

    def both():
        out = Paste.apply(image, pool.texels, pool.table, part, matrix, list(MEAN), list(STD), F32, False, True)
        return torch.autograd.grad(out, matrix, v_out)

    both()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        both()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        both()
        torch.cuda.synchronize()
    kernels = [
        e.name for e in profile.events() if "paste" in e.name and e.device_type == torch.autograd.DeviceType.CUDA
    ]
    assert sorted(kernels) == ["paste_backward", "paste_forward"]


def test_memory(cuda, scene):
    """Forward and backward at B = 32, N = 8 take the output, the matrix gradient and less than 1 MB more."""
    case = scene(32, 8, 256, 256, high=120)
    pool, part, matrix = case.pool.to(cuda), case.part.to(cuda), case.matrix.to(cuda).requires_grad_()
    image, v_out = case.image.to(cuda), torch.ones(32, 3, 256, 256, device=cuda)
    for _ in range(2):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        out = asda_fast.paste(image, pool, part, matrix)
        (v_matrix,) = torch.autograd.grad(out, matrix, v_out)
        peak = torch.cuda.max_memory_allocated() - before
        wanted = out.numel() * 4 + v_matrix.numel() * 4
        del out, v_matrix
    assert peak <= wanted + 2**20
