"""Memory that this process may use: that of the machine, and the limit of its container."""

import os
from contextlib import suppress
from pathlib import Path

from models import cpus

_LIMITS = ("memory.max", "memory.limit_in_bytes")
"""Of version 2 of control groups, and of version 1."""


def usable_memory() -> int:
    """Bytes of memory for this process, the pages that the system keeps for it included."""
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_limits()])


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
