"""PartPool: all patches of a pool as two tensors on one device. The file they come from: pool_file.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asda_fast import _C
from asda_fast.core.hardware import find_device
from asda_fast.parts.pool_file import MAX_SIDE, known_or_nan, open_pool, save_pool


@dataclass(frozen=True, eq=False)
class PartPool:
    """Patches cut from people, ready for `asda_fast.paste`.

    A patch is straight RGBA uint8 in the file and in `patch(i)`, premultiplied (round(c * a / 255)) in `texels`.
    In `texels` every patch is a block of (height + 2) x (width + 2) texels, row-major: a transparent border of one
    texel lies around it, which is what the samplers need at its edge. Its mip levels follow, each half as large
    (rounded up) and an area average of the one before, with a border of their own.
    """

    texels: Tensor  # [T, 4] uint8, premultiplied RGBA, all blocks one after the other
    table: Tensor  # [P, 4] int64: first texel of the block, height, width (without border), mip levels (1 = no mips)
    type: Tensor  # [P] int64, index into `types`
    person: Tensor  # [P, 2] float32: width, height of the source person's box in the patch's pixels; nan if unknown
    types: tuple[str, ...]
    source: list[str]  # id of the photo each patch comes from; "" if unknown

    def __len__(self) -> int:
        return self.table.shape[0]

    def __repr__(self) -> str:
        mib = self.texels.numel() / 2**20
        return f"PartPool({len(self)} patches of {len(self.types)} types, {mib:.1f} MiB on {self.device})"

    @property
    def device(self) -> torch.device:
        return self.texels.device

    @property
    def size(self) -> Tensor:
        """[P, 2] int64: height, width of each patch in pixels."""
        return self.table[:, 1:3]

    @property
    def opaque(self) -> Tensor:
        """[P] float32: the sum of each patch's alpha, 1 for an opaque pixel. Reads every texel: keep it."""
        table = self.table.cpu().numpy()
        ends = np.stack((table[:, 0], table[:, 0] + (table[:, 1] + 2) * (table[:, 2] + 2)), 1).ravel()
        alpha = np.append(self.texels[:, 3].cpu().numpy(), np.uint8(0))  # so that the last end has a place, too
        sums = np.add.reduceat(alpha, ends, dtype=np.int64)[::2] if len(ends) else np.zeros(0)
        return torch.from_numpy((sums / 255).astype(np.float32))

    def to(self, device: torch.device | str) -> PartPool:
        """The same pool on `device`. UserError for a GPU that torch does not see."""
        device = find_device(device)
        moved = {name: getattr(self, name).to(device) for name in ("texels", "table", "type", "person")}
        return replace(self, **moved)

    def patch(self, index: int) -> np.ndarray:
        """Patch `index` as straight RGBA uint8 [h, w, 4]. Where alpha < 255 the colour is as exact as premultiplied
        bytes allow; premultiplying it again gives the pool's texels back bit for bit."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"patch index {index} is out of range for a pool of {len(self)} patches")
        first, height, width, _ = self.table[index].tolist()
        block = self.texels[first : first + (height + 2) * (width + 2)].cpu().numpy().reshape(height + 2, width + 2, 4)
        straight = block[1:-1, 1:-1].astype(np.uint32)
        alpha = np.maximum(straight[..., 3:], 1)
        straight[..., :3] = np.minimum((510 * straight[..., :3] + alpha) // (2 * alpha), 255)
        return straight.astype(np.uint8)

    @staticmethod
    def from_patches(
        patches: Sequence[np.ndarray | Tensor],
        type: Sequence[int] | np.ndarray | Tensor | None = None,
        types: Sequence[str] | None = None,
        person: Sequence[Sequence[float]] | np.ndarray | Tensor | None = None,
        source: Sequence[str] | None = None,
        mips: bool = True,
    ) -> PartPool:
        """A pool from patches in memory, on the CPU.

        patches: uint8 [h, w, 4] straight RGBA each, any sizes. type: [P] indices into `types` (default: all 0).
        types: names. person: [P, 2] width, height of the source person's box in the patch's pixels. source: [P] ids.
        mips: also keep smaller copies for strong minification (a third more memory).
        """
        arrays = [_patch(patch, f"patches[{i}]") for i, patch in enumerate(patches)]
        count = len(arrays)
        size = np.array([a.shape[:2] for a in arrays], np.int64).reshape(count, 2)
        pixels = size.prod(1)
        rgba = np.concatenate([a.reshape(-1, 4) for a in arrays]) if arrays else np.zeros((0, 4), np.uint8)
        index = np.zeros(count, np.int64) if type is None else _column("type", type, (count,), np.int64)
        box = np.full((count, 2), np.nan, np.float32)
        if person is not None:
            box = _column("person", person, (count, 2), np.float32)
        if types is None and type is not None:
            raise ValueError("types: expected the names that `type` points into, got None")
        names = ("part",) if types is None else tuple(types)
        if isinstance(types, str) or not all(isinstance(n, str) for n in names) or len(set(names)) < len(names):
            raise ValueError(f"types: expected different names, got {types!r}")
        names = tuple(str(name) for name in names)  # numpy's strings would not load with a checkpoint
        if not known_or_nan(box).all():
            raise ValueError("person: expected widths and heights above 0, or nan where unknown")
        sources = [""] * count if source is None else [str(s) for s in source]
        if len(sources) != count:
            raise ValueError(f"source: expected {count} ids, one per patch, got {len(sources)}")
        if count and not (index.min() >= 0 and index.max() < len(names)):
            raise ValueError(f"type: expected indices 0..{len(names) - 1}, got {index.min()}..{index.max()}")
        return _pack(rgba, np.cumsum(pixels) - pixels, size, index, box, names, sources, mips)

    def save(self, path: str | Path) -> None:
        """Write the pool as a safetensors file (straight RGBA; mip levels are made again on load)."""
        arrays = [self.patch(i) for i in range(len(self))]
        save_pool(path, arrays, self.type.cpu().numpy(), self.person.cpu().numpy(), self.source, self.types)

    @staticmethod
    def load(path: str | Path, mips: bool = True) -> PartPool:
        """Read a pool file. One that is missing, truncated, of another version or inconsistent raises `UserError`."""
        file = open_pool(path)
        return _pack(file.rgba, file.offset, file.size, file.type, file.person, file.types, file.source, mips)


def _patch(patch: Any, name: str) -> np.ndarray:
    array = patch.detach().cpu().numpy() if isinstance(patch, Tensor) else patch
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: expected a uint8 array [h, w, 4], got {type(patch).__name__}")
    if array.dtype != np.uint8:
        raise TypeError(f"{name}: expected dtype uint8, got {array.dtype}")
    if array.ndim != 3 or array.shape[2] != 4 or not 1 <= min(array.shape[:2]) <= max(array.shape[:2]) <= MAX_SIDE:
        raise ValueError(f"{name}: expected shape [h, w, 4] with sides 1..{MAX_SIDE}, got {list(array.shape)}")
    return array


def _column(name: str, value: Any, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    if array.size == 0:
        array = array.reshape(shape) if 0 in shape else array
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {list(shape)}, got {list(array.shape)}")
    if np.issubdtype(dtype, np.integer) and array.size and not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name}: expected integers, got {array.dtype}")
    return np.ascontiguousarray(array, dtype)


def _pack(
    rgba: np.ndarray,
    offset: np.ndarray,
    size: np.ndarray,
    type: np.ndarray,
    person: np.ndarray,
    types: tuple[str, ...],
    source: list[str],
    mips: bool,
) -> PartPool:
    """Straight pixels -> texels with borders and mip levels. The columns are consistent: both callers checked them."""
    levels = np.ones(len(size), np.int64)
    texels = (size + 2).prod(1)
    smaller = size
    while mips and (more := smaller.max(1, initial=0) > 1).any():
        smaller = (smaller + 1) // 2
        texels = texels + np.where(more, (smaller + 2).prod(1), 0)
        levels += more
    table = np.column_stack([np.cumsum(texels) - texels, size, levels]).astype(np.int64)
    flat = torch.empty((int(texels.sum()), 4), dtype=torch.uint8)
    rgba, offset = np.ascontiguousarray(rgba), np.ascontiguousarray(offset)
    _C.pool_pack(
        rgba.ctypes.data, offset.ctypes.data, table.ctypes.data, len(size), flat.data_ptr(), torch.get_num_threads()
    )
    index, box = torch.from_numpy(np.array(type)), torch.from_numpy(np.array(person))  # copies: nothing is shared
    return PartPool(flat, torch.from_numpy(table), index, box, types, source)
