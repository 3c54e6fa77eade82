"""CPUs that this process may use: its affinity, and the quota of its container.

The operating system shows all cores of the machine otherwise.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """CPUs that this process may use: its affinity, and the quota of its control groups."""
    counts = [_affinity(), *(math.ceil(quota) for quota in _quotas())]
    return max(1, min(counts))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(files: Mapping[str, str]) -> float | None:
    """CPUs that one control group allows; None without a limit.

    Args:
        files: The texts of its files by name: `cpu.max` of version 2 ("150000 100000"), or
            `cpu.cfs_quota_us` and `cpu.cfs_period_us` of version 1.
    """
    words = files.get("cpu.max", "").split()
    if not words:
        words = [files.get(f"cpu.cfs_{name}_us", "").strip() for name in ("quota", "period")]
    try:
        allowed, period = (int(word) for word in words)
    except ValueError:  # "max", or no such file
        return None
    return allowed / period if allowed > 0 and period > 0 else None


def groups(membership: str, controller: str = "cpu") -> list[PurePosixPath]:
    """Folders of the control groups that rule what a process may use, below the mounted tree.

    Args:
        membership: The text of /proc/self/cgroup, such as "0::/system.slice/vae.service".
        controller: What is ruled, as version 1 names it: "cpu" or "memory".

    Returns:
        Each group and all above it: each one limits what is below.
    """
    found = [PurePosixPath(), PurePosixPath(controller)]
    for line in membership.splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and controller not in controllers.split(","):
            continue
        inner = PurePosixPath(controller if controllers else "") / path.lstrip("/")
        found += [inner, *inner.parents]
    return list(dict.fromkeys(found))


def _quotas() -> list[float]:
    """Quotas of this process's control groups; none where there are no such groups."""
    found = [quota(_texts(CGROUPS / group)) for group in groups(_text(MEMBERSHIP))]
    return [limit for limit in found if limit is not None]


def _texts(group: Path) -> dict[str, str]:
    names = ("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us")
    return {name: text for name in names if (text := _text(group / name))}


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
