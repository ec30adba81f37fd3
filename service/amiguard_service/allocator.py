"""Memory that is given back to the system at once has to be cleared again at once."""

from __future__ import annotations

import ctypes
import gc
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3

_KEPT_BYTES: Final = 128 * 1024 * 1024
"""Freed memory kept for the next message and the next inflated file."""
_GROWTH_BYTES: Final = 16 * 1024 * 1024
_MAPPED_FROM_BYTES: Final = 32 * 1024 * 1024
"""Largest that glibc allows; blocks from here on still come from the system and go back to it."""

_COLLECT_AFTER: Final = 50_000
"""Objects made between two collections. A log file's records make and drop thousands that cannot be
part of a cycle, and the usual 700 would look at them again and again."""


def tune() -> None:
    """Keeps freed memory for the next message. Inflating takes half the time; elsewhere, nothing.

    By default glibc maps each large block anew, and the kernel clears it page by page: measured,
    that is as slow as inflating what goes into it.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_TOP_PAD, _GROWTH_BYTES)


def tune_collector() -> None:
    """Leaves what the program is made of out of every later collection, and makes them rarer."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)


def limit_memory(size: int) -> None:
    """Makes the system refuse this process more address space than that, where it can."""
    try:
        import resource  # noqa: PLC0415 - there is none on Windows

        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    except (ImportError, ValueError, OSError):
        return
