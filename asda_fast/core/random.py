"""Counter-based random numbers: what happens to a person depends on (seed, epoch, row) only.

`uniforms` is numpy's Philox, whole streams at once: the plan of an epoch. `philox` and what follows it are written in
torch's integer arithmetic on the tensors' own device: the same bits on CPU and GPU, no host sync, and the same draw for
a person whatever the pipeline, batch composition, rank or worker count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # imported on use: the plan, and every --help, need no torch
    from torch import Tensor

_MASK = 0xFFFFFFFF
_MUL0, _MUL1 = 0xD2511F53, 0xCD9E8D57  # Philox 4x32-10 (Salmon et al. 2011)
_WEYL0, _WEYL1 = 0x9E3779B9, 0xBB67AE85


def uniforms(rows: int, *, seed: int, epoch: int, stream: int, per_row: int) -> np.ndarray:
    """[rows, per_row] uniforms in [0, 1): row r is the same however many rows are asked for.

    The key is (seed, epoch); `stream` separates the users of one key.
    """
    key = np.array([int(seed) & (2**64 - 1), int(epoch)], dtype=np.uint64)
    bits = np.random.Philox(key=key, counter=np.array([0, 0, 0, stream], dtype=np.uint64))
    return np.random.Generator(bits).random((rows, per_row))


def philox(row: Tensor, stream: Tensor, seed: int, epoch: int | Tensor) -> Tensor:
    """Philox4x32-10, key (seed, epoch), counter (row low, row high, stream, 0): [..., 4] int64, each 32 random bits.

    `row` and `stream` are int64 and broadcast; `epoch` is an int, or an int64 tensor [] on their device (a CUDA graph
    then draws anew in every epoch). 64-bit products wrap as two's complement: the masked halves are right.
    """
    import torch

    seed, epoch = int(seed), epoch if isinstance(epoch, torch.Tensor) else int(epoch)
    row, stream = torch.broadcast_tensors(row, stream)
    c0, c1, c2, c3 = row & _MASK, (row >> 32) & _MASK, stream & _MASK, torch.zeros_like(row)
    k0, k1 = (seed ^ (((seed >> 32) & _MASK) * _WEYL0)) & _MASK, epoch & _MASK  # 64 bits as 32; -1 is another than 0
    for _ in range(10):
        p0, p1 = c0 * _MUL0, c2 * _MUL1
        c0, c1, c2, c3 = ((p1 >> 32) & _MASK) ^ c1 ^ k0, p1 & _MASK, ((p0 >> 32) & _MASK) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _WEYL0) & _MASK, (k1 + _WEYL1) & _MASK
    return torch.stack((c0, c1, c2, c3), -1)


def random_bits(row: Tensor, count: int, seed: int, epoch: int | Tensor, stream: int = 0) -> Tensor:
    """[B, count] int64, each 32 random bits; `stream` (0 .. 255) separates the users of one (seed, epoch, row)."""
    import torch

    blocks = torch.arange((count + 3) // 4, device=row.device) + (stream << 24)
    return philox(row[:, None], blocks[None], seed, epoch).flatten(1)[:, :count]


def uniform(bits: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """32 random bits -> float32 in [low, high); computed in float64, so that it rounds alike on every device."""
    import torch

    value = bits.to(torch.float64) * (2.0**-32)
    result = (value * (high - low) + low).to(torch.float32)
    if high > low:  # rounding to float32 may reach `high` itself
        result = result.clamp(max=float(np.nextafter(np.float32(high), np.float32(low))))
    return result


def below(bits: Tensor, count: Tensor | int) -> Tensor:
    """32 random bits -> integer in [0, count), without the bias of a modulo beyond count / 2^32."""
    return (bits * count) >> 32
