# The C++ module. An Address is where a contiguous buffer begins (`data_ptr()`, `.ctypes.data`); shapes, dtypes and
# contiguity are checked by the callers. tests/ops/test_stub.py holds this file against the compiled module.
from collections.abc import Sequence
from typing import TypeAlias

from typing_extensions import Buffer

Address: TypeAlias = int
Four: TypeAlias = Sequence[int]
Three: TypeAlias = Sequence[float]

# threads.cpp
def count_parallel(n: int, grain: int, threads: int, /) -> int: ...

# jpeg_crop.cpp, warp.cpp; matrix: [2, 3] float64, crop -> photo; the verdicts are those of core/images.py
def jpeg_crop(
    data: Buffer,
    photo_height: int,
    photo_width: int,
    matrix: Address,
    out: Address,
    height: int,
    width: int,
    shrink: int,
) -> int: ...
def jpeg_read(data: Buffer, out: Address, height: int, width: int, shrink: int) -> int: ...
def jpeg_check(
    data: Buffer, matrix: Address = 0, height: int = 0, width: int = 0, known_rows: int = 0
) -> tuple[int, int, int, int, bool]: ...
def warp(
    image: Address,
    height: int,
    width: int,
    stride: int,
    matrix: Address,
    out: Address,
    out_height: int,
    out_width: int,
    simd: bool = True,
) -> None: ...

# paste.cpp; dtypes 0..4 = float64, float32, bfloat16, float16, uint8; strides: batch, channel, row, pixel;
# shape: batch, slots, height, width
def paste_forward(
    image: Address,
    image_dtype: int,
    image_stride: Four,
    out: Address,
    out_dtype: int,
    out_stride: Four,
    texels: Address,
    table: Address,
    parts: int,
    part: Address,
    matrix: Address,
    shape: Four,
    mean: Three,
    std: Three,
    wide: bool,
    mips: bool,
    threads: int,
    portable: bool,
    /,
) -> tuple[int, int]: ...
def paste_backward(
    v_out: Address,
    out_dtype: int,
    out_stride: Four,
    image: Address,
    image_dtype: int,
    image_stride: Four,
    v_matrix: Address,
    v_image: Address,
    v_image_stride: Four,
    texels: Address,
    table: Address,
    parts: int,
    part: Address,
    matrix: Address,
    shape: Four,
    mean: Three,
    std: Three,
    wide: bool,
    mips: bool,
    threads: int,
    portable: bool,
    /,
) -> None: ...
def paste_has_avx2() -> bool: ...

# paste_pool.cpp
def pool_pack(
    straight: Address, offset: Address, table: Address, patches: int, texels: Address, threads: int, /
) -> None: ...

# parts.cpp; a buffer is its address and its pitch, the elements from one row to the next
def parts_spans(labels: Address, pitch: int, height: int, width: int, spans: Address, /) -> None: ...
def parts_has_square(mask: Address, pitch: int, height: int, width: int, side: int, /) -> bool: ...
def parts_contrast(
    photo: Address, photo_pitch: int, mask: Address, mask_pitch: int, height: int, width: int, /
) -> float: ...
def parts_patch(
    photo: Address,
    photo_pitch: int,
    mask: Address,
    mask_pitch: int,
    height: int,
    width: int,
    out: Address,
    out_height: int,
    out_width: int,
    /,
) -> None: ...
