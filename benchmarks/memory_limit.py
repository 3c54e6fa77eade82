"""A limit on the memory of a process, the pages of files that the kernel keeps for it included.

It is a control group below the one of this process. Not limited: the memory of the machine, and
what other processes already have in memory. It needs Linux and the right to make a control group.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory.limit_in_bytes")
"""Of version 2 of control groups, and of version 1."""


@contextmanager
def memory_limit(num_bytes: int) -> Iterator[Path | None]:
    """A control group of so much memory; None where none can be made.

    A process enters it by writing its number into `cgroup.procs` there, and it must be over before
    the context ends.
    """
    group = None
    for parent in _own_groups():
        made = parent / f"vae-benchmark-{os.getpid()}"
        with suppress(OSError):
            made.mkdir()
            if _set_limit(made, num_bytes):
                group = made
                break
            made.rmdir()
    try:
        yield group
    finally:
        if group is not None:
            group.rmdir()


def _set_limit(group: Path, num_bytes: int) -> bool:
    for name in _LIMITS:
        if (group / name).is_file():
            with suppress(OSError):
                (group / name).write_text(str(num_bytes))
                return True
    return False


def _own_groups() -> Iterator[Path]:
    """Folders of the control groups of this process that may have a limit of memory."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            yield _ROOT / "memory" / path.lstrip("/")
        elif not controllers:
            yield _ROOT / path.lstrip("/")


def enter(group: Path | None) -> list[str]:
    """Words before a command that make it start in a control group; none without one."""
    if group is None:
        return []
    return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group)]
