"""Memory of this process: how much it may use, and how much of what is freed it keeps."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path

from models import cpus

_LIMITS = ("memory.max", "memory.limit_in_bytes")
"""Of version 2 of control groups, and of version 1."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
_KEPT_BYTES = 64 * 2**20
_LARGEST_KEPT_BYTES = 32 * 2**20
"""The most that glibc takes."""


def usable_memory() -> int:
    """Bytes of memory for this process, the pages that the system keeps for it included."""
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_limits()])


def keep_freed_memory() -> bool:
    """Keep up to 64 MiB of freed memory, in blocks of up to 32 MiB, for the next results.

    glibc gives freed blocks of some 100 KB and more back, and the system then hands out new pages,
    which it clears: more time than the results themselves take. The variables `MALLOC_...`, where
    one is set, decide instead.

    Returns:
        Whether the C library does so.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    sizes = {_M_TRIM_THRESHOLD: _KEPT_BYTES, _M_MMAP_THRESHOLD: _LARGEST_KEPT_BYTES}
    return all(mallopt(option, size) for option, size in sizes.items())


def _limits() -> list[int]:
    """Limits of this process's control groups; none where there are no such groups."""
    folders = [cpus.CGROUPS / group for group in cpus.groups(_membership(), "memory")]
    found = []
    for file in (folder / name for folder in folders for name in _LIMITS):
        with suppress(OSError, ValueError):  # no such file, or "max"
            found.append(int(file.read_text()))
    return found


def _membership() -> str:
    path: Path = cpus.MEMBERSHIP
    return path.read_text() if path.is_file() else ""
