"""`jit`: numba's `njit` where numba is installed, plain Python otherwise; the results are the same (tested)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

try:
    import numba
except ImportError:  # the base installation has no numba: slower, same answer
    numba = None


def jit(function: Function) -> Function:
    """Compile a kernel on plain arrays, cached on disk beside its module, and into those that call it.

    Kernels guard every division themselves, so numba's own checks for zero are left out.
    """
    if numba is None:
        return function
    compiled: Function = numba.njit(cache=True, nogil=True, forceinline=True, error_model="numpy")(function)
    return compiled
