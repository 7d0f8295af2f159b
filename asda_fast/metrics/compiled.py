"""`compiled`: numba's njit, kept in numba's cache where that can be written, else compiled anew by every process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Division by zero gives inf or nan, as numpy's does."""
    try:
        return numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # no locator: neither the folder of the file nor $NUMBA_CACHE_DIR nor HOME can be written
        return numba.njit(error_model="numpy")(function)
