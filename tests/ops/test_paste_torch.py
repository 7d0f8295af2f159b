"""paste inside torch: custom-op checks, torch.compile, export, autocast, several threads of Python."""

from __future__ import annotations

import threading

import pytest
import torch

from asda_fast import paste
from asda_fast.ops import Paste
from asda_fast.ops.paste import paste_backward, paste_forward

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.mark.parametrize("kind", ["fp32", "fp64", "bf16", "uint8", "channels_last"])
def test_opcheck(scene, kind):
    dtype = {"fp64": torch.float64, "bf16": torch.bfloat16}.get(kind, torch.float32)
    s = scene(2, 2, 9, 11, dtype)
    image, out_dtype = s.image, dtype
    if kind == "uint8":
        image = torch.randint(0, 256, (2, 9, 11, 3), dtype=torch.uint8)
    if image.is_floating_point():
        image.requires_grad_()
    args = (image, s.pool.texels, s.pool.table, s.part, s.matrix.requires_grad_(), MEAN, STD)
    torch.library.opcheck(paste_forward, (*args, out_dtype, kind == "channels_last", True))
    args = tuple(a.detach() if isinstance(a, torch.Tensor) else a for a in args)
    for need_image in {False, image.is_floating_point()}:
        v_out = torch.randn(2, 3, 9, 11).to(out_dtype)
        torch.library.opcheck(paste_backward, (v_out, *args, True, need_image))


def test_the_autograd_function_is_public(scene):
    s = scene(1, 2, 8, 8, torch.float32)
    out = Paste.apply(
        s.image, s.pool.texels, s.pool.table, s.part, s.matrix, MEAN, STD, torch.float32, False, True
    )  # fmt: skip
    assert torch.equal(out, paste(s.image, s.pool, s.part, s.matrix, MEAN, STD))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compile_in_one_graph(scene, backend):
    s = scene(2, 3, 16, 20, torch.float32)

    def step(image, matrix):
        return (paste(image * 2, s.pool, s.part, matrix * 1.5, MEAN, STD) * 3).square().mean()

    compiled = torch.compile(step, fullgraph=True, backend=backend)
    results = []
    for call in (step, compiled):
        image, matrix = s.image.clone().requires_grad_(), s.matrix.clone().requires_grad_()
        loss = call(image, matrix)
        loss.backward()
        results.append((loss, image.grad, matrix.grad))
    for a, b in zip(*results):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-6)


def test_compile_with_dynamic_batch(scene):
    compiled = torch.compile(
        lambda s: paste(s.image, s.pool, s.part, s.matrix, MEAN, STD), fullgraph=True, backend="aot_eager", dynamic=True
    )
    for batch in (2, 3, 5):
        s = scene(batch, 2, 12, 12, torch.float32)
        assert torch.equal(compiled(s), paste(s.image, s.pool, s.part, s.matrix, MEAN, STD))


def test_export(scene):
    s = scene(2, 2, 12, 14, torch.float32)

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("texels", s.pool.texels)
            self.register_buffer("table", s.pool.table)

        def forward(self, image, part, matrix):
            return paste(image, self, part, matrix, MEAN, STD) + 1

    program = torch.export.export(Module(), (s.image, s.part, s.matrix))
    assert any("paste_forward" in str(node.target) for node in program.graph.nodes)
    assert torch.equal(program.module()(s.image, s.part, s.matrix), Module()(s.image, s.part, s.matrix))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_the_arithmetic_alone(scene, dtype):
    """The matrix stays float32 under autocast; a matrix that a layer made in half precision is widened."""
    s = scene(2, 2, 16, 16, torch.float32)
    matrix = s.matrix.clone().requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        out = paste(s.image, s.pool, s.part, matrix, MEAN, STD)
    assert torch.equal(out, paste(s.image, s.pool, s.part, matrix, MEAN, STD))
    half = s.matrix.to(dtype).requires_grad_()
    out = paste(s.image, s.pool, s.part, half, MEAN, STD)
    assert torch.equal(out, paste(s.image, s.pool, s.part, half.float(), MEAN, STD))
    out.sum().backward()
    assert half.grad.dtype == dtype


def test_several_callers_at_once(scene):
    """The thread pool and its scratch serve callers from several Python threads."""
    scenes = [scene(4, 4, 64, 64, torch.float32, seed=seed) for seed in range(4)]
    expected = [paste(s.image, s.pool, s.part, s.matrix) for s in scenes]
    same = [True] * len(scenes)

    def work(i):
        for _ in range(20):
            s = scenes[i]
            same[i] &= torch.equal(paste(s.image, s.pool, s.part, s.matrix), expected[i])

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(scenes))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(same)


def test_lazily_negated_tensors(scene):
    """torch keeps the sign of such a view beside its memory."""
    s = scene(0)
    negated = torch._neg_view(-s.image)
    assert negated.is_neg()
    expected = paste(s.image, s.pool, s.part, s.matrix)
    assert torch.equal(paste(negated, s.pool, s.part, s.matrix), expected)
    assert torch.equal(paste(s.image, s.pool, s.part, torch._neg_view(-s.matrix)), expected)


def test_a_second_derivative_is_refused(scene):
    s = scene(0)
    matrix = s.matrix.clone().requires_grad_()
    for call in (
        lambda: paste(s.image, s.pool, s.part, matrix),
        lambda: torch.ops.asda_fast.paste_forward(
            s.image, s.pool.texels, s.pool.table, s.part, matrix, [0.0] * 3, [1.0] * 3, s.image.dtype, False, True
        ),
    ):
        (first,) = torch.autograd.grad(call().square().sum(), matrix, create_graph=True)
        with pytest.raises(RuntimeError, match="no autograd formula"):
            first.square().sum().backward()


def test_a_forward_mode_gradient_is_refused_not_left_out(scene):
    s = scene(1, 2, 8, 8, torch.float32)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(s.matrix, torch.ones_like(s.matrix))
        with pytest.raises(NotImplementedError):
            paste(s.image, s.pool, s.part, dual)
    gradient = torch.func.grad(lambda m: paste(s.image, s.pool, s.part, m).sum())
    mapped = torch.func.vmap(lambda m: paste(s.image, s.pool, s.part, m))
    for transform, matrix in ((gradient, s.matrix), (mapped, s.matrix[None])):
        with pytest.raises(NotImplementedError, match=r"^paste: .*torch\.func"):
            transform(matrix)


@pytest.mark.filterwarnings("ignore")
def test_a_traced_paste_pastes(scene):
    """The tracer sees what the dispatcher sees; else the graph would hold the memory that a kernel was to fill."""
    s = scene(1, 2, 8, 8, torch.float32)
    traced = torch.jit.trace(lambda image: paste(image, s.pool, s.part, s.matrix), (s.image,), check_trace=False)
    other = torch.rand_like(s.image)
    assert torch.equal(traced(other), paste(other, s.pool, s.part, s.matrix))
