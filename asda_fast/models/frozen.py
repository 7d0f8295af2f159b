"""A network as a fixed function of its image: what the generator's own step goes through.

Nothing is copied. Weights stop asking for a gradient while the graph is recorded, which then holds none of theirs;
batch norms use the batch's own statistics without keeping them. The modules are looked up once for each network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.func import functional_call

# Exactly these: what is derived from them may keep its statistics in a way of its own.
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class _Members:
    """What of a network has to be held still. None of it keeps the network itself alive: modules know no parents."""

    def __init__(self, network: nn.Module) -> None:
        below = [module for module in network.modules() if module is not network]
        self.norms: list[Any] = [module for module in below if type(module) in BATCH_NORMS]
        self.weights = list(network.parameters())
        own = {id(buffer) for norm in self.norms for buffer in norm.buffers()}
        self.others = [name for name, buffer in network.named_buffers() if id(buffer) not in own]


_members: WeakKeyDictionary[nn.Module, _Members] = WeakKeyDictionary()


def bare(network: Any) -> Any:
    """The network out of DistributedDataParallel, compiled or not: nothing is to be reduced. Others, which may call a
    part of theirs `module` as well, stay what they are."""
    inner = getattr(network, "_orig_mod", network)
    return inner.module if isinstance(inner, (nn.parallel.DistributedDataParallel, nn.DataParallel)) else network


def frozen(network: nn.Module, image: Tensor) -> Any:
    """network(image) in its present mode, with a gradient to the image only: weights enter as constants, batch-norm
    statistics stay as they are, and any other buffer is a copy that is thrown away."""
    network = bare(network)
    if network not in _members:
        _members[network] = _Members(network)
    members = _members[network]
    with _held(members):
        if not members.others:
            return network(image)
        scratch = {name: network.get_buffer(name).clone() for name in members.others}
        return functional_call(network, scratch, (image,))


@contextmanager
def _held(members: _Members) -> Iterator[None]:
    weights = [weight for weight in members.weights if weight.requires_grad]
    norms = [norm for norm in members.norms if norm.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False  # in training: the batch's statistics, none kept; in evaluation: no difference
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
        for norm in norms:
            norm.track_running_stats = True
