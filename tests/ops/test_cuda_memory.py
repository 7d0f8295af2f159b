"""paste on a GPU with tensors not fresh from the allocator: views, odd addresses, the graphs of torch.compile."""

from __future__ import annotations

import pytest
import torch

import asda_fast

pytestmark = pytest.mark.cuda


@pytest.fixture
def case(cuda, scene):
    made = scene(8, 3, 64, 96)
    return made.image.to(cuda), made.pool.to(cuda), made.part.to(cuda), made.matrix.to(cuda)


def test_a_view_is_as_good_as_its_copy(cuda, case):
    image, *slots = case
    wide = torch.rand(9, 3, 64, 103, device=cuda)
    view = wide[1:, :, :, 5:101]
    view.copy_(image)
    assert not view.is_contiguous()
    assert torch.equal(asda_fast.paste(view, *slots), asda_fast.paste(image, *slots))


def test_an_address_that_no_vector_load_likes(cuda, case):
    image, *slots = case
    odd = torch.empty(image.numel() + 1, device=cuda)[1:].view(image.shape)
    odd.copy_(image)
    assert odd.data_ptr() % 16
    assert torch.equal(asda_fast.paste(odd, *slots), asda_fast.paste(image, *slots))


def test_graphs_of_torch_compile(cuda, case):
    image, pool, part, matrix = case
    matrix.requires_grad_()

    def loss(image, matrix):
        return asda_fast.paste(image * 1.0, pool, part, matrix).square().mean()

    expected = torch.autograd.grad(loss(image, matrix), matrix)[0]
    compiled = torch.compile(loss, mode="reduce-overhead", fullgraph=True)
    for _ in range(4):  # the first calls record, the later ones replay
        got = torch.autograd.grad(compiled(image, matrix), matrix)[0].clone()
        torch.testing.assert_close(got, expected)
