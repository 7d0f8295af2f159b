"""The network's forward as a graph: the same predictions, or a line that says why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asda_fast.core import cuda_graph
from asda_fast.core.batch import Batch
from asda_fast.evaluate.inference import Predictions, predict
from tests.train.tape import recorder

PEOPLE, BATCH = 11, 2  # the last batch is short


def batches(device: str = "cpu") -> list[Batch]:
    draw = torch.Generator().manual_seed(0)
    size = {"image": (64, 32, 3), "joints": (3, 2), "visible": (3,), "matrix": (2, 3), "box": (4,)}
    whole = {f.name: torch.zeros(PEOPLE, *size.get(f.name, ()), device=device) for f in fields(Batch)}
    whole["image"] = torch.randint(0, 256, (PEOPLE, 64, 32, 3), dtype=torch.uint8, generator=draw).to(device)
    whole["matrix"] = torch.eye(3, device=device)[:2].repeat(PEOPLE, 1, 1)
    whole["row"] = torch.arange(PEOPLE, device=device)
    return [Batch(**{k: v[i : i + BATCH] for k, v in whole.items()}) for i in range(0, PEOPLE, BATCH)]


class Net(nn.Module):
    """One convolution; `more` is what a network of one's own may do besides."""

    def __init__(self, more: Callable[[Tensor], Any] = lambda x: 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.more, self.calls = nn.Conv2d(3, 3, 7, stride=4, padding=3), more, 0

    def forward(self, image: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(image) + self.more(image)


def both(net: Net, device: str = "cpu", **how: Any) -> tuple[Predictions, list[str]]:
    said: list[str] = []
    found = predict(net, batches(device), PEOPLE, ((0, 1),), say=said.append, **how)
    return found, said


def test_replays_predict_what_the_network_does() -> None:
    net = Net()
    plain, _ = both(net)
    assert net.calls == 12
    graphed, said = both(net, record=recorder(dict))
    assert not said
    assert net.calls == 12 + 2 * (2 + 2 + 1)  # warm, compared and recorded, the short batch: two batches were replayed
    assert np.array_equal(graphed.xy, plain.xy) and np.array_equal(graphed.score, plain.score)
    plain, graphed = (predict(net, [batches(), batches()], PEOPLE, ((0, 1),), record=r) for r in (None, recorder(dict)))
    assert np.array_equal(graphed.score, plain.score)  # of two scales: no replay writes over the first one's result


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (lambda x: x.sum().item(), "cannot be recorded (operation not permitted"),
        (lambda x, seen=[]: seen.append(0) or len(seen), "does not do what the network does (off by"),
    ],
)
def test_what_is_no_graph_is_one_line(more: Callable[[Tensor], Any], line: str) -> None:
    net = Net(more)
    _, said = both(net, record=recorder(dict))
    assert len(said) == 1 and said[0].startswith(f"cuda_graph: the network {line}")
    assert 12 < net.calls <= 14  # the recording is one more look, to where it ended


def test_a_graph_on_a_gpu_predicts_what_the_network_does(cuda: torch.device) -> None:
    net = Net().cuda()
    plain, _ = both(net, "cuda", amp=torch.bfloat16)
    calls = net.calls
    graphed, said = both(net, "cuda", amp=torch.bfloat16, record=cuda_graph.record)
    assert not said and net.calls < 2 * calls
    np.testing.assert_allclose(graphed.score, plain.score, rtol=0.02)
