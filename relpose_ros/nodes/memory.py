"""Giving memory back to the system when something large has been dropped."""

from __future__ import annotations

import ctypes
import gc
import sys


def release_memory() -> None:
    """Collect what nobody refers to, and let the C library return free pages to the system (glibc only)."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
