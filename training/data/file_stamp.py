"""A file's stamp: equal only while its path, size and times are, and so its content.

The time of change (ctime) counts as well as that of modification, which programs may set back.
Clocks of file systems tick in steps: a file that changed a moment ago may change again within the
same tick, so it has no stamp yet (as in git's "racily clean" entries).
"""

import os
import time
from hashlib import blake2b
from pathlib import Path

LENGTH = 16
"""Bytes of a stamp."""
NO_STAMP = b""
"""Of a file that changed a moment ago: its content is not to be kept under any stamp."""

_TICK_NS = 20_000_000  # Linux stamps files by its timer, every 1 to 10 ms; exFAT every 10 ms
_COARSE_TICK_NS = 2_000_000_000  # FAT: 2 s; HFS+ and ext3: 1 s


def stamp_file(path: Path | str) -> tuple[bytes, os.stat_result]:
    """The stamp of a file, or of the file that it links to, and its status.

    Raises:
        OSError: There is no such file.
    """
    now = time.time_ns()  # before the look: what changes after it is younger
    status = os.stat(path)
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    tick = _TICK_NS if changed % 1_000_000_000 else _COARSE_TICK_NS
    if now - changed < tick:
        return NO_STAMP, status
    name = os.fspath(path)
    if ".." in name or not os.path.isabs(name):  # else it is one already
        name = os.path.abspath(name)
    numbers = f"\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}".encode()
    return blake2b(os.fsencode(name) + numbers, digest_size=LENGTH).digest(), status
