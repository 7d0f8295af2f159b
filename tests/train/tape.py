"""A CUDA graph's stand-in on the CPU: records every operation of a step, and does it again with the same tensors.

What Python decided or read while it was recorded stays as it was, as in a graph; so what a graph would freeze, this
freezes too. What makes the host wait, or copies from it, is refused, as a stream that is captured does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
WAITS = {
    aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten.is_nonzero, aten._unique2,
    aten.unique_consecutive, aten.bincount, aten.item,  # the last is seen whole in inference mode only
}  # fmt: skip


class Watch(TorchDispatchMode):
    """Meets all that would make the host wait for a GPU, or have it read the host's memory, and counts operations."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.found: list[str] = []
        self._patches = ExitStack()

    def meet(self, what: str) -> None:
        self.found.append(what)

    def __enter__(self) -> Any:
        for name in ("tensor", "as_tensor", "from_numpy"):  # of Python's numbers: a copy from pageable memory
            self._patches.enter_context(mock.patch.object(torch, name, self._met(name, getattr(torch, name))))
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self._patches.close()
        super().__exit__(*error)

    def _met(self, name: str, function: Any) -> Any:
        def made(*args: Any, **kwargs: Any) -> Any:
            self.meet(f"torch.{name}")
            return function(*args, **kwargs)

        return made

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, kind = kwargs or {}, function.overloadpacket
        self.operations += 1
        indexing = kind in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_)
        if indexing and any(isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in args[1]):
            self.meet(f"{function} by a mask")  # which looks for what is set in it
        if kind is aten.lift_fresh and args[0].dim():
            self.meet(f"{function} of a list of numbers")  # an index, say: copied from the host's memory
        if kind in WAITS or (kind is aten.repeat_interleave and kwargs.get("output_size") is None):
            self.meet(str(function))
        out = function(*args, **kwargs)
        self.done(function, args, kwargs, out)
        return out

    def done(self, function: Any, args: Any, kwargs: Any, out: Any) -> None:
        pass


class Tape(Watch):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def meet(self, what: str) -> None:
        raise RuntimeError(f"operation not permitted when stream is capturing: {what}")

    def done(self, function: Any, args: Any, kwargs: Any, out: Any) -> None:
        self.calls.append((function, args, kwargs, out))

    @torch.no_grad()
    def replay(self) -> None:
        for function, args, kwargs, out in self.calls:
            for there, new in zip(tree_leaves(out), tree_leaves(function(*args, **kwargs))):
                if isinstance(there, Tensor) and there.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                    there.copy_(new)


def recorder(state: Callable[[], dict[str, list[Tensor]]]) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """For GraphedStep: recording leaves the tensors of `state()` as they were, as a capture does."""

    def record(step: Callable[[], None]) -> Callable[[], None]:
        before = {name: [value.detach().clone() for value in tensors] for name, tensors in state().items()}
        random = torch.get_rng_state()
        tape = Tape()
        try:
            with tape:
                step()
        finally:
            with torch.no_grad():
                for name, tensors in state().items():
                    for tensor, value in zip(tensors, before[name]):
                        tensor.copy_(value)
            torch.set_rng_state(random)
        return tape.replay

    return record
